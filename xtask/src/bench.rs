//! `cargo xtask bench`: builds for release and starts the bench program.
//!
//! Owns no measurement: those are in `tests/bench/`.

use std::path::Path;

use anyhow::Result;

use crate::{
    guests,
    step::{command, run as run_command, step},
};

/// Builds, measures, and leaves `target/bench/summary.json`.
pub fn run(root: &Path, quick: bool) -> Result<()> {
    step("building the guests", || guests::build(root, false))?;
    step("building the gateway for release (the first time takes over ten minutes)", || {
        let flags = ["build", "--release", "-p", "tidegate-gateway", "--bins", "--examples"];
        run_command(&mut command(root, "cargo", &flags))
    })?;
    step("measuring", || {
        let mut bench = command(root, root.join("target/release/examples/bench"), &["run"]);
        if quick {
            bench.arg("--quick");
        }
        run_command(&mut bench)
    })
}
