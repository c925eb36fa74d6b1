//! Positions in JSON text: the few loops that everything else is made of.
//!
//! Every function takes the whole text and an offset and returns an offset; past the end
//! is the end. Only [`plain`] may be pointed at text that has not been checked.

const ONES: u64 = u64::MAX / 0xff;
const HIGHS: u64 = ONES * 0x80;

/// The first byte that is zero, as the high bit of its place; exact for the lowest one.
const fn zeroes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Where the run of plain string content from `at` ends: at a quote, a backslash, a control
/// character or the end.
#[inline]
pub(crate) fn plain(text: &[u8], at: usize) -> usize {
    let start = text.len() - text.get(at..).map_or(0, <[u8]>::len);
    let mut rest = text.get(at..).unwrap_or_default();
    let mut done = start;
    // Long texts in larger steps, which the compiler turns into vector instructions.
    while let Some((head, tail)) = rest.split_first_chunk::<64>() {
        let ends = |hit, &byte: &u8| hit | (byte < 0x20) | (byte == b'"') | (byte == b'\\');
        if head.iter().fold(false, ends) {
            break;
        }
        done += 64;
        rest = tail;
    }
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*head);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let quote = zeroes(word ^ (ONES * b'"' as u64));
        let backslash = zeroes(word ^ (ONES * b'\\' as u64));
        let hits = below_space | quote | backslash;
        if hits != 0 {
            return done + (hits.trailing_zeros() / 8) as usize;
        }
        done += 8;
        rest = tail;
    }
    let more = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\');
    done + more.unwrap_or(rest.len())
}

/// Skips white space.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// From just after an opening quote to just after the closing one.
#[inline]
pub(crate) fn string(text: &[u8], mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(ahead) = memchr::memchr2(b'"', b'\\', rest) else { return text.len() };
        at += ahead;
        match text.get(at) {
            Some(b'"') => return at + 1,
            _ => at = (at + 2).min(text.len()),
        }
    }
}

/// From the first byte of a value to just after its last.
pub(crate) fn value(text: &[u8], mut at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => return string(text, at + 1),
        Some(b'{' | b'[') => {}
        _ => {
            while let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'+' | b'.') =
                text.get(at)
            {
                at += 1;
            }
            return at;
        }
    }
    let mut depth = 0_usize;
    loop {
        match text.get(at) {
            Some(b'"') => {
                at = string(text, at + 1);
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            Some(_) => {}
            None => return at,
        }
        at += 1;
    }
}
