//! Who waits for what on one channel, and whom a message can mean that says not whom.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use tidegate_model::{Answer, Json};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    client::{Affinity, Exchange, Notification, PeerError},
    json::Raw,
    mcp::{envelope::OwnedId, level::Level, method::Method},
};

/// The most questions that a server may have open at once.
const QUESTIONS: usize = 16;
/// The most questions of a server during one call.
const QUESTIONS_OF_A_CALL: usize = 64;
/// How long a server may go on with a call that nobody waits for any more.
const WORKS_ON: Duration = Duration::from_secs(60);

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Whether nothing will arrive any more.
    pub(super) closed: bool,
    /// Requests of ours, the most recent last.
    waiting: BTreeMap<u64, Waiting>,
    /// Questions of the server that are being answered, by its ids.
    asking: HashMap<OwnedId, Asking>,
    /// Calls that the server may still work on and talk about.
    given_up: GivenUp,
    /// Who has used the channel so far.
    known: Known,
    /// The log level that a legacy server was last asked for.
    level: Option<Level>,
    /// Where a legacy server's announcements go.
    pub(super) listener: Option<mpsc::Sender<Notification>>,
}

/// One who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    answer: oneshot::Sender<Result<Answer, PeerError>>,
    exchange: Option<Exchange>,
    /// Where the notifications of a listen request go.
    listener: Option<mpsc::Sender<Notification>>,
    /// Questions of the server so far.
    questions: usize,
}

/// A question of the server that is being answered.
#[derive(Debug)]
struct Asking {
    call: u64,
    over: Option<oneshot::Sender<Over>>,
}

/// Why a question need not be answered by the client any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The server does not want the answer.
    Withdrawn,
    /// The call is over to which it belonged.
    CallEnded,
}

/// Why a question is not put to a client. The words are for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPut {
    #[error("no call is under way whose client could be asked")]
    Nobody,
    #[error("calls of several clients are under way, so it is unclear whom the question means")]
    Several,
    #[error("too many questions are open at once")]
    TooMany,
    #[error("too many questions during one call")]
    TooManyOfCall,
    #[error("a question with this id is open already")]
    Twice,
}

/// Calls of clients that nobody waits for any more and that were not answered.
#[derive(Debug, Default)]
struct GivenUp {
    calls: HashMap<u64, Option<Affinity>>,
    /// Until when each counts, in this order; some are answered by now.
    until: VecDeque<(Instant, u64)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nobody,
    Only(Affinity),
    Several,
}

impl Waiting {
    pub(super) fn new(
        answer: oneshot::Sender<Result<Answer, PeerError>>,
        exchange: Option<Exchange>,
    ) -> Self {
        Self { answer, exchange, listener: None, questions: 0 }
    }

    pub(super) fn listening(self, listener: mpsc::Sender<Notification>) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// The client behind it.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// Hands the answer to the one who waits, if still there.
    pub(super) fn end(self, answer: Result<Answer, PeerError>) {
        drop(self.answer.send(answer));
    }
}

impl Table {
    /// Takes a place, unless the channel is closed.
    pub(super) fn enter(&mut self, id: u64, waiting: Waiting) -> bool {
        if self.closed {
            return false;
        }
        if let Some(exchange) = &waiting.exchange {
            self.known = match (self.known, exchange.affinity) {
                (Known::Nobody, Some(new)) => Known::Only(new),
                (Known::Only(old), Some(new)) if old == new => Known::Only(old),
                _ => Known::Several,
            };
        }
        self.waiting.insert(id, waiting);
        true
    }

    /// Gives a place up; questions that came up meanwhile are over with it.
    pub(super) fn leave(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if waiting.questions > 0 {
            self.end_questions(|call| call == id);
        }
        Some(waiting)
    }

    /// The place of the only one who waits for an answer. Listen requests do not: theirs
    /// says no more than that they are over.
    pub(super) fn leave_only(&mut self) -> Option<Waiting> {
        let mut waiting = self.waiting.iter().filter(|(_, waiting)| waiting.listener.is_none());
        match (waiting.next(), waiting.next()) {
            (Some((id, _)), None) => {
                let id = *id;
                self.leave(id)
            }
            _ => None,
        }
    }

    /// The client of a call that was sent and not answered is gone. The server may not heed
    /// that at once, so what it says may still be about that call.
    pub(super) fn gave_up(&mut self, id: u64, affinity: Option<Affinity>) {
        let now = Instant::now();
        self.given_up.forget_old(now);
        self.given_up.calls.insert(id, affinity);
        self.given_up.until.push_back((now + WORKS_ON, id));
    }

    /// A call that was given up is answered after all; whether it was one.
    pub(super) fn is_over(&mut self, id: u64) -> bool {
        self.given_up.calls.remove(&id).is_some()
    }

    /// Takes everybody out, for good.
    pub(super) fn close(&mut self) -> Vec<Waiting> {
        self.closed = true;
        self.listener = None;
        self.end_questions(|_| true);
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Whether this is a listen request under way.
    pub(super) fn listens(&self, id: u64) -> bool {
        self.waiting.get(&id).is_some_and(|waiting| waiting.listener.is_some())
    }

    /// The client behind a request under way.
    pub(super) fn exchange(&self, id: u64) -> Option<&Exchange> {
        self.waiting.get(&id).and_then(|waiting| waiting.exchange.as_ref())
    }

    /// The call that a log line goes to: of the only client under way the one that wants
    /// most. One line goes to one call, since a client must not read it twice.
    pub(super) fn who_logs(&mut self) -> Option<&Exchange> {
        self.only_client().ok()?;
        self.calls()
            .map(|(_, exchange)| exchange)
            .filter(|exchange| exchange.events.is_some() && exchange.level.is_some())
            .min_by_key(|exchange| exchange.level)
    }

    /// The call that any other notification goes to: the most recent of the only client. Of
    /// one with an unknown meaning it cannot be told how long after its call it may come, so
    /// that nobody hears it where several clients have used the channel.
    pub(super) fn who_hears(&mut self, is_known: bool) -> Option<&Exchange> {
        if !is_known && self.known == Known::Several {
            return None;
        }
        self.only_client().ok()?;
        self.calls().map(|(_, exchange)| exchange).find(|exchange| exchange.events.is_some())
    }

    /// Hands a notification to whoever listens under `subscription`, or at all. One who is
    /// too slow loses it: reading never waits.
    pub(super) fn announce(&self, subscription: Option<u64>, note: Notification, name: &str) {
        let listener = match subscription {
            Some(id) => self.waiting.get(&id).and_then(|waiting| waiting.listener.as_ref()),
            None => self.listener.as_ref(),
        };
        if let Some(listener) = listener
            && let Err(mpsc::error::TrySendError::Full(note)) = listener.try_send(note)
        {
            tracing::warn!(connector = name, note.method, "a notification was lost: too many");
        }
    }

    /// Chooses the call whose client is asked: the most recent that can be asked this. Where
    /// none can, the most recent, whose exchange says what is missing.
    pub(super) fn question(
        &mut self,
        id: &OwnedId,
        method: Method,
        params: &Json,
    ) -> Result<(Exchange, oneshot::Receiver<Over>), NotPut> {
        if self.asking.contains_key(id) {
            return Err(NotPut::Twice);
        }
        if self.asking.len() >= QUESTIONS {
            return Err(NotPut::TooMany);
        }
        self.only_client()?;
        let able = |exchange: &Exchange| {
            exchange.events.is_some()
                && exchange.can.profile.allows(method, Raw::from(params)).is_ok()
        };
        let chosen = self.calls().find(|(_, exchange)| able(exchange));
        let (call, exchange) = chosen.or_else(|| self.calls().next()).ok_or(NotPut::Nobody)?;
        let exchange = exchange.clone();
        let waiting = self.waiting.get_mut(&call).ok_or(NotPut::Nobody)?;
        if waiting.questions >= QUESTIONS_OF_A_CALL {
            return Err(NotPut::TooManyOfCall);
        }
        waiting.questions += 1;
        let (over, ended) = oneshot::channel();
        self.asking.insert(id.clone(), Asking { call, over: Some(over) });
        Ok((exchange, ended))
    }

    /// The server does not want the answer to its question any more.
    pub(super) fn withdraw(&mut self, id: &OwnedId) {
        if let Some(over) = self.asking.get_mut(id).and_then(|asking| asking.over.take()) {
            // Whoever answers may be done by now.
            let _ = over.send(Over::Withdrawn);
        }
    }

    /// A question is done with.
    pub(super) fn answered(&mut self, id: &OwnedId) {
        self.asking.remove(id);
    }

    /// What a legacy server has to be asked for so that this level and those of the calls
    /// under way are heard; nothing where that is so already.
    pub(super) fn level_to_set(&mut self, wanted: Level) -> Option<Level> {
        let others = self.calls().filter_map(|(_, exchange)| exchange.level);
        let least = others.fold(wanted, Level::min);
        (self.level.replace(least) != Some(least)).then_some(least)
    }

    /// Whether the channel can mean no client but this one.
    pub(super) fn is_alone(&self, affinity: Affinity) -> bool {
        let mut calls = self.calls().peekable();
        match calls.peek() {
            Some(_) => calls.all(|(_, exchange)| exchange.affinity == Some(affinity)),
            None => self.known == Known::Only(affinity),
        }
    }

    pub(super) fn forget(&mut self, affinity: Affinity) {
        if self.known == Known::Only(affinity) {
            self.known = Known::Nobody;
        }
    }

    /// The calls of clients under way, the most recent first. Requests of the gateway's own
    /// carry no client's data and do not count.
    fn calls(&self) -> impl Iterator<Item = (u64, &Exchange)> {
        let client = |(id, waiting): (&u64, &'_ Waiting)| (*id, waiting.exchange.is_some());
        let ids = self.waiting.iter().rev().map(client).filter(|(_, is)| *is);
        ids.filter_map(|(id, _)| self.exchange(id).map(|exchange| (id, exchange)))
    }

    /// Whether all calls under way are of one client, with those that the server may still
    /// work on. Two without a mark are of two.
    fn only_client(&mut self) -> Result<(), NotPut> {
        self.given_up.forget_old(Instant::now());
        let mut calls = self.calls().map(|(_, exchange)| exchange.affinity);
        let first = calls.next().ok_or(NotPut::Nobody)?;
        let mut calls = calls.chain(self.given_up.calls.values().copied());
        match calls.all(|other| other.is_some() && other == first) {
            true => Ok(()),
            false => Err(NotPut::Several),
        }
    }

    fn end_questions(&mut self, of: impl Fn(u64) -> bool) {
        for asking in self.asking.values_mut().filter(|asking| of(asking.call)) {
            if let Some(over) = asking.over.take() {
                let _ = over.send(Over::CallEnded);
            }
        }
    }
}

impl GivenUp {
    fn forget_old(&mut self, now: Instant) {
        while let Some((_, id)) = self.until.pop_front_if(|(until, _)| *until <= now) {
            self.calls.remove(&id);
        }
    }
}
