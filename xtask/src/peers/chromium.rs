//! The browser that people's side of a sign-in runs in: Debian's Chromium, unpacked and not
//! installed, with what it needs beyond the packages that are there.
//!
//! Owns `target/peers/chromium`: `run` starts the browser, wherever it is. What it shows is not
//! known here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::step::{capture, command, found, run};

/// The package and its program.
const NAME: &str = "chromium";
/// Beside what it depends on: a machine without a screen may have no letters to write with.
const FONTS: &str = "fonts-dejavu-core";
/// What they are for.
const FAMILIES: [(&str, &str); 3] = [
    ("system-ui", "DejaVu Sans"),
    ("sans-serif", "DejaVu Sans"),
    ("monospace", "DejaVu Sans Mono"),
];
/// What is written with where nothing else fits.
const DEFAULT: &str = "  <match target=\"pattern\"><edit name=\"family\" mode=\"append_last\">\
                       <string>DejaVu Sans</string></edit></match>\n";
/// How deep libraries lie below `usr/lib`.
const DEPTH: usize = 4;

/// Makes `target/peers/chromium/run` start a browser.
pub(super) fn install(root: &Path) -> Result<()> {
    let folder = root.join("target/peers/chromium");
    let start = folder.join("run");
    if start.is_file() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let script = if found(NAME, "--version") {
        format!("#!/bin/sh\nexec {NAME} \"$@\"\n")
    } else {
        unpack(&folder)?;
        script(&folder)?
    };
    fs::write(&start, script)?;
    run(command(&folder, "chmod", &["755"]).arg(&start))
}

/// Fetches the packages that are not installed here and unpacks them.
fn unpack(folder: &Path) -> Result<()> {
    if !found("apt-get", "--version") || !found("dpkg", "--version") {
        bail!("the tests need a browser: install `{NAME}`, then run this again");
    }
    let missing = match missing(folder) {
        Ok(missing) => missing,
        // A machine that is as it was delivered has no lists yet.
        Err(_) => {
            run(&mut command(folder, "apt-get", &["update", "-qq"]))?;
            missing(folder)?
        }
    };
    println!("    apt-get download {}", missing.join(" "));
    run(command(folder, "apt-get", &["download", "-qq"]).args(&missing))?;
    for package in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
        if package.extension().is_some_and(|it| it == "deb") {
            run(command(folder, "dpkg", &["-x"]).arg(&package).arg("."))?;
            fs::remove_file(package)?;
        }
    }
    Ok(())
}

/// What an installation would add, by asking for one that is not made.
fn missing(folder: &Path) -> Result<Vec<String>> {
    let flags = ["install", "--simulate", "--no-install-recommends", NAME, FONTS];
    let said = capture(&mut command(folder, "apt-get", &flags))?;
    let names = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        bail!("apt-get would install nothing for `{NAME}`, and it is not there");
    }
    Ok(names)
}

/// What starts the unpacked program with its own libraries and with fonts to write with.
fn script(folder: &Path) -> Result<String> {
    let mut libraries = BTreeSet::new();
    for place in ["usr/lib", "lib"] {
        folders_of_libraries(&folder.join(place), DEPTH, &mut libraries);
    }
    let libraries: Vec<_> = libraries.iter().map(|path| path.to_string_lossy()).collect();
    let fonts = folder.join("fonts.conf");
    let own = folder.join("usr/share/fonts");
    let cache = folder.join("fonts-cache");
    let text = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n<fontconfig>\n  \
         <dir>/usr/share/fonts</dir>\n  <dir>{}</dir>\n  <cachedir>{}</cachedir>\n{}{DEFAULT}</fontconfig>\n",
        own.display(),
        cache.display(),
        FAMILIES.map(|(family, font)| alias(family, font)).concat()
    );
    fs::write(&fonts, text)?;
    let program = folder.join("usr/lib/chromium/chromium");
    if !program.is_file() {
        bail!("the package `{NAME}` has no {}", program.display());
    }
    Ok(format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH='{}' FONTCONFIG_FILE='{}'\nexec '{}' \"$@\"\n",
        libraries.join(":"),
        fonts.display(),
        program.display()
    ))
}

/// Which font stands for a family of no name.
fn alias(family: &str, font: &str) -> String {
    format!("  <alias><family>{family}</family><prefer><family>{font}</family></prefer></alias>\n")
}

fn folders_of_libraries(folder: &Path, depth: usize, into: &mut BTreeSet<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth > 0 {
            folders_of_libraries(&path, depth - 1, into);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")) {
            into.insert(folder.to_owned());
        }
    }
}
