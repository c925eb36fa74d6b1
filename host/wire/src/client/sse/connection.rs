//! One stream of events and what is posted beside it: how it is opened, and its reading.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use tokio::{sync::watch, time::timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Posts, SseSettings, pool::Slot};
use crate::{
    client::{
        PeerError,
        channel::{Channel, Out, Start},
        egress::{Destination, ReplyBody},
        handshake,
        peer::Fault,
    },
    json::{self, Limits},
    mcp,
    sse::{Decoder, Event},
};

/// A session with the server; ends when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) channel: Arc<Channel>,
}

impl Connection {
    /// Opens the stream, learns where to post, and sets the session up.
    pub(super) async fn open(
        destination: &Destination,
        settings: &SseSettings,
        slot: &Slot,
        changes: watch::Sender<u64>,
    ) -> Result<Self, PeerError> {
        let until = tokio::time::Instant::now() + settings.setup_timeout;
        let opening = async {
            let opened = timeout_at(until, Stream::open(destination, settings, slot)).await;
            let (stream, place) = opened.map_err(|_| PeerError::Silent("endpoint"))??;
            let connection = Self::start(stream, place, settings, slot, changes);
            let set_up = timeout_at(until, connection.channel.initialize(slot.key.profile)).await;
            let method = mcp::method::Method::Initialize.name();
            connection.channel.settle(set_up.map_err(|_| PeerError::Silent(method))??);
            Ok(connection)
        };
        tokio::select! {
            opened = opening => opened,
            () = slot.stop.cancelled() => Err(PeerError::Closed),
        }
    }

    fn start(
        stream: Stream,
        place: Destination,
        settings: &SseSettings,
        slot: &Slot,
        changes: watch::Sender<u64>,
    ) -> Self {
        let stop = slot.stop.child_token();
        let mut headers = fields(settings, slot);
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        let channel = Channel::new(Start {
            name: settings.name.clone(),
            limit: settings.answer_limit,
            out: Out::Posts(Posts::new(place, headers)),
            changes,
            stop: stop.clone(),
        });
        tokio::spawn(stream.read(Arc::clone(&channel), stop));
        Self { channel }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.channel.stop();
    }
}

/// Events as they come.
struct Stream {
    body: ReplyBody,
    decoder: Decoder,
    waiting: VecDeque<Event>,
    limit: usize,
    too_large: bool,
}

impl Stream {
    /// Opens the stream and reads its first event, which says where to post.
    async fn open(
        destination: &Destination,
        settings: &SseSettings,
        slot: &Slot,
    ) -> Result<(Self, Destination), PeerError> {
        let mut headers = fields(settings, slot);
        headers.push((header::ACCEPT, HeaderValue::from_static("text/event-stream")));
        headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        let reply = destination.send(&Method::GET, &headers, &Bytes::new()).await?;
        let status = reply.status.as_u16();
        match status {
            200..=299 => {}
            401 | 403 => return Err(PeerError::unauthorized(&reply)),
            _ => return Err(PeerError::Status { status, error: None }),
        }
        check_kind(&reply.headers)?;
        let limit = settings.answer_limit;
        let mut stream = Self {
            body: reply.body,
            decoder: Decoder::new(limit),
            waiting: VecDeque::new(),
            limit,
            too_large: false,
        };
        let broken = |what: String| PeerError::from(Fault::Stream(what));
        let Some(event) = stream.next().await? else {
            return Err(broken("it ended before an `endpoint` event".to_owned()));
        };
        if event.name.as_deref() != Some("endpoint") {
            let name = handshake::shorten(event.name.as_deref().unwrap_or("message"));
            return Err(broken(format!("its first event is `{name}` instead of `endpoint`")));
        }
        let reference = std::str::from_utf8(&event.data)
            .map_err(|_| broken("its `endpoint` is no text".to_owned()))?;
        let place = destination
            .follow(reference)
            .map_err(|error| broken(format!("its `endpoint` cannot be used: {error}")))?;
        Ok((stream, place))
    }

    /// Hands all messages to the channel until the stream ends or `stop` is set.
    async fn read(mut self, channel: Arc<Channel>, stop: CancellationToken) {
        let limits = Limits { bytes: self.limit, string: self.limit, ..Limits::RESPONSE };
        loop {
            let event = tokio::select! {
                event = self.next() => event,
                () = stop.cancelled() => break,
            };
            match event {
                Ok(Some(event)) if event.name.as_deref().is_none_or(|name| name == "message") => {
                    match json::checked(event.data, &limits) {
                        Ok(text) => channel.take(&text),
                        Err(violation) => channel.count_junk(&violation),
                    }
                }
                // A second endpoint, or something that later revisions have.
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(PeerError::TooLarge { .. }) => {
                    channel.count_junk(&"an event beyond the limit");
                    channel.take_too_large();
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "the stream of events broke");
                    break;
                }
            }
        }
        channel.close();
    }

    /// The next event with data; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Event>, PeerError> {
        loop {
            while let Some(event) = self.waiting.pop_front() {
                if !event.data.is_empty() {
                    return Ok(Some(event));
                }
            }
            if self.too_large {
                return Err(PeerError::TooLarge { limit: self.limit });
            }
            let Some(chunk) = self.body.next().await? else { return Ok(None) };
            let mut events = Vec::new();
            // What was complete before an event beyond the limit still counts.
            self.too_large = self.decoder.feed(&chunk, &mut events).is_err();
            self.waiting.extend(events);
        }
    }
}

/// Headers of every message of one connection.
fn fields(settings: &SseSettings, slot: &Slot) -> Vec<(HeaderName, HeaderValue)> {
    settings.headers.iter().chain(&slot.key.headers).cloned().collect()
}

/// Whether the body is a stream of events, uncompressed.
fn check_kind(headers: &http::HeaderMap) -> Result<(), Fault> {
    let value = |name| {
        headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()))
    };
    if let Some(encoding) = value(header::CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(Fault::ContentEncoding(handshake::shorten(&encoding)));
    }
    let kind = value(header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("text/event-stream") {
        true => Ok(()),
        false => Err(Fault::ContentType(handshake::shorten(&kind))),
    }
}
