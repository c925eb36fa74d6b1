//! Reading the answer to one request: a JSON body, or a stream with everything that belongs
//! to the request.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use tidegate_model::{Answer, Json};

use super::{
    HttpPeer,
    feed::Feed,
    questions::Questions,
    session::{Session, UnderWay},
};
use crate::{
    client::{
        Exchange, Notification, PeerError,
        egress::{EgressError, Reply, ReplyBody},
        handshake,
        inbound::{self, Inbound},
        peer::Fault,
    },
    json,
    mcp::{code, method::Method, peek::ErrorObject, revision::Revision},
};

/// How a request ended, short of an error.
#[derive(Debug)]
pub(super) enum Ending {
    Answer(Answer),
    /// The server did not look at the request: it does not know the session, or not the
    /// revision. It may be sent again after a new set-up; this is the error otherwise.
    Again(PeerError),
}

/// A request that was sent, as far as reading its answer needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) id: u64,
    /// The client behind it.
    pub(super) exchange: Option<&'a Exchange>,
    /// The same, where the server may ask it something.
    pub(super) call: Option<&'a UnderWay>,
}

/// The largest body of an error status that is looked at.
const ERROR_BODY: usize = 64 * 1024;

pub(super) enum Kind {
    Json,
    Stream,
}

impl HttpPeer {
    pub(super) async fn read(&self, sent: Sent<'_>, reply: Reply) -> Result<Ending, PeerError> {
        if !reply.status.is_success() {
            return read_refusal(sent, reply).await;
        }
        let answer = match kind(&reply.headers)? {
            Kind::Json => self.read_body(sent, reply).await?,
            Kind::Stream => self.read_stream(sent, reply.body).await?,
        };
        inbound::judge(&answer, sent.session.info.revision, sent.exchange)?;
        Ok(Ending::Answer(answer))
    }

    async fn read_body(&self, sent: Sent<'_>, reply: Reply) -> Result<Answer, PeerError> {
        let status = reply.status.as_u16();
        let limit = self.link.settings.answer_limit;
        let body = reply.body.collect(limit).await.map_err(too_large)?;
        let batches = sent.session.info.revision.has_batching();
        let mut messages = inbound::read_all(body, limit, batches)?;
        // In a batch of the one revision that has them, the answer may have company.
        while messages.len() > 1 {
            match messages.pop_front() {
                Some(answer @ Inbound::Answer(..)) => messages = [answer].into(),
                Some(Inbound::Notification(note)) => self.note(sent, note),
                _ => {}
            }
        }
        match messages.pop_front() {
            Some(Inbound::Answer(Some(found), answer)) if found == sent.id => Ok(answer),
            Some(Inbound::Answer(None, Answer::Error(error))) => {
                Err(PeerError::Status { status, error: Some(error) })
            }
            Some(Inbound::Answer(..)) => Err(Fault::WrongId.into()),
            _ => {
                let what = "a request or notification in place of the answer".to_owned();
                Err(Fault::Malformed(what).into())
            }
        }
    }

    async fn read_stream(&self, sent: Sent<'_>, body: ReplyBody) -> Result<Answer, PeerError> {
        let mut feed = Feed::new(&self.link, sent.session, body);
        let mut questions = Questions::new(&self.link, sent.session);
        while let Some(message) = questions.beside(feed.next()).await? {
            match message {
                Inbound::Answer(Some(found), answer) if found == sent.id => {
                    feed.finish();
                    return Ok(answer);
                }
                Inbound::Answer(..) if feed.was_picked_up() => {
                    tracing::debug!("a stream that was picked up holds the answer of another");
                }
                Inbound::Answer(..) => return Err(Fault::WrongId.into()),
                Inbound::Notification(note) if is_withdrawal(&note) => questions.withdraw(&note),
                Inbound::Notification(note) => self.note(sent, note),
                Inbound::Question(asked) if sent.session.is_legacy() => {
                    questions.take(asked, sent.call.cloned())?;
                }
                // Modern streams carry no questions, and nothing can be sent in reply.
                Inbound::Question(asked) => {
                    tracing::debug!(asked.method, "a modern server asked a question; ignored");
                }
            }
        }
        Err(PeerError::Closed)
    }

    /// A notification that came beside the answer.
    fn note(&self, sent: Sent<'_>, note: Notification) {
        if inbound::is_announcement(&note) {
            if inbound::is_list_change(&note) {
                self.link.tick();
            }
            self.link.announce(note);
        } else if let Some(exchange) = sent.exchange
            && inbound::belongs(&note, sent.id)
        {
            exchange.tell(note);
        }
    }
}

/// An error status: perhaps with a JSON-RPC error, perhaps about the session.
async fn read_refusal(sent: Sent<'_>, reply: Reply) -> Result<Ending, PeerError> {
    let status = reply.status;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(PeerError::unauthorized(&reply));
    }
    let has_session = sent.session.id.is_some();
    let is_json = matches!(kind(&reply.headers), Ok(Kind::Json));
    let again = |error| Ending::Again(PeerError::Status { status: status.as_u16(), error });
    let body = reply.body.collect(ERROR_BODY).await.unwrap_or_default();
    let error = match is_json {
        true => match inbound::read(body.clone(), ERROR_BODY) {
            Ok(Inbound::Answer(Some(found), answer)) if found == sent.id => {
                let is_gone = status == StatusCode::NOT_FOUND && has_session;
                let Answer::Error(error) = answer else { return Err(Fault::WrongId.into()) };
                if sent.session.is_legacy()
                    && let Some(supported) = now_modern(status, &error)
                {
                    return Ok(Ending::Again(PeerError::Revision(supported)));
                }
                if is_gone && !is_about_method(&error) {
                    return Ok(again(Some(error)));
                }
                return Ok(Ending::Answer(Answer::Error(error)));
            }
            Ok(Inbound::Answer(None, Answer::Error(error))) => Some(error),
            _ => None,
        },
        false => None,
    };
    let is_bad = has_session && status == StatusCode::BAD_REQUEST;
    let is_old = sent.session.info.revision < Revision::V2025_06_18;
    match error {
        error if has_session && status == StatusCode::NOT_FOUND => Ok(again(error)),
        error if is_bad && (is_old || is_about_session(&body, error.as_ref())) => Ok(again(error)),
        // In reply to this request alone, so it is about it, whatever its id.
        Some(error) if is_bad => Ok(Ending::Answer(Answer::Error(error))),
        error => Err(PeerError::Status { status: status.as_u16(), error }),
    }
}

/// Whether a 400 says that the session is unknown. The specification says 404 for that;
/// servers built on older SDK examples say 400, with one of two codes or in words. Any other
/// 400 is about the request, and its session goes on.
fn is_about_session(body: &[u8], error: Option<&Json>) -> bool {
    let code = error.and_then(|error| ErrorObject::read(error.into())).map(|error| error.code);
    let word = b"session";
    matches!(code, Some(-32_000 | -32_001))
        || body.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word))
}

/// Whether the server withdraws a question. (Its ids are of this hop: nobody else is told.)
pub(super) fn is_withdrawal(note: &Notification) -> bool {
    note.method == Method::Cancelled.name()
}

fn is_about_method(error: &Json) -> bool {
    ErrorObject::read(error.into()).is_some_and(|error| error.code == code::METHOD_NOT_FOUND)
}

/// What a server that was legacy speaks now, where it says so before it looked at the
/// request. The code alone would not do: to a legacy server it may mean anything.
fn now_modern(status: StatusCode, error: &Json) -> Option<Vec<String>> {
    let peek = ErrorObject::read(error.into())?;
    let listed = peek.data.and_then(|data| data.get("supported"));
    let is_list = listed.is_some_and(|listed| listed.kind() == json::Kind::Array);
    let refused = status == StatusCode::BAD_REQUEST
        && peek.code == code::UNSUPPORTED_PROTOCOL_VERSION
        && is_list;
    refused.then(|| handshake::supported(&peek))
}

fn too_large(error: EgressError) -> PeerError {
    match error {
        EgressError::TooLarge { limit } => PeerError::TooLarge { limit },
        error => error.into(),
    }
}

pub(super) fn kind(headers: &HeaderMap) -> Result<Kind, Fault> {
    let shown = |value: &http::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect::<String>()
    };
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Fault::ContentEncoding(shown(encoding)));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Fault::ContentType(String::new()));
    };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Ok(Kind::Json)
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        Ok(Kind::Stream)
    } else {
        Err(Fault::ContentType(shown(value)))
    }
}
