//! `kill -9` and power loss: what was acknowledged is there, and the store opens.
//!
//! Owns how many rounds: as many as CI has time for, or as many as `cargo xtask soak` asks for.
//! How a crash of the store is made and judged is in [`harness`], one of the program in
//! [`gateway`].

use std::path::{Path, PathBuf};

mod gateway;
mod harness;

/// Fixed, so that what a round does follows from its number; a failure names it.
const SEED: u64 = 20_261_121;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a soak asks for more rounds than CI has time for")]
fn rounds(variable: &str, in_ci: u32) -> u32 {
    std::env::var(variable).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(in_ci)
}

#[test]
fn a_crash_by_kill_loses_nothing_acknowledged() {
    let rounds = rounds("TIDEGATE_KILL_ROUNDS", 20);
    let bench = harness::Bench::prepare(&root()).unwrap();
    let summary = harness::kill_rounds(&bench, rounds, SEED).unwrap();
    assert_eq!(summary.rounds, rounds);
    assert!(summary.acknowledged > 0, "{summary:?}");
}

#[test]
fn a_crash_by_power_loss_loses_nothing_acknowledged() {
    let rounds = rounds("TIDEGATE_POWER_LOSS_ROUNDS", 10);
    let bench = harness::Bench::prepare(&root()).unwrap();
    for (strict, rounds) in [(true, rounds.div_ceil(2)), (false, rounds / 2)] {
        let summary = harness::power_loss_rounds(&bench, rounds, SEED, strict).unwrap();
        assert_eq!(summary.rounds, rounds);
        assert!(summary.acknowledged > 0, "{summary:?}");
        assert!(summary.undone > 0 || !strict, "no write was ever undone: {summary:?}");
    }
}
