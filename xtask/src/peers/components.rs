//! WebAssembly components that other people published, at exact versions and contents.
//!
//! Owns `target/peers/components`. Each comes out of a package that an ordinary client
//! fetches (cargo, npm or pip), without what the package depends on; nothing of it is run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::step::{capture, command, run};

/// Which components, from which packages.
pub(super) const PINS: &str = "tests/peers/components.toml";
/// Where they are installed.
pub(super) const FOLDER: &str = "target/peers/components";

#[derive(Deserialize)]
struct Pins {
    component: Vec<Pin>,
}

#[derive(Deserialize)]
struct Pin {
    name: String,
    from: Client,
    package: String,
    version: String,
    path: PathBuf,
    sha256: String,
}

/// What fetches a package.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Client {
    Cargo,
    Npm,
    Pip,
}

/// Installs all of them.
pub(super) fn install(root: &Path) -> Result<()> {
    let pins = fs::read_to_string(root.join(PINS)).with_context(|| format!("reading {PINS}"))?;
    let pins: Pins = toml::from_str(&pins).with_context(|| format!("reading {PINS}"))?;
    let folder = root.join(FOLDER);
    for pin in &pins.component {
        let package = pin.fetch(root, &folder.join("packages"))?;
        let file = package.join(&pin.path);
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let found = Sha256::digest(&bytes);
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        if found != pin.sha256 {
            bail!("`{}` has sha256 {found}, but {PINS} says {}", file.display(), pin.sha256);
        }
        fs::write(folder.join(format!("{}.wasm", pin.name)), bytes)?;
    }
    Ok(())
}

impl Pin {
    /// The unpacked package.
    fn fetch(&self, root: &Path, into: &Path) -> Result<PathBuf> {
        let Self { package, version, .. } = self;
        let dir = into.join(format!("{}-{version}", package.replace(['@', '/'], "_")));
        match self.from {
            Client::Cargo => fetch_crate(package, version),
            Client::Npm => {
                fs::create_dir_all(&dir)?;
                let what = format!("{package}@{version}");
                let packed = capture(&mut command(&dir, "npm", &["pack", "--silent", &what]))?;
                let archive = packed.lines().last().context("`npm pack` named no file")?;
                run(&mut command(&dir, "tar", &["xzf", archive]))?;
                Ok(dir.join("package"))
            }
            Client::Pip => {
                let python = root.join("target/peers/py/bin/python");
                let what = format!("{package}=={version}");
                let flags = ["-m", "pip", "install", "-q", "--disable-pip-version-check"];
                let mut pip = command(root, python, &flags);
                pip.args(["--no-deps", "--no-compile", "--upgrade", "--target"]);
                run(pip.arg(&dir).arg(what))?;
                Ok(dir)
            }
        }
    }
}

/// Cargo fetches a single crate in order to tell about it, and unpacks it with the others.
fn fetch_crate(name: &str, version: &str) -> Result<PathBuf> {
    let here = Path::new(".");
    capture(&mut command(here, "cargo", &["info", "--quiet", &format!("{name}@{version}")]))?;
    #[expect(clippy::disallowed_methods, reason = "cargo's own setting, not the gateway's")]
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = match home {
        Some(home) => home,
        None => std::env::home_dir().context("there is no home directory")?.join(".cargo"),
    };
    let sources = home.join("registry/src");
    for registry in fs::read_dir(&sources).with_context(|| format!("in {}", sources.display()))? {
        let found = registry?.path().join(format!("{name}-{version}"));
        if found.is_dir() {
            return Ok(found);
        }
    }
    bail!("cargo unpacked no `{name}-{version}` in `{}`", sources.display())
}
