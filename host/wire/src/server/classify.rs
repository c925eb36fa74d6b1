//! What a POST is: which era, which revision, and whether its head may say so.

use http::{StatusCode, request::Parts};
use tidegate_model::Json;

use super::Rejection;
use crate::{
    json::Kind,
    mcp::{
        Era, Message, Revision, code, header,
        method::Method,
        peek::{InitializeParams, Meta, PeekError, key},
    },
};

/// The revisions that a modern request may name.
pub const SUPPORTED_MODERN: [Revision; 1] = [Revision::V2026_07_28];

/// What the gateway knows about the session that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// It names none.
    Absent,
    /// It names one that is not there (any more), or belongs to somebody else.
    Unknown,
    /// It names one of this caller's, negotiated at that revision.
    Known(Revision),
}

/// A message that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A modern message, complete in itself.
    Modern {
        /// What it speaks.
        revision: Revision,
        /// The reserved members of its `_meta`.
        meta: Meta<'a>,
    },
    /// The request that opens a legacy session.
    Initialize {
        /// What to speak: what the client asked for, or our newest legacy revision.
        revision: Revision,
        /// Its parameters.
        params: InitializeParams<'a>,
    },
    /// A message within a legacy session.
    Legacy {
        /// What the session speaks.
        revision: Revision,
    },
}

/// The session id a request names; refused if repeated or not visible ASCII.
pub fn session_id(parts: &Parts) -> Result<Option<&str>, Rejection> {
    let refuse = || Rejection::invalid("the `Mcp-Session-Id` header is malformed");
    let id = header::single(&parts.headers, &header::SESSION_ID).map_err(|_| refuse())?;
    match id {
        Some(id) if id.is_empty() || id.len() > 256 => Err(refuse()),
        Some(id) if !id.bytes().all(|b| matches!(b, 0x21..=0x7e)) => Err(refuse()),
        id => Ok(id),
    }
}

/// Decides what a single message is.
///
/// Modern `_meta` members, or a modern version header outside a session, make it modern;
/// `initialize` and a session make it legacy. Whether the method exists is not asked here.
pub fn classify<'a>(
    parts: &Parts,
    message: &Message<'a>,
    session: Session,
) -> Result<Incoming<'a>, Rejection> {
    let (Message::Request(_) | Message::Notification(_)) = message else {
        // Only legacy clients answer requests of the server.
        return in_session(parts, session).map(|revision| Incoming::Legacy { revision });
    };
    let meta = Meta::of(message.params());
    let opens = matches!(message, Message::Request(it) if it.method == Method::Initialize.name());
    // Some clients put modern members into the handshake that they fall back to; without a
    // version in its old place it is no handshake, and the modern era does not know the method.
    if opens && !(meta.is_modern && lacks_version(message)) {
        return initialize(message);
    }
    if meta.is_modern || (session == Session::Absent && names_modern(parts)?) {
        return modern(parts, message, meta);
    }
    in_session(parts, session).map(|revision| Incoming::Legacy { revision })
}

fn lacks_version(message: &Message<'_>) -> bool {
    message.params().and_then(|params| params.get("protocolVersion")).is_none()
}

/// Decides about an array of messages: allowed in one revision's sessions only.
pub fn classify_batch(parts: &Parts, session: Session) -> Result<Revision, Rejection> {
    let refuse = || {
        Rejection::invalid("json-rpc batches are not accepted here; send one message per request")
    };
    match session {
        Session::Absent => Err(refuse()),
        _ => in_session(parts, session).and_then(|revision| {
            if revision.has_batching() { Ok(revision) } else { Err(refuse()) }
        }),
    }
}

/// The revision of the legacy session that a POST, GET or DELETE belongs to.
pub fn in_session(parts: &Parts, session: Session) -> Result<Revision, Rejection> {
    let version = version(parts)?;
    if let Some(version) = version
        && Revision::parse(version).is_none_or(|revision| revision.era() != Era::Legacy)
    {
        return Err(unsupported_legacy(version));
    }
    match session {
        Session::Known(revision) => Ok(revision),
        Session::Unknown => Err(Rejection::new(
            StatusCode::NOT_FOUND,
            code::SESSION_NOT_FOUND,
            "this session has ended or never was; send `initialize` to open one",
        )),
        Session::Absent => Err(Rejection::new(
            StatusCode::BAD_REQUEST,
            code::SERVER_ERROR,
            "name a session in `Mcp-Session-Id`, or send `_meta` with \
             `io.modelcontextprotocol/protocolVersion`",
        )),
    }
}

fn initialize<'a>(message: &Message<'a>) -> Result<Incoming<'a>, Rejection> {
    let params = InitializeParams::read(message.params())
        .map_err(|error| Rejection::params(Era::Modern, &error))?;
    let asked = Revision::parse(&params.protocol_version);
    let revision = asked
        .filter(|revision| revision.era() == Era::Legacy && revision.has_streamable_http())
        .unwrap_or(Revision::LATEST_LEGACY);
    Ok(Incoming::Initialize { revision, params })
}

fn modern<'a>(
    parts: &Parts,
    message: &Message<'a>,
    meta: Meta<'a>,
) -> Result<Incoming<'a>, Rejection> {
    let method = message.method().unwrap_or_default();
    let named = match message {
        Message::Request(request) => {
            let named = required(&meta)?;
            header::agree(&parts.headers, named, method, request.params)?;
            named
        }
        _ => {
            let named = meta.protocol_version.as_deref();
            header::agree_if_present(&parts.headers, named, method)?;
            match named {
                Some(named) => named,
                None => version(parts)?.unwrap_or(Revision::LATEST.name()),
            }
        }
    };
    let revision = Revision::parse(named).filter(|named| SUPPORTED_MODERN.contains(named));
    let revision = revision.ok_or_else(|| unsupported_modern(named))?;
    Ok(Incoming::Modern { revision, meta })
}

/// The protocol version of a modern request, whose required members are all there.
fn required<'m>(meta: &'m Meta<'_>) -> Result<&'m str, Rejection> {
    let refuse = |error: PeekError| Rejection::params(Era::Modern, &error);
    let version = meta.protocol_version.as_deref();
    let version = version.ok_or_else(|| refuse(PeekError::Missing(key::PROTOCOL_VERSION)))?;
    match meta.client_capabilities {
        None => Err(refuse(PeekError::Missing(key::CLIENT_CAPABILITIES))),
        Some(raw) if raw.kind() != Kind::Object => {
            Err(refuse(PeekError::Type(key::CLIENT_CAPABILITIES, "an object")))
        }
        Some(_) => Ok(version),
    }
}

fn version(parts: &Parts) -> Result<Option<&str>, Rejection> {
    Ok(header::single(&parts.headers, &header::PROTOCOL_VERSION)?)
}

fn names_modern(parts: &Parts) -> Result<bool, Rejection> {
    let revision = version(parts)?.and_then(Revision::parse);
    Ok(revision.is_some_and(|revision| revision.era() == Era::Modern))
}

fn unsupported_modern(requested: &str) -> Rejection {
    let refuse = Rejection::new(
        StatusCode::BAD_REQUEST,
        code::UNSUPPORTED_PROTOCOL_VERSION,
        "this protocol version is not supported",
    );
    let supported = SUPPORTED_MODERN.map(Revision::name);
    let data = serde_json::json!({ "supported": supported, "requested": requested });
    match Json::of(&data) {
        Ok(data) => refuse.with_data(data),
        Err(_) => refuse,
    }
}

fn unsupported_legacy(requested: &str) -> Rejection {
    let requested: String = requested.chars().take(40).collect();
    Rejection::new(
        StatusCode::BAD_REQUEST,
        code::SERVER_ERROR,
        format!(
            "protocol version `{requested}` does not fit this session; use 2025-03-26, \
             2025-06-18 or 2025-11-25"
        ),
    )
}
