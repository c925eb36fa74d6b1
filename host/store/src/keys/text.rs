//! Root keys as text.
//!
//! One key a line: `tidegate-key-1` and 64 hexadecimal digits; the last line is the current
//! key, the ones before it only unwrap. Empty lines and lines that begin with `#` are passed
//! over. Knows no place where such text is kept.

use zeroize::Zeroizing;

use super::KeyError;
use crate::{
    log::hex,
    seal::{self, Key},
};

const WORD: &str = "tidegate-key-1";

/// What is wrong with a line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// Text that is wiped.
pub(super) type Text = Zeroizing<String>;

/// All keys of a text, at least one.
pub(super) fn read(text: &str) -> Result<Vec<Key>, Fault> {
    let keys: Result<Vec<Key>, Fault> = lines(text).map(|(_, _, key)| key).collect();
    match keys?.as_slice() {
        [] => Err(Fault { line: 1, what: "there is no key" }),
        keys => Ok(keys.to_vec()),
    }
}

/// A line for a new key.
pub(super) fn new_line() -> Result<Text, KeyError> {
    let key = Key::new(seal::random()?);
    Ok(Text::new(format!("{WORD} {}\n", *Zeroizing::new(hex(key.as_slice())))))
}

/// The text without the lines of a key that `is_it` knows.
pub(super) fn without(text: &str, is_it: impl Fn(&Key) -> bool) -> Text {
    let gone: Vec<usize> = lines(text)
        .filter(|(_, _, key)| key.as_ref().is_ok_and(&is_it))
        .map(|(number, ..)| number)
        .collect();
    let kept = (1..).zip(text.lines()).filter(|(number, _)| !gone.contains(number));
    let mut out = Text::new(String::with_capacity(text.len() + 1));
    kept.for_each(|(_, line)| {
        out.push_str(line);
        out.push('\n');
    });
    out
}

/// The lines that should hold a key: number, text, key.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, Result<Key, Fault>)> {
    let meant = (1..).zip(text.lines().map(str::trim));
    let meant = meant.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant.map(|(number, line)| {
        (number, line, key(line).map_err(|what| Fault { line: number, what }))
    })
}

fn key(line: &str) -> Result<Key, &'static str> {
    let digits = line.strip_prefix(WORD).map(str::trim).unwrap_or_default();
    let key = hexadecimal(digits).ok_or("this is no key")?;
    let first = key.first().copied().unwrap_or_default();
    if key.iter().all(|byte| *byte == first) {
        return Err("this key is a placeholder");
    }
    Ok(key)
}

fn hexadecimal(digits: &str) -> Option<Key> {
    let mut key = Key::new([0; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(key)
}
