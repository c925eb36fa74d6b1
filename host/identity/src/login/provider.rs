//! How a provider is reached.
//!
//! Owns the HTTP client that every request to a provider goes through: over the egress, to the
//! issuer's origin and the hosts known to belong to it, `https` but for an issuer on loopback,
//! no redirect, one MiB, ten seconds. Knows nothing of what is asked.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Full};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tidegate_wire::client::egress::{
    AddressPolicy, BadUrl, Egress, EgressError, Origin, Rules, StreamRequest,
};

use crate::settings::{Preset, Provider};

/// The largest answer that is read.
const ANSWER: usize = 1 << 20;
/// The time one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Hosts beside the issuer's where Google has its endpoints.
const GOOGLE: [&str; 4] = [
    "accounts.google.com",
    "oauth2.googleapis.com",
    "openidconnect.googleapis.com",
    "www.googleapis.com",
];

/// Why a provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The URL is not where this provider may be.
    #[error("`{0}` is not where this provider's endpoints may be: see `endpoint_hosts`")]
    Elsewhere(String),
    /// No encryption where there must be.
    #[error("`{0}` would be reached without encryption: use `https`")]
    Plain(String),
    /// The exchange failed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It took too long.
    #[error("it did not answer within ten seconds")]
    Late,
    /// It answers with a redirect.
    #[error("it answered with a redirect, and none is followed")]
    Redirect,
}

/// The way to one provider.
#[derive(Debug)]
pub(super) struct Reach {
    egress: Arc<Egress>,
    issuer: Origin,
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    /// How many seconds the last answer may be kept, as it says itself.
    max_age: AtomicU64,
}

/// No answer has said yet how long it may be kept.
const UNSAID: u64 = u64::MAX;

impl Reach {
    /// The way to `provider`. Asks nothing yet.
    pub(super) fn new(egress: Arc<Egress>, provider: &Provider) -> Result<Self, ReachError> {
        let (issuer, path) = Origin::split(&provider.issuer)?;
        if path.query().is_some() || provider.issuer.contains('#') {
            return Err(BadUrl::Malformed(provider.issuer.clone()).into());
        }
        if !issuer.is_tls() && !is_loopback(&issuer) {
            return Err(ReachError::Plain(issuer.to_string()));
        }
        let mut hosts: Vec<String> =
            provider.endpoint_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        match &provider.preset {
            Preset::Google { .. } => hosts.extend(GOOGLE.map(str::to_owned)),
            Preset::Entra { graph, .. } => {
                hosts.extend(Origin::split(graph).map(|(origin, _)| origin.host().to_owned()));
            }
            Preset::Okta | Preset::Oidc => {}
        }
        let (addresses, max_age) = (provider.addresses.clone(), AtomicU64::new(UNSAID));
        Ok(Self { egress, issuer, hosts, addresses, max_age })
    }

    /// Refuses a URL that this provider's endpoint cannot have.
    pub(super) fn check(&self, url: &str) -> Result<(), ReachError> {
        let (origin, _) = Origin::split(url)?;
        let plain = !origin.is_tls();
        if plain && (self.issuer.is_tls() || !is_loopback(&origin)) {
            return Err(ReachError::Plain(origin.to_string()));
        }
        if origin == self.issuer || self.hosts.iter().any(|host| host == origin.host()) {
            return Ok(());
        }
        Err(ReachError::Elsewhere(origin.to_string()))
    }

    /// How long what was fetched last may be kept, by its own word.
    pub(super) fn max_age(&self) -> Option<Duration> {
        let seconds = self.max_age.load(Ordering::Relaxed);
        (seconds != UNSAID).then(|| Duration::from_secs(seconds))
    }

    /// One exchange.
    pub(super) async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ReachError> {
        let answer = tokio::time::timeout(PATIENCE, self.exchange_once(request)).await;
        answer.map_err(|_| ReachError::Late)?
    }

    async fn exchange_once(&self, request: HttpRequest) -> Result<HttpResponse, ReachError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        self.check(&url)?;
        let allow = AddressPolicy { addresses: self.addresses.clone(), ..AddressPolicy::default() };
        let destination = self.egress.destination(&url, Rules { allow, ..Rules::default() })?;
        let path = head.uri.path_and_query().cloned();
        let body = Full::new(bytes::Bytes::from(body)).map_err(|never| match never {});
        let request = StreamRequest {
            method: head.method,
            path: path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
            headers: head.headers,
            body: body.boxed_unsync(),
            connect_timeout: None,
            head_timeout: None,
        };
        let reply = destination.stream(request).await?;
        if reply.status.is_redirection() {
            return Err(ReachError::Redirect);
        }
        self.max_age.store(max_age(&reply.headers).unwrap_or(UNSAID), Ordering::Relaxed);
        let body = reply.body.collect(ANSWER).await?;
        let mut response = http::Response::new(body.to_vec());
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Reach {
    type Error = ReachError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, ReachError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

/// Whether a URL's host is this machine by its very name.
fn is_loopback(origin: &Origin) -> bool {
    let host = origin.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Seconds that an answer may be kept.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
    let mut directives = text.split(',').map(str::trim);
    if directives.clone().any(|it| it.eq_ignore_ascii_case("no-store") || it == "no-cache") {
        return Some(0);
    }
    directives.find_map(|it| it.strip_prefix("max-age=")?.parse().ok())
}
