//! What a developer runs: `cargo xtask demo | test | bench | guests | ci | soak`.
//!
//! Owns the command line and nothing else; every command is the file of its name.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod demo;
mod guests;
mod peers;
mod soak;
mod step;
mod test;
#[path = "../../tests/tidy.rs"]
mod tidy;

/// Builds, tests and shows Tidegate.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, run the sales example and walk through it as two users
    Demo {
        /// Stop after the walk; the status is 0 only if every step came out as it should
        #[arg(long)]
        once: bool,
    },
    /// Install what the tests need and run all of them
    Test {
        /// Passed on to the test runner of the host workspace, for example a name to filter by
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure a release build; writes target/bench/summary.json
    Bench {
        /// Fewer calls for each figure: under two minutes after the build
        #[arg(long)]
        quick: bool,
    },
    /// Build the WebAssembly components under plugins/
    Guests {
        /// Build again even when nothing has changed
        #[arg(long)]
        force: bool,
    },
    /// Everything that must hold before a change lands
    Ci,
    /// The fuzz targets, and the crash tests with 200 kill and 100 power-loss rounds
    Soak {
        /// A tenth of every round, to see that each step works
        #[arg(long)]
        quick: bool,
    },
    /// Check the shape of the tree: edges between crates, sizes, module comments
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // The chain of causes in one line: a backtrace through this program helps nobody.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let root = root();
    match task {
        Task::Demo { once } => demo::run(&root, once),
        Task::Test { args } => test::run(&root, &args),
        Task::Bench { quick } => bench::run(&root, quick),
        Task::Guests { force } => {
            for component in guests::build(&root, force)? {
                println!("{}", component.display());
            }
            Ok(())
        }
        Task::Ci => ci::run(&root),
        Task::Soak { quick } => soak::run(&root, quick),
        Task::Tidy => ci::tidy(&root),
    }
}

/// The repository this program was built from.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
