//! Who waits for what of one child, and whom a message can mean that does not say whom.
//!
//! Plain state: knows no process and no HTTP. Questions and log lines bear no mark of the
//! request that they belong to, so they go to the client whose calls are under way, and only
//! while that is one client alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tidegate_model::Json;
use tokio::{sync::mpsc, time::Instant};

use super::rewrite::Pieces;
use crate::{
    client::Profile,
    json::Raw,
    mcp::{
        envelope::{Id, OwnedId},
        method::Method,
        revision::Revision,
    },
};

/// The most requests under way at one child.
const MOST: usize = 4_096;
/// The most sessions at one child; beyond it the least recently used ends.
const SESSIONS: usize = 10_000;
/// The most questions of a child that are open at once.
const QUESTIONS: usize = 64;
/// How long a child may go on with a request that was cancelled.
const WORKS_ON: Duration = Duration::from_secs(60);
/// How long a request is remembered whose client went away without cancelling it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Said {
    /// A message of the child on the way: a notification, or a question.
    Beside(Pieces),
    /// The answer; the code of its error, where it is one.
    Answer(Pieces, Option<i64>),
    /// A message that may be the answer, and is larger than allowed.
    TooLarge,
}

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Client {
    /// Of a legacy session.
    Session(Arc<str>),
    /// Of a modern client with this mark.
    Marked(Arc<str>),
    /// Of somebody who is nobody else.
    Alone,
}

/// How much of a client's data the answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// A call: the child may ask and tell its client something meanwhile.
    Call,
    /// A list, a ping, a setting.
    Aside,
    /// A stream of what the child has to tell.
    Listen,
}

/// A request that the child has not answered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) client: Client,
    /// The client's id, and its progress token.
    pub(super) id: OwnedId,
    pub(super) token: Option<Json>,
    pub(super) nature: Nature,
    /// Whether something beside the answer can be sent.
    pub(super) streams: bool,
    pub(super) logs: bool,
    pub(super) waiting: Option<Waiting>,
    /// Since nobody waits, until when it is remembered.
    pub(super) until: Option<Instant>,
}

/// The way to one who waits. There is always room for the answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) beside: mpsc::WeakSender<Said>,
    pub(super) answer: mpsc::OwnedPermit<Said>,
}

/// A legacy client.
#[derive(Debug)]
pub(super) struct SessionState {
    pub(super) can: Profile,
    pub(super) revision: Revision,
    pub(super) stream: mpsc::Sender<Pieces>,
    /// The other end, while nobody reads it.
    pub(super) kept: Option<mpsc::Receiver<Pieces>>,
    pub(super) subscribed: BTreeSet<Box<str>>,
    pub(super) used: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    closed: bool,
    last_id: u64,
    entries: BTreeMap<u64, Entry>,
    /// Open questions of the child: the session and the request that they were put to.
    questions: HashMap<OwnedId, (Arc<str>, u64)>,
    sessions: HashMap<Arc<str>, SessionState>,
}

/// Why a request or a session is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("the server process has ended")]
    Closed,
    #[error("too many requests at one server process: try again in a moment")]
    Crowded,
}

/// Why a question is not put to a client. The words are for the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPut {
    #[error("no call is under way whose client could be asked")]
    Nobody,
    #[error("calls of several clients are under way, so it is unclear whom the question means")]
    Several,
    #[error("too many questions are open at once")]
    TooMany,
    #[error("a question with this id is open already")]
    Twice,
    #[error("{1}")]
    Unable(i64, &'static str),
}

impl Table {
    /// Takes a request under way and gives it our id.
    pub(super) fn enter(&mut self, entry: Entry) -> Result<u64, Full> {
        if self.closed {
            return Err(Full::Closed);
        }
        self.forget_old();
        if self.entries.len() >= MOST {
            return Err(Full::Crowded);
        }
        self.last_id += 1;
        self.entries.insert(self.last_id, entry);
        Ok(self.last_id)
    }

    /// An id for a request whose answer nobody waits for.
    pub(super) fn spare_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn entry(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The child has answered.
    pub(super) fn leave(&mut self, id: u64) -> Option<Entry> {
        self.questions.retain(|_, (_, call)| *call != id);
        self.entries.remove(&id)
    }

    /// Nobody waits for this request any more. Gives the questions that are open on its
    /// behalf; `None` if it was answered.
    pub(super) fn abandon(&mut self, id: u64, cancelled: bool) -> Option<Vec<OwnedId>> {
        let entry = self.entries.get_mut(&id)?;
        entry.waiting = None;
        entry.until = Some(Instant::now() + if cancelled { WORKS_ON } else { REMEMBERED });
        let open = self.questions.extract_if(|_, (_, call)| *call == id);
        Some(open.map(|(question, _)| question).collect())
    }

    /// The request of a session with this id of the client's.
    pub(super) fn of_session(&self, session: &str, id: &Id<'_>) -> Option<u64> {
        let own = |entry: &Entry| match &entry.client {
            Client::Session(other) => **other == *session && entry.id.borrow() == *id,
            _ => false,
        };
        self.entries.iter().rev().find(|(_, entry)| own(entry)).map(|(id, _)| *id)
    }

    /// The one request that waits for an answer, where there is just one.
    pub(super) fn leave_only(&mut self) -> Option<Entry> {
        let waits = |entry: &Entry| entry.nature != Nature::Listen && entry.waiting.is_some();
        let mut waiting = self.entries.iter().filter(|(_, entry)| waits(entry));
        match (waiting.next(), waiting.next()) {
            (Some((id, _)), None) => {
                let id = *id;
                self.leave(id)
            }
            _ => None,
        }
    }

    /// The call that a log line goes to: one line goes to one call, since a client must not
    /// read it twice.
    pub(super) fn who_logs(&mut self) -> Option<&Entry> {
        self.only_client().ok()?;
        self.calls().find(|(_, entry)| entry.logs && entry.streams).map(|(_, entry)| entry)
    }

    /// The call that any other notification goes to.
    pub(super) fn who_hears(&mut self) -> Option<&Entry> {
        self.only_client().ok()?;
        self.calls().find(|(_, entry)| entry.streams).map(|(_, entry)| entry)
    }

    /// The call whose client is asked.
    pub(super) fn question(
        &mut self,
        id: OwnedId,
        method: Method,
        params: Raw<'_>,
    ) -> Result<&Entry, NotPut> {
        if self.questions.contains_key(&id) {
            return Err(NotPut::Twice);
        }
        if self.questions.len() >= QUESTIONS {
            return Err(NotPut::TooMany);
        }
        self.only_client()?;
        let found = self.calls().find(|(_, entry)| entry.streams);
        let found = found.and_then(|(call, entry)| match &entry.client {
            Client::Session(session) => Some((call, Arc::clone(session))),
            _ => None,
        });
        let (call, session) = found.ok_or(NotPut::Nobody)?;
        let can = self.sessions.get(&session).map_or(Profile::NONE, |session| session.can);
        can.allows(method, params).map_err(|(code, words)| NotPut::Unable(code, words))?;
        self.questions.insert(id, (session, call));
        self.entries.get(&call).ok_or(NotPut::Nobody)
    }

    /// A session answers a question; whether it was asked.
    pub(super) fn answered(&mut self, session: &str, id: &OwnedId) -> bool {
        let asked = self.questions.get(id).is_some_and(|(other, _)| **other == *session);
        asked && self.questions.remove(id).is_some()
    }

    /// The child takes a question back; the request that it was put to.
    pub(super) fn withdraw(&mut self, id: &OwnedId) -> Option<&Entry> {
        let (_, call) = self.questions.remove(id)?;
        self.entries.get(&call)
    }

    /// Begins a session.
    pub(super) fn open(&mut self, id: Arc<str>, session: SessionState) -> Result<(), Full> {
        if self.closed {
            return Err(Full::Closed);
        }
        if self.sessions.len() >= SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(id, _)| Arc::clone(id));
            oldest.and_then(|id| self.sessions.remove(&id));
        }
        self.sessions.insert(id, session);
        Ok(())
    }

    pub(super) fn session(&mut self, id: &str) -> Option<(Arc<str>, &mut SessionState)> {
        let (id, _) = self.sessions.get_key_value(id)?;
        let id = Arc::clone(id);
        let session = self.sessions.get_mut(&id)?;
        session.used = Instant::now();
        Some((id, session))
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &SessionState> {
        self.sessions.values()
    }

    /// Ends a session. Gives its requests under way, and the resources that nobody follows
    /// any more.
    pub(super) fn end(&mut self, id: &str) -> Option<(Vec<u64>, Vec<Box<str>>)> {
        let session = self.sessions.remove(id)?;
        let own = |entry: &Entry| matches!(&entry.client, Client::Session(it) if **it == *id);
        let calls = self.entries.iter().filter(|(_, entry)| own(entry) && entry.until.is_none());
        let calls = calls.map(|(id, _)| *id).collect();
        let mut alone = session.subscribed;
        alone.retain(|uri| !self.is_subscribed(uri));
        Some((calls, alone.into_iter().collect()))
    }

    /// Whether any session follows this resource.
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        self.sessions.values().any(|session| session.subscribed.contains(uri))
    }

    /// Whether what a session says can mean no other client.
    pub(super) fn is_alone(&self, session: &str) -> bool {
        let own = |entry: &Entry| matches!(&entry.client, Client::Session(it) if **it == *session);
        let mut calls = self.calls().peekable();
        match calls.peek() {
            Some(_) => calls.all(|(_, entry)| own(entry)),
            None => {
                let able = self.sessions.iter().filter(|(_, it)| it.can.has(Profile::ROOTS));
                able.map(|(id, _)| &**id).eq([session])
            }
        }
    }

    /// Nothing will be said any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.entries.clear();
        self.questions.clear();
        self.sessions.clear();
    }

    /// Ends what goes on for ever.
    pub(super) fn end_streams(&mut self) {
        self.entries.retain(|_, entry| entry.nature != Nature::Listen);
        for session in self.sessions.values_mut() {
            session.stream = mpsc::channel(1).0;
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sessions, and requests that somebody waits for.
    pub(super) fn load(&self) -> (usize, usize) {
        let waiting = self.entries.values().filter(|entry| entry.waiting.is_some());
        (self.sessions.len(), waiting.count())
    }

    /// Calls that somebody waits for, the most recent first.
    fn calls(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let calls = self.entries.iter().rev().map(|(id, entry)| (*id, entry));
        calls.filter(|(_, entry)| entry.nature == Nature::Call && entry.waiting.is_some())
    }

    /// Whether all calls under way are of one client, with those that the child may still
    /// work on.
    fn only_client(&mut self) -> Result<(), NotPut> {
        self.forget_old();
        let first = self.calls().next().map(|(id, entry)| (id, entry.client.clone()));
        let (id, client) = first.ok_or(NotPut::Nobody)?;
        let same = |(other, entry): (&u64, &Entry)| {
            *other == id || (client != Client::Alone && entry.client == client)
        };
        let mut calls = self.entries.iter().filter(|(_, entry)| entry.nature == Nature::Call);
        if calls.all(same) { Ok(()) } else { Err(NotPut::Several) }
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
    }
}

impl Entry {
    /// Sends something beside the answer, if there is room for it.
    pub(super) fn tell(&self, pieces: Pieces) -> bool {
        let sender = self.waiting.as_ref().and_then(|waiting| waiting.beside.upgrade());
        self.streams && sender.is_some_and(|sender| sender.try_send(Said::Beside(pieces)).is_ok())
    }

    /// Sends the end of it.
    pub(super) fn finish(self, said: Said) {
        if let Some(waiting) = self.waiting {
            waiting.answer.send(said);
        }
    }
}
