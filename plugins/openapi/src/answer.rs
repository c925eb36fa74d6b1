//! An HTTP answer as a `CallToolResult`.

use std::{collections::BTreeSet, fmt};

use outgoing::Response;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};
use tidegate_plugin::connector::problem;

use crate::operation::{essence, is_json};

/// What structured content an answer is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The body as it is, where it is an object.
    Body,
    /// The body as the member `result`.
    Wrapped,
}

/// The result of a call to `url`, which is named without its query.
pub(crate) fn result(response: &Response, content: Content, url: &str) -> String {
    if !(200..300).contains(&response.status) {
        return refused(response);
    }
    let media_type = response.header("content-type").unwrap_or_default();
    if response.body.is_empty() {
        return json!({ "content": [text(&format!("HTTP {}, no content", response.status))] })
            .to_string();
    }
    if is_json(media_type)
        && let Ok(body) = std::str::from_utf8(&response.body)
        && let Some(structured) = structured(body, content)
    {
        return structured;
    }
    let content = match essence(media_type) {
        kind if is_text(&kind) => text(&String::from_utf8_lossy(&response.body)),
        kind => binary(&kind, &response.body, url),
    };
    json!({ "content": [content] }).to_string()
}

/// The body as text and as structured content; `None` where it is no JSON.
fn structured(body: &str, content: Content) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    let text = serde_json::to_string(body.trim()).ok()?;
    // As it came, so that large numbers stay what they are, unless a name stands in it twice.
    let unique = serde_json::from_str::<Unique>(body).is_ok();
    let json = if unique { body.trim().to_owned() } else { value.to_string() };
    let structured = match (content, value.is_object()) {
        (Content::Wrapped, _) => format!(r#","structuredContent":{{"result":{json}}}"#),
        (Content::Body, true) => format!(r#","structuredContent":{json}"#),
        (Content::Body, false) => String::new(),
    };
    Some(format!(r#"{{"content":[{{"type":"text","text":{text}}}]{structured}}}"#))
}

/// What the service has against the call, for the model to act on.
fn refused(response: &Response) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let status = response.status;
    let text = match response.header("location").filter(|_| (300..400).contains(&status)) {
        Some(location) => format!("HTTP {status}: leads to {location}, which is not followed"),
        None if body.trim().is_empty() => format!("HTTP {status}"),
        None => format!("HTTP {status}: {}", body.trim()),
    };
    problem(&text)
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn is_text(essence: &str) -> bool {
    let like = ["application/xml", "application/yaml", "application/javascript"];
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence == "application/x-www-form-urlencoded"
        || like.contains(&essence)
        || is_json(essence)
}

fn binary(essence: &str, body: &[u8], url: &str) -> Value {
    let data = base64(body);
    match essence.split('/').next() {
        Some(kind @ ("image" | "audio")) => {
            json!({ "type": kind, "data": data, "mimeType": essence })
        }
        _ => {
            let kind = if essence.is_empty() { "application/octet-stream" } else { essence };
            json!({ "type": "resource", "resource": { "uri": url, "mimeType": kind, "blob": data } })
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let byte = |place: usize| u32::from(piece.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let six = bits >> (18 - 6 * place) & 63;
            let letter = usize::try_from(six).ok().and_then(|six| ALPHABET.get(six));
            let written = if place <= piece.len() { letter.copied() } else { None };
            out.push(char::from(written.unwrap_or(b'=')));
        }
    }
    out
}

/// JSON in which no object has a name twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON without doubled names")
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _value: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Unique, A::Error> {
        while all.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Unique, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = all.next_key::<String>()? {
            if !names.insert(name) {
                // Read to the end of it, or the error would be about what follows.
                all.next_value::<IgnoredAny>()?;
                return Err(serde::de::Error::custom("a name stands twice"));
            }
            all.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}
