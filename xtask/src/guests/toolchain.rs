//! A compiler for the guests' target: installed, added by rustup, or unpacked from Debian.
//!
//! The third way needs no rights and installs nothing: Debian's `rustc-web` comes with the
//! sources of the standard library, which is built for the target along with the guests.
//! Knows nothing of the guests themselves.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::step::{capture, command, found, run};

/// The guests' target: a component needs no WASI to be one.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Set to `debian` to take the third way although another would do (the CI proves it so).
const CHOICE: &str = "TIDEGATE_GUEST_TOOLCHAIN";

/// Where the compiler comes from.
pub(super) enum Toolchain {
    /// The one that builds the host has the target.
    Installed,
    /// Debian's, unpacked under `target/`.
    Debian(Unpacked),
}

/// Debian's compiler and what it needs to link.
pub(super) struct Unpacked {
    compiler: PathBuf,
    library: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// The first of the three ways that works.
    pub(super) fn find(root: &Path) -> Result<Self> {
        if wants_debian() {
            return Unpacked::find(root).map(Self::Debian);
        }
        if has_target()? {
            return Ok(Self::Installed);
        }
        println!("    adding the target {TARGET} with rustup");
        let added = run(&mut command(root, "rustup", &["target", "add", TARGET]));
        let why = match added {
            Ok(()) if has_target()? => return Ok(Self::Installed),
            Ok(()) => "rustup added it to another toolchain".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        Unpacked::find(root).map(Self::Debian).with_context(|| {
            format!(
                "no compiler for {TARGET}: `rustup target add` did not help ({why}), and \
                 Debian's packages could not be unpacked"
            )
        })
    }

    /// Tells a cargo command to build the guests with it.
    pub(super) fn prepare(&self, root: &Path, cargo: &mut Command) {
        match self {
            Self::Installed => {
                cargo.env("CARGO_TARGET_DIR", root.join("target/guests-build"));
            }
            Self::Debian(_) => {
                cargo
                    .env("CARGO_TARGET_DIR", root.join("target/guests-debian"))
                    .env_remove("RUSTC_WRAPPER")
                    .env_remove("RUSTC_WORKSPACE_WRAPPER");
            }
        }
        cargo.envs(self.environment());
    }

    /// The variables that make any cargo use it.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Installed => Vec::new(),
            Self::Debian(unpacked) => vec![
                ("RUSTC", unpacked.compiler.clone().into()),
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("__CARGO_TESTS_ONLY_SRC_ROOT", unpacked.library.clone().into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", unpacked.linker.clone().into()),
                ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".into()),
            ],
        }
    }
}

/// Names the compiler, for the stamp.
pub(super) fn version(root: &Path) -> Result<String> {
    let rustc = capture(&mut command(root, "rustc", &["-vV"]))?;
    Ok(if wants_debian() { format!("debian {rustc}") } else { rustc })
}

fn wants_debian() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a developer's command has no configuration")]
    let choice = std::env::var(CHOICE);
    choice.is_ok_and(|choice| choice == "debian")
}

fn has_target() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn sysroot() -> Result<PathBuf> {
    let text = capture(&mut command(Path::new("."), "rustc", &["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

impl Unpacked {
    /// Unpacks what is not there yet.
    fn find(root: &Path) -> Result<Self> {
        let linker = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
        if !linker.is_file() {
            bail!(
                "the toolchain has no `rust-lld` at `{}`: install Rust by rustup",
                linker.display()
            );
        }
        let base = root.join("target/debian-rust");
        let done = base.join("unpacked");
        if !done.is_file() {
            for tool in ["apt-get", "apt-cache", "dpkg"] {
                if !found(tool, "--version") {
                    bail!("`{tool}` is missing: this way needs Debian or a relative of it");
                }
            }
            println!("    unpacking Debian's Rust compiler under target/debian-rust");
            fs::create_dir_all(&base)?;
            unpack(&base)?;
            fs::write(&done, "")?;
        }
        let files = base.join("root");
        let library = library(&files)?;
        Ok(Self { compiler: wrapper(&base, &files)?, library, linker })
    }
}

/// Downloads the packages without installing them, and unpacks them into `base/root`.
fn unpack(base: &Path) -> Result<()> {
    let debs = base.join("debs");
    if debs.is_dir() {
        fs::remove_dir_all(&debs)?;
    }
    fs::create_dir_all(&debs)?;
    let names = match package_names(base) {
        Ok(names) => names,
        // The lists of a fresh machine are empty or old.
        Err(_) => {
            run(&mut command(base, "apt-get", &["update", "-qq"]))?;
            package_names(base)?
        }
    };
    let mut download = vec!["download", "-qq"];
    download.extend(names.iter().map(String::as_str));
    if run(&mut command(&debs, "apt-get", &download)).is_err() {
        run(&mut command(base, "apt-get", &["update", "-qq"]))?;
        run(&mut command(&debs, "apt-get", &download))?;
    }
    let files = base.join("root");
    for entry in fs::read_dir(&debs)? {
        let deb = entry?.path().to_string_lossy().into_owned();
        run(&mut command(base, "dpkg", &["-x", &deb, &files.to_string_lossy()]))?;
    }
    // The packages are worth 130 MB of disk, and nobody reads them twice.
    fs::remove_dir_all(&debs)?;
    Ok(())
}

/// `rustc-web`, the sources, and the packages that it depends on under versioned names.
fn package_names(base: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        ["rustc-web", "rust-web-src", "libstd-rust-web-dev"].map(str::to_owned).into();
    for (package, prefix) in
        [("libstd-rust-web-dev", "libstd-rust-web-"), ("libstd-rust-web-1", "libLLVM")]
    {
        // The second row asks the package that the first has found.
        let package = names.iter().rfind(|name| name.starts_with(package)).cloned();
        let package = package.with_context(|| format!("no package gives `{prefix}…`"))?;
        names.push(dependency(base, &package, &prefix.to_lowercase())?);
    }
    Ok(names)
}

/// The first dependency of `package` whose name starts with `prefix`.
fn dependency(base: &Path, package: &str, prefix: &str) -> Result<String> {
    let text = capture(&mut command(base, "apt-cache", &["show", "--no-all-versions", package]))?;
    let depends = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    depends
        .split([',', '|'])
        .filter_map(|item| item.split_whitespace().next())
        .find(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .with_context(|| format!("Debian's `{package}` depends on no `{prefix}…`"))
}

/// The folder of the standard library's sources, which carries the version in its path.
fn library(files: &Path) -> Result<PathBuf> {
    let sources = files.join("usr/src");
    for entry in
        fs::read_dir(&sources).with_context(|| format!("could not list `{}`", sources.display()))?
    {
        let library = entry?.path().join("library");
        if library.join("std/Cargo.toml").is_file() {
            return Ok(library);
        }
    }
    bail!("no sources of the standard library under `{}`", sources.display())
}

/// A script that starts the compiler with its own libraries.
fn wrapper(base: &Path, files: &Path) -> Result<PathBuf> {
    let script = base.join("rustc");
    let usr = files.join("usr");
    let (libraries, compiler) = (usr.join("lib/x86_64-linux-gnu"), usr.join("bin/rustc"));
    let text = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
        libraries.display(),
        compiler.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
