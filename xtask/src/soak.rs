//! `cargo xtask soak`: the crash tests with many more rounds than CI has time for.
//!
//! Owns the round counts and the names under which the tests read them. Knows nothing of how
//! a crash is made.

use std::path::Path;

use anyhow::Result;

use crate::{
    guests,
    step::{command, run as run_command, step},
};

/// Rounds of `kill -9` under load, read by the tests from `TIDEGATE_KILL_ROUNDS`.
const KILL_ROUNDS: &str = "200";
/// Rounds of simulated power loss, read by the tests from `TIDEGATE_POWER_LOSS_ROUNDS`.
const POWER_LOSS_ROUNDS: &str = "100";

/// Runs every test that has `crash` in its name.
pub fn run(root: &Path) -> Result<()> {
    step("building the guests", || guests::build(root, false))?;
    let what = format!("{KILL_ROUNDS} kill rounds, {POWER_LOSS_ROUNDS} power-loss rounds");
    step(&what, || {
        let mut tests = command(root, "cargo", &["test", "--workspace", "--test", "integration"]);
        tests
            .args(["--", "crash"])
            .env("TIDEGATE_KILL_ROUNDS", KILL_ROUNDS)
            .env("TIDEGATE_POWER_LOSS_ROUNDS", POWER_LOSS_ROUNDS);
        run_command(&mut tests)
    })
}
