//! How a space of values lies in the store's table `plugin-state`.
//!
//! A row key is `owner ‖ 0 ‖ kind`, and after it: for `e`, the first part of a value, its key;
//! for `p`, a further part, its number as u8 and the key; for `x`, a value that ends, the moment
//! as u64, big endian, and the key; for `u`, what all of it takes, nothing. Values, little
//! endian: `e` is `1 ‖ ends u64 ‖ length u32 ‖ bytes`, `p` bytes, `x` empty, `u` is
//! `1 ‖ bytes u64 ‖ keys u64`. Moments are milliseconds since 1970, 0 is never.

use std::fmt;

use tidegate_model::{ConnectorId, PluginId};
use tidegate_store::MAX_VALUE;

/// First byte of a value.
const FORMAT: u8 = 1;
/// What stands before the bytes of a value in its first part.
const HEAD: usize = 13;
/// Bytes of a value in its first part.
pub(super) const FIRST: usize = MAX_VALUE - HEAD;

/// Whose space it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A plugin's.
    Plugin(PluginId),
    /// A connector's that is a component.
    Connector(ConnectorId),
}

impl Owner {
    fn read(text: &str) -> Option<Self> {
        match text.split_once('/')? {
            ("plugin", id) => Some(Self::Plugin(PluginId::new(id).ok()?)),
            ("connector", id) => Some(Self::Connector(ConnectorId::new(id).ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(id) => write!(f, "plugin/{id}"),
            Self::Connector(id) => write!(f, "connector/{id}"),
        }
    }
}

/// The owner of a row, and a key after all rows of that owner and before those of the next.
pub(super) fn owner_of(row: &[u8]) -> Option<(Owner, Vec<u8>)> {
    let end = row.iter().position(|byte| *byte == 0)?;
    let name = row.get(..end)?;
    let owner = Owner::read(std::str::from_utf8(name).ok()?)?;
    Some((owner, [name, &[1]].concat()))
}

/// The keys of one owner's rows.
#[derive(Debug)]
pub(super) struct Keys(Vec<u8>);

impl Keys {
    pub(super) fn new(owner: &Owner) -> Self {
        let mut prefix = owner.to_string().into_bytes();
        prefix.push(0);
        Self(prefix)
    }

    /// What all of them begin with.
    pub(super) fn all(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn usage(&self) -> Vec<u8> {
        self.of(b"u", &[])
    }

    pub(super) fn first(&self, key: &str) -> Vec<u8> {
        self.of(b"e", key.as_bytes())
    }

    pub(super) fn part(&self, number: u8, key: &str) -> Vec<u8> {
        self.of(&[b'p', number], key.as_bytes())
    }

    pub(super) fn end(&self, at: u64, key: &str) -> Vec<u8> {
        self.of(&[&b"x"[..], &at.to_be_bytes()].concat(), key.as_bytes())
    }

    /// What the rows of values that end begin with; they come in the order of their ends.
    pub(super) fn ends(&self) -> Vec<u8> {
        self.of(b"x", &[])
    }

    /// The moment and the key in a row of a value that ends.
    pub(super) fn read_end<'a>(&self, row: &'a [u8]) -> Option<(u64, &'a str)> {
        let rest = row.strip_prefix(self.0.as_slice())?.strip_prefix(b"x")?;
        let (at, key) = rest.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*at), std::str::from_utf8(key).ok()?))
    }

    fn of(&self, kind: &[u8], rest: &[u8]) -> Vec<u8> {
        [&self.0, kind, rest].concat()
    }
}

/// What stands in the first part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// When it ends; 0 is never.
    pub(super) ends: u64,
    /// Its length, all parts together.
    pub(super) length: usize,
}

impl Head {
    /// Whether its time is up.
    pub(super) fn is_over(self, now: u64) -> bool {
        self.ends != 0 && self.ends <= now
    }

    /// How many further parts it has.
    pub(super) fn parts(self) -> u8 {
        let parts = self.length.saturating_sub(FIRST).div_ceil(MAX_VALUE);
        u8::try_from(parts).unwrap_or(u8::MAX)
    }

    /// Reads a first part; `None` where it is none that this version knows.
    pub(super) fn read(value: &[u8]) -> Option<(Self, &[u8])> {
        let rest = value.strip_prefix(&[FORMAT])?;
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (length, bytes) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let head = Self { ends: u64::from_le_bytes(*ends), length };
        (bytes.len() == length.min(FIRST)).then_some((head, bytes))
    }

    /// A value as its parts, the first of them with this before it.
    pub(super) fn written(self, value: &[u8]) -> (Vec<u8>, impl Iterator<Item = &[u8]>) {
        let (begin, rest) = value.split_at_checked(FIRST).unwrap_or((value, &[]));
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let mut first = Vec::with_capacity(HEAD + begin.len());
        first.push(FORMAT);
        first.extend_from_slice(&self.ends.to_le_bytes());
        first.extend_from_slice(&length.to_le_bytes());
        first.extend_from_slice(begin);
        (first, rest.chunks(MAX_VALUE))
    }
}

/// What a space takes, with values whose time is up and that are not yet removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of keys and values.
    pub(super) bytes: u64,
    /// How many keys.
    pub(super) keys: u64,
}

impl Usage {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (bytes, rest) = value.strip_prefix(&[FORMAT])?.split_first_chunk::<8>()?;
        let keys = <[u8; 8]>::try_from(rest).ok()?;
        Some(Self { bytes: u64::from_le_bytes(*bytes), keys: u64::from_le_bytes(keys) })
    }

    pub(super) fn written(self) -> Vec<u8> {
        [&[FORMAT][..], &self.bytes.to_le_bytes(), &self.keys.to_le_bytes()].concat()
    }
}
