//! What there is to find: where in a text a card number, a key, an address or the like stands.
//!
//! Each finder prefers missing an odd spelling to reporting an ordinary number: card numbers
//! pass Luhn, IBANs have their country's length and pass mod 97, keys have a known prefix.
//! Knows nothing of what becomes of a find.

use std::ops::Range;

mod account;
mod contact;
mod secret;
mod token;

/// A kind of value. The built-in ones come first, then the configuration's own patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    pub(crate) const CARD: Self = Self(0);
    pub(crate) const IBAN: Self = Self(1);
    pub(crate) const EMAIL: Self = Self(2);
    pub(crate) const PHONE: Self = Self(3);
    pub(crate) const IP: Self = Self(4);
    pub(crate) const SSN: Self = Self(5);
    pub(crate) const KEY: Self = Self(6);
    pub(crate) const PRIVATE_KEY: Self = Self(7);
    pub(crate) const PASSWORD: Self = Self(8);

    /// The names of the built-in kinds, in order.
    pub(crate) const NAMES: [&'static str; 9] =
        ["card", "iban", "email", "phone", "ip", "ssn", "key", "private_key", "password"];

    /// What is the same value, however it is written: hashes are made of it.
    pub(crate) fn normal(self, value: &str) -> String {
        match self {
            Self::CARD | Self::IBAN | Self::SSN => {
                let kept = value.chars().filter(char::is_ascii_alphanumeric);
                kept.map(|one| one.to_ascii_uppercase()).collect()
            }
            Self::PHONE => {
                value.chars().filter(|one| one.is_ascii_digit() || *one == '+').collect()
            }
            Self::EMAIL | Self::IP => value.to_lowercase(),
            _ => value.to_owned(),
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u128);

impl Kinds {
    pub(crate) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind.0) != 0
    }

    pub(crate) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | (1 << kind.0))
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A value in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it stands.
    pub(crate) place: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Every value of the built-in kinds in `wanted`, in order; they may overlap.
pub(crate) fn find(text: &str, wanted: Kinds) -> Vec<Found> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut previous = b' ';
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let may_start = match byte {
            b'+' | b'(' | b':' | b'-' => true,
            _ => is_word(byte) && !is_word(previous),
        };
        if may_start && let Some(one) = at_start(bytes, at, previous, wanted) {
            // A password lies behind where it was recognised.
            at = one.place.end.max(at + 1);
            previous = b' ';
            found.push(one);
        } else {
            previous = byte;
            at += 1;
        }
    }
    found
}

/// The value that starts at `at`: of several kinds the longest.
fn at_start(text: &[u8], at: usize, previous: u8, wanted: Kinds) -> Option<Found> {
    let rest = text.get(at..)?;
    let first = *rest.first()?;
    if first == b':'
        && wanted.has(Kind::PASSWORD)
        && let Some(place) = secret::password(rest)
    {
        return Some(Found { place: at + place.start..at + place.end, kind: Kind::PASSWORD });
    }
    let kinds: &[Kind] = match first {
        b'-' => &[Kind::PRIVATE_KEY],
        _ if is_word(first) => match first {
            b'0'..=b'9' => &[Kind::CARD, Kind::SSN, Kind::PHONE, Kind::IP, Kind::EMAIL],
            b'a'..=b'f' | b'A'..=b'F' => &[Kind::IBAN, Kind::KEY, Kind::IP, Kind::EMAIL],
            _ => &[Kind::IBAN, Kind::KEY, Kind::EMAIL],
        },
        _ if is_word(previous) => &[],
        b':' => &[Kind::IP],
        _ => &[Kind::PHONE],
    };
    let found = kinds.iter().filter(|kind| wanted.has(**kind)).filter_map(|kind| {
        let length = match *kind {
            Kind::CARD => account::card(rest),
            Kind::IBAN => account::iban(rest),
            Kind::EMAIL => token::email(rest),
            Kind::PHONE => contact::phone(rest),
            Kind::IP => contact::ip(text, at),
            Kind::SSN => contact::ssn(rest),
            Kind::PRIVATE_KEY => secret::private_key(rest),
            _ => token::key(rest),
        }?;
        Some(Found { place: at..at + length, kind: *kind })
    });
    // Of equals the first, so that what proves itself by a checksum wins.
    found.reduce(|best, one| if one.place.len() > best.place.len() { one } else { best })
}

/// Letters, digits, and the underscore, which joins the parts of keys. Words of other scripts
/// count as letters.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// How many bytes at the start of `text` fit.
fn run(text: &[u8], fits: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !fits(*byte)).unwrap_or(text.len())
}

/// Whether no word goes on at `at`.
fn ends(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(|next| is_word(*next))
}
