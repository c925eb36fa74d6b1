//! `cargo xtask test`: everything that `cargo test` needs, then the tests of both workspaces.
//!
//! Owns the one build selection that `demo` and `ci` share, so that the large dependencies
//! are compiled once. Knows no test by name.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    guests, peers,
    step::{command, found, run as run_command, step},
};

/// Installs, builds and runs.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    step("installing the peers that the tests talk to", || peers::install(root))?;
    step("building the guests", || guests::build(root, false))?;
    // A filter is meant for the host: the guests' own tests would only be skipped by it.
    let plugins = if args.is_empty() {
        step("running the guests' own tests", || plugin_tests(root))
    } else {
        Ok(())
    };
    let host = step("running the tests of the host", || host_tests(root, args));
    plugins.and(host)
}

/// Builds the programs, in the selection (features and profile) that the tests use as well.
pub fn build_programs(root: &Path) -> Result<()> {
    run_command(&mut command(root, "cargo", &["build", "--workspace", "--bins", "--examples"]))
}

/// Runs the host's tests; the default target selection also builds programs and examples.
pub fn host_tests(root: &Path, args: &[String]) -> Result<()> {
    let mut tests = runner(root);
    tests.arg("--workspace").args(args);
    run_command(&mut tests)
}

fn plugin_tests(root: &Path) -> Result<()> {
    let mut tests = runner(&root.join("plugins"));
    tests.arg("--workspace").env("CARGO_TARGET_DIR", root.join("target/plugins-native"));
    run_command(&mut tests)
}

/// The test runner for the workspace in `dir`: nextest where it is installed.
fn runner(dir: &Path) -> Command {
    if found("cargo-nextest", "--version") {
        command(dir, "cargo", &["nextest", "run", "--no-fail-fast"])
    } else {
        command(dir, "cargo", &["test", "--no-fail-fast"])
    }
}
