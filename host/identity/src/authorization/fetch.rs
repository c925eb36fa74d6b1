//! Small JSON documents of others: client metadata and key sets.
//!
//! Owns the rules under which they are fetched: through the egress guard, no redirect, one
//! size, one time for everything, JSON and nothing else; and how long they may be kept. Knows
//! no meaning of a document.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use tidegate_wire::client::egress::{
    AddressPolicy, Destination, Egress, EgressError, Rules, StreamRequest,
};
use tokio::time::timeout;

/// How long a document is kept at least, whatever its server says.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// How long a document is kept at most.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Why a document was not had; for logs and for whoever named it, never with its content.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not over TLS.
    #[error("it is not at an `https` URL")]
    Plain,
    /// No bytes could be exchanged, or not within the rules.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The URL has no path that can be asked for.
    #[error("its URL cannot be asked for")]
    Url,
    /// Not within the time.
    #[error("its server took longer than {} seconds", .0.as_secs())]
    Slow(Duration),
    /// Another status than 200; redirects are not followed.
    #[error("its server answered with status {0}, where 200 is needed")]
    Status(u16),
    /// Not declared as JSON.
    #[error("its server did not declare it as `application/json`")]
    Type,
    /// Compressed, though nobody asked for that.
    #[error("its server encoded it, though plain text was asked for")]
    Encoded,
}

/// What applies to one fetch.
#[derive(Debug, Clone)]
pub struct FetchRules {
    /// Addresses beside the public internet.
    pub allow: AddressPolicy,
    /// Bytes at most.
    pub limit: usize,
    /// For everything together, from the first look-up to the last byte.
    pub time: Duration,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// As it came.
    pub body: Bytes,
    /// How long it may be kept: what its server said, no less than five minutes and no more
    /// than a day.
    pub keep: Duration,
}

/// Fetches a document over TLS.
pub async fn fetch(egress: &Egress, url: &str, rules: &FetchRules) -> Result<Fetched, FetchError> {
    if !url.starts_with("https://") {
        return Err(FetchError::Plain);
    }
    let ways = Rules { allow: rules.allow.clone(), ..Rules::default() };
    let destination = egress.destination(url, ways)?;
    let work = get(&destination, url, rules.limit);
    timeout(rules.time, work).await.map_err(|_| FetchError::Slow(rules.time))?
}

async fn get(destination: &Destination, url: &str, limit: usize) -> Result<Fetched, FetchError> {
    let uri: http::Uri = url.parse().map_err(|_| FetchError::Url)?;
    let path = uri.path_and_query().cloned().ok_or(FetchError::Url)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let (connect_timeout, head_timeout) = (None, None);
    let request =
        StreamRequest { method: Method::GET, path, headers, body, connect_timeout, head_timeout };
    let reply = destination.stream(request).await?;
    if reply.status != StatusCode::OK {
        return Err(FetchError::Status(reply.status.as_u16()));
    }
    if !is_json(&reply.headers) {
        return Err(FetchError::Type);
    }
    let encoding = reply.headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(FetchError::Encoded);
    }
    let keep = lifetime(&reply.headers);
    Ok(Fetched { body: reply.body.collect(limit).await?, keep })
}

/// `application/json`, or a type of its own with the suffix `+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let of = |rest: &str| rest == "json" || rest.ends_with("+json");
    kind.strip_prefix("application/").is_some_and(of)
}

/// What `Cache-Control` says, within bounds; the shortest where it says nothing.
fn lifetime(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|it| it.to_str().ok());
    let mut kept = None;
    for directive in values.flat_map(|value| value.split(',')) {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return SHORTEST;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            kept = seconds.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    kept.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn what_a_server_says_of_keeping_is_bounded() {
        for (value, seconds) in [
            ("max-age=0", 300),
            ("max-age=299", 300),
            ("public, max-age=3600", 3_600),
            ("Max-Age=\"7200\"", 7_200),
            ("max-age=99999999", 86_400),
            ("max-age=3600, no-cache", 300),
            ("no-store", 300),
            ("max-age=-1", 300),
            ("max-age=99999999999999999999999", 300),
            ("s-maxage=3600", 300),
            ("", 300),
        ] {
            let kept = lifetime(&headers(header::CACHE_CONTROL, value));
            assert_eq!(kept.as_secs(), seconds, "{value}");
        }
    }

    #[test]
    fn json_is_declared() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/cimd+json", true),
            ("text/html", false),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_json(&headers(header::CONTENT_TYPE, value)), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
