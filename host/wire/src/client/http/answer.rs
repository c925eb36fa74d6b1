//! Reading the answer to one request: a JSON body, or a stream with everything that belongs
//! to the request.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use futures_util::FutureExt;
use http::{HeaderMap, StatusCode, header};
use tidegate_model::{Answer, Json};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Headers, HttpPeer, session::Session};
use crate::{
    client::{
        Heard, Notification, Outgoing, PeerError, Wanted,
        egress::{EgressError, Reply, ReplyBody},
        inbound::{self, Asked, Inbound},
        peer::Fault,
    },
    json::Raw,
    mcp::{code, peek::ErrorObject, revision::Era},
    sse,
};

/// How a request ended, short of an error.
#[derive(Debug)]
pub(super) enum Ending {
    Answer(Answer),
    /// The server does not know the session; it has not looked at the request.
    SessionGone(u16),
}

/// The largest body of an error status that is looked at.
const ERROR_BODY: usize = 64 * 1024;
/// The most questions of a server during one request.
const QUESTIONS: usize = 16;
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

enum Kind {
    Json,
    Stream,
}

impl HttpPeer {
    pub(super) async fn read(
        &self,
        session: &Arc<Session>,
        id: u64,
        reply: Reply,
        outgoing: &Outgoing<'_>,
    ) -> Result<Ending, PeerError> {
        if !reply.status.is_success() {
            return self.read_refusal(session, id, reply).await;
        }
        let answer = match kind(&reply.headers)? {
            Kind::Json => {
                let limit = self.settings.answer_limit;
                let body = reply.body.collect(limit).await.map_err(too_large)?;
                match inbound::read(body, limit)? {
                    Inbound::Answer(Some(found), answer) if found == id => answer,
                    Inbound::Answer(None, Answer::Error(error)) => {
                        let status = reply.status.as_u16();
                        return Err(PeerError::Status { status, error: Some(error) });
                    }
                    Inbound::Answer(..) => return Err(Fault::WrongId.into()),
                    Inbound::Notification(_) | Inbound::Question(..) => {
                        let what = "a request or notification in place of the answer".to_owned();
                        return Err(Fault::Malformed(what).into());
                    }
                }
            }
            Kind::Stream => self.read_stream(session, id, reply.body, outgoing).await?,
        };
        inbound::judge(&answer, session.info.revision, outgoing.exchange)?;
        Ok(Ending::Answer(answer))
    }

    /// An error status: perhaps with a JSON-RPC error, perhaps about the session.
    async fn read_refusal(
        &self,
        session: &Session,
        id: u64,
        reply: Reply,
    ) -> Result<Ending, PeerError> {
        let status = reply.status;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(PeerError::Unauthorized(status.as_u16()));
        }
        let is_json = matches!(kind(&reply.headers), Ok(Kind::Json));
        let error = match reply.body.collect(ERROR_BODY).await {
            Ok(body) if is_json => match inbound::read(body, ERROR_BODY) {
                Ok(Inbound::Answer(Some(found), answer)) if found == id => {
                    let is_gone = status == StatusCode::NOT_FOUND && session.id.is_some();
                    let Answer::Error(error) = answer else { return Err(Fault::WrongId.into()) };
                    if is_gone && !is_about_method(&error) {
                        return Ok(Ending::SessionGone(status.as_u16()));
                    }
                    return Ok(Ending::Answer(Answer::Error(error)));
                }
                Ok(Inbound::Answer(None, Answer::Error(error))) => Some(error),
                _ => None,
            },
            _ => None,
        };
        // The specification says 404; servers built on older SDK examples say 400.
        let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST);
        if session.id.is_some() && gone {
            return Ok(Ending::SessionGone(status.as_u16()));
        }
        Err(PeerError::Status { status: status.as_u16(), error })
    }

    async fn read_stream(
        &self,
        session: &Arc<Session>,
        id: u64,
        body: ReplyBody,
        outgoing: &Outgoing<'_>,
    ) -> Result<Answer, PeerError> {
        let mut stream = Events::new(body, self.settings.answer_limit);
        let mut questions = 0;
        while let Some(message) = stream.next().await? {
            match message {
                Inbound::Answer(Some(found), answer) if found == id => {
                    stream.finish();
                    return Ok(answer);
                }
                Inbound::Answer(..) => return Err(Fault::WrongId.into()),
                Inbound::Notification(note) => {
                    if inbound::is_list_change(&note) {
                        self.tick();
                    } else if let Some(exchange) = outgoing.exchange
                        && inbound::belongs(&note, id)
                    {
                        exchange.tell(note);
                    }
                }
                Inbound::Question(asked) => {
                    questions += 1;
                    if questions > QUESTIONS {
                        return Err(Fault::TooManyRequests.into());
                    }
                    self.reply(session, outgoing.headers, &asked).await;
                }
            }
        }
        Err(PeerError::Closed)
    }

    /// Follows the messages that a legacy server sends of its own accord, and ticks
    /// [`HttpPeer::changes`], until the stream ends. Tells whether there is one at all.
    pub async fn listen(
        &self,
        _wanted: watch::Receiver<Wanted>,
        headers: &Headers,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let session = self.session(headers).await?;
        if session.info.revision.era() == Era::Modern || !announces_changes(&session) {
            return Ok(Heard::Nothing);
        }
        let fields = self.headers(&session, headers);
        let reply = self.destination.send(&http::Method::GET, &fields, &Bytes::new()).await?;
        match reply.status {
            StatusCode::METHOD_NOT_ALLOWED => return Ok(Heard::Nothing),
            StatusCode::NOT_FOUND => {
                self.forget(&session);
                return Ok(Heard::Ended);
            }
            status if !status.is_success() => {
                return Err(PeerError::Status { status: status.as_u16(), error: None });
            }
            _ => {}
        }
        if !matches!(kind(&reply.headers)?, Kind::Stream) {
            return Ok(Heard::Nothing);
        }
        let mut stream = Events::new(reply.body, self.settings.answer_limit);
        while let Some(message) = stream.next().await? {
            match message {
                Inbound::Notification(note) if inbound::is_list_change(&note) => {
                    self.tick();
                    drop(sink.send(note).await);
                }
                Inbound::Notification(_) | Inbound::Answer(..) => {}
                Inbound::Question(asked) => self.reply(&session, headers, &asked).await,
            }
        }
        Ok(Heard::Ended)
    }

    /// Answers a question of the server while the request goes on.
    async fn reply(&self, session: &Arc<Session>, headers: &Headers, asked: &Asked) {
        let method = asked.method.as_str();
        if session.info.revision.era() == Era::Modern {
            // Modern streams carry no questions, and nothing can be sent in reply.
            tracing::debug!(method, "a modern server asked a question on a stream; ignored");
            return;
        }
        let reply = inbound::response(&asked.id, &inbound::own_answer(method));
        match timeout(REPLY_TIMEOUT, self.tell(session, headers, reply)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, method, "a reply was not taken"),
            Err(_) => tracing::debug!(method, "a reply was not taken in time"),
        }
    }
}

/// Messages out of a stream of events.
struct Events {
    body: ReplyBody,
    decoder: sse::Decoder,
    waiting: VecDeque<sse::Event>,
    limit: usize,
    too_large: bool,
}

impl Events {
    fn new(body: ReplyBody, limit: usize) -> Self {
        Self {
            body,
            decoder: sse::Decoder::new(limit),
            waiting: VecDeque::new(),
            limit,
            too_large: false,
        }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Inbound>, PeerError> {
        let limit = self.limit;
        loop {
            while let Some(event) = self.waiting.pop_front() {
                let is_message = event.name.is_none_or(|name| name == "message");
                if is_message && !event.data.is_empty() {
                    return inbound::read(event.data, limit).map(Some);
                }
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

    /// Where the end has arrived too, the connection can be used again.
    fn finish(mut self) {
        drop(self.body.next().now_or_never());
    }
}

/// Whether the server said that it would tell of changed lists.
fn announces_changes(session: &Session) -> bool {
    Raw::from(&session.info.capabilities)
        .get("tools")
        .and_then(|tools| tools.get("listChanged"))
        .and_then(Raw::boolean)
        .unwrap_or(false)
}

fn is_about_method(error: &Json) -> bool {
    ErrorObject::read(error.into()).is_some_and(|error| error.code == code::METHOD_NOT_FOUND)
}

fn too_large(error: EgressError) -> PeerError {
    match error {
        EgressError::TooLarge { limit } => PeerError::TooLarge { limit },
        error => error.into(),
    }
}

fn kind(headers: &HeaderMap) -> Result<Kind, Fault> {
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
