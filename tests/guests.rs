//! Where the WebAssembly components are that the tests bind.

use std::path::{Path, PathBuf};

/// A component that `cargo xtask guests` has built from `plugins/NAME`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let path = root.join("target/guests").join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask guests`", path.display());
    path
}
