//! The client behind a request, as far as a server may meet it.
//!
//! Owns what the client can do, which of the server's sessions is its own, and the channel
//! over which notifications and questions reach it while the request runs. Knows neither
//! how they travel on nor who the client is: an [`Affinity`] is an opaque mark.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidegate_model::{Answer, Json, Pause};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::Notification;
use crate::{
    json::{Kind, Raw, write_string},
    mcp::{
        code,
        level::Level,
        method::Method,
        splice::{self, Edit},
    },
};

/// Whose session at a legacy server a request belongs to. Requests of one mark share a
/// session, requests of different marks never do. Made by the layer above from whoever is
/// served: a legacy client's session, a modern client's person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Affinity(pub u128);

/// What a client can be asked, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Profile(u8);

impl Profile {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `sampling`.
    pub const SAMPLING: Self = Self(1);
    /// `sampling.tools`.
    pub const SAMPLING_TOOLS: Self = Self(1 << 1);
    /// `sampling.context`.
    pub const SAMPLING_CONTEXT: Self = Self(1 << 2);
    /// `elicitation`, in form mode.
    pub const FORM: Self = Self(1 << 3);
    /// `elicitation.url`.
    pub const URL: Self = Self(1 << 4);
    /// `roots`.
    pub const ROOTS: Self = Self(1 << 5);
    /// `roots.listChanged`.
    pub const ROOTS_CHANGED: Self = Self(1 << 6);
    /// Everything that the gateway can carry.
    pub const ALL: Self = Self(0x7f);

    /// This and that.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This without that.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads a `ClientCapabilities` object of any era.
    pub fn read(capabilities: Raw<'_>) -> Self {
        let mut profile = Self::NONE;
        let mut add = |yes: bool, what| {
            if yes {
                profile = profile.with(what);
            }
        };
        let object = |raw: Option<Raw<'_>>| raw.is_some_and(|raw| raw.kind() == Kind::Object);
        let get = |name| capabilities.get(name).filter(|raw| raw.kind() == Kind::Object);
        if let Some(sampling) = get("sampling") {
            add(true, Self::SAMPLING);
            add(object(sampling.get("tools")), Self::SAMPLING_TOOLS);
            add(object(sampling.get("context")), Self::SAMPLING_CONTEXT);
        }
        if let Some(elicitation) = get("elicitation") {
            let url = object(elicitation.get("url"));
            // An empty object means forms alone, as before there were modes (2025-11-25).
            add(object(elicitation.get("form")) || !url, Self::FORM);
            add(url, Self::URL);
        }
        if let Some(roots) = get("roots") {
            add(true, Self::ROOTS);
            let changes = roots.get("listChanged").and_then(Raw::boolean);
            add(changes == Some(true), Self::ROOTS_CHANGED);
        }
        profile
    }

    /// The members of a `ClientCapabilities` object with just this, braces left out.
    /// `roots.listChanged` is written for legacy servers alone, the only ones that know it.
    pub(crate) fn write(self, out: &mut String, legacy: bool) {
        let mut member = |yes: bool, text: &str| {
            if yes {
                if !out.is_empty() && !out.ends_with('{') {
                    out.push(',');
                }
                out.push_str(text);
            }
        };
        let parts = (self.has(Self::SAMPLING_TOOLS), self.has(Self::SAMPLING_CONTEXT));
        let sampling = match parts {
            (true, true) => r#""sampling":{"tools":{},"context":{}}"#,
            (true, false) => r#""sampling":{"tools":{}}"#,
            (false, true) => r#""sampling":{"context":{}}"#,
            (false, false) => r#""sampling":{}"#,
        };
        member(self.has(Self::SAMPLING), sampling);
        let modes = match (self.has(Self::FORM), self.has(Self::URL)) {
            (true, true) => r#""elicitation":{"form":{},"url":{}}"#,
            (true, false) => r#""elicitation":{"form":{}}"#,
            _ => r#""elicitation":{"url":{}}"#,
        };
        member(self.has(Self::FORM) || self.has(Self::URL), modes);
        let roots = match legacy && self.has(Self::ROOTS_CHANGED) {
            true => r#""roots":{"listChanged":true}"#,
            false => r#""roots":{}"#,
        };
        member(self.has(Self::ROOTS), roots);
    }

    /// Whether a client of this kind can be asked `method` with these parameters; if not,
    /// what it is missing, as a code and a sentence for the server.
    pub fn allows(self, method: Method, params: Raw<'_>) -> Result<(), (i64, &'static str)> {
        let mode = || params.get("mode").and_then(Raw::string);
        let (needed, words) = match method {
            Method::CreateMessage => (Self::SAMPLING, "the client does not support sampling"),
            Method::ListRoots => (Self::ROOTS, "the client does not support roots"),
            Method::Elicit if mode().as_deref() == Some("url") => {
                (Self::URL, "the client does not support elicitation in URL mode")
            }
            Method::Elicit => (Self::FORM, "the client does not support elicitation in form mode"),
            _ => return Err((code::METHOD_NOT_FOUND, "the client does not know this method")),
        };
        match (self.has(needed), method) {
            (true, _) => Ok(()),
            // A mode that was not declared is a wrong parameter (2025-11-25, elicitation).
            (false, Method::Elicit) if self.has(Self::FORM) || self.has(Self::URL) => {
                Err((code::INVALID_PARAMS, words))
            }
            (false, _) => Err((code::METHOD_NOT_FOUND, words)),
        }
    }
}

/// Longest parameters of a notification that is passed on, in bytes: what waits for a slow
/// client is counted in notifications, so that each must have a bound.
const LONGEST_NOTE: usize = 256 * 1024;

/// What a client can do, as the server gets to hear it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCan {
    /// What it can be asked.
    pub profile: Profile,
    /// The extensions that it declared and that the connector's policy lets through, each
    /// with its settings object, as written.
    pub extensions: Vec<(Box<str>, Json)>,
}

/// A question of a server, to be put to the client. Dropping it answers that nobody is
/// there any more.
#[derive(Debug)]
pub struct Question {
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: Method,
    /// Its parameters, as the server wrote them; `{}` where there were none.
    pub params: Json,
    /// The part of the gateway that asks in the server's place, by name; `None` where it is
    /// the server that asks.
    pub by: Option<Box<str>>,
    /// Takes the client's answer.
    pub reply: oneshot::Sender<Answer>,
}

/// What reaches the client while its request runs, in this order.
#[derive(Debug)]
pub enum Event {
    /// To be told.
    Notification(Notification),
    /// To be answered.
    Question(Question),
}

/// The client behind one request.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// Which session at a legacy server; without a mark the gateway's own.
    pub affinity: Option<Affinity>,
    /// What the client can do.
    pub can: ClientCan,
    /// The least severe log line that it wants; none without.
    pub level: Option<Level>,
    /// Whether it asked for progress.
    pub progress: bool,
    /// Where notifications and questions go. A notification that finds the channel full is
    /// dropped: they are advisory, and an answer never waits on one. A question waits.
    pub events: Option<mpsc::Sender<Event>>,
    /// Whether a modern server's `input_required` is handed back as the answer (modern
    /// client), or its questions are asked on the spot (legacy client).
    pub relays_input: bool,
    /// Which of several services asks, put in front of what the person reads; nothing where
    /// there is only one.
    pub asker: Option<Box<str>>,
    /// How long a person may take for one question.
    pub patience: Duration,
    /// Where the time for questions is given on top of the deadline.
    pub pause: Pause,
    /// What is known of the questions put to the client.
    pub asking: Asking,
}

/// The questions put to one client during one request, as others may wait for them.
#[derive(Debug, Clone, Default)]
pub struct Asking(Arc<AskingState>);

#[derive(Debug, Default)]
struct AskingState {
    begun: Notify,
    loan: Mutex<Loan>,
}

impl Asking {
    /// Waits until a question has been put to the client: from then on people set the pace.
    pub async fn begun(&self) {
        self.0.begun.notified().await;
    }
}

impl Exchange {
    /// Tells the client, unless it is too slow, or what is told is too long, or it did not ask
    /// for it: progress without a token, log lines below its level.
    pub fn tell(&self, note: Notification) {
        if note.params.len() > LONGEST_NOTE {
            tracing::debug!(method = note.method, bytes = note.params.len(), "not passed on");
            return;
        }
        let wanted = match Method::parse(&note.method) {
            Some(Method::Progress) => self.progress,
            Some(Method::LogMessage) => {
                let level = Raw::from(&note.params).get("level").and_then(Raw::string);
                // A line without a known level counts as the most severe.
                let level = level.and_then(|name| Level::parse(&name)).unwrap_or(Level::Emergency);
                self.level.is_some_and(|least| level >= least)
            }
            _ => true,
        };
        if let (true, Some(events)) = (wanted, &self.events) {
            drop(events.try_send(Event::Notification(note)));
        }
    }

    /// Asks the client and waits for its answer, as a JSON-RPC result or error for the
    /// server. Time spent waiting is added to the deadline of the call.
    pub async fn ask(&self, method: Method, params: Json) -> Answer {
        self.put(method, params, None).await
    }

    /// The same for a part of the gateway that asks in its own name, which is not the server's:
    /// `by` is told to whoever puts the question to the client.
    pub async fn ask_by(&self, by: &str, method: Method, params: Json) -> Answer {
        self.put(method, params, Some(by.into())).await
    }

    async fn put(&self, method: Method, params: Json, by: Option<Box<str>>) -> Answer {
        if let Err((code, words)) = self.can.profile.allows(method, Raw::from(&params)) {
            return refusal(code, words);
        }
        let Some(events) = &self.events else {
            return refusal(code::METHOD_NOT_FOUND, "the client takes no questions here");
        };
        let params = match (&self.asker, method) {
            (Some(asker), Method::Elicit) if by.is_none() => signed(params, asker),
            _ => params,
        };
        let _time = Lent::give(self);
        self.asking.0.begun.notify_one();
        let (reply, answered) = oneshot::channel();
        let question = Event::Question(Question { method, params, by, reply });
        let asked = tokio::time::timeout(self.patience, async {
            match events.send(question).await {
                Ok(()) => answered.await.ok(),
                Err(_) => None,
            }
        });
        match asked.await {
            Ok(Some(answer)) => answer,
            Ok(None) => refusal(code::INTERNAL_ERROR, "the client is gone"),
            Err(_) => refusal(code::INTERNAL_ERROR, "the client did not answer in time"),
        }
    }
}

/// What has been lent to the questions that are open at this moment.
#[derive(Debug, Default)]
struct Loan {
    open: usize,
    until: Option<Instant>,
}

/// Time for a question on top of a deadline. Questions that are open side by side share it; what
/// is left is taken back when the last of them goes, so also where nobody waits any more.
struct Lent<'a>(&'a Exchange);

impl<'a> Lent<'a> {
    fn give(exchange: &'a Exchange) -> Self {
        let mut loan = exchange.asking.0.loan.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let until = now + exchange.patience;
        let from = loan.until.filter(|_| loan.open > 0).unwrap_or(now);
        exchange.pause.give(until.saturating_duration_since(from));
        *loan = Loan { open: loan.open + 1, until: Some(until.max(from)) };
        Self(exchange)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut loan = self.0.asking.0.loan.lock().unwrap_or_else(PoisonError::into_inner);
        loan.open = loan.open.saturating_sub(1);
        if let (0, Some(until)) = (loan.open, loan.until) {
            self.0.pause.take_back(until.saturating_duration_since(Instant::now()));
        }
    }
}

/// The parameters with the name of who asks in front of the message, so that no service can
/// pass for another (2026-07-28, elicitation).
fn signed(params: Json, asker: &str) -> Json {
    let raw = Raw::from(&params);
    let Some(message) = raw.get("message").and_then(Raw::string) else { return params };
    let mut text = Vec::with_capacity(message.len() + asker.len() + 4);
    write_string(&mut text, &format!("{asker}: {message}"));
    let text = Json::from_checked(text.into());
    let edit = Edit::set("message", Raw::from_checked(text.as_str()));
    splice::object(raw, &[edit]).unwrap_or(params)
}

/// A JSON-RPC error as an answer.
fn refusal(code: i64, words: &str) -> Answer {
    // The words are constants of this module and need no escape.
    let text = format!(r#"{{"code":{code},"message":"{words}"}}"#);
    Answer::Error(Json::from_checked(text.into()))
}

/// Waits for `work` until `deadline`, and beyond it as long as `pause` has given.
/// `None` when the time is over.
pub async fn within<T>(
    deadline: std::time::Instant,
    pause: &Pause,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        let until = Instant::from_std(deadline) + pause.given();
        match tokio::time::timeout_at(until, &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if Instant::from_std(deadline) + pause.given() > until => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
