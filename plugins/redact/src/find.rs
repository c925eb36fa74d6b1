//! What is masked: where in a text a card number, an IBAN, an e-mail address or a key stands.
//!
//! Each finder prefers missing an odd spelling to masking an ordinary number: card numbers
//! pass Luhn, IBANs have their country's length and pass mod 97, keys have a known prefix.

use serde::Deserialize;

mod account;
mod token;

/// A kind of value to mask.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A payment card number.
    Card,
    /// An International Bank Account Number.
    Iban,
    /// An e-mail address.
    Email,
    /// An API key or token.
    Key,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Card, Self::Iban, Self::Email, Self::Key];

    const fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Email => "email",
            Self::Key => "key",
        }
    }

    /// The end of a value of this kind that starts at `start`, which is a boundary.
    fn end(self, text: &str, start: usize) -> Option<usize> {
        let rest = text.as_bytes().get(start..)?;
        let length = match self {
            Self::Card => account::card(rest),
            Self::Iban => account::iban(rest),
            Self::Email => token::email(rest),
            Self::Key => token::key(rest),
        }?;
        Some(start + length)
    }
}

/// The text with every match replaced, or nothing when there is none.
pub(crate) fn mask(text: &str, kinds: &[Kind], replacement: &str) -> Option<String> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    let mut previous = b' ';
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let found = starts(previous, byte)
            .then(|| kinds.iter().find_map(|kind| Some((*kind, kind.end(text, at)?))))
            .flatten();
        match found {
            Some((kind, end)) => {
                let out = out.get_or_insert_with(String::new);
                out.push_str(text.get(copied..at).unwrap_or_default());
                out.push_str(&replacement.replace("{kind}", kind.name()));
                previous = b' ';
                (at, copied) = (end, end);
            }
            None => {
                previous = byte;
                at += 1;
            }
        }
    }
    let mut out = out?;
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// Whether a value may begin at `byte`. Words of other scripts count as letters.
fn starts(previous: u8, byte: u8) -> bool {
    is_word(byte) && !is_word(previous)
}

/// Letters, digits, and the underscore, which joins the parts of keys.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
