//! How people and machines are reached, and who they are: telephone numbers, IP addresses,
//! United States social security numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ends, run};

/// Length of the telephone number at the start of `text`.
///
/// International with `+` and 8 to 15 digits (E.164), or North American with its separators:
/// `(212) 555-0123`, `212-555-0123`. Ten digits in a row are any number.
pub(super) fn phone(text: &[u8]) -> Option<usize> {
    if text.first() == Some(&b'+') { international(text) } else { north_american(text) }
}

fn international(text: &[u8]) -> Option<usize> {
    // No country code begins with 0.
    if !matches!(text.get(1), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut at, mut digits, mut best) = (1, 0, None);
    while let Some(byte) = text.get(at) {
        if byte.is_ascii_digit() {
            digits += 1;
            at += 1;
            if digits >= 8 && ends(text, at) {
                best = Some(at);
            }
        } else if let Some(length) = gap(text.get(at..)?) {
            at += length;
        } else {
            break;
        }
        if digits == 15 {
            break;
        }
    }
    best
}

/// Length of what may stand between two groups of digits: one separator, or one beside a
/// bracket.
fn gap(text: &[u8]) -> Option<usize> {
    let length = run(text, |byte| matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/'));
    let bracket = text.get(..length)?.iter().any(|byte| matches!(byte, b'(' | b')'));
    (length == 1 || length == 2 && bracket).then_some(length)
}

fn north_american(text: &[u8]) -> Option<usize> {
    let open = usize::from(text.first() == Some(&b'('));
    let mut at = open;
    let area = digits(text, &mut at, 3)?;
    if open == 1 {
        at += usize::from(text.get(at) == Some(&b')'));
        at += usize::from(text.get(at) == Some(&b' '));
    }
    if at <= open + 3 {
        at += separator(text, at)?;
    }
    let exchange = digits(text, &mut at, 3)?;
    at += separator(text, at)?;
    digits(text, &mut at, 4)?;
    // Neither part begins with 0 or 1.
    let fits = [area, exchange].iter().all(|part| *part >= 200);
    // `212-555-0123-4567` is something else.
    let more = matches!(text.get(at), Some(b'-' | b'.'))
        && text.get(at + 1).is_some_and(u8::is_ascii_digit);
    (fits && !more && ends(text, at)).then_some(at)
}

fn separator(text: &[u8], at: usize) -> Option<usize> {
    matches!(text.get(at), Some(b'-' | b'.' | b' ')).then_some(1)
}

/// Exactly `count` digits.
fn digits(text: &[u8], at: &mut usize, count: usize) -> Option<u32> {
    let part = text.get(*at..*at + count)?;
    *at += count;
    std::str::from_utf8(part).ok().filter(|_| part.iter().all(u8::is_ascii_digit))?.parse().ok()
}

/// Length of the social security number at the start of `text`: `123-45-6789`, none of the
/// numbers that are never given out.
pub(super) fn ssn(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let area = digits(text, &mut at, 3)?;
    let dash = *text.get(at).filter(|byte| matches!(byte, b'-' | b' '))?;
    at += 1;
    let group = digits(text, &mut at, 2)?;
    text.get(at).filter(|byte| **byte == dash)?;
    at += 1;
    let serial = digits(text, &mut at, 4)?;
    let given = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    let more = text.get(at) == Some(&dash) && text.get(at + 1).is_some_and(u8::is_ascii_digit);
    (given && !more && ends(text, at)).then_some(at)
}

/// The longest text of an IPv6 address.
const LONGEST: usize = 45;

/// Length of the IPv4 or IPv6 address that stands at `at`.
pub(super) fn ip(text: &[u8], at: usize) -> Option<usize> {
    let (before, rest) = text.split_at_checked(at)?;
    // Parts of something longer: `1.2.3.4.5`, `crate::fe`.
    if before.ends_with(b".") || before.ends_with(b"::") {
        return None;
    }
    let near = rest.get(..rest.len().min(LONGEST + 1))?;
    v4(near).or_else(|| v6(near))
}

fn v4(text: &[u8]) -> Option<usize> {
    let mut end = run(text, |byte| byte.is_ascii_digit() || byte == b'.');
    while end > 0 && text.get(end - 1) == Some(&b'.') {
        end -= 1;
    }
    let address = std::str::from_utf8(text.get(..end)?).ok()?;
    (address.parse::<Ipv4Addr>().is_ok() && ends(text, end)).then_some(end)
}

fn v6(text: &[u8]) -> Option<usize> {
    let mut end = run(text, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    // A full stop or colon that ends the phrase is no part of the address, `::` is.
    while end > 2
        && matches!(text.get(end - 1), Some(b'.' | b':'))
        && text.get(end - 2..end) != Some(b"::")
    {
        end -= 1;
    }
    let address = std::str::from_utf8(text.get(..end)?).ok()?;
    let parsed: Ipv6Addr = address.parse().ok()?;
    // `::` and `a::b` stand in every other line of code.
    let digit = address.bytes().any(|byte| byte.is_ascii_digit());
    (digit && !parsed.is_unspecified() && ends(text, end)).then_some(end)
}
