//! How authorization servers are reached.
//!
//! Owns the rules of every request to one: through the egress, `https` but for a loopback
//! server where the connector may reach this machine, no redirect, 64 KiB, ten seconds. Knows
//! nothing of what is asked.

use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use tidegate_wire::client::egress::{
    AddressPolicy, BadUrl, Egress, EgressError, Origin, Rules, StreamRequest,
};

/// The largest answer that is read.
const ANSWER: usize = 64 << 10;
/// The time one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a server could not be asked, or its answer not be used. Holds no secret and nothing of
/// an answer's body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// No encryption where there must be.
    #[error("`{0}` would be reached without encryption: `https` is needed")]
    Plain(String),
    /// The exchange failed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It took too long.
    #[error("`{0}` did not answer within ten seconds")]
    Late(String),
    /// It answers with a redirect.
    #[error("`{0}` answered with a redirect, and none is followed")]
    Redirect(String),
    /// Another status than is needed.
    #[error("`{0}` answered with HTTP status {1}")]
    Status(String, u16),
    /// No JSON, or other JSON.
    #[error("`{0}` did not answer with the JSON document that is needed")]
    Form(String),
}

/// The way to the authorization servers of one connector.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    egress: Arc<Egress>,
    allow: AddressPolicy,
}

/// What a server said without being a document: the status and what it challenges with.
#[derive(Debug)]
pub(crate) struct Knock {
    pub(crate) challenges: Vec<String>,
}

impl Reach {
    /// With the addresses that the connector itself may reach.
    pub(crate) fn new(egress: Arc<Egress>, allow: AddressPolicy) -> Self {
        Self { egress, allow }
    }

    /// Refuses a URL at which no endpoint may be.
    pub(crate) fn check(&self, url: &str) -> Result<Origin, ReachError> {
        let (origin, _) = Origin::split(url)?;
        if url.contains('#') {
            return Err(BadUrl::Malformed(url.to_owned()).into());
        }
        let is_here = self.allow.loopback && is_loopback(&origin);
        if !(origin.is_tls() || is_here) {
            return Err(ReachError::Plain(origin.to_string()));
        }
        Ok(origin)
    }

    /// A JSON document; `None` where there is none (404 and other client errors).
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        url: &str,
    ) -> Result<Option<T>, ReachError> {
        let mut request = http::Request::new(Vec::new());
        *request.uri_mut() = uri(url)?;
        let accept = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, accept);
        let reply = self.exchange(request).await?;
        match reply.status() {
            StatusCode::OK => {}
            status if status.is_client_error() => return Ok(None),
            status => return Err(ReachError::Status(url.to_owned(), status.as_u16())),
        }
        let form = || ReachError::Form(url.to_owned());
        if !is_json(reply.headers()) {
            return Err(form());
        }
        serde_json::from_slice(reply.body()).map(Some).map_err(|_| form())
    }

    /// Sends JSON and reads JSON.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        body: &serde_json::Value,
    ) -> Result<T, ReachError> {
        let mut request = http::Request::new(body.to_string().into_bytes());
        *request.uri_mut() = uri(url)?;
        *request.method_mut() = Method::POST;
        for name in [header::ACCEPT, header::CONTENT_TYPE] {
            request.headers_mut().insert(name, HeaderValue::from_static("application/json"));
        }
        let reply = self.exchange(request).await?;
        if !reply.status().is_success() {
            return Err(ReachError::Status(url.to_owned(), reply.status().as_u16()));
        }
        serde_json::from_slice(reply.body()).map_err(|_| ReachError::Form(url.to_owned()))
    }

    /// Asks a resource for nothing in particular, without a credential, to hear what it wants.
    pub(crate) async fn knock(&self, url: &str) -> Result<Knock, ReachError> {
        let mut request = http::Request::new(Vec::new());
        *request.uri_mut() = uri(url)?;
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accept);
        let origin = self.check(url)?;
        let work = self.head_of(request);
        let headers = tokio::time::timeout(PATIENCE, work).await;
        let headers = headers.map_err(|_| ReachError::Late(origin.to_string()))??;
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let challenges = challenges.filter_map(|value| Some(value.to_str().ok()?.to_owned()));
        Ok(Knock { challenges: challenges.collect() })
    }

    async fn head_of(&self, request: HttpRequest) -> Result<HeaderMap, ReachError> {
        Ok(self.begin(request).await?.headers)
    }

    /// One exchange, whatever the status.
    pub(crate) async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ReachError> {
        let origin = self.check(&request.uri().to_string())?.to_string();
        let work = async {
            let reply = self.begin(request).await?;
            if reply.status.is_redirection() {
                return Err(ReachError::Redirect(origin.clone()));
            }
            let body = reply.body.collect(ANSWER).await?;
            let mut response = http::Response::new(body.to_vec());
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            Ok(response)
        };
        let answer = tokio::time::timeout(PATIENCE, work).await;
        answer.map_err(|_| ReachError::Late(origin.clone()))?
    }

    async fn begin(
        &self,
        request: HttpRequest,
    ) -> Result<tidegate_wire::client::egress::Reply, ReachError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let rules = Rules { allow: self.allow.clone(), ..Rules::default() };
        let destination = self.egress.destination(&url, rules)?;
        let path = head.uri.path_and_query().cloned();
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
        let request = StreamRequest {
            method: head.method,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            headers: head.headers,
            body: body.boxed_unsync(),
            connect_timeout: None,
            head_timeout: None,
        };
        Ok(destination.stream(request).await?)
    }
}

impl<'c> AsyncHttpClient<'c> for Reach {
    type Error = ReachError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, ReachError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

fn uri(url: &str) -> Result<http::Uri, ReachError> {
    url.parse().map_err(|_| BadUrl::Malformed(url.to_owned()).into())
}

/// Whether a URL's host is this machine by its very name.
fn is_loopback(origin: &Origin) -> bool {
    let host = origin.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}
