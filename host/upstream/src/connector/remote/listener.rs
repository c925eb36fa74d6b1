//! Keeps an ear on a legacy server that says when its lists change.
//!
//! One task per connector, begun after its tools were first listed, ended with it. A server
//! without such a stream is asked again only with the next listing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidegate_wire::client::{Heard, Wanted, http::HttpPeer};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::Headers;

/// The first pause before listening again; doubled while streams end early.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that lasted this long did not end early.
const LASTING: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Listener(Mutex<Option<JoinHandle<()>>>);

impl Listener {
    /// Begins to listen, unless that is being done.
    pub(super) fn begin(&self, http: &Arc<HttpPeer>, headers: Headers) {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(listen(Arc::clone(http), headers)));
        }
    }

    pub(super) fn end(&self) {
        if let Some(task) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end();
    }
}

async fn listen(http: Arc<HttpPeer>, headers: Headers) {
    let mut pause = PAUSE;
    let (_wanting, wanted) = watch::channel(Wanted::default());
    // List changes are counted by the peer itself.
    let (sink, _) = mpsc::channel(1);
    loop {
        let began = Instant::now();
        match http.listen(wanted.clone(), &headers, &sink).await {
            Ok(Heard::Nothing) => return,
            Ok(Heard::Ended) => {}
            Err(error) => tracing::debug!(%error, "the server could not be listened to"),
        }
        pause = if began.elapsed() >= LASTING { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}
