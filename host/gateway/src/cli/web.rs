//! HTTP for commands, through the one way out.
//!
//! Owns which addresses a person may name (this machine, their networks, the internet over
//! TLS), how long anything takes and how large it gets. Follows no redirect.

use std::{pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tidegate_wire::client::egress::{
    AddressPolicy, Egress, Origin, Resolver, Rules, StreamRequest,
};
use tokio::time::timeout;

/// For an answer as a whole.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer.
const LARGEST: usize = 64 << 20;
/// What may stand in a path or a form as it is.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The way out of commands.
#[derive(Debug, Clone)]
pub(super) struct Web(Arc<Egress>);

/// An answer, as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// What it says, in JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .context("the gateway's answer cannot be read; are both of the same version?")
    }
}

impl Web {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Egress::new(Resolver::System, None)?))
    }

    /// Sends one request.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let allow = AddressPolicy { loopback: true, private: true, ..AddressPolicy::default() };
        let destination = self.0.destination(url, Rules { allow, ..Rules::default() })?;
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        let path = uri.path_and_query().cloned().with_context(|| format!("`{url}` is no URL"))?;
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        let (connect_timeout, head_timeout) = (None, None);
        let request = StreamRequest { method, path, headers, body, connect_timeout, head_timeout };
        let work = async {
            let reply = destination.stream(request).await?;
            let (status, headers) = (reply.status, reply.headers);
            Ok(Answer { status, headers, body: reply.body.collect(LARGEST).await? })
        };
        timeout(PATIENCE, work).await.with_context(|| format!("`{url}` took too long"))?
    }

    /// Fetches a document that must be there.
    pub(super) async fn document<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let answer = self.send(Method::GET, url, HeaderMap::new(), Vec::new()).await?;
        if answer.status != StatusCode::OK {
            bail!("`{url}` answered with HTTP status {}", answer.status);
        }
        answer.json()
    }

    /// Posts a form.
    pub(super) async fn form(&self, url: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        self.send(Method::POST, url, headers, encoded(fields).into_bytes()).await
    }
}

/// Why a sign-in got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct Unanswered(pub(super) anyhow::Error);

impl<'c> AsyncHttpClient<'c> for Web {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let url = head.uri.to_string();
            let sent = self.send(head.method, &url, head.headers, body);
            let answer = sent.await.map_err(Unanswered)?;
            let mut response = HttpResponse::new(answer.body.into());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

/// Names and values as in a form or a query.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", part(name), part(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Text for one place of a path or query.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, &KEPT).to_string()
}

/// Scheme, host and port of a URL, in one spelling.
pub(super) fn origin(url: &str) -> anyhow::Result<String> {
    let (origin, _) = Origin::split(url).with_context(|| format!("`{url}` is no URL"))?;
    Ok(origin.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_sent_stays_in_its_place() {
        let fields = [("a", "1&b=2"), ("redirect", "http://[::1]:1/cb?x#y"), ("e", "")];
        assert_eq!(
            encoded(&fields),
            "a=1%26b%3D2&redirect=http%3A%2F%2F%5B%3A%3A1%5D%3A1%2Fcb%3Fx%23y&e="
        );
        assert_eq!(part("ae@example.com/../x"), "ae%40example.com%2F..%2Fx");
    }

    #[test]
    fn an_origin_has_one_spelling() {
        assert_eq!(origin("HTTPS://A.example:443/x?y").unwrap(), "https://a.example");
        assert_eq!(origin("http://127.0.0.1:1/").unwrap(), "http://127.0.0.1:1");
        assert!(origin("ftp://x").is_err() && origin("").is_err());
    }
}
