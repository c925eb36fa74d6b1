//! String values of a JSON text, replaced in place.
//!
//! The host has checked that the text is valid JSON, so one look at the quotes is enough;
//! nothing is parsed into a tree, and bytes that do not change are copied as they stand.

/// Offers every string value (not the names of members) to `change`; `None` when nothing
/// changed.
pub(crate) fn replace_strings(
    json: &str,
    change: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let bytes = json.as_bytes();
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(open) = next_quote(bytes, at) {
        let close = end_of_string(bytes, open + 1);
        at = close + 1;
        if is_name(bytes, at) {
            continue;
        }
        let literal = json.get(open..at).unwrap_or_default();
        let Some(changed) = text_of(literal).and_then(|text| change(&text)) else { continue };
        let out = out.get_or_insert_with(|| String::with_capacity(json.len()));
        out.push_str(json.get(copied..open).unwrap_or_default());
        out.push_str(&serde_json::Value::String(changed).to_string());
        copied = at;
    }
    let mut out = out?;
    out.push_str(json.get(copied..).unwrap_or_default());
    Some(out)
}

fn next_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| *byte == b'"').map(|offset| from + offset)
}

/// The position of the closing quote.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether what ends here is the name of a member: a colon follows.
fn is_name(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

fn text_of(literal: &str) -> Option<std::borrow::Cow<'_, str>> {
    if literal.contains('\\') {
        serde_json::from_str::<String>(literal).ok().map(Into::into)
    } else {
        literal.get(1..literal.len().checked_sub(1)?).map(Into::into)
    }
}
