//! How a machine says it is.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use tidegate_wire::client::egress::Destination;

/// The largest answer that is read.
const LARGEST: usize = 16 * 1024;

/// What a machine says of the program in it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Condition {
    /// How often the program was started.
    #[serde(default)]
    pub(super) starts: u64,
    /// How it ended last, or why it could not be started.
    #[serde(default)]
    pub(super) last: Option<String>,
    /// How long it is left alone.
    #[serde(default)]
    retry_after_ms: Option<u64>,
    /// Lines of its output that were no messages.
    #[serde(default)]
    pub(super) junk_lines: u64,
}

impl Condition {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

/// Asks for it; none where the machine does not answer as it should.
pub(super) async fn ask(health: &Destination) -> Option<Condition> {
    let reply = health.send(&Method::GET, &[], &Bytes::new()).await.ok()?;
    let is_well = reply.status == StatusCode::OK;
    let body = reply.body.collect(LARGEST).await.ok()?;
    if is_well { serde_json::from_slice(&body).ok() } else { None }
}
