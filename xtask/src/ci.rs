//! `cargo xtask ci`: everything that must hold before a change lands, cheapest first.
//!
//! Owns the order and the time each step took. One profile and one feature selection
//! throughout: dependencies are compiled once to be checked against and once to be run.

use std::{path::Path, time::Instant};

use anyhow::{Result, bail};

use crate::{
    step::{command, readable, run as run_command, step},
    tidy as tree,
};

/// A step: what it is called while it runs, and the work.
type Step = (&'static str, fn(&Path) -> Result<()>);

const STEPS: [Step; 6] = [
    ("checking the format", format),
    ("checking the shape of the tree", tidy),
    ("running clippy", clippy),
    ("building the documentation", documentation),
    ("running `cargo xtask test`", tests),
    ("running `cargo xtask demo --once`", demo),
];

/// Runs every step; the first that fails ends it.
pub fn run(root: &Path) -> Result<()> {
    let mut taken = Vec::new();
    let begin = Instant::now();
    for (what, work) in STEPS {
        let start = Instant::now();
        step(what, || work(root))?;
        taken.push((what, start.elapsed()));
    }
    println!("\nEverything holds, after {}:", readable(begin.elapsed()));
    for (what, time) in taken {
        println!("  {:>12}  {what}", readable(time));
    }
    Ok(())
}

/// Fails with every place where the tree has not the shape that `host/README.md` describes.
pub fn tidy(root: &Path) -> Result<()> {
    let problems = tree::problems(root);
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} places are untidy:\n{}", problems.len(), problems.join("\n"))
}

fn format(root: &Path) -> Result<()> {
    run_command(&mut command(root, "cargo", &["fmt", "--all", "--check"]))?;
    let plugins = root.join("plugins");
    if plugins.join("Cargo.toml").is_file() {
        run_command(&mut command(&plugins, "cargo", &["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn clippy(root: &Path) -> Result<()> {
    let flags = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run_command(&mut command(root, "cargo", &flags))
}

fn documentation(root: &Path) -> Result<()> {
    // Naming the examples makes cargo count the development dependencies in, so that the
    // features, and with them the artifacts, are the ones that clippy has just made.
    let flags = "doc --no-deps --workspace --document-private-items --lib --bins --examples";
    let flags: Vec<&str> = flags.split(' ').collect();
    run_command(command(root, "cargo", &flags).env("RUSTDOCFLAGS", "-D warnings"))
}

fn tests(root: &Path) -> Result<()> {
    run_command(&mut command(root, "cargo", &["xtask", "test"]))
}

fn demo(root: &Path) -> Result<()> {
    run_command(&mut command(root, "cargo", &["xtask", "demo", "--once"]))
}
