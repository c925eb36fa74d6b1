//! Listening to what a server tells of its own accord.
//!
//! A legacy server tells whoever has a session with it, and is asked for single resources. A
//! modern one is sent a `subscriptions/listen`, whose notifications bear its id; when the
//! wishes change, a new one is opened and acknowledged before the old one is cancelled, so
//! that nothing falls between them.

use std::collections::BTreeSet;

use tidegate_model::{Answer, Json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{ASIDE, Channel, Place, Waiting, subscription};
use crate::{
    client::{
        Heard, Member, Notification, Outgoing, PeerError, Wanted,
        peer::Fault,
        trial::Trial,
        wanted::{Tells, Wishes, refused},
    },
    mcp::{method::Method, revision::Era},
};

/// Notifications that may wait for the one who listens; more are lost, with a warning.
const NOTES: usize = 1_024;

/// A listen request under way.
struct Open<'a> {
    place: Place<'a>,
    answer: oneshot::Receiver<Result<Answer, PeerError>>,
    /// When its acknowledgement is overdue; `None` once it came.
    due: Option<Instant>,
}

impl Channel {
    /// Follows what the server tells, until it ends that or the channel does; see
    /// [`crate::client::Peer::listen`].
    pub(in crate::client) async fn listen(
        &self,
        wanted: watch::Receiver<Wanted>,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let Some(info) = self.info() else { return Err(PeerError::Closed) };
        let tells = Tells::of(&info);
        if !tells.any() {
            return Ok(Heard::Nothing);
        }
        match info.revision.era() {
            Era::Legacy => self.listen_legacy(wanted, tells.updates, sink).await,
            Era::Modern => self.listen_modern(tells, wanted, sink).await,
        }
    }

    /// The server has ended a listen request.
    pub(super) fn unlisten(&self, id: u64) {
        let ended = {
            let mut table = self.table();
            if table.listens(id) { table.leave(id) } else { None }
        };
        if let Some(waiting) = ended {
            waiting.end(Ok(Answer::Result(Json::empty_object())));
        }
    }

    async fn listen_legacy(
        &self,
        wanted: watch::Receiver<Wanted>,
        follows: bool,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let (listener, mut notes) = mpsc::channel(NOTES);
        {
            let mut table = self.table();
            if table.closed {
                return Ok(Heard::Ended);
            }
            table.listener = Some(listener);
        }
        let forward = async {
            while let Some(note) = notes.recv().await {
                if sink.send(note).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = forward => {}
            () = self.follow(wanted, follows) => {}
        }
        Ok(Heard::Ended)
    }

    /// Keeps the resources that the server tells of equal to those that are wanted, for as
    /// long as that may change.
    async fn follow(&self, mut wanted: watch::Receiver<Wanted>, follows: bool) {
        let mut held: BTreeSet<Box<str>> = BTreeSet::new();
        loop {
            let Wanted { resources: now, round, .. } = wanted.borrow_and_update().clone();
            if follows {
                for uri in held.difference(&now).cloned().collect::<Vec<_>>() {
                    self.ask_about(Method::UnsubscribeResource, &uri).await;
                    held.remove(&uri);
                }
                for uri in now {
                    if !held.contains(&uri) && self.ask_about(Method::SubscribeResource, &uri).await
                    {
                        held.insert(uri);
                    }
                }
            }
            round.settle();
            if wanted.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn ask_about(&self, method: Method, uri: &str) -> bool {
        let params = [("uri", Member::Text(uri))];
        let method = method.name();
        let outgoing = Outgoing { method, params: &params, ..Outgoing::default() };
        match timeout(ASIDE, self.ask(&outgoing, self.revision())).await {
            Ok(Ok(Answer::Result(_))) => true,
            _ => {
                tracing::warn!(connector = self.start.name, method, "refused or not answered");
                false
            }
        }
    }

    async fn listen_modern(
        &self,
        tells: Tells,
        mut wanted: watch::Receiver<Wanted>,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let (listener, mut notes) = mpsc::channel(NOTES);
        let mut current: Option<Open<'_>> = None;
        let mut next = None;
        let mut trial = Trial::begin(tells);
        let (mut asked, mut held) = (None, None);
        let mut may_change = true;
        loop {
            let round = wanted.borrow_and_update().round.clone();
            let wishes = tells.ask(trial.next(&wanted.borrow()));
            if wishes != asked {
                next = match &wishes {
                    Some(wishes) => Some(self.open(wishes, listener.clone()).await?),
                    None => None,
                };
                if next.is_none() {
                    current = None;
                    held = None;
                    trial.is_taken();
                }
                asked = wishes;
            }
            if next.is_none() {
                round.settle();
            }
            tokio::select! {
                biased;
                note = notes.recv() => {
                    let Some(note) = note else { return Ok(Heard::Ended) };
                    if acknowledges(&note, next.as_ref())? {
                        // The old one is cancelled by being dropped.
                        current = next.take().map(|open| Open { due: None, ..open });
                        trial.is_taken();
                        held.clone_from(&asked);
                    } else if sink.send(note).await.is_err() {
                        return Ok(Heard::Ended);
                    }
                }
                changed = wanted.changed(), if may_change => may_change = changed.is_ok(),
                ended = ended(current.as_mut()) => match (ended, &next) {
                    (Ok(Heard::Ended), Some(_)) => current = None,
                    (ended, _) => return ended,
                },
                ended = ended(next.as_mut()) => match ended {
                    // What was taken before is heard as before.
                    Err(error) if trial.is_refused(&error) => {
                        next = None;
                        asked.clone_from(&held);
                    }
                    ended => return ended,
                },
                () = trial.again() => {}
            }
        }
    }

    async fn open(
        &self,
        wishes: &Wishes,
        listener: mpsc::Sender<Notification>,
    ) -> Result<Open<'_>, PeerError> {
        let (answer, answered) = oneshot::channel();
        let mut place = self.enter(Waiting::new(answer, None).listening(listener))?;
        let params = [("notifications", Member::Json(wishes.filter()))];
        let (method, client) = (Method::Listen.name(), wishes.client());
        let outgoing =
            Outgoing { method, params: &params, exchange: Some(&client), ..Outgoing::default() };
        self.send(outgoing.write(place.id, self.revision())).await?;
        place.sent = true;
        Ok(Open { place, answer: answered, due: Some(Instant::now() + ASIDE) })
    }
}

/// Whether a notification acknowledges the listen request that has just been opened. Before
/// it does, nothing else may bear its id.
fn acknowledges(note: &Notification, next: Option<&Open<'_>>) -> Result<bool, PeerError> {
    let is_acknowledgement = note.method == Method::SubscriptionsAcknowledged.name();
    let of_next = next.is_some_and(|open| subscription(note, true) == Some(open.place.id));
    match (is_acknowledgement, of_next) {
        (true, true) => Ok(true),
        (false, true) => {
            let what = "a notification before the acknowledgement of `subscriptions/listen`";
            Err(Fault::Malformed(what.to_owned()).into())
        }
        (_, false) => Ok(false),
    }
}

/// Waits for the end of a listen request, which comes too when its acknowledgement does not.
async fn ended(open: Option<&mut Open<'_>>) -> Result<Heard, PeerError> {
    let Some(open) = open else { return std::future::pending().await };
    let answer = match open.due {
        Some(due) => match timeout_at(due, &mut open.answer).await {
            Ok(answer) => answer,
            Err(_) => return Err(PeerError::Silent(Method::Listen.name())),
        },
        None => (&mut open.answer).await,
    };
    match answer {
        Ok(Ok(Answer::Error(error))) => refused(&error),
        Ok(Ok(Answer::Result(_)) | Err(PeerError::Closed)) | Err(_) => Ok(Heard::Ended),
        Ok(Err(error)) => Err(error),
    }
}
