//! Outgoing HTTP for guests: one request, one answer of bounded size.
//!
//! Owns nothing of what is sent. In a component it speaks `wasi:http`, which the host carries
//! out for granted hosts only; natively it is a double, see [`double`].

use std::fmt;

#[cfg(not(target_arch = "wasm32"))]
pub mod double;
#[cfg(target_arch = "wasm32")]
mod wasi;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute, with scheme `http` or `https`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What is sent along.
    pub body: Option<Vec<u8>>,
    /// Bytes that the answer's body may have.
    pub most: usize,
    /// Milliseconds to connect, to the first byte and between bytes, each; the host's own
    /// where nothing is given.
    pub time_out: Option<u32>,
    /// Milliseconds for the whole exchange, from the first byte sent to the last one read.
    pub within: Option<u32>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The URL is none that can be asked.
    Url,
    /// The host does not let this plugin ask that: its binding does not name the host, or a
    /// credential may not go there.
    Denied,
    /// Nobody answered in time.
    TimedOut,
    /// The answer is longer than the request allows.
    TooLarge,
    /// Anything else, in the host's words.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => to.write_str("the URL cannot be asked"),
            Self::Denied => to.write_str("this plugin may not ask there"),
            Self::TimedOut => to.write_str("there was no answer in time"),
            Self::TooLarge => to.write_str("the answer is too large"),
            Self::Failed(why) => write!(to, "the request failed: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Sends a request and waits for all of the answer. Redirects are answers like any other.
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(target_arch = "wasm32")]
    return wasi::send(request);
    #[cfg(not(target_arch = "wasm32"))]
    return double::send(request);
}

/// Scheme, authority, and path with query, of an absolute URL.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "the double needs no parts"))]
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    (!authority.is_empty()).then_some((scheme, authority, path))
}
