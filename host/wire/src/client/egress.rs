//! The one module from which bytes leave over a network.
//!
//! Resolve, check every address against the connector's [`AddressPolicy`], connect to a
//! checked address, TLS where the URL says so, HTTP/1.1. A connection is only ever reused by
//! the destination it was checked for. Redirects: same origin, 307 or 308, at most three.
//! Knows nothing of MCP. No other module may open a socket.

pub mod address;
mod dial;
mod exchange;
pub mod machine;
pub mod origin;
mod reference;
pub mod stream;
mod tls;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header,
    uri::{PathAndQuery, Scheme},
};

pub use address::{AddressPolicy, Reach};
pub use exchange::ReplyBody;
pub use origin::{BadUrl, Origin};
pub use stream::{BodyStream, StreamRequest};
pub use tls::Roots;

use dial::Dialer;
use exchange::Pool;
use machine::Seal;

/// How many redirects are followed.
const REDIRECTS: usize = 3;

/// Why bytes could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The URL cannot be dialled.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The address is not one that this connector may reach.
    #[error("`{host}` leads to {address}, which this connector is not allowed to reach")]
    Forbidden {
        /// The host as in the URL.
        host: String,
        /// The address it is or resolved to.
        address: IpAddr,
    },
    /// Plain `http` towards the public internet.
    #[error("`{0}` would be reached without encryption: use `https`")]
    Plain(String),
    /// The name does not resolve.
    #[error("`{host}` cannot be resolved")]
    Resolve {
        /// The host as in the URL.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No connection.
    #[error("no connection to `{origin}`: {source}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the system or the TLS library said.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or what came over it was not HTTP.
    #[error("the connection to `{origin}` failed")]
    Broken {
        /// Scheme, host and port.
        origin: String,
        /// Whether a byte of the request may have left.
        sent: bool,
        /// What the HTTP library said.
        #[source]
        source: hyper::Error,
    },
    /// No response head within the time set for it.
    #[error("`{0}` did not begin to answer in time")]
    Head(String),
    /// A redirect that is not followed.
    #[error("the server redirects with status {status}, {why}")]
    Redirect {
        /// The status.
        status: u16,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The body is larger than allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Root certificates are unusable.
    #[error("the root certificates cannot be used: {0}")]
    Roots(String),
}

impl EgressError {
    /// Whether it is certain that no byte of the request left.
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Broken { sent, .. } => !sent,
            Self::Head(_) | Self::Redirect { .. } | Self::TooLarge { .. } => false,
            _ => true,
        }
    }
}

/// A function from names to addresses.
pub type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// How names become addresses.
#[derive(Clone, Default)]
pub enum Resolver {
    /// The system's own way.
    #[default]
    System,
    /// A function, for tests and for networks with rules of their own. Its answers are
    /// checked like any others.
    Fixed(Arc<Lookup>),
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Fixed(_) => "Fixed",
        })
    }
}

/// The way out: trust anchors and resolver, shared by all destinations.
#[derive(Debug)]
pub struct Egress {
    resolver: Resolver,
    tls: Arc<rustls::ClientConfig>,
}

/// What applies to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Which addresses may be dialled.
    pub allow: AddressPolicy,
    /// Time for resolving, connecting and TLS together.
    pub connect_timeout: Duration,
    /// Time until the response head; no limit of its own when absent.
    pub head_timeout: Option<Duration>,
    /// How long an unused connection is kept. Shorter than the five seconds after which
    /// common servers close it, so that a request rarely meets a closing connection.
    pub keep_idle: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow: AddressPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            head_timeout: None,
            keep_idle: Duration::from_secs(4),
        }
    }
}

/// One endpoint with its own pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Destination {
    server: Arc<Server>,
    path: PathAndQuery,
}

#[derive(Debug)]
struct Server {
    dialer: Dialer,
    host: HeaderValue,
    head_timeout: Option<Duration>,
    pool: Arc<Pool>,
    /// What marks requests to a machine as the gateway's.
    seal: Option<Seal>,
}

/// A response: its head, and a body that is read as it comes.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

impl Egress {
    /// Trusts the public certificate authorities and those in `extra_roots` (PEM).
    pub fn new(resolver: Resolver, extra_roots: Option<&[u8]>) -> Result<Arc<Self>, EgressError> {
        let mut roots = Roots::default();
        extra_roots.map(|pem| roots.add(pem)).transpose()?;
        Self::trusting(resolver, roots)
    }

    /// Trusts these certificate authorities.
    pub fn trusting(resolver: Resolver, roots: Roots) -> Result<Arc<Self>, EgressError> {
        Ok(Arc::new(Self { resolver, tls: tls::config(roots)? }))
    }

    /// Prepares an endpoint. Checks what can be checked without asking the network.
    pub fn destination(&self, url: &str, rules: Rules) -> Result<Destination, EgressError> {
        let (origin, path) = Origin::split(url)?;
        let host = HeaderValue::from_str(&origin.authority())
            .map_err(|_| BadUrl::Host(origin.host().to_owned()))?;
        let pool = Arc::new(Pool::new(origin.to_string(), rules.keep_idle));
        let head_timeout = rules.head_timeout;
        let dialer = Dialer::new(origin, rules, self.resolver.clone(), Arc::clone(&self.tls))?;
        Ok(Destination {
            server: Arc::new(Server { dialer, host, head_timeout, pool, seal: None }),
            path,
        })
    }
}

impl Destination {
    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        self.server.dialer.origin()
    }

    /// The place at the same origin that a reference of the server leads to, with the same
    /// rules and pool. One that leads to another origin is an error.
    pub fn follow(&self, reference: &str) -> Result<Self, BadUrl> {
        let path = reference::resolve(self.origin(), &self.path, reference)?;
        Ok(Self { server: Arc::clone(&self.server), path })
    }

    /// Sends a request with these headers (beside `Host` and `Content-Length`) and waits for
    /// the response head. Dropping the future, or the body later, closes the connection.
    pub async fn send(
        &self,
        method: &Method,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
    ) -> Result<Reply, EgressError> {
        let mut path = self.path.clone();
        for _ in 0..=REDIRECTS {
            let reply = match self.server.head_timeout {
                None => self.send_once(method, &path, headers, body).await?,
                Some(limit) => {
                    tokio::time::timeout(limit, self.send_once(method, &path, headers, body))
                        .await
                        .map_err(|_| EgressError::Head(self.origin().to_string()))??
                }
            };
            match self.redirect(&reply)? {
                None => return Ok(reply),
                Some(next) => path = next,
            }
        }
        let status = StatusCode::TEMPORARY_REDIRECT.as_u16();
        Err(EgressError::Redirect { status, why: "again and again" })
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &PathAndQuery,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
    ) -> Result<Reply, EgressError> {
        self.deliver(self.request(method, path, headers, body), Duration::MAX).await
    }

    /// Hands a request to a connection, an idle one or a new one made within `connect`.
    async fn deliver(
        &self,
        mut request: exchange::Outbound,
        connect: Duration,
    ) -> Result<Reply, EgressError> {
        let server = &*self.server;
        let mut live = match server.pool.take().await {
            Some(live) => live,
            None => exchange::Live::open(&server.dialer, connect).await?,
        };
        loop {
            match live.send(request, &server.pool).await {
                Ok(reply) => return Ok(reply),
                // The pooled connection was closing: nothing of the request has left.
                Err(exchange::Failed { unsent: Some(back), reused: true, .. }) => {
                    live = exchange::Live::open(&server.dialer, connect).await?;
                    request = back;
                }
                Err(failed) => {
                    return Err(EgressError::Broken {
                        origin: self.origin().to_string(),
                        sent: failed.unsent.is_none(),
                        source: failed.error,
                    });
                }
            }
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &PathAndQuery,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
    ) -> exchange::Outbound {
        let mut request = http::Request::new(stream::Content::whole(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = Uri::from(path.clone());
        let map = request.headers_mut();
        map.reserve(headers.len() + 3);
        map.insert(header::HOST, self.server.host.clone());
        for (name, value) in headers {
            map.append(name.clone(), value.clone());
        }
        if let Some(seal) = &self.server.seal {
            let (name, token) = seal.token(method, path, headers, body);
            map.insert(name, token);
        }
        request
    }

    /// The path to follow a redirect to, when it is one that is followed.
    fn redirect(&self, reply: &Reply) -> Result<Option<PathAndQuery>, EgressError> {
        let status = reply.status.as_u16();
        let refused = |why| Err(EgressError::Redirect { status, why });
        match status {
            307 | 308 => {}
            301..=303 => return refused("which would not keep the request as it is"),
            _ => return Ok(None),
        }
        let Some(location) = reply.headers.get(header::LOCATION) else {
            return refused("but says not where to");
        };
        let Some(uri) = location.to_str().ok().and_then(|text| text.parse::<Uri>().ok()) else {
            return refused("to something that is no URL");
        };
        let same = match uri.scheme() {
            // `//host/path` names another host, though it parses as a path.
            None => uri.authority().is_none() && !uri.path().starts_with("//"),
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
                Origin::split(&uri.to_string()).is_ok_and(|(origin, _)| origin == *self.origin())
            }
            Some(_) => false,
        };
        if !same {
            return refused("to another origin, which is not followed");
        }
        Ok(Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"))))
    }
}

impl Resolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            Self::Fixed(table) => {
                Ok(table(host)?.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
