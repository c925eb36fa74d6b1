//! String content: taking escapes out and putting them in.

use std::borrow::Cow;

use super::scan;

/// The value of four hexadecimal digits from the front of `digits`.
pub(super) fn hex4(digits: &[u8]) -> Option<u16> {
    let four = digits.first_chunk::<4>()?;
    four.iter().try_fold(0_u16, |sum, &b| {
        let nibble = char::from(b).to_digit(16)?;
        Some(sum << 4 | u16::try_from(nibble).ok()?)
    })
}

/// Takes the escapes out of what stands between the quotes of a JSON string.
///
/// The text has passed the strict pass; where it has not, a broken escape becomes U+FFFD.
pub(super) fn unescape(inner: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = after.chars();
        let escape = chars.next();
        rest = chars.as_str();
        match escape {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (found, used) = code_point(rest.as_bytes());
                out.push(found);
                rest = rest.get(used..).unwrap_or_default();
            }
            Some(same) => out.push(same),
            None => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that `XXXX` or `XXXX\uYYYY` stands for, and how many bytes said so.
fn code_point(after_u: &[u8]) -> (char, usize) {
    let Some(first) = hex4(after_u) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if let Some(single) = char::from_u32(u32::from(first)) {
        return (single, 4);
    }
    let low = after_u.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(hex4);
    let pair = low.and_then(|low| char::decode_utf16([first, low]).next()?.ok());
    pair.map_or((char::REPLACEMENT_CHARACTER, 4), |found| (found, 10))
}

/// Writes `text` as a JSON string, quotes included, escaping only what JSON demands.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let to = scan::plain(bytes, from);
        out.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        match bytes.get(to) {
            None => break,
            Some(&b @ (b'"' | b'\\')) => out.extend([b'\\', b]),
            Some(b'\n') => out.extend(b"\\n"),
            Some(b'\r') => out.extend(b"\\r"),
            Some(b'\t') => out.extend(b"\\t"),
            Some(&other) => {
                out.extend(b"\\u00");
                for nibble in [other >> 4, other & 0x0f] {
                    out.extend(HEX.get(usize::from(nibble)));
                }
            }
        }
        from = to + 1;
    }
    out.push(b'"');
}
