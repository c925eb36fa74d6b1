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

/// Every value of the built-in kinds in `wanted`, in order of where they begin; they may
/// overlap, and of several that begin at one place the longest comes first.
pub(crate) fn find(text: &str, wanted: Kinds) -> Vec<Found> {
    let bytes = text.as_bytes();
    let mut search = Search { bytes, wanted, found: Vec::new(), password: 0..0, secrets: 0 };
    let mut previous = b' ';
    // Behind a value another may begin without a blank between.
    let mut end = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if at == end {
            previous = b' ';
        }
        let may_start = match byte {
            b'+' | b'(' | b':' | b'-' => true,
            _ => is_word(byte) && !is_word(previous),
        };
        if at == search.password.start && !search.password.is_empty() {
            let place = search.password.clone();
            search.found.push(Found { place, kind: Kind::PASSWORD });
        }
        if may_start {
            search.start(at, previous);
        }
        if may_start || at == search.password.start {
            end = search.found.last().map_or(end, |one| end.max(one.place.end));
        }
        previous = byte;
    }
    search.found
}

struct Search<'t> {
    bytes: &'t [u8],
    wanted: Kinds,
    found: Vec<Found>,
    /// The last password of a URL; it lies behind where it was recognised.
    password: Range<usize>,
    /// Where the last key ends. What begins inside it is part of it, and looking there for
    /// more of them would take too long in a text of many.
    secrets: usize,
}

impl Search<'_> {
    /// Adds every value that starts at `at`.
    fn start(&mut self, at: usize, previous: u8) {
        let text = self.bytes;
        let Some(rest) = text.get(at..) else { return };
        let Some(&first) = rest.first() else { return };
        if first == b':'
            && self.wanted.has(Kind::PASSWORD)
            && let Some(place) = secret::password(rest)
        {
            self.password = at + place.start..at + place.end;
        }
        let from = self.found.len();
        for kind in kinds(first, previous) {
            let is_secret = matches!(*kind, Kind::KEY | Kind::PRIVATE_KEY);
            if !self.wanted.has(*kind) || is_secret && at < self.secrets {
                continue;
            }
            let Some(length) = length(text, at, *kind) else { continue };
            let place = at..at + length;
            // `password@host` of a URL is no address.
            let crosses = self.password.contains(&at) && place.end > self.password.end;
            if *kind == Kind::EMAIL && crosses {
                continue;
            }
            if is_secret {
                self.secrets = place.end;
            }
            self.found.push(Found { place, kind: *kind });
        }
        // Of equals the first, so that what proves itself by a checksum gives the name.
        let new = self.found.get_mut(from..).unwrap_or_default();
        new.sort_by_key(|one| std::cmp::Reverse(one.place.end));
    }
}

/// What may begin with this byte.
fn kinds(first: u8, previous: u8) -> &'static [Kind] {
    match first {
        b'-' => &[Kind::PRIVATE_KEY],
        b'0'..=b'9' => &[Kind::CARD, Kind::SSN, Kind::PHONE, Kind::IP, Kind::EMAIL],
        b'a'..=b'f' | b'A'..=b'F' => &[Kind::IBAN, Kind::KEY, Kind::IP, Kind::EMAIL],
        _ if is_word(first) => &[Kind::IBAN, Kind::KEY, Kind::EMAIL],
        _ if is_word(previous) => &[],
        b':' => &[Kind::IP],
        _ => &[Kind::PHONE],
    }
}

/// Length of the value of that kind that starts at `at`.
fn length(text: &[u8], at: usize, kind: Kind) -> Option<usize> {
    let rest = text.get(at..)?;
    match kind {
        Kind::CARD => account::card(rest),
        Kind::IBAN => account::iban(rest),
        Kind::EMAIL => token::email(rest),
        Kind::PHONE => contact::phone(rest),
        Kind::IP => contact::ip(text, at),
        Kind::SSN => contact::ssn(rest),
        Kind::PRIVATE_KEY => secret::private_key(rest),
        _ => token::key(rest),
    }
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
