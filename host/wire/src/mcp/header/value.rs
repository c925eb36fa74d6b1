//! Text as a header value: as it is, or as `=?base64?…?=`.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// The header value for `text`: itself, or in the sentinel if a header would change it or
/// a reader would take it for a sentinel.
pub fn encode(text: &str) -> HeaderValue {
    let is_plain = text.bytes().all(|b| matches!(b, 0x20..=0x7e))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && sentinel(text).is_none();
    if is_plain && let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let wrapped = format!("{OPEN}{}{CLOSE}", STANDARD.encode(text));
    // INVARIANT: base64 and the sentinel are visible ASCII.
    HeaderValue::from_str(&wrapped).unwrap_or(HeaderValue::from_static(""))
}

/// The text that a header value stands for; none if a sentinel holds no base64 of UTF-8.
///
/// Decodes once: what comes out is never decoded again.
pub fn decode(value: &str) -> Option<Cow<'_, str>> {
    match sentinel(value) {
        None => Some(Cow::Borrowed(value)),
        Some(inner) => {
            let bytes = STANDARD.decode(inner).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

fn sentinel(value: &str) -> Option<&str> {
    value.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}
