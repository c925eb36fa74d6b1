//! String values of a JSON text, looked at and replaced in place.
//!
//! The host has checked that the text is valid JSON, so one look at quotes and brackets is
//! enough; nothing is parsed into a tree, and bytes that do not change are copied as they
//! stand.

use std::{borrow::Cow, ops::Range};

/// The name of a member without its escapes; none for an element of a list, and for the whole.
type Name<'a> = Option<Cow<'a, str>>;

/// Where a string value stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand<'a> {
    /// What it is in, the outermost first, which is the whole.
    containers: &'a [Name<'a>],
    own: Option<&'a str>,
}

impl Stand<'_> {
    /// The member of the outermost object that it is in.
    pub(crate) fn outermost(&self) -> Option<&str> {
        match self.containers {
            [] | [_] => self.own,
            [_, first, ..] => first.as_deref(),
        }
    }

    /// Whether it is the member `own` in these containers; `None` is an element of a list.
    pub(crate) fn is(&self, containers: &[Option<&str>], own: &str) -> bool {
        let inner = self.containers.get(1..).unwrap_or_default();
        self.own == Some(own)
            && inner.len() == containers.len()
            && inner.iter().zip(containers).all(|(one, wanted)| one.as_deref() == *wanted)
    }
}

/// Offers every string value (not the names of members) to `visit`. Returns the text with what
/// `visit` put in place, or `None` when that was nothing.
pub(crate) fn replace_strings(
    json: &str,
    mut visit: impl FnMut(Stand<'_>, &str) -> Option<String>,
) -> Option<String> {
    let bytes = json.as_bytes();
    let mut splice = Splice { json, out: None, copied: 0 };
    let mut containers: Vec<Name<'_>> = Vec::new();
    let mut own: Name<'_> = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => containers.push(own.take()),
            b'}' | b']' => {
                containers.pop();
                own = None;
            }
            b',' => own = None,
            b'"' => {
                let open = at;
                at = end_of_string(bytes, open + 1) + 1;
                let literal = json.get(open..at).unwrap_or_default();
                if is_name(bytes, at) {
                    own = text_of(literal);
                    continue;
                }
                let stand = Stand { containers: &containers, own: own.as_deref() };
                if let Some(text) = text_of(literal).and_then(|text| visit(stand, &text)) {
                    splice.put(open..at, &text);
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    splice.end()
}

/// The text so far, once something was put in place.
struct Splice<'a> {
    json: &'a str,
    out: Option<String>,
    copied: usize,
}

impl Splice<'_> {
    fn put(&mut self, place: Range<usize>, text: &str) {
        let out = self.out.get_or_insert_with(|| String::with_capacity(self.json.len() + 64));
        out.push_str(self.json.get(self.copied..place.start).unwrap_or_default());
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
        self.copied = place.end;
    }

    fn end(self) -> Option<String> {
        let mut out = self.out?;
        out.push_str(self.json.get(self.copied..).unwrap_or_default());
        Some(out)
    }
}

/// The position of the closing quote.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = bytes.get(at..) {
        match rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            Some(offset) if rest.get(offset) == Some(&b'"') => return at + offset,
            Some(offset) => at += offset + 2,
            None => break,
        }
    }
    bytes.len()
}

/// Whether what ends here is the name of a member: a colon follows.
fn is_name(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

fn text_of(literal: &str) -> Option<Cow<'_, str>> {
    if literal.contains('\\') {
        serde_json::from_str::<String>(literal).ok().map(Into::into)
    } else {
        literal.get(1..literal.len().checked_sub(1)?).map(Into::into)
    }
}
