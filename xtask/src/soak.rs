//! `cargo xtask soak`: the crash tests with many more rounds than CI has time for, a gateway
//! with very many plugins, and the fuzz targets.
//!
//! Owns the round counts, a tenth of them for a look, the names under which the tests read
//! them, and how a fuzz target is built and run. Knows nothing of how a crash is made or of what
//! a target holds.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    guests,
    step::{capture, command, found, run as run_command, step},
};

/// How much of everything.
struct Rounds {
    /// Of `kill -9` under load, read by the tests from `TIDEGATE_KILL_ROUNDS`.
    kill: u32,
    /// Of `kill -9` while keys are replaced, read by the test from `TIDEGATE_ROTATION_KILLS`.
    rotation: u32,
    /// Of simulated power loss, read by the tests from `TIDEGATE_POWER_LOSS_ROUNDS`.
    power_loss: u32,
    /// Plugins of one gateway, read by the test from `TIDEGATE_BINDINGS`.
    bindings: u32,
    /// Of hooks that end well and badly, read by the tests from `TIDEGATE_PLUGIN_ROUNDS`.
    plugin: u32,
    /// Modules made by chance, read by the tests from the folder `TIDEGATE_SMITH`.
    modules: u32,
    /// How long each fuzz target runs, in seconds.
    fuzz_seconds: u32,
}

const FULL: Rounds = Rounds {
    kill: 200,
    rotation: 100,
    power_loss: 100,
    bindings: 10_000,
    plugin: 100_000,
    modules: 100_000,
    fuzz_seconds: 300,
};

const QUICK: Rounds = Rounds {
    kill: 20,
    rotation: 10,
    power_loss: 10,
    bindings: 1_000,
    plugin: 10_000,
    modules: 10_000,
    fuzz_seconds: 30,
};

/// The fuzz targets: programs of the workspace in `fuzz/`.
const TARGETS: [&str; 4] = ["message", "events", "splice", "uris"];
/// What makes a program tell libFuzzer which of its branches an input took.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs every fuzz target, then every test that has `crash` in its name, the one with very many
/// plugins, and those of the sandbox that take chance and many rounds.
pub fn run(root: &Path, quick: bool) -> Result<()> {
    let rounds = if quick { QUICK } else { FULL };
    if found("c++", "--version") {
        fuzz(root, &rounds)?;
    } else {
        println!("--> the fuzz targets are left out: libFuzzer needs a C++ compiler called `c++`");
    }
    step("building the guests", || guests::build(root, false))?;
    let what = format!("{} kill rounds, {} power-loss rounds", rounds.kill, rounds.power_loss);
    step(&what, || {
        let mut tests = command(root, "cargo", &["test", "--workspace", "--test", "integration"]);
        tests
            .args(["--", "crash"])
            .env("TIDEGATE_KILL_ROUNDS", rounds.kill.to_string())
            .env("TIDEGATE_ROTATION_KILLS", rounds.rotation.to_string())
            .env("TIDEGATE_POWER_LOSS_ROUNDS", rounds.power_loss.to_string());
        run_command(&mut tests)
    })?;
    step(&format!("{} plugins", rounds.bindings), || {
        let mut tests = command(root, "cargo", &["test", "--workspace", "--test", "integration"]);
        tests
            .args(["--", "very_many_bindings", "--nocapture"])
            .env("TIDEGATE_BINDINGS", rounds.bindings.to_string());
        run_command(&mut tests)
    })?;
    chance(root, &rounds)
}

/// Modules that no compiler would make, and hooks that end in every way.
fn chance(root: &Path, rounds: &Rounds) -> Result<()> {
    // A folder for each number: modules of a longer run must not count in a shorter one.
    let modules = root.join(format!("target/smith-{}", rounds.modules));
    let number = rounds.modules.to_string();
    step(&format!("making {number} modules"), || {
        let flags = ["run", "--release", "-p", "tidegate-smith", "--", &number];
        let mut smith = command(&root.join("fuzz"), "cargo", &flags);
        run_command(smith.arg(&modules).env("CARGO_TARGET_DIR", root.join("target/fuzz")))
    })?;
    step(&format!("loading them, and {} rounds of hooks", rounds.plugin), || {
        let flags = ["test", "--workspace", "--lib", "--", "tests::chance", "--test-threads=1"];
        let mut tests = command(root, "cargo", &flags);
        tests
            .env("TIDEGATE_SMITH", &modules)
            .env("TIDEGATE_PLUGIN_ROUNDS", rounds.plugin.to_string());
        run_command(&mut tests)
    })
}

fn fuzz(root: &Path, rounds: &Rounds) -> Result<()> {
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
        let seconds = rounds.fuzz_seconds;
        step(&format!("fuzzing `{target}` for {seconds} s"), || {
            let program = built.join(&host).join("release").join(target);
            // What is new goes to the first folder, so that the seeds stay as they are.
            let mut fuzzer = command(root, program, &[]);
            fuzzer.arg(&grown).arg(sources.join("corpus").join(target)).args([
                format!("-max_total_time={seconds}"),
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
