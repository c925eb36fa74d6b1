//! Requests whose body is written while it is sent, and that say how long they may take.
//!
//! For callers that speak HTTP of their own. Nothing is followed and nothing is sent twice
//! here: what the server says is handed back as it is. Rules and pool are the destination's.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header, uri::PathAndQuery};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use tokio::time::timeout;

use super::{Destination, EgressError, Reply};

/// A body that is written while it is sent. An error in it closes the connection; it is the
/// innermost source of the [`EgressError::Broken`] that follows.
pub type BodyStream = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// One request at a destination's origin.
pub struct StreamRequest {
    /// The method.
    pub method: Method,
    /// Path and query, in place of the destination's.
    pub path: PathAndQuery,
    /// The headers beside `Host`, which is the destination's.
    pub headers: HeaderMap,
    /// The body.
    pub body: BodyStream,
    /// Time for a new connection; the destination's own limit also holds.
    pub connect_timeout: Option<Duration>,
    /// Time until the response head, from the first step on; the destination's own limit
    /// also holds.
    pub head_timeout: Option<Duration>,
}

/// The body of a request on its way: there already, or still being written.
pub(super) enum Content {
    Whole(Full<Bytes>),
    Written(BodyStream),
}

impl Destination {
    /// Sends a request and waits for the response head, which may come before the request's
    /// body has ended: from then on it is [`super::ReplyBody`] that moves both. No redirect is
    /// followed. Dropping the future, or the body later, closes the connection.
    pub async fn stream(&self, request: StreamRequest) -> Result<Reply, EgressError> {
        let StreamRequest { method, path, headers, body, connect_timeout, head_timeout } = request;
        let mut outbound = http::Request::new(Content::Written(body));
        *outbound.method_mut() = method;
        *outbound.uri_mut() = Uri::from(path);
        *outbound.headers_mut() = headers;
        outbound.headers_mut().insert(header::HOST, self.server.host.clone());
        let limit = head_timeout.into_iter().chain(self.server.head_timeout).min();
        let sending = self.deliver(outbound, connect_timeout.unwrap_or(Duration::MAX));
        match limit {
            None => sending.await,
            Some(limit) => timeout(limit, sending)
                .await
                .map_err(|_| EgressError::Head(self.origin().to_string()))?,
        }
    }
}

impl Content {
    pub(super) fn whole(body: Bytes) -> Self {
        Self::Whole(Full::new(body))
    }

    /// Whether it is still being written when the request sets out.
    pub(super) fn is_written(&self) -> bool {
        matches!(self, Self::Written(body) if !body.is_end_stream())
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Written(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Written(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Written(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query and the headers may hold secrets.
        write!(f, "StreamRequest({} {})", self.method, self.path.path())
    }
}

#[cfg(test)]
mod tests;
