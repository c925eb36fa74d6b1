//! An MCP server as the layer above sees it, whichever way it is reached.
//!
//! Owns the words both transports share: the notification, the error, what the server says
//! about itself.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tidegate_model::{Answer, Json};
use tokio::sync::{mpsc, watch};

use super::{
    Affinity, Outgoing, Wanted, egress::EgressError, handshake::shorten, http::HttpPeer,
    sse::SsePeer, stdio::StdioPeer,
};
use crate::{
    json::{Kind, Raw},
    mcp::revision::Revision,
};

/// A notification from the server that belongs to a request under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The method, for instance `notifications/progress`.
    pub method: String,
    /// The `params` object as the server wrote it (its `progressToken` is this hop's own),
    /// `{}` where there was none.
    pub params: Json,
}

/// What came of listening to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// There was something to listen to, and it has ended; worth listening again.
    Ended,
    /// The server tells nothing of its own accord; asking again is of no use until it is
    /// another server.
    Nothing,
}

/// What a server says about itself. For display only, never an input to a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The revision spoken with it.
    pub revision: Revision,
    /// Its name, as it gives it.
    pub name: Option<String>,
    /// Its version, as it gives it.
    pub version: Option<String>,
    /// Its `capabilities` object; `{}` where it gave none.
    pub capabilities: Json,
    /// Its instructions.
    pub instructions: Option<String>,
}

impl PeerInfo {
    /// Whether its capabilities have, at this path, an object or `true`.
    pub fn declares(&self, path: &[&str]) -> bool {
        let found = path.iter().try_fold(Raw::from(&self.capabilities), |at, name| at.get(name));
        found.is_some_and(|raw| raw.kind() == Kind::Object || raw.boolean() == Some(true))
    }

    /// Of a server that has not said anything yet.
    pub(super) fn unknown() -> Self {
        Self {
            revision: Revision::LATEST,
            name: None,
            version: None,
            capabilities: Json::empty_object(),
            instructions: None,
        }
    }
}

/// What a server did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Text that is not JSON as the protocol wants it, or no JSON-RPC message.
    #[error("it sent something that is no valid JSON-RPC message: {0}")]
    Malformed(String),
    /// A response to a request that was never made.
    #[error("it answered a request that was never made")]
    WrongId,
    /// No result where one was due, or one of the wrong shape.
    #[error("it sent an unusable `{method}` result: {why}")]
    Result {
        /// The method that was asked.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A result of a kind that nobody negotiated.
    #[error("it sent a result of the unknown type `{0}`")]
    ResultType(String),
    /// A content type other than JSON and event streams.
    #[error("it answered with the content type `{0}`")]
    ContentType(String),
    /// A compressed body, which nobody asked for.
    #[error("it answered with the content encoding `{0}`, which was not asked for")]
    ContentEncoding(String),
    /// An event stream that is none.
    #[error("it sent a broken event stream: {0}")]
    Stream(String),
    /// More questions during one request than anyone needs.
    #[error("it asked too many questions while answering")]
    TooManyRequests,
}

/// Why a request to a server failed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It could not be reached, or the connection broke.
    #[error("the server cannot be reached: {0}")]
    Egress(#[from] EgressError),
    /// Its process could not be started.
    #[error("{what}")]
    Spawn {
        /// A sentence with the command.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It wants another credential, or none of this kind.
    #[error("the server refused the credential with HTTP status {status}")]
    Unauthorized {
        /// The status: 401 or 403.
        status: u16,
        /// Its `WWW-Authenticate` field, which says what it wants instead.
        challenge: Option<Box<str>>,
    },
    /// It answered with an HTTP status that carries no MCP answer.
    #[error("the server answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// The JSON-RPC `error` member of its body, where there was one.
        error: Option<Json>,
    },
    /// It found that the mirrored headers and the body disagree, and did not look further:
    /// the list that they were made from is out of date. Sending again after a new list is
    /// safe.
    #[error("the server says that headers and body disagree")]
    HeaderMismatch(Json),
    /// It takes no messages at this URL, in neither era; perhaps it is of the kind that wants
    /// a stream opened first (HTTP+SSE, 2024-11-05).
    #[error("the server takes no messages at this URL (HTTP status {0})")]
    NotStreamable(u16),
    /// It broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] Fault),
    /// Its answer is larger than allowed.
    #[error("the server's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// It went away before it answered.
    #[error("the server went away before it answered")]
    Closed,
    /// It did not answer within the time given for setting up.
    #[error("the server did not answer `{0}` in time")]
    Silent(&'static str),
    /// No common revision.
    #[error("the server speaks none of the protocol revisions known here, only {0:?}")]
    Revision(Vec<String>),
    /// It refused to set up a session.
    #[error("the server refused `{method}`: {message}")]
    Refused {
        /// The method of the set-up.
        method: &'static str,
        /// The message of its error.
        message: String,
    },
    /// The request cannot be written: a name or value does not fit.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
}

impl PeerError {
    /// The server refused the credential.
    pub(crate) fn unauthorized(reply: &super::egress::Reply) -> Self {
        let challenge = reply.headers.get_all(http::header::WWW_AUTHENTICATE).iter();
        let challenge: Vec<&str> = challenge.filter_map(|value| value.to_str().ok()).collect();
        let challenge = (!challenge.is_empty()).then(|| challenge.join(", ").into());
        Self::Unauthorized { status: reply.status.as_u16(), challenge }
    }

    /// The server refused `method` with this message, which is cut to what a log can hold.
    pub fn refused(method: &'static str, message: &str) -> Self {
        Self::Refused { method, message: shorten(message) }
    }

    /// Whether it is certain that the server never saw the request.
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Egress(error) => error.nothing_sent(),
            Self::Spawn { .. }
            | Self::Unauthorized { .. }
            | Self::HeaderMismatch(_)
            | Self::NotStreamable(_)
            | Self::Silent(_)
            | Self::Revision(_)
            | Self::Refused { .. }
            | Self::Unsendable(_) => true,
            Self::Status { .. } | Self::Protocol(_) | Self::TooLarge { .. } | Self::Closed => false,
        }
    }
}

/// A server that can be asked.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Over Streamable HTTP.
    Http(Arc<HttpPeer>),
    /// A child process, or anything else with two streams of lines.
    Stdio(Arc<StdioPeer>),
    /// Over HTTP+SSE (2024-11-05).
    Sse(Arc<SsePeer>),
}

impl Peer {
    /// Asks and waits for the answer; sets the session up first where one is needed.
    /// Dropping the future cancels the request at the server, in the way of its era.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        match self {
            Self::Http(peer) => peer.request(outgoing).await,
            Self::Stdio(peer) => peer.request(outgoing).await,
            Self::Sse(peer) => peer.request(outgoing).await,
        }
    }

    /// Follows what the server tells of its own accord: passes every notification of a changed
    /// list, an updated resource or a task to `sink`, in order, and ticks
    /// [`Peer::changes`] for lists. Takes changes of `wanted` over as they come, without a
    /// gap. Returns when the server has ended it, or has nothing to tell; whoever listens
    /// again finds everything subscribed anew.
    ///
    /// `sink` full makes the server wait. One listener at a time.
    pub async fn listen(
        &self,
        wanted: watch::Receiver<Wanted>,
        headers: &[(HeaderName, HeaderValue)],
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        match self {
            Self::Http(peer) => peer.listen(wanted, headers, sink).await,
            Self::Stdio(peer) => peer.listen(wanted, sink).await,
            Self::Sse(peer) => peer.listen(wanted, headers, sink).await,
        }
    }

    /// The client behind `affinity` is gone: what the server keeps for it is given up, in
    /// the background. Calls of it that are under way may fail.
    pub fn release(&self, affinity: Affinity) {
        match self {
            Self::Http(peer) => peer.release(affinity),
            Self::Stdio(peer) => peer.release(affinity),
            Self::Sse(peer) => peer.release(affinity),
        }
    }

    /// The roots of the client behind `affinity` have changed: a legacy server that has a
    /// session of that client is told so, in the background.
    pub fn roots_changed(&self, affinity: Affinity) {
        match self {
            Self::Http(peer) => peer.roots_changed(affinity),
            Self::Stdio(peer) => peer.roots_changed(affinity),
            Self::Sse(peer) => peer.roots_changed(affinity),
        }
    }

    /// What the server said about itself when a session was set up: the gateway's own, else
    /// any.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        match self {
            Self::Http(peer) => peer.info(),
            Self::Stdio(peer) => peer.info(),
            Self::Sse(peer) => peer.info(),
        }
    }

    /// Counts the times that lists may have changed: the server said so, or a session of the
    /// gateway's own began, or the server is another one than before.
    pub fn changes(&self) -> watch::Receiver<u64> {
        match self {
            Self::Http(peer) => peer.changes(),
            Self::Stdio(peer) => peer.changes(),
            Self::Sse(peer) => peer.changes(),
        }
    }
}
