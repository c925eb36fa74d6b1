//! What a server tells of its own accord, for as long as the connector is open.
//!
//! One task per connector, begun after its tools were first listed, ended with it. It
//! listens again and again, with pauses while that ends early; a server that has nothing to
//! tell is asked again only with the next listing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tidegate_wire::{
    client::{Heard, Notification, Peer, Round, Wanted},
    mcp::method::{Method, TASK_CHANGED},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{ConnectorError, List, Update};

/// What proves the gateway to a server.
type Headers = Vec<(HeaderName, HeaderValue)>;

/// The first pause before listening again; doubled while streams end early.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that lasted this long did not end early.
const LASTING: Duration = Duration::from_secs(10);
/// Updates that a slow reader may be behind before it loses the oldest.
const UPDATES: usize = 256;
/// Notifications that may wait to be passed on.
const WAITING: usize = 64;

/// The task of [`super::listener`], and those who want to hear of it.
#[derive(Debug)]
pub(super) struct Listener {
    wanted: watch::Sender<Wanted>,
    updates: broadcast::Sender<Update>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Does nothing yet.
    pub(super) fn new() -> Self {
        Self {
            wanted: watch::Sender::new(Wanted::default()),
            updates: broadcast::Sender::new(UPDATES),
            task: Mutex::default(),
        }
    }

    /// Begins to listen, unless that is being done. `find` leads to the server, each time
    /// anew, and gives the headers that prove the gateway to it now; its failure is one of
    /// listening.
    pub(super) fn begin<F>(
        &self,
        find: impl Fn(watch::Receiver<Wanted>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(Peer, Headers), ConnectorError>> + Send + 'static,
    {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let ear = Ear { wanted: self.wanted.subscribe() };
            *task = Some(tokio::spawn(ear.listen(find, self.updates.clone())));
        }
    }

    /// The resources and tasks to be told of, all of them.
    pub(super) fn follow(&self, wanted: Wanted) -> Round {
        self.wanted.send_if_modified(|before| {
            let differs = *before != wanted;
            if differs {
                *before = Wanted { round: before.round.next(), ..wanted };
            }
            differs
        });
        self.wanted.borrow().round.clone()
    }

    /// What is heard from now on.
    pub(super) fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// Stops listening.
    pub(super) fn end(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end();
    }
}

struct Ear {
    wanted: watch::Receiver<Wanted>,
}

impl Ear {
    async fn listen<F>(
        self,
        find: impl Fn(watch::Receiver<Wanted>) -> F,
        updates: broadcast::Sender<Update>,
    ) where
        F: Future<Output = Result<(Peer, Headers), ConnectorError>>,
    {
        let (sink, mut heard) = mpsc::channel(WAITING);
        let listening = async move {
            let mut pause = PAUSE;
            loop {
                let began = Instant::now();
                let outcome = match find(self.wanted.clone()).await {
                    Ok((peer, headers)) => peer.listen(self.wanted.clone(), &headers, &sink).await,
                    Err(ConnectorError::Closed) => return,
                    Err(ConnectorError::Peer(error)) => Err(error),
                    Err(_) => Ok(Heard::Ended),
                };
                match outcome {
                    Ok(Heard::Nothing) => return,
                    Ok(Heard::Ended) => {}
                    Err(error) => tracing::debug!(%error, "the server could not be listened to"),
                }
                let lasted = began.elapsed() >= LASTING;
                pause = if lasted { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                tokio::time::sleep(pause).await;
            }
        };
        let passing_on = async move {
            while let Some(note) = heard.recv().await {
                if let Some(update) = update(note) {
                    // That nobody wants to hear it is no fault.
                    let _ = updates.send(update);
                }
            }
        };
        tokio::join!(listening, passing_on);
    }
}

/// What a notification means to the layer above; none if nothing.
fn update(note: Notification) -> Option<Update> {
    if note.method == TASK_CHANGED {
        return Some(Update::Task(note.params));
    }
    match Method::parse(&note.method)? {
        Method::ToolsChanged => Some(Update::Changed(List::Tools)),
        Method::PromptsChanged => Some(Update::Changed(List::Prompts)),
        Method::ResourcesChanged => Some(Update::Changed(List::Resources)),
        Method::ResourceUpdated => Some(Update::Resource(note.params)),
        Method::TaskStatus => Some(Update::Task(note.params)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
