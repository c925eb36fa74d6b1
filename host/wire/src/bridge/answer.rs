//! What goes back over HTTP: one message, events as they come, or a refusal.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use super::{
    children::{NoChild, Use},
    instance::{Conversation, Instance},
    rewrite::Pieces,
    slot::NotRunning,
    table::{Full, Said},
};
use crate::{
    mcp::{OwnedId, code, envelope},
    server::{self, Rejection},
};

/// Pieces smaller than this are sent as one.
const SMALL: usize = 16 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    ready: VecDeque<Bytes>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Over,
    Request(Box<RequestEvents>),
    Session(SessionEvents),
}

/// What comes of one request, until its answer has come.
#[derive(Debug)]
pub(super) struct RequestEvents {
    pub(super) conversation: Conversation,
    pub(super) id: OwnedId,
    pub(super) _in_use: Use,
}

/// The stream of a session; given back when it is dropped.
#[derive(Debug)]
pub(super) struct SessionEvents {
    pub(super) instance: Arc<Instance>,
    pub(super) session: Arc<str>,
    /// Always there until it is dropped.
    pub(super) stream: Option<mpsc::Receiver<Pieces>>,
}

impl Body {
    /// A message in one answer.
    pub(super) fn message(pieces: Pieces) -> Self {
        let ready = if pieces.len() < SMALL {
            VecDeque::from([joined(&[], &pieces, &[])])
        } else {
            pieces.0.into()
        };
        Self { ready, source: Source::Over }
    }

    /// Everything that comes of a request, beginning with what has come already.
    pub(super) fn request(events: RequestEvents, first: Pieces) -> Self {
        let mut body = Self { ready: VecDeque::new(), source: Source::Request(Box::new(events)) };
        body.event(first);
        body
    }

    /// What is told in a session apart from requests.
    pub(super) fn session(events: SessionEvents) -> Self {
        // So that the head leaves at once.
        let ready = VecDeque::from([Bytes::from_static(crate::sse::KEEP_ALIVE)]);
        Self { ready, source: Source::Session(events) }
    }

    /// A message is one line of checked JSON, so it is one line of data, too.
    fn event(&mut self, pieces: Pieces) {
        if pieces.len() < SMALL {
            return self.ready.push_back(joined(b"data: ", &pieces, b"\n\n"));
        }
        self.ready.push_back(Bytes::from_static(b"data: "));
        self.ready.extend(pieces.0);
        self.ready.push_back(Bytes::from_static(b"\n\n"));
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Pieces>> {
        match &mut self.source {
            Source::Over => Poll::Ready(None),
            Source::Request(events) => {
                let said = ready!(events.conversation.poll_next(cx));
                let pieces = match said {
                    Some(Said::Beside(pieces)) => return Poll::Ready(Some(pieces)),
                    Some(Said::Answer(pieces, _)) => Some(pieces),
                    Some(Said::TooLarge) => Some(too_large(&events.id)),
                    None => None,
                };
                self.source = Source::Over;
                Poll::Ready(pieces)
            }
            Source::Session(events) => match &mut events.stream {
                Some(stream) => stream.poll_recv(cx),
                None => Poll::Ready(None),
            },
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            match this.ready.pop_front() {
                Some(data) if data.is_empty() => {}
                Some(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                None => match ready!(this.poll_source(cx)) {
                    Some(pieces) => this.event(pieces),
                    None => return Poll::Ready(None),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match self.source {
            Source::Over => SizeHint::with_exact(self.ready.iter().map(|b| b.len() as u64).sum()),
            _ => SizeHint::default(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { ready: VecDeque::from([bytes]), source: Source::Over }
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.instance.give_back(&self.session, stream);
        }
    }
}

fn joined(before: &[u8], pieces: &Pieces, after: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(before.len() + pieces.len() + after.len());
    whole.extend_from_slice(before);
    pieces.0.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.extend_from_slice(after);
    whole.freeze()
}

/// The answer to a request as one message.
pub(super) fn answer(status: StatusCode, pieces: Pieces) -> Response<Body> {
    server::json(status, Body::message(pieces))
}

/// The status that goes with an answer: modern clients see from it what kind of error it is.
pub(super) fn status(modern: bool, error: Option<i64>) -> StatusCode {
    match error {
        Some(code::METHOD_NOT_FOUND) if modern => StatusCode::NOT_FOUND,
        Some(error) if modern && code::is_modern(error) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// The error in place of an answer that is larger than allowed.
pub(super) fn too_large(id: &OwnedId) -> Pieces {
    error(id, "the server's answer is larger than allowed")
}

/// An error of the bridge in place of an answer.
pub(super) fn error(id: &OwnedId, words: &str) -> Pieces {
    let mut out = Vec::new();
    envelope::error(&mut out, Some(id.borrow()), code::SERVER_ERROR, words, None);
    Pieces(vec![out.into()])
}

/// A rejection, with `Retry-After` where it is known when to come again.
pub(super) fn rejected(rejection: &Rejection, retry_after: Option<u64>) -> Response<Body> {
    let mut response = rejection.respond(None).map(Body::from);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// That there is no child for a request.
pub(super) fn no_child(why: &NoChild) -> Response<Body> {
    let (status, retry_after) = match why {
        NoChild::NotRunning(NotRunning::TooEarly { retry_after, .. }) => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after.as_secs() + 1))
        }
        NoChild::NotRunning(NotRunning::Start(_)) => (StatusCode::SERVICE_UNAVAILABLE, None),
        NoChild::NotRunning(NotRunning::NeedsEnvironment) => {
            (StatusCode::PRECONDITION_REQUIRED, None)
        }
        NoChild::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
        NoChild::Environment(_) => (StatusCode::BAD_REQUEST, None),
        NoChild::Conflict => (StatusCode::CONFLICT, None),
        NoChild::Stopping => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    rejected(&Rejection::new(status, code::SERVER_ERROR, why.to_string()), retry_after)
}

/// That a child did not take a request.
pub(super) fn full(why: Full, instance: &Instance) -> Response<Body> {
    match why {
        Full::Closed => gone(instance),
        Full::Crowded => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            rejected(&Rejection::new(status, code::SERVER_ERROR, why.to_string()), Some(1))
        }
    }
}

/// That the child ended before it answered.
pub(super) fn gone(instance: &Instance) -> Response<Body> {
    let how = instance.ended().unwrap_or_else(|| "it closed its output".to_owned());
    let words = format!("the server process ended before it answered ({how})");
    rejected(&Rejection::new(StatusCode::BAD_GATEWAY, code::SERVER_ERROR, words), None)
}
