//! A borrowed view of checked JSON text.
//!
//! Walking is by span: nothing is copied, and every part can be cut out of the shared
//! buffer with [`Raw::within`]. On text that never passed a check the walk still ends and
//! stays inside the text; what it then yields means nothing.

use std::borrow::Cow;

use serde::Deserialize;
use tidegate_model::Json;

use super::{scan, text};

/// The text of one JSON value that has been checked, without white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What sort of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Raw<'a>,
    /// Where the member's key begins (at its quote) in the object's text.
    pub key_start: usize,
    /// Where the value begins in the object's text; it ends `value.as_str().len()` later.
    pub value_start: usize,
}

impl Raw<'static> {
    /// `{}`
    pub const EMPTY_OBJECT: Self = Self("{}");
    /// `null`
    pub const NULL: Self = Self("null");
}

impl<'a> Raw<'a> {
    /// A view of text that the caller knows to be one checked JSON value.
    pub fn from_checked(text: &'a str) -> Self {
        Self(text.trim_matches([' ', '\t', '\r', '\n']))
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// What sort of value it is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The members, in the order of the text; none if it is no object.
    pub fn members(self) -> Members<'a> {
        let at = if self.kind() == Kind::Object { 1 } else { self.0.len() };
        Members { text: self.0, at }
    }

    /// The elements, in order; none if it is no array.
    pub fn elements(self) -> Elements<'a> {
        let at = if self.kind() == Kind::Array { 1 } else { self.0.len() };
        Elements { text: self.0, at }
    }

    /// The value of the member called `key`, exactly.
    pub fn get(self, key: &str) -> Option<Raw<'a>> {
        self.members().find(|member| member.key == key).map(|member| member.value)
    }

    /// Whether some key or string in it may be, or hold, the ASCII text `word`; `false` is
    /// certain. A search that costs far less than a walk, and that no escape evades.
    pub fn may_say(self, word: &str) -> bool {
        let text = self.0.as_bytes();
        let has = |needle: &[u8]| memchr::memmem::find(text, needle).is_some();
        // Of all escapes only these two can stand for a visible ASCII character.
        has(word.as_bytes()) || has(b"\\u00") || (word.contains('/') && has(b"\\/"))
    }

    /// The content of a string, unescaped.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(text::unescape(inner))
    }

    /// A boolean.
    pub fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A whole number that fits, written without fraction or exponent.
    pub fn integer(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Reads the text into a type.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0)
    }

    /// This part of `whole`, sharing its buffer; a copy if it is no part of it.
    pub fn within(self, whole: &Json) -> Json {
        let outer = whole.bytes().as_ptr_range();
        let inner = self.0.as_bytes().as_ptr_range();
        if outer.start <= inner.start && inner.end <= outer.end {
            Json::from_checked(whole.bytes().slice_ref(self.0.as_bytes()))
        } else {
            self.to_json()
        }
    }

    /// A copy of its own.
    pub fn to_json(self) -> Json {
        Json::from_checked(bytes::Bytes::copy_from_slice(self.0.as_bytes()))
    }
}

impl<'a> From<&'a Json> for Raw<'a> {
    fn from(json: &'a Json) -> Self {
        Self::from_checked(json.as_str())
    }
}

impl Member<'_> {
    /// Where the value ends in the object's text.
    pub const fn value_end(&self) -> usize {
        self.value_start + self.value.0.len()
    }
}

/// See [`Raw::members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let bytes = self.text.as_bytes();
        let key_start = next_item(bytes, self.at);
        if bytes.get(key_start) != Some(&b'"') {
            self.at = bytes.len();
            return None;
        }
        let key_end = scan::string(bytes, key_start + 1);
        let key = Raw(self.text.get(key_start..key_end)?).string()?;
        let colon = scan::space(bytes, key_end);
        let value_start = scan::space(bytes, colon + 1);
        let value_end = scan::value(bytes, value_start);
        self.at = value_end.max(value_start);
        let value = Raw(self.text.get(value_start..value_end)?);
        Some(Member { key, value, key_start, value_start })
    }
}

/// See [`Raw::elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let bytes = self.text.as_bytes();
        let start = next_item(bytes, self.at);
        let end = scan::value(bytes, start);
        if end == start {
            self.at = bytes.len();
            return None;
        }
        self.at = end;
        self.text.get(start..end).map(Raw)
    }
}

/// Past white space and one comma.
fn next_item(bytes: &[u8], at: usize) -> usize {
    let at = scan::space(bytes, at);
    if bytes.get(at) == Some(&b',') { scan::space(bytes, at + 1) } else { at }
}
