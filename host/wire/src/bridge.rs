//! `tidegate-bridge`: a stdio MCP server behind Streamable HTTP, for the gateway alone.
//!
//! Takes requests with a hosted-call token at a Unix socket or a loopback port and relays
//! them to a child process, in the era that the process speaks: ids and progress tokens are
//! exchanged, nothing else is touched. One child serves all requests without [`CHILD`]; each
//! value of that header has a child of its own, with the environment that [`ENV`] gave.
//! [`options`] has the command line, `door` what is answered how, `instance` the relay.
//! Knows no vault, no policy and no tool.

mod answer;
mod children;
mod door;
mod instance;
mod listener;
pub mod options;
mod rewrite;
mod secrets;
mod slot;
mod table;

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use tidegate_model::SystemClock;
use tokio_util::sync::CancellationToken;

use crate::hosted::Verifier;
use children::Children;
use door::Door;
pub use options::Options;

/// The path of the MCP endpoint.
pub const PATH: &str = "/mcp";
/// The path that tells how the machine is.
pub const HEALTH: &str = "/healthz";
/// Which child a request is for: an opaque key of connector, user and credential version, of
/// up to 128 visible ASCII characters. Without it, the child without a user's credential.
pub const CHILD: HeaderName = HeaderName::from_static("x-tidegate-child");
/// The environment of that child beyond the machine's own: base64 of a JSON object of strings.
/// Needed where the child does not run; 428 asks for it.
pub const ENV: HeaderName = HeaderName::from_static("x-tidegate-env");
/// Requests with the same value, all opaque, are of one client of a modern server. (In the
/// legacy era a session is.)
pub const CLIENT: HeaderName = HeaderName::from_static("x-tidegate-client");

/// How a bridge treats what it is sent.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest request.
    pub request: usize,
    /// The largest message of the child.
    pub answer: usize,
    /// The most children with an environment of their own.
    pub children: usize,
    /// How long such a child is kept unused.
    pub idle: Duration,
}

/// Why the bridge ended, where that was not asked for.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Keys or environment could not be read.
    #[error("{what}: {source}")]
    Input {
        /// What was read.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was read is not what it should be.
    #[error("{0}")]
    Unusable(String),
    /// The address cannot be listened at.
    #[error("cannot listen at `{address}`: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs until SIGTERM or SIGINT, or until whoever holds the other end of stdin is gone where
/// keys come from there. `ready` is told the address once requests are taken.
pub async fn run(options: Options, ready: impl FnOnce(&str)) -> Result<(), BridgeError> {
    let stop = CancellationToken::new();
    let secrets = secrets::read(&options).await?;
    let name = format!("{}/{}", options.connector, options.machine);
    let mut command = options.command();
    command.env = secrets.env;
    let (addressee, header) = (options.addressee(), options.token_header.clone());
    let verifier = Verifier::new(addressee, secrets.key, header, Arc::new(SystemClock));
    let verifier = Arc::new(verifier);
    let bound = listener::bind(&options.listen).await?;
    secrets::follow(secrets.more, Arc::clone(&verifier), stop.clone());
    listener::stop_on_signals(stop.clone());
    let children = Children::new(name, command, &options.limits());
    let door = Arc::new(Door::new(verifier, Arc::clone(&children), options.limits()));
    ready(bound.address());
    bound.serve(door, stop).await;
    children.close().await;
    Ok(())
}
