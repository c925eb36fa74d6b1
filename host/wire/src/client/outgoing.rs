//! A request on its way out, as borrowed parts, and how it is written.
//!
//! Both transports write the same bytes: what a client wrote is copied through once, and
//! only members that belong to this hop are added or dropped.

use http::{HeaderName, HeaderValue};
use tidegate_model::{Given, Json, TraceContext};

use super::{Exchange, Profile};
use crate::{
    json::{Raw, write_string},
    mcp::{
        peek::key as meta,
        revision::{Era, Revision},
    },
};

/// One value in `params`.
#[derive(Debug, Clone, Copy)]
pub enum Member<'a> {
    /// A string, not yet escaped.
    Text(&'a str),
    /// JSON text, written as it is.
    Json(&'a Json),
}

/// A request to an MCP server, in upstream terms.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a str,
    /// The members of `params`, each name once, `_meta` left out.
    pub params: &'a [(&'a str, Member<'a>)],
    /// The client's `_meta` object; members that belong to one hop (version, client,
    /// capabilities, log level, progress token, trace context) are dropped from it.
    pub meta: Option<&'a Json>,
    /// The value of `Mcp-Name`: the tool, prompt or resource.
    pub name: Option<&'a str>,
    /// Headers of this request alone: the credential and `Mcp-Param-*`. HTTP only.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// Trace context to carry on.
    pub trace: Option<&'a TraceContext>,
    /// The client behind it; without one the request is the gateway's own.
    pub exchange: Option<&'a Exchange>,
    /// What the client gives to an earlier `input_required` (modern).
    pub given: Option<&'a Given>,
}

/// What the gateway says of itself in every modern request and in `initialize`.
pub(super) const CLIENT_INFO: &str =
    concat!(r#"{"name":"tidegate","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Keys of `_meta` that are written from [`Outgoing::trace`] alone.
const TRACE: [&str; 3] = [meta::TRACEPARENT, meta::TRACESTATE, meta::BAGGAGE];

impl Outgoing<'_> {
    /// Writes the request with this id; its progress token is the same number.
    pub(super) fn write(&self, id: u64, revision: Revision) -> Vec<u8> {
        let size = |member: &Member<'_>| match member {
            Member::Text(text) => text.len() + 8,
            Member::Json(json) => json.len(),
        };
        let params: usize = self.params.iter().map(|(name, value)| name.len() + size(value)).sum();
        let mut out = Vec::with_capacity(params + self.meta.map_or(0, Json::len) + 448);
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        write_number(&mut out, id);
        out.extend_from_slice(br#","method":"#);
        write_string(&mut out, self.method);
        out.extend_from_slice(br#","params":{"#);
        for (name, value) in self.params {
            key(&mut out, name);
            match value {
                Member::Text(text) => write_string(&mut out, text),
                Member::Json(json) => out.extend_from_slice(json.bytes()),
            }
        }
        if let Some(given) = self.given {
            if let Some(responses) = &given.responses {
                key(&mut out, "inputResponses");
                out.extend_from_slice(responses.bytes());
            }
            if let Some(state) = &given.state {
                key(&mut out, "requestState");
                write_string(&mut out, state);
            }
        }
        let before = out.len();
        key(&mut out, "_meta");
        out.push(b'{');
        let empty = out.len();
        self.write_meta(&mut out, id, revision);
        if out.len() == empty {
            out.truncate(before);
            out.extend_from_slice(b"}}");
        } else {
            out.extend_from_slice(b"}}}");
        }
        out
    }

    /// The `ClientCapabilities` of a modern request: the client's own as far as they may be
    /// carried, or all that the gateway can carry where it asks for itself.
    fn capabilities(&self) -> String {
        let mut out = String::from("{");
        match self.exchange {
            None => Profile::ALL.write(&mut out, false),
            Some(exchange) => {
                exchange.can.profile.write(&mut out, false);
                write_extensions(&mut out, &exchange.can.extensions);
            }
        }
        out.push('}');
        out
    }

    fn write_meta(&self, out: &mut Vec<u8>, id: u64, revision: Revision) {
        if revision.era() == Era::Modern {
            key(out, meta::PROTOCOL_VERSION);
            write_string(out, revision.name());
            key(out, meta::CLIENT_INFO);
            out.extend_from_slice(CLIENT_INFO.as_bytes());
            key(out, meta::CLIENT_CAPABILITIES);
            out.extend_from_slice(self.capabilities().as_bytes());
            if let Some(level) = self.exchange.and_then(|exchange| exchange.level) {
                key(out, meta::LOG_LEVEL);
                write_string(out, level.name());
            }
        }
        if self.exchange.is_some_and(|exchange| exchange.progress) {
            key(out, meta::PROGRESS_TOKEN);
            write_number(out, id);
        }
        if let Some(trace) = self.trace {
            let values = [&trace.traceparent, &trace.tracestate, &trace.baggage];
            for (name, value) in TRACE.into_iter().zip(values) {
                if let Some(value) = value {
                    key(out, name);
                    write_string(out, value);
                }
            }
        }
        for member in self.meta.into_iter().flat_map(|meta| Raw::from(meta).members()) {
            let ours = |names: &[&str]| names.contains(&&*member.key);
            if !ours(&meta::OF_ONE_HOP) && !ours(&TRACE) {
                key(out, &member.key);
                out.extend_from_slice(member.value.as_str().as_bytes());
            }
        }
    }
}

/// Writes a key, after a comma unless the object has just been opened.
fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_string(out, name);
    out.push(b':');
}

/// Writes an `extensions` member of a capability object, where there are any.
fn write_extensions(out: &mut String, extensions: &[(Box<str>, Json)]) {
    if extensions.is_empty() {
        return;
    }
    let mut text = Vec::new();
    for (name, settings) in extensions {
        text.push(if text.is_empty() { b'{' } else { b',' });
        write_string(&mut text, name);
        text.push(b':');
        text.extend_from_slice(settings.bytes());
    }
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str("\"extensions\":");
    out.push_str(&String::from_utf8_lossy(&text));
    out.push('}');
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut left = number;
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::ClientCan, mcp::Level};

    fn written(outgoing: &Outgoing<'_>, id: u64, revision: Revision) -> String {
        let text = String::from_utf8(outgoing.write(id, revision)).unwrap();
        crate::json::check(text.as_bytes(), &crate::json::Limits::REQUEST).expect(&text);
        text
    }

    #[test]
    fn legacy_requests_hold_what_was_given() {
        let arguments = Json::parse(r#"{"a":  1.0}"#).unwrap();
        let params = [("name", Member::Text("e\"cho")), ("arguments", Member::Json(&arguments))];
        let meta = Json::parse(r#"{"progressToken":"client","x":1,"traceparent":"no"}"#).unwrap();
        let trace = TraceContext { traceparent: Some("00-1".into()), ..Default::default() };
        let asks = Exchange { progress: true, ..Exchange::default() };
        for (outgoing, expected) in [
            (
                Outgoing { method: "tools/list", ..Default::default() },
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{}}"#,
            ),
            (
                Outgoing { method: "tools/call", params: &params, ..Default::default() },
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"e\"cho","arguments":{"a":  1.0}}}"#,
            ),
            (
                Outgoing {
                    method: "tools/call",
                    meta: Some(&meta),
                    trace: Some(&trace),
                    exchange: Some(&asks),
                    ..Default::default()
                },
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"_meta":{"progressToken":7,"traceparent":"00-1","x":1}}}"#,
            ),
        ] {
            assert_eq!(written(&outgoing, 7, Revision::V2025_11_25), expected);
        }
    }

    #[test]
    fn a_modern_request_carries_what_its_client_can_do_and_gives() {
        let given = Given {
            responses: Some(Json::parse(r#"{"a":{"action":"accept"}}"#).unwrap()),
            state: Some("s\"t".into()),
        };
        let settings = Json::parse(r#"{"x": 1}"#).unwrap();
        let exchange = Exchange {
            can: ClientCan {
                profile: Profile::FORM,
                extensions: vec![("io.example/x".into(), settings)],
            },
            level: Some(Level::Warning),
            ..Exchange::default()
        };
        let outgoing = Outgoing {
            method: "tools/call",
            given: Some(&given),
            exchange: Some(&exchange),
            ..Default::default()
        };
        let text = written(&outgoing, 1, Revision::V2026_07_28);
        for part in [
            r#""inputResponses":{"a":{"action":"accept"}},"requestState":"s\"t""#,
            r#"Capabilities":{"elicitation":{"form":{}},"extensions":{"io.example/x":{"x": 1}}}"#,
            r#""io.modelcontextprotocol/logLevel":"warning""#,
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn modern_requests_say_who_and_which_revision() {
        let meta = Json::parse(
            r#"{"io.modelcontextprotocol/protocolVersion":"x","io.modelcontextprotocol/clientCapabilities":{"roots":{}},"k":[1]}"#,
        )
        .unwrap();
        let outgoing = Outgoing { method: "tools/list", meta: Some(&meta), ..Default::default() };
        let text = written(&outgoing, u64::MAX, Revision::V2026_07_28);
        assert!(text.starts_with(r#"{"jsonrpc":"2.0","id":18446744073709551615,"#), "{text}");
        for part in [
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#,
            r#""io.modelcontextprotocol/clientCapabilities":{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{}}"#,
            r#""io.modelcontextprotocol/clientInfo":{"name":"tidegate","#,
            r#""k":[1]"#,
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
