//! What a modern server tells of its own accord: one long stream per `subscriptions/listen`.
//!
//! Another wish means another stream: the new one is open before the old one is left, and
//! the old one is heard out for a moment, so that nothing is lost in between; an update may
//! be told twice instead.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tidegate_model::{Answer, Json};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Headers, HttpPeer,
    answer::{Ending, Kind, Sent, kind},
    feed::Feed,
    link::Link,
    modern,
    pool::OWN,
    session::Session,
};
use crate::{
    client::{
        Heard, Member, Notification, Outgoing, PeerError, Wanted,
        inbound::{self, Inbound},
        peer::Fault,
        trial::Trial,
        wanted::{self, Tells, Wishes},
    },
    json::Raw,
    mcp::{
        envelope::Id,
        method::Method,
        peek::{CancelledParams, Meta},
    },
};

const METHOD: &str = Method::Listen.name();
/// How long a stream that was replaced is heard out.
const OVERLAP: Duration = Duration::from_secs(1);

/// A stream that the server has acknowledged.
struct Stream {
    id: u64,
    feed: Feed,
}

impl HttpPeer {
    pub(super) async fn listen_modern(
        &self,
        session: &Arc<Session>,
        mut wanted: watch::Receiver<Wanted>,
        headers: &Headers,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let tells = Tells::of(&session.info);
        if !tells.any() {
            return Ok(Heard::Nothing);
        }
        let mut opening: Option<BoxFuture<'_, _>> = None;
        let mut current: Option<Pin<Box<dyn Future<Output = _> + Send + '_>>> = None;
        let mut replaced = FuturesUnordered::new();
        let mut trial = Trial::begin(tells);
        let (mut asked_for, mut held) = (None, None);
        let mut is_wishing = true;
        loop {
            if opening.is_none() {
                let round = wanted.borrow_and_update().round.clone();
                let wishes = tells.ask(trial.next(&wanted.borrow()));
                if wishes != asked_for {
                    asked_for.clone_from(&wishes);
                    match wishes {
                        Some(wishes) => {
                            let limit = self.link.settings.setup_timeout;
                            let open = self.open_stream(session, headers, wishes);
                            let silent = Err(PeerError::Silent(METHOD));
                            let opened = timeout(limit, open).map(|got| got.unwrap_or(silent));
                            opening = Some(opened.boxed());
                        }
                        // Nothing is wanted any more.
                        None => {
                            current = None;
                            held = None;
                            trial.is_taken();
                        }
                    }
                }
                if opening.is_none() {
                    round.settle();
                }
            }
            tokio::select! {
                Some(ended) = OptionFuture::from(current.as_mut()) => return ended,
                Some(()) = replaced.next(), if !replaced.is_empty() => {}
                Some(opened) = OptionFuture::from(opening.as_mut()) => {
                    opening = None;
                    let stream = match opened {
                        Ok(Some(stream)) => stream,
                        Ok(None) => return Ok(Heard::Nothing),
                        // What was taken before is heard as before.
                        Err(error) if trial.is_refused(&error) => {
                            asked_for.clone_from(&held);
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    trial.is_taken();
                    held.clone_from(&asked_for);
                    let follow = follow(&self.link, stream, sink);
                    if let Some(old) = current.replace(Box::pin(follow)) {
                        replaced.push(timeout(OVERLAP, old).map(drop));
                    }
                }
                changed = wanted.changed(), if is_wishing => is_wishing = changed.is_ok(),
                () = trial.again() => {}
            }
        }
    }

    /// Opens a stream and waits for the server's word on it. None where the server knows no
    /// such thing.
    async fn open_stream(
        &self,
        session: &Arc<Session>,
        headers: &Headers,
        wishes: Wishes,
    ) -> Result<Option<Stream>, PeerError> {
        let id = self.link.next_id();
        let client = wishes.client();
        let outgoing = Outgoing {
            method: METHOD,
            params: &[("notifications", Member::Json(wishes.filter()))],
            headers,
            exchange: Some(&client),
            ..Outgoing::default()
        };
        let reply = self.post(session, id, &outgoing).await?;
        if reply.status.is_success() && matches!(kind(&reply.headers)?, Kind::Stream) {
            return acknowledged(id, Feed::new(&self.link, session, reply.body)).await;
        }
        let sent = Sent { session, id, exchange: None, call: None };
        match modern(self.read(sent, reply).await)? {
            Ending::Answer(answer) => refused(&answer),
            Ending::Again(error) => {
                self.forget(session, OWN);
                Err(error)
            }
        }
    }
}

/// The first message has to be the acknowledgement.
async fn acknowledged(id: u64, mut feed: Feed) -> Result<Option<Stream>, PeerError> {
    match feed.next().await? {
        Some(Inbound::Notification(note))
            if note.method == Method::SubscriptionsAcknowledged.name()
                && subscription(&note.params) == Some(id) =>
        {
            Ok(Some(Stream { id, feed }))
        }
        Some(Inbound::Answer(Some(found), answer)) if found == id => refused(&answer),
        Some(Inbound::Answer(..)) => Err(Fault::WrongId.into()),
        Some(_) => {
            let why = "the stream does not begin with the acknowledgement".to_owned();
            Err(Fault::Result { method: METHOD, why }.into())
        }
        None => Err(PeerError::Closed),
    }
}

/// An answer in place of a stream.
fn refused(answer: &Answer) -> Result<Option<Stream>, PeerError> {
    match answer {
        // It has ended before anything was told.
        Answer::Result(_) => Err(PeerError::Closed),
        Answer::Error(error) => wanted::refused(error).map(|_| None),
    }
}

/// Passes on what comes over a stream, until the server ends it.
async fn follow(
    link: &Link,
    mut stream: Stream,
    sink: &mpsc::Sender<Notification>,
) -> Result<Heard, PeerError> {
    while let Some(message) = stream.feed.next().await? {
        match message {
            Inbound::Answer(Some(found), _) if found == stream.id => {
                stream.feed.finish();
                return Ok(Heard::Ended);
            }
            Inbound::Answer(..) => return Err(Fault::WrongId.into()),
            Inbound::Notification(note) if note.method == Method::Cancelled.name() => {
                let params = CancelledParams::read(Some(Raw::from(&note.params)));
                let ended = params.ok().and_then(|params| params.request_id);
                if ended.and_then(Id::number) == Some(stream.id) {
                    return Ok(Heard::Ended);
                }
            }
            Inbound::Notification(note) if subscription(&note.params) != Some(stream.id) => {
                tracing::debug!(note.method, "a notification of another subscription; ignored");
            }
            Inbound::Notification(note) if inbound::is_announcement(&note) => {
                if inbound::is_list_change(&note) {
                    link.tick();
                }
                drop(sink.send(note).await);
            }
            Inbound::Notification(_) => {}
            Inbound::Question(asked) => {
                tracing::debug!(asked.method, "a modern server asked a question; ignored");
            }
        }
    }
    Ok(Heard::Ended)
}

/// The listen request that a notification names.
fn subscription(params: &Json) -> Option<u64> {
    Meta::of(Some(Raw::from(params))).subscription_id.and_then(Id::read).and_then(Id::number)
}
