//! The bench: what a caller of the gateway sees, beside what it sees without one.
//!
//! `bench upstream` is the MCP server that every figure ends at; `bench run` starts it and
//! the gateway, sends load, prints a table and writes `target/bench/summary.json`. Owns no
//! target figures other than those printed beside the results; fails only when a call fails,
//! never because something was slow.
#![expect(clippy::print_stdout, reason = "a bench speaks on standard output")]
#![expect(clippy::indexing_slicing, reason = "a bench that stops at a wrong index is fine")]

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod bridge;
mod disk;
mod gateway;
mod identity;
mod inprocess;
mod latency;
mod load;
mod plugins;
mod policies;
mod report;
mod run;
mod sessions;
mod upstream;
mod vault;

/// Measures the gateway.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Serve as the upstream until the process is ended; prints its address
    Upstream {
        /// How many tools to list; the first two are `echo` and `put`
        #[arg(long, default_value_t = 20)]
        tools: usize,
    },
    /// Measure what an idle session costs, and nothing else
    Sessions {
        /// How many are opened
        #[arg(long, default_value_t = 9_000)]
        count: usize,
        /// The gateway program; by default the one this bench was built with
        #[arg(long)]
        tidegate: Option<PathBuf>,
        /// Where the configuration and the data go
        #[arg(long, default_value = "target/bench")]
        dir: PathBuf,
    },
    /// Measure plugins in this process, and nothing else
    Plugins {
        /// Fewer calls for each figure
        #[arg(long)]
        quick: bool,
    },
    /// Measure signing in and access tokens in this process, and nothing else
    Identity {
        /// Fewer sign-ins and grants
        #[arg(long)]
        quick: bool,
        /// Where the store goes
        #[arg(long, default_value = "target/bench/identity")]
        dir: PathBuf,
    },
    /// Measure what the bridge adds to a call, and nothing else
    Bridge {
        /// Fewer calls
        #[arg(long)]
        quick: bool,
    },
    /// Measure the replacement of keys under load in this process, and nothing else
    Vault {
        /// How many rows are resealed
        #[arg(long, default_value_t = 100_000)]
        rows: u32,
        /// At most so many of them a second; 0 for as fast as it goes
        #[arg(long, default_value_t = 2_000)]
        rate: u32,
        /// Where the store goes
        #[arg(long, default_value = "target/bench/vault")]
        dir: PathBuf,
    },
    /// Measure everything
    Run {
        /// Fewer calls for each figure
        #[arg(long)]
        quick: bool,
        /// Only the figures without a gateway
        #[arg(long)]
        direct: bool,
        /// The gateway program; by default the one this bench was built with
        #[arg(long)]
        tidegate: Option<PathBuf>,
        /// Where the configuration, the data and the summary go
        #[arg(long, default_value = "target/bench")]
        dir: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Upstream { tools } => upstream::serve(tools),
        Task::Sessions { count, tidegate, dir } => {
            let tidegate = program(tidegate)?;
            run::sessions(&run::Options { quick: false, direct: false, tidegate, dir }, count)
        }
        Task::Plugins { quick } => {
            let mut report = report::Report::default();
            plugins::measure(&mut report, quick)?;
            report.print();
            Ok(())
        }
        Task::Identity { quick, dir } => {
            let mut report = report::Report::default();
            identity::measure(&mut report, &dir, quick)?;
            report.print();
            Ok(())
        }
        Task::Vault { rows, rate, dir } => {
            let mut report = report::Report::default();
            vault::measure(&mut report, &dir, rows, rate)?;
            report.print();
            Ok(())
        }
        Task::Bridge { quick } => {
            let mut report = report::Report::default();
            bridge::measure(&mut report, quick)?;
            report.print();
            Ok(())
        }
        Task::Run { quick, direct, tidegate, dir } => {
            let tidegate = program(tidegate)?;
            run::all(&run::Options { quick, direct, tidegate, dir })
        }
    }
}

/// The gateway program to measure.
fn program(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    named.map_or_else(gateway::beside_this_program, Ok)
}
