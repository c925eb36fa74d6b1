//! The seeds of the fuzz targets, and every input that once broke one, in an ordinary test.
//!
//! Owns the bodies of the targets, which `fuzz/fuzz_targets/` includes; the inputs are files
//! under `fuzz/corpus/<target>/`. What a body holds is said in it.

use std::{fs, path::Path};

mod events;
mod message;
mod splice;
mod uris;

/// Runs a body on every file of its corpus; how many there were.
fn run(target: &str, body: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        let data = fs::read(file).unwrap();
        let ran = std::panic::catch_unwind(|| body(&data));
        assert!(ran.is_ok(), "{} breaks `{target}`", file.display());
        // Cut short and grown too: what arrives need not be whole.
        for place in [data.len() / 3, data.len() / 2, data.len().saturating_sub(1)] {
            let cut = data.get(..place).unwrap();
            let ran = std::panic::catch_unwind(|| body(cut));
            assert!(ran.is_ok(), "{} up to byte {place} breaks `{target}`", file.display());
        }
    }
    files.len()
}

#[test]
fn messages() {
    assert!(run("message", message::run) >= 30);
}

#[test]
fn streams() {
    assert!(run("events", events::run) >= 12);
}

#[test]
fn edits() {
    assert!(run("splice", splice::run) >= 10);
}

#[test]
fn uris() {
    assert!(run("uris", uris::run) >= 10);
}
