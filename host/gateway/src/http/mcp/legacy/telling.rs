//! What a legacy client is told and asked while its call runs.
//!
//! Carries the events of one call to the stream that the session keeps for it, puts questions
//! to the client and withdraws those that nobody waits for any more. Goes on when the client
//! has lost its connection: it may come back for what it missed.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tidegate_model::{Answer, ConnectorId, Json};
use tidegate_wire::{
    client::{Event, Notification, Question},
    json::{Raw, write_string},
    mcp::{
        OwnedId, Revision, envelope,
        method::Method,
        peek::key,
        splice::{self, Edit},
    },
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    call::{
        hop::{self, Related},
        park::question,
    },
    gateway::Gateway,
    http::{
        mcp::admit::Admitted,
        stream::{Answering, message},
    },
    session::{Session, questions::Waiting, streams::Writer},
};

/// Why nobody is asked any more.
const STOPPING: &str = "the gateway is stopping and takes no answers";

/// The client of one call.
pub(super) struct Client {
    /// Who they are.
    pub(super) admitted: Admitted,
    /// Their session.
    pub(super) session: Arc<Session>,
    /// Their progress token, as JSON text.
    pub(super) token: Option<Box<str>>,
    /// Whom the call is to, where that is known.
    pub(super) connector: Option<ConnectorId>,
}

impl Client {
    /// The published id of the task that a message of the server is related to, where it is
    /// one of the session's.
    fn related(&self, params: &Json) -> Option<Box<str>> {
        let raw = Raw::from(params);
        // Nearly none is related to one: a search of the text says so.
        if !raw.may_say(key::RELATED_TASK) {
            return None;
        }
        let id = raw.get("_meta")?.get(key::RELATED_TASK)?.get("taskId")?.string()?;
        let place = (self.connector.clone()?, Box::from(id.as_ref()));
        self.session.tasks().get(&place).cloned()
    }
}

/// One call on its way to its client.
pub(super) struct Telling {
    gateway: Arc<Gateway>,
    client: Client,
    writer: Writer,
    /// Yield the id of their question, and whether nobody waits for its answer any more.
    asked: FuturesUnordered<BoxFuture<'static, (u64, bool)>>,
}

impl Telling {
    /// Tells nothing yet.
    pub(super) fn new(gateway: Arc<Gateway>, client: Client, writer: Writer) -> Self {
        Self { gateway, client, writer, asked: FuturesUnordered::new() }
    }

    /// Tells everything up to the answer. `first` has been taken from the inbox already.
    pub(super) async fn run(
        mut self,
        mut call: Answering,
        first: Option<Event>,
        mut inbox: mpsc::Receiver<Event>,
    ) {
        if let Some(first) = first {
            self.tell(first).await;
        }
        let ended = loop {
            let next = async {
                // What has no room stays in the inbox, and holds back whoever fills it.
                self.writer.room().await;
                inbox.recv().await
            };
            // Events come first, so that none is told after the answer.
            tokio::select! {
                biased;
                Some(event) = next => self.tell(event).await,
                Some((id, withdrawn)) = self.asked.next() => self.settled(id, withdrawn),
                ended = &mut call => break ended,
            }
        };
        // The call may have told something in the very step in which it ended.
        while let Ok(event) = inbox.try_recv() {
            if matches!(event, Event::Notification(_)) {
                self.tell(event).await;
            }
        }
        // Who asked is gone with the call.
        while let Some(Some((id, withdrawn))) = self.asked.next().now_or_never() {
            self.settled(id, withdrawn);
        }
        self.writer.put(&ended.text);
    }

    async fn tell(&mut self, event: Event) {
        match event {
            Event::Notification(note) => {
                if !belongs(&note, self.client.session.revision) {
                    return;
                }
                let task = self.client.related(&note.params);
                let related = task.as_deref().map_or(Related::Unknown, Related::Is);
                if let Some(message) = message(&note, self.client.token.as_deref(), related) {
                    self.writer.put(&message);
                }
            }
            Event::Question(question) => self.ask(question).await,
        }
    }

    async fn ask(&mut self, question: Question) {
        let Question { method, params, by, reply } = question;
        let Client { admitted, session, connector, .. } = &self.client;
        // Nobody may be left to read what is sent in place of the client's answer.
        let refuse = |reply: oneshot::Sender<Answer>, words| {
            let _ = reply.send(question::unasked(words));
        };
        if self.gateway.stopping.is_cancelled() {
            return refuse(reply, STOPPING);
        }
        let Some(waiting) = session.questions().ask() else {
            return refuse(reply, "too many questions wait for this client already");
        };
        let (context, vmcp) = (&admitted.context, &admitted.vmcp);
        let asker = question::Asker { connector: connector.as_ref(), by: by.as_deref() };
        let recorded = question::on_record(&self.gateway, context, vmcp, asker, method);
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "a client cannot be asked");
            return refuse(reply, "the question could not be put on record");
        }
        // The end of the wait may have come meanwhile.
        if reply.is_closed() {
            return;
        }
        let task = self.client.related(&params);
        let related = task.as_deref().map_or(Related::Unknown, Related::Is);
        // Progress of a client's own, asked for there, is not passed on either.
        let params = hop::past(params, related);
        let params = of_revision(session.revision, method, params, waiting.id());
        let id = OwnedId::from(waiting.id());
        let mut text = Vec::with_capacity(params.len() + 96);
        let params = Raw::from_checked(params.as_str());
        envelope::request(&mut text, id.borrow(), method.name(), Some(params));
        self.writer.put(&text);
        let stopping = self.gateway.stopping.clone();
        self.asked.push(answer(waiting, reply, stopping).boxed());
    }

    /// A question has been answered, or is not to be answered any more.
    fn settled(&self, id: u64, withdrawn: bool) {
        if withdrawn {
            let params = format!(r#"{{"requestId":{id},"reason":"nobody waits for it any more"}}"#);
            let mut text = Vec::with_capacity(params.len() + 96);
            let params = Raw::from_checked(&params);
            envelope::notification(&mut text, Method::Cancelled.name(), Some(params));
            self.writer.put(&text);
        }
    }
}

/// Whether a notification is one that a client of this revision gets beside an answer.
fn belongs(note: &Notification, revision: Revision) -> bool {
    match Method::parse(&note.method) {
        // What is not of the core protocol is between the client and the server.
        None | Some(Method::Progress | Method::LogMessage) => true,
        Some(Method::ElicitComplete) => revision >= Revision::V2025_11_25,
        // All else speaks of the server as a whole, in terms that are not the client's.
        Some(_) => false,
    }
}

/// Hands the client's answer to whoever asked; whether none is wanted any more. A gateway
/// that stops takes no answers, so nobody is left to wait for one.
async fn answer(
    mut waiting: Waiting,
    mut reply: oneshot::Sender<Answer>,
    stopping: CancellationToken,
) -> (u64, bool) {
    let (answer, withdrawn) = tokio::select! {
        biased;
        answer = waiting.answered() => (answer, false),
        () = reply.closed() => return (waiting.id(), true),
        () = stopping.cancelled() => (question::unasked(STOPPING), true),
    };
    (waiting.id(), reply.send(answer).is_err() || withdrawn)
}

/// The parameters of a question as a client of this revision knows them.
fn of_revision(revision: Revision, method: Method, params: Json, id: u64) -> Json {
    const ELICITATION_ID: &str = "elicitationId";
    if method != Method::Elicit {
        return params;
    }
    let raw = Raw::from(&params);
    let mut own = Vec::new();
    write_string(&mut own, &format!("tidegate-{id}"));
    let own = Json::from_checked(own.into());
    let is_url = raw.get("mode").and_then(Raw::string).as_deref() == Some("url");
    let edit = if revision < Revision::V2025_11_25 {
        Edit::remove("mode")
    } else if is_url && raw.get(ELICITATION_ID).is_none() {
        Edit::set(ELICITATION_ID, Raw::from(&own))
    } else {
        return params;
    };
    splice::object(raw, &[edit]).unwrap_or(params)
}

#[cfg(test)]
mod tests;
