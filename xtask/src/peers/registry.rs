//! The OCI registry that the tests pull from: Debian's package, unpacked and not installed.
//!
//! Owns `target/peers/registry`. Where `docker-registry` is on the path already, nothing is
//! fetched.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::step::{command, found, run};

/// The package and its program.
const NAME: &str = "docker-registry";

/// Makes the program available.
pub(super) fn install(root: &Path) -> Result<()> {
    let folder = root.join("target/peers/registry");
    if found(NAME, "--version") || folder.join("usr/bin").join(NAME).is_file() {
        return Ok(());
    }
    if !found("apt-get", "--version") || !found("dpkg", "--version") {
        bail!("the tests need an OCI registry: install `{NAME}`, then run this again");
    }
    println!("    apt-get download {NAME}");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    run(&mut command(&folder, "apt-get", &["download", "-qq", NAME]))?;
    let packages = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    let Some(package) =
        packages.into_iter().find(|path| path.extension().is_some_and(|it| it == "deb"))
    else {
        bail!("apt-get has fetched no package `{NAME}`");
    };
    run(command(&folder, "dpkg", &["-x"]).arg(package).arg("."))
}
