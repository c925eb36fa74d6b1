//! The messages of one event stream, also beyond its end.
//!
//! A legacy server may close a stream and have it picked up again, from after the last event
//! (`Last-Event-ID`; SEP-1699 makes a habit of it). Whoever reads notices nothing. Knows
//! nothing of what the messages say.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::{HeaderValue, StatusCode};
use tokio::time::sleep;

use super::{
    answer::{Kind, kind},
    link::Link,
    session::Session,
};
use crate::{
    client::{
        PeerError,
        egress::ReplyBody,
        inbound::{self, Inbound},
    },
    mcp::revision::Revision,
    sse,
};

/// The pause before picking a stream up where the server names none.
const PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often in a row it may be in vain, and how often at all.
const IN_VAIN: u32 = 8;
const AT_ALL: u32 = 1024;

/// The messages of a stream; see the module.
pub(super) struct Feed {
    link: Arc<Link>,
    session: Arc<Session>,
    events: Option<Events>,
    last_id: Option<HeaderValue>,
    pause: Duration,
    in_vain: u32,
    at_all: u32,
}

impl Feed {
    pub(super) fn new(link: &Arc<Link>, session: &Arc<Session>, body: ReplyBody) -> Self {
        let events = Events::new(body, link.settings.answer_limit, session.info.revision);
        Self {
            link: Arc::clone(link),
            session: Arc::clone(session),
            events: Some(events),
            last_id: None,
            pause: PAUSE,
            in_vain: 0,
            at_all: 0,
        }
    }

    /// The next message; `None` at an end that cannot be gone beyond.
    pub(super) async fn next(&mut self) -> Result<Option<Inbound>, PeerError> {
        loop {
            let Some(events) = &mut self.events else {
                self.pick_up().await?;
                continue;
            };
            let ending = match events.next().await {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => Ok(None),
                Err(error @ PeerError::Egress(_)) => Err(error),
                Err(error) => return Err(error),
            };
            if events.any {
                self.in_vain = 0;
            }
            if let Some(id) = events.last_id() {
                self.last_id = Some(id);
            }
            if let Some(pause) = events.decoder.retry().map(Duration::from_millis) {
                self.pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            }
            if self.last_id.is_none() || !self.session.is_legacy() {
                return ending;
            }
            self.events = None;
        }
    }

    /// Whether the stream was picked up, so that it may hold what belongs to others.
    pub(super) const fn was_picked_up(&self) -> bool {
        self.at_all > 0
    }

    /// Nothing more is of interest. Where the end has arrived too, the connection can be
    /// used again.
    pub(super) fn finish(mut self) {
        if let Some(events) = &mut self.events {
            drop(events.body.next().now_or_never());
        }
    }

    /// Tries once more to get at the rest of the stream.
    async fn pick_up(&mut self) -> Result<(), PeerError> {
        if self.in_vain >= IN_VAIN || self.at_all >= AT_ALL {
            return Err(PeerError::Closed);
        }
        self.in_vain += 1;
        self.at_all += 1;
        sleep(self.pause).await;
        let reply = match self.link.get(&self.session, self.last_id.as_ref()).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%error, "a stream could not be picked up; tried again");
                return Ok(());
            }
        };
        let status = reply.status;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            tracing::debug!(%status, "a stream could not be picked up; tried again");
            return Ok(());
        }
        if !status.is_success() || !matches!(kind(&reply.headers), Ok(Kind::Stream)) {
            tracing::debug!(%status, "a stream cannot be picked up at this server");
            return Err(PeerError::Closed);
        }
        let limit = self.link.settings.answer_limit;
        self.events = Some(Events::new(reply.body, limit, self.session.info.revision));
        Ok(())
    }
}

/// Messages out of the body of one response.
struct Events {
    body: ReplyBody,
    decoder: sse::Decoder,
    waiting: VecDeque<sse::Event>,
    /// The rest of a batch.
    ready: VecDeque<Inbound>,
    batches: bool,
    limit: usize,
    too_large: bool,
    any: bool,
}

impl Events {
    fn new(body: ReplyBody, limit: usize, revision: Revision) -> Self {
        Self {
            body,
            decoder: sse::Decoder::new(limit),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            batches: revision.has_batching(),
            limit,
            too_large: false,
            any: false,
        }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Inbound>, PeerError> {
        let limit = self.limit;
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            while let Some(event) = self.waiting.pop_front() {
                self.any = true;
                let is_message = event.name.is_none_or(|name| name == "message");
                if is_message && !event.data.is_empty() {
                    self.ready = inbound::read_all(event.data, limit, self.batches)?;
                    break;
                }
            }
            if !self.ready.is_empty() {
                continue;
            }
            if self.too_large {
                return Err(PeerError::TooLarge { limit });
            }
            let Some(chunk) = self.body.next().await? else { return Ok(None) };
            let mut events = Vec::new();
            // What was complete before an event beyond the limit still counts.
            self.too_large = self.decoder.feed(&chunk, &mut events).is_err();
            self.waiting.extend(events);
        }
    }

    /// The id from after which the stream can be picked up, if there is one.
    fn last_id(&self) -> Option<HeaderValue> {
        let id = self.decoder.last_id().filter(|id| !id.is_empty())?;
        HeaderValue::from_bytes(id.as_bytes()).ok()
    }
}
