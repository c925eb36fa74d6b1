//! The program `tidegate-bridge`: command line in, [`tidegate_wire::bridge`] behind it.
//!
//! Everything that must happen before there are threads belongs at the top of `main`.

use std::{io::Write, process::ExitCode};

use clap::Parser as _;
use tidegate_wire::{
    bridge::{self, Options},
    sandbox,
};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == sandbox::CONFINE) {
        return sandbox::enter(args);
    }
    let options = Options::parse();
    // Where whoever read the log is gone, a complaint about that would end the bridge's tasks
    // in the middle, before they have ended the children.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .init();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error),
        };
    let ended = runtime.block_on(bridge::run(options, ready));
    // A read of stdin may still wait, and nobody waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The one line on stdout. That nobody reads it is no reason to end.
fn ready(address: &str) {
    let line = serde_json::json!({ "event": "ready", "listen": address });
    let mut out = std::io::stdout();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::warn!("nobody reads stdout");
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(%error, "the bridge ends");
    ExitCode::FAILURE
}
