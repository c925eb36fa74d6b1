//! E-mail addresses and the shapes of well-known keys.

use super::{is_word, run};

/// Length of the e-mail address at the start of `text`.
pub(super) fn email(text: &[u8]) -> Option<usize> {
    // What is longer is no address, and looking no further keeps long dotted texts cheap.
    let near = text.get(..text.len().min(65))?;
    let local = run(near, |byte| is_word(byte) || b".%+-'".contains(&byte));
    if local == 0 || local > 64 || text.get(local) != Some(&b'@') {
        return None;
    }
    let after = text.get(local + 1..)?;
    let mut domain = run(after, |byte| is_word(byte) && byte != b'_' || b".-".contains(&byte));
    // A full stop that ends the sentence is no part of the address.
    while domain > 0 && matches!(after.get(domain - 1), Some(b'.' | b'-')) {
        domain -= 1;
    }
    let name = after.get(..domain)?;
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let top = name.get(dot + 1..)?;
    let fits = dot > 0 && top.len() >= 2 && !top.iter().any(u8::is_ascii_digit);
    fits.then_some(local + 1 + domain)
}

/// A prefix, what may follow it, and how much of that there has to be.
struct Shape {
    prefix: &'static [u8],
    follows: fn(u8) -> bool,
    least: usize,
}

const fn shape(prefix: &'static [u8], follows: fn(u8) -> bool, least: usize) -> Shape {
    Shape { prefix, follows, least }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn joined(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn dotted(byte: u8) -> bool {
    joined(byte) || byte == b'.'
}

fn secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn capital(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const SHAPES: &[Shape] = &[
    shape(b"sk-", joined, 16),
    shape(b"sk_live_", plain, 16),
    shape(b"rk_live_", plain, 16),
    shape(b"ghp_", plain, 30),
    shape(b"gho_", plain, 30),
    shape(b"ghu_", plain, 30),
    shape(b"ghs_", plain, 30),
    shape(b"ghr_", plain, 30),
    shape(b"github_pat_", joined, 22),
    shape(b"glpat-", joined, 20),
    shape(b"glrt-", joined, 20),
    shape(b"sk_test_", plain, 16),
    shape(b"rk_test_", plain, 16),
    shape(b"whsec_", secret, 24),
    shape(b"npm_", plain, 36),
    shape(b"pypi-", joined, 32),
    shape(b"hf_", plain, 30),
    shape(b"SG.", dotted, 60),
    shape(b"dop_v1_", plain, 64),
    shape(b"shpat_", plain, 32),
    shape(b"ya29.", joined, 30),
    shape(b"AKIA", capital, 16),
    shape(b"ASIA", capital, 16),
    shape(b"AIza", joined, 35),
    shape(b"xapp-", joined, 10),
    shape(b"xoxa-", joined, 10),
    shape(b"xoxb-", joined, 10),
    shape(b"xoxp-", joined, 10),
    shape(b"xoxr-", joined, 10),
    shape(b"xoxs-", joined, 10),
    shape(b"tg_", joined, 24),
];

/// Length of the key at the start of `text`.
pub(super) fn key(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"eyJ") {
        return jwt(text);
    }
    SHAPES.iter().find_map(|shape| {
        let rest = text.strip_prefix(shape.prefix)?;
        let length = run(rest, shape.follows);
        (length >= shape.least).then_some(shape.prefix.len() + length)
    })
}

const LONGEST_HEADER: usize = 8 << 10;

/// Three parts of base64url with dots between, of which the first two are JSON objects.
fn jwt(text: &[u8]) -> Option<usize> {
    let near = text.get(..text.len().min(LONGEST_HEADER))?;
    let header = run(near, joined);
    let payload = text.get(header..)?.strip_prefix(b".")?;
    if !payload.starts_with(b"eyJ") {
        return None;
    }
    let length = run(payload, joined);
    let signature = payload.get(length..)?.strip_prefix(b".")?;
    // An unsigned token ends in a dot and tells just as much.
    Some(header + 1 + length + 1 + run(signature, joined))
}
