//! HTTP headers of MCP: their names, and those that mirror the body (SEP-2243).
//!
//! The body decides; a header is only ever compared with it. Values that do not fit a
//! header travel as `=?base64?…?=`. Which revisions mirror is
//! [`super::Revision::has_mirrored_headers`]; what a mismatch answers is
//! [`super::code::HEADER_MISMATCH`].

mod params;
mod value;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use params::{BadAnnotation, HeaderParams};
pub use value::{decode, encode};

use super::method;
use crate::json::Raw;

/// `MCP-Protocol-Version`
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id` (legacy)
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID` (legacy)
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the names of mirrored parameters begin with, in lower case.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// A mirrored header and the body do not say the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    /// The header has to be there.
    #[error("header `{0}` is missing")]
    Missing(HeaderName),
    /// It is there, but the body has nothing it could mirror.
    #[error("header `{0}` mirrors nothing in the body")]
    Unexpected(HeaderName),
    /// It is there more than once.
    #[error("header `{0}` is repeated; send it once")]
    Repeated(HeaderName),
    /// Its value is no visible ASCII, or a broken `=?base64?…?=`.
    #[error("header `{0}` is malformed")]
    Malformed(HeaderName),
    /// It says something else.
    #[error("header `{0}` does not match the body")]
    Disagrees(HeaderName),
}

/// The only value of a header, as text; none if it is absent.
pub fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, HeaderMismatch> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeaderMismatch::Repeated(name.clone()));
    }
    value.to_str().map(Some).map_err(|_| HeaderMismatch::Malformed(name.clone()))
}

/// Whether `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name` of a modern request agree
/// with its body; `version` is what `_meta` says.
///
/// Parameters are checked apart, by [`HeaderParams::agree`], once the tool is known.
pub fn agree(
    headers: &HeaderMap,
    version: &str,
    method: &str,
    params: Option<Raw<'_>>,
) -> Result<(), HeaderMismatch> {
    same(headers, &PROTOCOL_VERSION, version)?;
    same(headers, &METHOD, method)?;
    let Some(member) = method::mirrored_member(method) else { return Ok(()) };
    // A body without the member is refused later, as wrong parameters.
    match params.and_then(|params| params.get(member)).and_then(Raw::string) {
        Some(name) => {
            let found = single(headers, &NAME)?.ok_or(HeaderMismatch::Missing(NAME))?;
            let found = decode(found).ok_or(HeaderMismatch::Malformed(NAME))?;
            if found == name { Ok(()) } else { Err(HeaderMismatch::Disagrees(NAME)) }
        }
        None => Ok(()),
    }
}

/// Like [`agree`] for a notification, whose headers the specification leaves open: what is
/// there must agree.
pub fn agree_if_present(
    headers: &HeaderMap,
    version: Option<&str>,
    method: &str,
) -> Result<(), HeaderMismatch> {
    for (name, body) in [(PROTOCOL_VERSION, version), (METHOD, Some(method))] {
        if let (Some(found), Some(body)) = (single(headers, &name)?, body)
            && found != body
        {
            return Err(HeaderMismatch::Disagrees(name));
        }
    }
    Ok(())
}

/// The headers that mirror a modern request, made from its body.
///
/// Parameters are made apart, by [`HeaderParams::headers`].
pub fn mirror(
    version: &'static str,
    method: &str,
    params: Option<Raw<'_>>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(3);
    headers.push((PROTOCOL_VERSION, HeaderValue::from_static(version)));
    headers.push((METHOD, encode(method)));
    let name = method::mirrored_member(method).and_then(|member| params?.get(member)?.string());
    headers.extend(name.map(|name| (NAME, encode(&name))));
    headers
}

fn same(headers: &HeaderMap, name: &HeaderName, body: &str) -> Result<(), HeaderMismatch> {
    match single(headers, name)? {
        None => Err(HeaderMismatch::Missing(name.clone())),
        Some(found) if found == body => Ok(()),
        Some(_) => Err(HeaderMismatch::Disagrees(name.clone())),
    }
}

#[cfg(test)]
mod tests;
