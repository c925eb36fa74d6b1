//! `cargo xtask soak`: the crash tests with many more rounds than CI has time for, a gateway
//! with very many plugins, and the fuzz targets.
//!
//! Owns the round counts and the names under which the tests read them, and how a fuzz target
//! is built and run. Knows nothing of how a crash is made or of what a target holds.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    guests,
    step::{capture, command, found, run as run_command, step},
};

/// Rounds of `kill -9` under load, read by the tests from `TIDEGATE_KILL_ROUNDS`.
const KILL_ROUNDS: &str = "200";
/// Rounds of simulated power loss, read by the tests from `TIDEGATE_POWER_LOSS_ROUNDS`.
const POWER_LOSS_ROUNDS: &str = "100";
/// Plugins of one gateway, read by the test from `TIDEGATE_BINDINGS`.
const BINDINGS: &str = "10000";
/// Rounds of hooks that end well and badly, read by the tests from `TIDEGATE_PLUGIN_ROUNDS`.
const PLUGIN_ROUNDS: &str = "100000";
/// Modules made by chance, read by the tests from the folder `TIDEGATE_SMITH`.
const MODULES: &str = "100000";

/// The fuzz targets: programs of the workspace in `fuzz/`.
const TARGETS: [&str; 4] = ["message", "events", "splice", "uris"];
/// How long each of them runs, in seconds.
const FUZZ_SECONDS: u32 = 300;
/// What makes a program tell libFuzzer which of its branches an input took.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs every fuzz target, then every test that has `crash` in its name the one with very many
/// plugins, and those of the sandbox that take chance and many rounds.
pub fn run(root: &Path) -> Result<()> {
    if found("c++", "--version") {
        fuzz(root)?;
    } else {
        println!("--> the fuzz targets are left out: libFuzzer needs a C++ compiler called `c++`");
    }
    step("building the guests", || guests::build(root, false))?;
    let what = format!("{KILL_ROUNDS} kill rounds, {POWER_LOSS_ROUNDS} power-loss rounds");
    step(&what, || {
        let mut tests = command(root, "cargo", &["test", "--workspace", "--test", "integration"]);
        tests
            .args(["--", "crash"])
            .env("TIDEGATE_KILL_ROUNDS", KILL_ROUNDS)
            .env("TIDEGATE_POWER_LOSS_ROUNDS", POWER_LOSS_ROUNDS);
        run_command(&mut tests)
    })?;
    step(&format!("{BINDINGS} plugins"), || {
        let mut tests = command(root, "cargo", &["test", "--workspace", "--test", "integration"]);
        tests.args(["--", "very_many_bindings", "--nocapture"]).env("TIDEGATE_BINDINGS", BINDINGS);
        run_command(&mut tests)
    })?;
    chance(root)
}

/// Modules that no compiler would make, and hooks that end in every way.
fn chance(root: &Path) -> Result<()> {
    let modules = root.join("target/smith");
    step(&format!("making {MODULES} modules"), || {
        let flags = ["run", "--release", "-p", "tidegate-smith", "--", MODULES];
        let mut smith = command(&root.join("fuzz"), "cargo", &flags);
        run_command(smith.arg(&modules).env("CARGO_TARGET_DIR", root.join("target/fuzz")))
    })?;
    step(&format!("loading them, and {PLUGIN_ROUNDS} rounds of hooks"), || {
        let flags = ["test", "--workspace", "--lib", "--", "tests::chance", "--test-threads=1"];
        let mut tests = command(root, "cargo", &flags);
        tests.env("TIDEGATE_SMITH", &modules).env("TIDEGATE_PLUGIN_ROUNDS", PLUGIN_ROUNDS);
        run_command(&mut tests)
    })
}

fn fuzz(root: &Path) -> Result<()> {
    let host = host(root)?;
    let (sources, built) = (root.join("fuzz"), root.join("target/fuzz"));
    step("building the fuzz targets", || {
        // With a target named, what runs at build time is not instrumented.
        let flags = ["build", "--release", "--target", &host];
        let mut build = command(&sources, "cargo", &flags);
        run_command(build.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &built))
    })?;
    for target in TARGETS {
        let grown = built.join("corpus").join(target);
        std::fs::create_dir_all(&grown)
            .with_context(|| format!("could not create {}", grown.display()))?;
        step(&format!("fuzzing `{target}` for {FUZZ_SECONDS} s"), || {
            let program = built.join(&host).join("release").join(target);
            // What is new goes to the first folder, so that the seeds stay as they are.
            let mut fuzzer = command(root, program, &[]);
            fuzzer.arg(&grown).arg(sources.join("corpus").join(target)).args([
                format!("-max_total_time={FUZZ_SECONDS}"),
                format!("-artifact_prefix={}/found-{target}-", built.display()),
                "-timeout=10".to_owned(),
                "-rss_limit_mb=2048".to_owned(),
                "-verbosity=0".to_owned(),
            ]);
            // It says a lot, all of which matters only when something was found.
            capture(&mut fuzzer).map(drop).with_context(|| {
                format!(
                    "copy the input that it names to fuzz/corpus/{target}/ and mend what it breaks"
                )
            })
        })?;
    }
    Ok(())
}

/// The platform that the compiler builds for unless it is told otherwise.
fn host(root: &Path) -> Result<String> {
    let said = capture(&mut command(root, "rustc", &["-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
