//! What the head of a request must say about its body and about the answer it can take.

use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};

use super::Rejection;
use crate::mcp::code;

/// Which kinds of answer the client can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// `application/json`
    pub json: bool,
    /// `text/event-stream`
    pub events: bool,
}

/// Checks the head of a POST: JSON in, no content encoding, and JSON or more out.
///
/// The specification asks clients to accept both kinds; one that leaves the events out is
/// served without them.
pub fn check_post(parts: &Parts) -> Result<Accept, Rejection> {
    let is_json = only(&parts.headers, &header::CONTENT_TYPE)
        .is_some_and(|value| essence(value).eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(unsupported("send the body as `application/json`"));
    }
    let is_encoded = parts
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        return Err(unsupported("send the body without a content encoding"));
    }
    let accept = Accept::read(&parts.headers);
    if accept.json {
        Ok(accept)
    } else {
        Err(not_acceptable("accept `application/json` and `text/event-stream`"))
    }
}

/// Checks the head of a GET: it opens a stream, so the client must take events.
pub fn check_get(parts: &Parts) -> Result<(), Rejection> {
    if Accept::read(&parts.headers).events {
        Ok(())
    } else {
        Err(not_acceptable("accept `text/event-stream`"))
    }
}

impl Accept {
    /// Reads the `Accept` headers; without one, anything goes (RFC 9110, 12.5.1).
    pub fn read(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::ACCEPT) {
            return Self { json: true, events: true };
        }
        let takes = |kind, subtype| {
            headers
                .get_all(header::ACCEPT)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .filter_map(|range| Range::read(range, kind, subtype))
                .max_by_key(|range| range.precision)
                .is_some_and(|range| range.wanted)
        };
        Self { json: takes("application", "json"), events: takes("text", "event-stream") }
    }
}

/// Whether the client names event streams before JSON: of two that it takes equally, it
/// would rather have that one.
pub fn prefers_events(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(essence);
    let first = ranges.find(|range| {
        ["text/event-stream", "application/json"]
            .iter()
            .any(|known| range.eq_ignore_ascii_case(known))
    });
    first.is_some_and(|range| range.eq_ignore_ascii_case("text/event-stream"))
        && Accept::read(headers).events
}

/// A media range that covers what was asked for.
struct Range {
    /// 0 for `*/*`, 1 for `type/*`, 2 for the exact type: the most precise one counts.
    precision: u8,
    wanted: bool,
}

impl Range {
    fn read(range: &str, kind: &str, subtype: &str) -> Option<Self> {
        let (left, right) = essence(range).split_once('/')?;
        let precision = match (left, right) {
            ("*", "*") => 0,
            (left, "*") if left.eq_ignore_ascii_case(kind) => 1,
            (left, right)
                if left.eq_ignore_ascii_case(kind) && right.eq_ignore_ascii_case(subtype) =>
            {
                2
            }
            _ => return None,
        };
        let wanted = !range.split(';').skip(1).any(is_zero_quality);
        Some(Self { precision, wanted })
    }
}

fn is_zero_quality(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let value = value.trim();
        name.trim().eq_ignore_ascii_case("q")
            && value.starts_with('0')
            && value.bytes().all(|b| matches!(b, b'0' | b'.'))
    })
}

fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn unsupported(message: &'static str) -> Rejection {
    Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_REQUEST, message)
}

fn not_acceptable(message: &'static str) -> Rejection {
    Rejection::new(StatusCode::NOT_ACCEPTABLE, code::INVALID_REQUEST, message)
}
