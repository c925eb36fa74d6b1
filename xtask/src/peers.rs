//! The MCP programs of other people that the tests talk to, at exact versions.
//!
//! Owns `target/peers`: npm packages, the conformance suite with a Node.js of its own, a
//! Python environment, [`components`], an OCI [`registry`], a browser ([`chromium`]) and, where
//! the machine's own is too old, a Node.js. Which versions is written in `tests/peers/` and
//! `tests/conformance/`; what the tests do with them is not known here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::step::{capture, command, found, run};

mod chromium;
mod components;
mod registry;

/// The oldest Node.js that the pinned packages run on.
const NODE_AT_LEAST: u32 = 20;
/// The npm package that brings a Node.js where the machine's is older.
const NODE_PACKAGE: &str = "node@22.23.3";

/// Installs whatever is missing or was pinned differently last time.
pub fn install(root: &Path) -> Result<()> {
    install_packages()?;
    install_npm(root, "tests/peers", "target/peers/npm")?;
    // The suite in both versions, and the newer Node.js that it needs; the latter is there
    // for x86-64 only, elsewhere the machine's own has to be new enough.
    install_npm(root, "tests/conformance", "target/peers/conformance")?;
    install_node(root)?;
    // The OpenID provider that people sign in with, and what drives a browser for them.
    install_npm(root, "tests/peers/sign_in", "target/peers/sign-in")?;
    chromium::install(root)?;
    install_python(root, "tests/peers", "target/peers/py")?;
    // Public servers that the gateway hosts.
    install_npm(root, "tests/peers/servers", "target/peers/servers-npm")?;
    install_python(root, "tests/peers/servers", "target/peers/servers-py")?;
    registry::install(root)?;
    let pins = [root.join(components::PINS)];
    when_changed(&root.join(components::FOLDER), &pins, || components::install(root))?;
    fetch_builders(root)
}

/// Debian packages, only where a program is missing.
fn install_packages() -> Result<()> {
    let wanted: Vec<&str> = [
        ("node", "--version", "nodejs"),
        ("npm", "--version", "npm"),
        ("curl", "--version", "curl"),
        ("python3", "--version", "python3"),
    ]
    .into_iter()
    .filter(|(program, flag, _)| !found(program, flag))
    .map(|(_, _, package)| package)
    .chain((!python_makes_environments()).then_some("python3-venv"))
    .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    if !found("apt-get", "--version") {
        bail!("the tests need {}: install them, then run this again", wanted.join(", "));
    }
    println!("    apt-get install {}", wanted.join(" "));
    let here = Path::new(".");
    run(&mut command(here, "apt-get", &["update", "-qq"]))?;
    let mut install = command(here, "apt-get", &["install", "-y", "-qq"]);
    run(install.args(&wanted).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn python_makes_environments() -> bool {
    capture(&mut command(Path::new("."), "python3", &["-c", "import venv, ensurepip"])).is_ok()
}

/// The packages that `from` pins, in `into`.
fn install_npm(root: &Path, from: &str, into: &str) -> Result<()> {
    let pins = ["package.json", "package-lock.json"].map(|name| root.join(from).join(name));
    let dir = root.join(into);
    when_changed(&dir, &pins, || {
        for pin in &pins {
            let name = pin.file_name().context("a pin has a name")?;
            fs::copy(pin, dir.join(name))?;
        }
        let flags = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
        run(&mut command(&dir, "npm", &flags))
    })
}

fn install_node(root: &Path) -> Result<()> {
    let version = capture(&mut command(root, "node", &["--version"]))?;
    let major = version.trim().trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse::<u32>().is_ok_and(|major| major >= NODE_AT_LEAST) {
        return Ok(());
    }
    println!("    Node.js {} is too old for the peers, installing {NODE_PACKAGE}", version.trim());
    let dir = root.join("target/peers/node");
    fs::create_dir_all(&dir)?;
    let flags = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", "."];
    run(command(&dir, "npm", &flags).arg(NODE_PACKAGE))
}

/// The packages that `from` pins, in an environment in `into`.
fn install_python(root: &Path, from: &str, into: &str) -> Result<()> {
    let pins = [root.join(from).join("requirements.txt")];
    let dir = root.join(into);
    when_changed(&dir, &pins, || {
        run(&mut command(root, "python3", &["-m", "venv", "--clear", into]))?;
        let python = dir.join("bin/python");
        let flags = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"];
        run(command(root, python, &flags).arg(&pins[0]))
    })
}

/// What the templates of JavaScript and Python build with, in caches from which the walk through
/// the guide of `plugins/` installs it as often as it likes.
fn fetch_builders(root: &Path) -> Result<()> {
    let template = root.join("plugins/templates/js");
    let pins = ["package.json", "package-lock.json"].map(|name| template.join(name));
    let dir = root.join("target/peers/builders-npm");
    when_changed(&dir, &pins, || {
        let project = dir.join("project");
        fs::create_dir_all(&project)?;
        for pin in &pins {
            fs::copy(pin, project.join(pin.file_name().context("a pin has a name")?))?;
        }
        let flags = ["ci", "--no-audit", "--no-fund", "--loglevel=error", "--cache", "../cache"];
        run(&mut command(&project, "npm", &flags))?;
        // Two hundred megabytes that nobody looks at: the cache is what is wanted.
        fs::remove_dir_all(project)?;
        Ok(())
    })?;
    let pins = [root.join("plugins/templates/python/requirements.txt")];
    let dir = root.join("target/peers/builders-pip");
    when_changed(&dir, &pins, || {
        let python = root.join("target/peers/py/bin/python");
        let flags = ["-m", "pip", "download", "-q", "--disable-pip-version-check", "-d"];
        run(command(root, python, &flags).arg(&dir).arg("-r").arg(&pins[0]))
    })
}

/// Does `work` unless it was done before with the same pins.
fn when_changed(dir: &Path, pins: &[PathBuf], work: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut digest = Sha256::new();
    for pin in pins {
        digest.update(fs::read(pin).with_context(|| format!("reading {}", pin.display()))?);
    }
    let wanted: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let stamp = dir.join(".tidegate-pins");
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == wanted) {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    work()?;
    fs::write(&stamp, wanted)?;
    Ok(())
}
