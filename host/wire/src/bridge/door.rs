//! What is answered how: token first, then the path, then the message.
//!
//! | request | answer |
//! |---|---|
//! | anything without a good token | 401 |
//! | `POST /mcp` | Streamable HTTP of either era: one message, or events if something comes before it |
//! | `GET`, `DELETE /mcp` with a session | its stream; its end |
//! | `DELETE /children` with a child's key | 204: that child ends; 404: it did not run |
//! | `GET /healthz` | how the child without a key is, as JSON |
//!
//! 428 asks for the environment of a child; 502 is a child that ended, 503 one that cannot be
//! started now, each with a sentence and `"id":null`.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming as Received;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    CHILD, CLIENT, ENV, HEALTH, Limits, PATH,
    answer::{self, Body, RequestEvents, SessionEvents},
    children::{Children, Use},
    instance::{Asking, legacy::Opened},
    table::{Client, Full, Said},
};
use crate::{
    hosted::{Head, Refused, Verifier},
    json::{self, Raw},
    mcp::{Message, code, header, method::Method},
    server::{self, Accept, Incoming, Rejection, Session},
};

/// The path that children are ended at.
const CHILDREN: &str = "/children";
/// Time for the whole body of a request.
const BODY: Duration = Duration::from_secs(30);
/// The longest key of a child or a client.
const LONGEST_KEY: usize = 128;

/// Where requests come in.
#[derive(Debug)]
pub(super) struct Door {
    verifier: Arc<Verifier>,
    children: Arc<Children>,
    limits: Limits,
}

/// A message of a client, with all that was read of its head.
struct Post<'a> {
    parts: &'a Parts,
    text: Raw<'a>,
    message: &'a Message<'a>,
    accept: Accept,
    child: Option<&'a str>,
}

impl Door {
    pub(super) fn new(verifier: Arc<Verifier>, children: Arc<Children>, limits: Limits) -> Self {
        Self { verifier, children, limits }
    }

    pub(super) const fn children(&self) -> &Arc<Children> {
        &self.children
    }

    /// Answers one request.
    pub(super) async fn serve(&self, request: Request<Received>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match self.judged(&parts, body).await {
            Ok(body) => match self.route(&parts, body).await {
                Ok(response) => response,
                Err(rejection) => answer::rejected(&rejection, None),
            },
            Err(rejection) => answer::rejected(&rejection, None),
        }
    }

    /// The body, once head and body are known to be the gateway's.
    async fn judged(&self, parts: &Parts, body: Received) -> Result<Bytes, Rejection> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let head = Head { method: parts.method.as_str(), target };
        let admitted = self.verifier.admit(head, &parts.headers).map_err(refused)?;
        let body = timeout(BODY, Limited::new(body, self.limits.request).collect()).await;
        let refuse =
            |status, words: &'static str| Err(Rejection::new(status, code::INVALID_REQUEST, words));
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
            }
            Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the body broke off"),
            Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        };
        admitted.check(&body).map_err(refused)?;
        Ok(body)
    }

    async fn route(&self, parts: &Parts, body: Bytes) -> Result<Response<Body>, Rejection> {
        let child = opaque(parts, &CHILD)?;
        match (&parts.method, parts.uri.path()) {
            (&Verb::POST, PATH) => self.post(parts, body, child).await,
            (&Verb::GET, PATH) => self.stream(parts, child),
            (&Verb::DELETE, PATH) => self.end_session(parts, child),
            (&Verb::DELETE, CHILDREN) => {
                let key = child.ok_or_else(|| Rejection::invalid("name the child to end"))?;
                let ended = self.children.end(key);
                let status = if ended { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = status;
                Ok(response)
            }
            (&Verb::GET, HEALTH) => Ok(self.health()),
            (_, PATH) => Err(Rejection::verb()),
            _ => Err(Rejection::new(
                StatusCode::NOT_FOUND,
                code::INVALID_REQUEST,
                "there is nothing at this path",
            )),
        }
    }

    async fn post(
        &self,
        parts: &Parts,
        body: Bytes,
        child: Option<&str>,
    ) -> Result<Response<Body>, Rejection> {
        let accept = server::check_post(parts)?;
        let (bytes, string) = (self.limits.request, self.limits.request);
        let text = json::checked(body, &json::Limits { bytes, string, ..json::Limits::REQUEST })?;
        let text = Raw::from_checked(text.as_str());
        let message = &Message::parse(text).map_err(|bad| Rejection::from(&bad))?;
        let post = Post { parts, text, message, accept, child };
        let named = server::session_id(parts)?;
        let found = named.and_then(|name| self.found(child, name));
        let known = match (&found, named) {
            (Some((.., revision)), _) => Session::Known(*revision),
            (None, Some(_)) => Session::Unknown,
            (None, None) => Session::Absent,
        };
        match (server::classify(parts, message, known)?, found) {
            (Incoming::Initialize { .. }, _) => self.initialize(post).await,
            (Incoming::Legacy { .. }, Some((used, session, _))) => {
                legacy(post, used, session).await
            }
            (Incoming::Legacy { .. }, None) | (Incoming::Modern { .. }, _) => {
                self.modern(post).await
            }
        }
    }

    async fn initialize(&self, post: Post<'_>) -> Result<Response<Body>, Rejection> {
        let Message::Request(request) = post.message else {
            return Err(Rejection::invalid("`initialize` is a request"));
        };
        let used = match self.running(post.parts, post.child)? {
            Ok(used) => used,
            Err(refusal) => return Ok(refusal),
        };
        Ok(match used.instance.initialize(post.text, request).await {
            Ok(Opened::Session(id, pieces)) => {
                let mut response = answer::answer(StatusCode::OK, pieces);
                if let Ok(value) = HeaderValue::from_str(&id) {
                    response.headers_mut().insert(header::SESSION_ID, value);
                }
                response
            }
            Ok(Opened::Refused(pieces)) => answer::answer(StatusCode::OK, pieces),
            Ok(Opened::Gone) => answer::gone(&used.instance),
            Err(why) => answer::full(why, &used.instance),
        })
    }

    async fn modern(&self, post: Post<'_>) -> Result<Response<Body>, Rejection> {
        let used = match self.running(post.parts, post.child)? {
            Ok(used) => used,
            Err(refusal) => return Ok(refusal),
        };
        match post.message {
            Message::Request(_) => {
                let mark = opaque(post.parts, &CLIENT)?;
                let client = mark.map_or(Client::Alone, |mark| Client::Marked(mark.into()));
                Ok(ask(post, used, client, true).await)
            }
            // Without a session its request cannot be told; closing the stream cancels.
            Message::Notification(note) if note.method == Method::Cancelled.name() => Ok(taken()),
            Message::Notification(_) => {
                let passed = used.instance.pass(post.text).await;
                Ok(passed.map_or_else(|why| answer::full(why, &used.instance), |()| taken()))
            }
            Message::Response(_) => Err(Rejection::invalid("nobody was asked anything")),
        }
    }

    fn stream(&self, parts: &Parts, child: Option<&str>) -> Result<Response<Body>, Rejection> {
        server::check_get(parts)?;
        let (used, session) = self.session(parts, child)?;
        match used.instance.stream(&session) {
            Some(Some(stream)) => {
                let instance = Arc::clone(&used.instance);
                let events = SessionEvents { instance, session, stream: Some(stream) };
                Ok(server::event_stream(Body::session(events)))
            }
            _ => Err(Rejection::new(
                StatusCode::CONFLICT,
                code::INVALID_REQUEST,
                "the stream of this session is being read already",
            )),
        }
    }

    fn end_session(&self, parts: &Parts, child: Option<&str>) -> Result<Response<Body>, Rejection> {
        let (used, session) = self.session(parts, child)?;
        used.instance.end_session(&session);
        Ok(server::session_ended().map(Body::from))
    }

    /// The session of that name. It is its child's: without the child there is none, and none
    /// is started.
    fn found(
        &self,
        child: Option<&str>,
        name: &str,
    ) -> Option<(Use, Arc<str>, crate::mcp::revision::Revision)> {
        let used = self.children.current(child)?;
        let (session, revision) = used.instance.session(name)?;
        Some((used, session, revision))
    }

    /// The session that a request without a message names.
    fn session(&self, parts: &Parts, child: Option<&str>) -> Result<(Use, Arc<str>), Rejection> {
        let named = server::session_id(parts)?;
        let found = named.and_then(|name| self.found(child, name));
        let known = match (&found, named) {
            (Some((.., revision)), _) => Session::Known(*revision),
            (None, Some(_)) => Session::Unknown,
            (None, None) => return Err(Rejection::verb()),
        };
        server::in_session(parts, known)?;
        let (used, session, _) = found.ok_or_else(Rejection::verb)?;
        Ok((used, session))
    }

    /// The child of a request, started if need be, or how it is said that there is none.
    fn running(
        &self,
        parts: &Parts,
        child: Option<&str>,
    ) -> Result<Result<Use, Response<Body>>, Rejection> {
        let env = header::single(&parts.headers, &ENV)?;
        if env.is_some() && child.is_none() {
            return Err(Rejection::invalid("an environment is for a child with a key"));
        }
        let env = env.map(|env| STANDARD.decode(env).map(Zeroizing::new)).transpose();
        let env = env.map_err(|_| Rejection::invalid("the environment is no base64"))?;
        let used = self.children.running(child, env.as_ref().map(|env| env.as_slice()));
        Ok(used.map_err(|why| {
            tracing::warn!(%why, "no server process");
            answer::no_child(&why)
        }))
    }

    fn health(&self) -> Response<Body> {
        let (child, keyed) = self.children.condition();
        let state = match (child.pid, child.retry_after) {
            (Some(_), _) => "running",
            (None, Some(_)) => "failed",
            (None, None) => "idle",
        };
        let millis = child.retry_after.map(|after| after.as_millis());
        let told = serde_json::json!({
            "state": state,
            "pid": child.pid,
            "starts": child.starts,
            "failures": child.failures,
            "last": child.last,
            "retry_after_ms": millis,
            "junk_lines": child.junk_lines,
            "sessions": child.sessions,
            "under_way": child.under_way,
            "children": keyed,
        });
        server::json(StatusCode::OK, Body::from(Bytes::from(told.to_string())))
    }
}

/// A message within a session.
async fn legacy(post: Post<'_>, used: Use, session: Arc<str>) -> Result<Response<Body>, Rejection> {
    let instance = &used.instance;
    let done =
        |done: Result<(), Full>| done.map_or_else(|why| answer::full(why, instance), |()| taken());
    match post.message {
        Message::Request(request) => match instance.follows(&session, request) {
            Some(pieces) => Ok(answer::answer(StatusCode::OK, pieces)),
            None => Ok(ask(post, used, Client::Session(session), false).await),
        },
        Message::Notification(note) => Ok(done(instance.notified(&session, post.text, note).await)),
        Message::Response(response) => {
            match instance.answered(&session, post.text, response).await {
                Ok(false) => Err(Rejection::invalid("this session was not asked that")),
                Ok(true) => Ok(done(Ok(()))),
                Err(why) => Ok(done(Err(why))),
            }
        }
    }
}

/// Puts a request to a child. What comes before the answer makes the answer a stream.
async fn ask(post: Post<'_>, used: Use, client: Client, modern: bool) -> Response<Body> {
    let Message::Request(request) = post.message else { return taken() };
    let asking = Asking { text: post.text, request, client, streams: post.accept.events };
    let mut conversation = match used.instance.ask(asking).await {
        Ok(conversation) => conversation,
        Err(why) => return answer::full(why, &used.instance),
    };
    let id = request.id.into_owned();
    match conversation.next().await {
        Some(Said::Answer(pieces, error)) => answer::answer(answer::status(modern, error), pieces),
        Some(Said::Beside(first)) => {
            let events = RequestEvents { conversation, id, _in_use: used };
            server::event_stream(Body::request(events, first))
        }
        Some(Said::TooLarge) => answer::answer(StatusCode::OK, answer::too_large(&id)),
        None if used.instance.is_closed() => answer::gone(&used.instance),
        None => answer::answer(StatusCode::OK, answer::error(&id, "the request was cancelled")),
    }
}

fn taken() -> Response<Body> {
    server::accepted().map(Body::from)
}

/// The value of a header that means nothing here but itself.
fn opaque<'p>(parts: &'p Parts, name: &http::HeaderName) -> Result<Option<&'p str>, Rejection> {
    match header::single(&parts.headers, name)? {
        Some(value) if value.is_empty() || value.len() > LONGEST_KEY => {
            Err(Rejection::invalid(format!("`{name}` is empty, or longer than 128 characters")))
        }
        value => Ok(value),
    }
}

fn refused(why: Refused) -> Rejection {
    tracing::warn!(%why, "a request was refused");
    Rejection::new(StatusCode::UNAUTHORIZED, code::SERVER_ERROR, why.to_string())
}
