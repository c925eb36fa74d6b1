//! FLOW: the pipeline, plugin chains, jobs, HTTP, configuration and the command line.
//!
//! The only crate that knows axum, and the one place where all others meet. Read
//! `call` for a request's way, `assembly` for how a revision is made, `serve`
//! for how the process starts and stops.

mod assembly;
mod call;
mod cases;
pub mod cli;
pub mod config;
mod control;
mod exposure;
mod facts;
mod figures;
mod gateway;
mod http;
mod identity;
mod jobs;
mod machines;
mod metrics;
mod notices;
mod organisation;
mod places;
mod plugin;
mod plugin_state;
mod records;
mod revision;
mod seal;
mod serve;
mod session;
pub mod signature;
mod spent;
