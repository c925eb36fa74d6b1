//! One channel to a server that many requests share: the lines of a process, or an event
//! stream with posts beside it.
//!
//! Owns the ids, the table of those who wait, and what becomes of everything that the server
//! says. A message of the server is tied to a request only where it bears its id or its
//! token; questions and log lines bear neither, so they go to the client whose calls are
//! under way, and only while that is one client alone. Reading never waits for anybody. How
//! a message leaves is for [`Out`], how it arrives for whoever calls [`Channel::take`].

mod listen;
mod questions;
mod table;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Answer, Json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Affinity, Member, Notification, Outgoing, PeerError, PeerInfo, Profile,
    handshake::{self, MODERN},
    inbound::{self, Inbound},
    sse::Posts,
};
use crate::{
    json::Raw,
    mcp::{
        envelope,
        level::Level,
        method::Method,
        peek::Meta,
        revision::{Era, Revision},
    },
};

use table::{Table, Waiting};

/// Time for a message that no call waits for.
const ASIDE: Duration = Duration::from_secs(5);

/// How a message leaves.
#[derive(Debug)]
pub(super) enum Out {
    /// Into a queue, which the owner of the stream empties in order.
    Queue(mpsc::Sender<Vec<u8>>),
    /// By a POST of its own.
    Posts(Posts),
}

/// What a channel begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// The name in the log.
    pub(super) name: String,
    /// The largest message in bytes.
    pub(super) limit: usize,
    /// How messages leave.
    pub(super) out: Out,
    /// Ticks when a list has changed.
    pub(super) changes: watch::Sender<u64>,
    /// Ends the channel, and is set when it has ended.
    pub(super) stop: CancellationToken,
}

/// A channel; see the module.
#[derive(Debug)]
pub(super) struct Channel {
    start: Start,
    table: Mutex<Table>,
    next_id: AtomicU64,
    junk: AtomicU64,
    info: OnceLock<Arc<PeerInfo>>,
}

impl Channel {
    /// A channel that nothing was sent over yet.
    pub(super) fn new(start: Start) -> Arc<Self> {
        Arc::new(Self {
            start,
            table: Mutex::default(),
            next_id: AtomicU64::new(1),
            junk: AtomicU64::new(0),
            info: OnceLock::new(),
        })
    }

    /// Asks in the session that was set up, and judges the answer. A legacy server is told
    /// first which log lines are wanted, where that has changed.
    pub(super) async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        if let Some(level) = self.level_to_set(outgoing) {
            self.set_level(level).await;
        }
        let revision = self.revision();
        let answer = self.ask(outgoing, revision).await?;
        inbound::judge(&answer, revision, outgoing.exchange)?;
        Ok(answer)
    }

    /// Sends a request and waits for its answer, whatever that is. When dropped before, the
    /// server is told.
    pub(super) async fn ask(
        &self,
        outgoing: &Outgoing<'_>,
        revision: Revision,
    ) -> Result<Answer, PeerError> {
        let (answer, mut answered) = oneshot::channel();
        let mut place = self.enter(Waiting::new(answer, outgoing.exchange.cloned()))?;
        // A post may have left before it is known to have.
        place.sent = matches!(self.start.out, Out::Posts(_));
        let message = outgoing.write(place.id, revision);
        let early = tokio::select! {
            biased;
            answer = &mut answered => Some(answer),
            sent = self.send(message) => {
                place.sent = sent.is_ok();
                sent?;
                None
            }
        };
        let answer = match early {
            Some(answer) => answer,
            None => answered.await,
        };
        place.sent = false;
        answer.map_err(|_| PeerError::Closed)?
    }

    /// The legacy handshake, with a client of this profile.
    pub(super) async fn initialize(&self, profile: Profile) -> Result<PeerInfo, PeerError> {
        let values = handshake::initialize_params(profile);
        let params = handshake::initialize_members(&values);
        let method = Method::Initialize.name();
        let outgoing = Outgoing { method, params: &params, ..Outgoing::default() };
        let answer = self.ask(&outgoing, Revision::LATEST_LEGACY).await?;
        let info = handshake::read_initialize(&answer)?;
        self.send(handshake::initialized()).await?;
        Ok(info)
    }

    /// The session is set up.
    pub(super) fn settle(&self, info: PeerInfo) {
        tracing::debug!(
            connector = self.start.name,
            revision = info.revision.name(),
            "session set up"
        );
        self.info.get_or_init(|| Arc::new(info));
    }

    /// What the server said about itself, once the session is set up.
    pub(super) fn info(&self) -> Option<Arc<PeerInfo>> {
        self.info.get().cloned()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.start.changes.subscribe()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table().closed
    }

    /// Messages that were none.
    pub(super) fn junk(&self) -> u64 {
        self.junk.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.start.stop.cancel();
    }

    /// The client behind `affinity` is gone. Its calls end by themselves; what is left is to
    /// forget that it was here.
    pub(super) fn forget(&self, affinity: Affinity) {
        self.table().forget(affinity);
    }

    /// Tells a legacy server that the roots have changed; on a channel that several clients
    /// share only while it can mean no other than `affinity`: that one alone has calls under
    /// way, or it is the only one that ever had.
    pub(super) fn roots_changed(&self, affinity: Affinity) {
        let legacy = self.info.get().is_some_and(|info| info.revision.era() == Era::Legacy);
        if legacy && self.table().is_alone(affinity) {
            let mut message = Vec::new();
            envelope::notification(&mut message, Method::RootsChanged.name(), None);
            self.aside(message, "that the roots have changed");
        }
    }

    /// Deals with the next message of the server, or with several where its revision has
    /// batches.
    pub(super) fn take(self: &Arc<Self>, text: &Json) {
        let raw = Raw::from(text);
        let batches = self.info.get().is_some_and(|info| info.revision.has_batching());
        if batches && envelope::is_batch(raw) && raw.elements().next().is_some() {
            raw.elements().for_each(|message| self.take_one(&message.within(text)));
        } else {
            self.take_one(text);
        }
    }

    fn take_one(self: &Arc<Self>, text: &Json) {
        match inbound::sort(text) {
            Ok(Inbound::Answer(Some(id), answer)) => {
                let mut table = self.table();
                match table.leave(id) {
                    Some(waiting) => waiting.end(Ok(answer)),
                    None => {
                        let late = table.is_over(id);
                        let connector = &self.start.name;
                        tracing::debug!(connector, id, late, "nobody waits for an answer");
                    }
                }
            }
            Ok(Inbound::Answer(None, _)) => self.count_junk(&"an answer without an id of ours"),
            Ok(Inbound::Notification(note)) => self.notify(note),
            Ok(Inbound::Question(asked)) => self.question(asked),
            Err(fault) => self.count_junk(&fault),
        }
    }

    /// A message beyond the limit was passed over. If it was an answer, its id could not be
    /// read; with only one request under way it can only be that one's.
    pub(super) fn take_too_large(&self) {
        if let Some(waiting) = self.table().leave_only() {
            waiting.end(Err(PeerError::TooLarge { limit: self.start.limit }));
        }
    }

    /// Counts a message that was none.
    pub(super) fn count_junk(&self, what: &dyn std::fmt::Display) {
        let before = self.junk.fetch_add(1, Ordering::Relaxed);
        if before < 10 {
            tracing::warn!(connector = self.start.name, %what, "the server sent no valid message");
        }
    }

    /// Nothing arrives any more: everybody who waits is told.
    pub(super) fn close(&self) {
        self.stop();
        let left = self.table().close();
        for waiting in left {
            waiting.end(Err(PeerError::Closed));
        }
    }

    fn notify(&self, note: Notification) {
        if inbound::is_list_change(&note) {
            self.start.changes.send_modify(|count| *count += 1);
        }
        let modern = self.revision().era() == Era::Modern;
        let mut table = self.table();
        let method = Method::parse(&note.method);
        match method {
            Some(Method::Progress) => {
                if let Some(exchange) =
                    inbound::progress_token(&note).and_then(|token| table.exchange(token))
                {
                    exchange.tell(note);
                }
            }
            Some(Method::Cancelled) => {
                drop(table);
                self.cancelled(&note, modern);
            }
            Some(Method::LogMessage) => {
                if let Some(exchange) = table.who_logs() {
                    exchange.tell(note);
                }
            }
            // What no request asked for goes to whoever listens.
            _ if inbound::is_announcement(&note)
                || method == Some(Method::SubscriptionsAcknowledged) =>
            {
                table.announce(subscription(&note, modern), note, &self.start.name);
            }
            _ => match subscription(&note, modern) {
                Some(id) if modern => table.announce(Some(id), note, &self.start.name),
                _ => {
                    if let Some(exchange) = table.who_hears(method.is_some()) {
                        exchange.tell(note);
                    }
                }
            },
        }
    }

    /// Tells the server which log lines are wanted. It has a few seconds to take it; that it
    /// refuses is no reason not to go on.
    async fn set_level(&self, level: Level) {
        let params = [("level", Member::Text(level.name()))];
        let method = Method::SetLogLevel.name();
        let outgoing = Outgoing { method, params: &params, ..Outgoing::default() };
        match timeout(ASIDE, self.ask(&outgoing, self.revision())).await {
            Ok(Ok(Answer::Result(_))) => {}
            _ => tracing::debug!(connector = self.start.name, "the log level was not taken"),
        }
    }

    /// The level to ask for before this request: the least severe that any call under way
    /// wants, unless that is what was asked for last. A session has one level for everybody;
    /// each client gets of it what it wants.
    fn level_to_set(&self, outgoing: &Outgoing<'_>) -> Option<Level> {
        let wanted = outgoing.exchange.and_then(|exchange| exchange.level)?;
        let info = self.info.get()?;
        let logs = info.declares(&["logging"]);
        (info.revision.era() == Era::Legacy && logs).then(|| self.table().level_to_set(wanted))?
    }

    fn revision(&self) -> Revision {
        self.info.get().map_or(MODERN, |info| info.revision)
    }

    /// Takes a place among those who wait.
    fn enter(&self, waiting: Waiting) -> Result<Place<'_>, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if self.table().enter(id, waiting) {
            Ok(Place { channel: self, id, sent: false })
        } else {
            Err(PeerError::Closed)
        }
    }

    /// Sends a message; waits while the queue is full, or until the post was taken.
    async fn send(&self, message: Vec<u8>) -> Result<(), PeerError> {
        match &self.start.out {
            Out::Queue(queue) => queue.send(message).await.map_err(|_| PeerError::Closed),
            Out::Posts(posts) => posts.send(message).await,
        }
    }

    /// Sends a message that nobody waits for, or drops it where there are too many already:
    /// a server that talks and does not read gets no replies.
    fn aside(&self, message: Vec<u8>, what: &str) {
        let queue = match &self.start.out {
            Out::Queue(queue) => queue,
            Out::Posts(posts) => posts.aside(),
        };
        if queue.try_send(message).is_err() {
            tracing::debug!(connector = self.start.name, what, "the server could not be told");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that a notification of a modern server belongs to by its tag.
fn subscription(note: &Notification, modern: bool) -> Option<u64> {
    let tag = || Meta::of(Some(Raw::from(&note.params))).subscription_id;
    modern.then(tag)?.and_then(envelope::Id::read).and_then(envelope::Id::number)
}

/// The place of one who waits, given up on drop.
struct Place<'a> {
    channel: &'a Channel,
    id: u64,
    /// Whether the server may know of the request and has not answered it.
    sent: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.channel.table();
        let left = table.leave(self.id);
        let gone = left.as_ref().filter(|_| self.sent);
        if let Some(exchange) = gone.and_then(Waiting::exchange) {
            table.gave_up(self.id, exchange.affinity);
        }
        drop(table);
        if self.sent && left.is_some() {
            self.channel.aside(handshake::cancelled(self.id), "that a request is cancelled");
        }
    }
}
