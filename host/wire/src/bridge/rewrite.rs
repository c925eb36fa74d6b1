//! What is exchanged in a message on its way through: ids and progress tokens, nothing else.
//!
//! Works by span: what a child says is cut in pieces around what is exchanged, without a copy.

use bytes::Bytes;
use tidegate_model::Json;

use crate::{
    client::Profile,
    json::{Raw, write_string},
    mcp::{
        envelope,
        method::Method,
        peek::key,
        splice::{self, Edit},
    },
};

/// Text in pieces, to be sent one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces(pub(super) Vec<Bytes>);

impl Pieces {
    /// A message as it is.
    pub(super) fn whole(message: &Json) -> Self {
        Self(vec![message.bytes().clone()])
    }

    /// `message` with `part`, which is borrowed from it, exchanged for `new`.
    pub(super) fn exchanged(message: &Json, part: &str, new: &str) -> Self {
        let bytes = message.bytes();
        let start = (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let span = start.and_then(|start| Some((start, start.checked_add(part.len())?)));
        match span {
            Some((start, end)) if end <= bytes.len() => Self(vec![
                bytes.slice(..start),
                Bytes::copy_from_slice(new.as_bytes()),
                bytes.slice(end..),
            ]),
            _ => Self::whole(message),
        }
    }

    /// How many bytes it is.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

/// A client's request with our id in place of its own, and as its progress token, where it
/// has one.
pub(super) fn request(message: Raw<'_>, id: u64, has_token: bool) -> Vec<u8> {
    let id = id.to_string();
    let number = Raw::from_checked(&id);
    let token = [Edit::set(key::PROGRESS_TOKEN, number)];
    let meta = [Edit::within("_meta", &token)];
    let both = [Edit::set("id", number), Edit::within("params", &meta)];
    edited(message, if has_token { &both } else { &both[..1] })
}

/// A notification with this in place of its `requestId`.
pub(super) fn of_request(message: Raw<'_>, id: &str) -> Vec<u8> {
    let edits = [Edit::set("requestId", Raw::from_checked(id))];
    edited(message, &[Edit::within("params", &edits)])
}

/// An `initialize` request with our id, whose client can do all that can be carried. What a
/// client cannot do is refused in its name later: the child has one session for all of them.
pub(super) fn initialize(message: Raw<'_>, id: u64) -> Vec<u8> {
    let id = id.to_string();
    let mut all = String::from("{");
    Profile::ALL.write(&mut all, true);
    all.push('}');
    let all = Raw::from_checked(&all);
    let values: Vec<_> =
        all.members().map(|member| (member.key.into_owned(), member.value)).collect();
    let abilities: Vec<_> = values.iter().map(|(key, value)| Edit::set(key, *value)).collect();
    let params = [Edit::within("capabilities", &abilities)];
    edited(message, &[Edit::set("id", Raw::from_checked(&id)), Edit::within("params", &params)])
}

/// The notification that nobody waits for a request any more.
pub(super) fn cancelled(id: u64) -> Vec<u8> {
    let params = format!(r#"{{"requestId":{id},"reason":"nobody waits for the answer any more"}}"#);
    let mut out = Vec::new();
    let params = Raw::from_checked(&params);
    envelope::notification(&mut out, Method::Cancelled.name(), Some(params));
    out
}

/// A refusal of a child's question.
pub(super) fn refusal(id: envelope::Id<'_>, code: i64, words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    envelope::error(&mut out, Some(id), code, words, None);
    out
}

/// A request without a client behind it.
pub(super) fn own_request(id: u64, method: &str, member: &str, value: &str) -> Vec<u8> {
    let mut params = Vec::new();
    params.push(b'{');
    write_string(&mut params, member);
    params.push(b':');
    write_string(&mut params, value);
    params.push(b'}');
    let params = String::from_utf8_lossy(&params);
    let mut out = Vec::new();
    let id = envelope::OwnedId::from(id);
    envelope::request(&mut out, id.borrow(), method, Some(Raw::from_checked(&params)));
    out
}

fn edited(message: Raw<'_>, edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.as_str().len() + 64);
    if splice::object_into(&mut out, message, edits).is_err() {
        // Only objects are messages, so this does not happen; as it is, it does no harm.
        out.clear();
        out.extend_from_slice(message.as_str().as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_ids_and_tokens_are_exchanged() {
        let raw = Raw::from_checked(
            r#"{"jsonrpc":"2.0", "params":{"_meta":{"x":1.0,"progressToken":"t"},"a":[ 1e2 ]},"id":"\u0061","method":"m"}"#,
        );
        assert_eq!(
            text(request(raw, 7, true)),
            r#"{"jsonrpc":"2.0", "params":{"_meta":{"x":1.0,"progressToken":7},"a":[ 1e2 ]},"id":7,"method":"m"}"#
        );
        let bare = Raw::from_checked(r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#);
        assert_eq!(text(request(bare, 7, false)), r#"{"jsonrpc":"2.0","id":7,"method":"m"}"#);
    }

    #[test]
    fn initialize_declares_all_and_keeps_the_rest() {
        let raw = Raw::from_checked(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{},"experimental":{"k":1}},"clientInfo":{"name":"c","version":"1"}}}"#,
        );
        let written = text(initialize(raw, 9));
        let capabilities = r#"{"roots":{"listChanged":true},"experimental":{"k":1},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}}}"#;
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{capabilities},"clientInfo":{{"name":"c","version":"1"}}}}}}"#
        );
        assert_eq!(written, expected);
    }

    #[test]
    fn what_a_child_says_is_cut_around_what_is_exchanged() {
        let message = Json::parse(r#"{"id": 12 ,"jsonrpc":"2.0","result":{}}"#).unwrap();
        let part = Raw::from(&message).get("id").unwrap();
        let pieces = Pieces::exchanged(&message, part.as_str(), r#""c""#);
        assert_eq!(pieces.0.concat(), br#"{"id": "c" ,"jsonrpc":"2.0","result":{}}"#);
        assert_eq!(pieces.len(), 40);
        let foreign = Pieces::exchanged(&message, "elsewhere", "x");
        assert_eq!(foreign, Pieces::whole(&message));
    }
}
