//! Request ids: text or whole numbers of any size, echoed as they were written.

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
};

use crate::json::{Kind, Raw, write_string};

/// A borrowed id; equal ids mean the same, however a string was escaped.
#[derive(Debug, Clone, Copy)]
pub struct Id<'a>(Raw<'a>);

impl<'a> Id<'a> {
    /// Reads an id: a string or an integer, never null, a fraction or an exponent.
    pub fn read(raw: Raw<'a>) -> Option<Self> {
        let fits = match raw.kind() {
            Kind::String => true,
            Kind::Number => raw.as_str().bytes().all(|b| b == b'-' || b.is_ascii_digit()),
            _ => false,
        };
        fits.then_some(Self(raw))
    }

    /// The JSON text, quotes included.
    pub const fn as_str(self) -> &'a str {
        self.0.as_str()
    }

    /// The number, if it is one that fits; ids that we make ourselves do.
    pub fn number(self) -> Option<u64> {
        self.0.as_str().parse().ok()
    }

    /// A copy of its own.
    pub fn into_owned(self) -> OwnedId {
        OwnedId(self.0.as_str().into())
    }

    fn meaning(self) -> (bool, Cow<'a, str>) {
        match self.0.string() {
            Some(text) => (true, text),
            None => (false, Cow::Borrowed(self.0.as_str())),
        }
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.meaning() == other.meaning()
    }
}

impl Eq for Id<'_> {}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An id that outlives the message it came in.
#[derive(Clone)]
pub struct OwnedId(Box<str>);

impl OwnedId {
    /// The id that is this text.
    pub fn text(text: &str) -> Self {
        let mut json = Vec::new();
        write_string(&mut json, text);
        Self(String::from_utf8_lossy(&json).into())
    }

    /// A borrowed view.
    pub fn borrow(&self) -> Id<'_> {
        Id(Raw::from_checked(&self.0))
    }

    /// The JSON text, quotes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for OwnedId {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl PartialEq for OwnedId {
    fn eq(&self, other: &Self) -> bool {
        self.borrow() == other.borrow()
    }
}

impl Eq for OwnedId {}

impl Hash for OwnedId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl fmt::Debug for OwnedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OwnedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
