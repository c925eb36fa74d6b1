//! `cargo xtask guests`: every component under `plugins/`, ready to load.
//!
//! Owns the order: is anything newer than what stands there, which toolchain, cargo, and the
//! step from core module to component. Where a compiler for the guests' target comes from is
//! the business of [`toolchain`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use wit_component::ComponentEncoder;

use crate::step::command;

use toolchain::{TARGET, Toolchain};

mod toolchain;

/// Changes when this file makes other components out of the same sources.
const RECIPE: &str = "2";

/// Builds every component under `plugins/` into `target/guests/NAME.wasm` and returns their
/// paths, sorted. Without `force`, does nothing when sources and compiler are the same.
pub fn build(root: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let out = root.join("target/guests");
    let stamp_file = out.join(".stamp");
    let stamp = stamp(root)?;
    if !force && let Some(built) = unchanged(&stamp_file, &stamp) {
        return Ok(built);
    }
    let toolchain = Toolchain::find(root)?;
    let modules = compile(root, &toolchain)?;
    fs::create_dir_all(&out).with_context(|| format!("could not make `{}`", out.display()))?;
    forget_old(&out)?;
    let mut built = Vec::new();
    for module in modules {
        built.push(encode(&module, &out)?);
    }
    built.sort();
    write_environment(&out, &toolchain)?;
    write_stamp(&stamp_file, &stamp, &built)?;
    Ok(built)
}

/// What a build elsewhere needs in its environment to find the compiler, a variable a line: the
/// walk through the guide of `plugins/` builds as a stranger does.
fn write_environment(out: &Path, toolchain: &Toolchain) -> Result<()> {
    let variables = toolchain.environment();
    let lines = variables.iter().map(|(name, value)| format!("{name}={}\n", value.display()));
    let file = out.join(".environment");
    fs::write(&file, lines.collect::<String>())
        .with_context(|| format!("could not write `{}`", file.display()))
}

/// What the components are made of, as one hash.
fn stamp(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(&root.join("plugins"), &mut files)?;
    collect(&root.join("wit"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    hash.update(toolchain::version(root)?);
    for file in files {
        let bytes =
            fs::read(&file).with_context(|| format!("could not read `{}`", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        for part in [name.as_bytes(), &bytes] {
            hash.update(u64::try_from(part.len())?.to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("could not list `{}`", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?;
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            // Tests and prose are no part of a component, but cheaper to hash than to tell apart.
            if name != "target" {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The components of the last build, if it was made from the same and all are still there.
fn unchanged(stamp_file: &Path, stamp: &str) -> Option<Vec<PathBuf>> {
    let text = fs::read_to_string(stamp_file).ok()?;
    let mut lines = text.lines();
    if lines.next()? != stamp {
        return None;
    }
    let built: Vec<PathBuf> = lines.map(|name| stamp_file.with_file_name(name)).collect();
    (!built.is_empty() && built.iter().all(|path| path.is_file())).then_some(built)
}

fn write_stamp(stamp_file: &Path, stamp: &str, built: &[PathBuf]) -> Result<()> {
    let mut text = format!("{stamp}\n");
    for name in built.iter().filter_map(|path| path.file_name()) {
        text.push_str(&name.to_string_lossy());
        text.push('\n');
    }
    fs::write(stamp_file, text)
        .with_context(|| format!("could not write `{}`", stamp_file.display()))
}

/// A component whose crate is gone must not look as if it were current.
fn forget_old(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Runs cargo and returns the core modules it made.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<Vec<PathBuf>> {
    let args =
        ["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
    let mut cargo = command(&root.join("plugins"), "cargo", &args);
    // What was set for the host's build (sanitizers, coverage, another target) is not for guests.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    toolchain.prepare(root, &mut cargo);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("could not start `cargo` for the guests")?;
    if !output.status.success() {
        bail!("the guests under `plugins` do not compile; what the compiler said stands above");
    }
    let mut modules = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        for file in message["filenames"].as_array().into_iter().flatten() {
            if let Some(file) = file.as_str().filter(|file| file.ends_with(".wasm")) {
                modules.push(PathBuf::from(file));
            }
        }
    }
    if modules.is_empty() {
        bail!("cargo made no WebAssembly module from `plugins`: is any crate there a `cdylib`?");
    }
    Ok(modules)
}

/// Makes a component of a core module; its file is named like the crate.
fn encode(module: &Path, out: &Path) -> Result<PathBuf> {
    let what = || format!("could not make a component of `{}`", module.display());
    let bytes = fs::read(module).with_context(what)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .with_context(what)?;
    let name = module.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let path = out.join(format!("{name}.wasm"));
    fs::write(&path, component).with_context(|| format!("could not write `{}`", path.display()))?;
    Ok(path)
}
