//! String values of a JSON text, looked at and replaced in place.
//!
//! The host has checked that the text is valid JSON, so one look at quotes and brackets is
//! enough; nothing is parsed into a tree, and bytes that do not change are copied as they
//! stand.

use std::{borrow::Cow, ops::Range};

/// Where a string value stands; names are as they are written, escapes included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand<'a> {
    /// The member of the outermost object that it is in, empty where there is none.
    pub(crate) outermost: &'a str,
    /// The member whose value it is, empty for an element of a list.
    pub(crate) own: &'a str,
}

/// Offers every string value (not the names of members) to `visit`. Returns the text with what
/// `visit` put in place, or `None` when that was nothing.
pub(crate) fn replace_strings(
    json: &str,
    mut visit: impl FnMut(Stand<'_>, &str) -> Option<String>,
) -> Option<String> {
    let bytes = json.as_bytes();
    let mut splice = Splice { json, out: None, copied: 0 };
    let (mut outermost, mut own): (Range<usize>, Range<usize>) = (0..0, 0..0);
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => (depth, own) = (depth + 1, 0..0),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => own = 0..0,
            b'"' => {
                let open = at;
                at = end_of_string(bytes, open + 1) + 1;
                if is_name(bytes, at) {
                    own = open + 1..at - 1;
                    if depth == 1 {
                        outermost = own.clone();
                    }
                    continue;
                }
                let name = |range: &Range<usize>| json.get(range.clone()).unwrap_or_default();
                let stand = Stand { outermost: name(&outermost), own: name(&own) };
                let literal = json.get(open..at).unwrap_or_default();
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
