//! The strict pass: one walk over the bytes, no recursion, no tree.
//!
//! It is stricter than RFC 8259 where two parsers could read the same text differently:
//! duplicate keys (after unescaping), lone surrogates and a byte order mark are refused.

use std::{borrow::Cow, collections::HashSet};

use bytes::Bytes;
use tidegate_model::Json;

use super::{scan, text};

/// From this many members on, an object's keys are compared through a hash set.
const FEW: usize = 16;

/// How much of everything one document may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Objects and arrays inside one another; a lone number has depth 0.
    pub depth: usize,
    /// Members of one object.
    pub members: usize,
    /// Values in the whole document, the document itself included.
    pub nodes: usize,
    /// Bytes between the quotes of one string, as written.
    pub string: usize,
    /// Bytes of one number.
    pub number: usize,
}

impl Limits {
    /// What a client may send.
    pub const REQUEST: Self = Self {
        bytes: 4 << 20,
        depth: 64,
        members: 10_000,
        nodes: 100_000,
        string: 1 << 20,
        number: 1_024,
    };

    /// What an upstream may answer.
    pub const RESPONSE: Self = Self {
        bytes: 16 << 20,
        depth: 64,
        members: 10_000,
        nodes: 1_000_000,
        string: 16 << 20,
        number: 1_024,
    };
}

/// Why a document was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct Violation {
    /// What is wrong.
    pub kind: ViolationKind,
    /// The byte at which it showed.
    pub offset: usize,
}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ViolationKind {
    /// Not UTF-8.
    #[error("the text is not utf-8")]
    Encoding,
    /// A byte order mark in front.
    #[error("the text starts with a byte order mark; send it without")]
    ByteOrderMark,
    /// It ends in the middle of a value.
    #[error("the json ends too early")]
    Truncated,
    /// A character that cannot stand there.
    #[error("unexpected character in the json")]
    Unexpected,
    /// Something after the value.
    #[error("there is more text after the json value")]
    Trailing,
    /// No JSON number.
    #[error("malformed number")]
    Number,
    /// No JSON escape.
    #[error("malformed escape in a string")]
    Escape,
    /// A control character that had to be escaped.
    #[error("unescaped control character in a string")]
    Control,
    /// Half of a surrogate pair.
    #[error("lone surrogate in a string")]
    Surrogate,
    /// The same key twice in one object.
    #[error("duplicate key in an object; send each key once")]
    DuplicateKey,
    /// [`Limits::bytes`].
    #[error("the json is larger than allowed")]
    TooLarge,
    /// [`Limits::depth`].
    #[error("the json is nested deeper than allowed")]
    TooDeep,
    /// [`Limits::members`].
    #[error("an object has more members than allowed")]
    TooManyMembers,
    /// [`Limits::nodes`].
    #[error("the json has more values than allowed")]
    TooManyNodes,
    /// [`Limits::string`].
    #[error("a string is longer than allowed")]
    StringTooLong,
    /// [`Limits::number`].
    #[error("a number is longer than allowed")]
    NumberTooLong,
}

impl ViolationKind {
    /// Whether the text is no JSON at all, rather than JSON that is not wanted.
    pub const fn is_grammar(self) -> bool {
        matches!(
            self,
            Self::Encoding
                | Self::ByteOrderMark
                | Self::Truncated
                | Self::Unexpected
                | Self::Trailing
                | Self::Number
                | Self::Escape
                | Self::Control
                | Self::Surrogate
        )
    }
}

/// Accepts `bytes` if they are exactly one JSON value within `limits`.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), Violation> {
    if bytes.len() > limits.bytes {
        return Err(Violation { kind: ViolationKind::TooLarge, offset: limits.bytes });
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Violation { kind: ViolationKind::ByteOrderMark, offset: 0 });
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Violation { kind: ViolationKind::Encoding, offset: error.valid_up_to() });
    }
    let frames = Vec::with_capacity(8);
    let keys = Vec::with_capacity(32);
    Pass { bytes, at: 0, limits, nodes: 0, frames, keys }.run()
}

/// [`check`], and the bytes as [`Json`] afterwards, without a copy.
///
/// White space around the value is left out.
pub fn checked(bytes: Bytes, limits: &Limits) -> Result<Json, Violation> {
    check(&bytes, limits)?;
    let from = scan::space(&bytes, 0);
    let blank = bytes.iter().rev().take_while(|b| b.is_ascii_whitespace()).count();
    Ok(Json::from_checked(bytes.slice(from..bytes.len() - blank)))
}

/// An object or array that is still open.
struct Frame<'a> {
    object: bool,
    /// Where its keys begin in [`Pass::keys`].
    first_key: usize,
    members: usize,
    /// Its keys, once there are more than [`FEW`].
    many: Option<HashSet<Cow<'a, str>>>,
}

struct Pass<'a, 'l> {
    bytes: &'a [u8],
    at: usize,
    limits: &'l Limits,
    nodes: usize,
    frames: Vec<Frame<'a>>,
    /// Keys of all open objects with few members, innermost last.
    keys: Vec<Cow<'a, str>>,
}

impl<'a> Pass<'a, '_> {
    fn run(mut self) -> Result<(), Violation> {
        loop {
            let is_open = self.value()?;
            if !is_open && self.follow()? {
                return if self.at == self.bytes.len() {
                    Ok(())
                } else {
                    Err(self.wrong(ViolationKind::Trailing))
                };
            }
        }
    }

    const fn wrong(&self, kind: ViolationKind) -> Violation {
        Violation { kind, offset: self.at }
    }

    fn unexpected(&self) -> Violation {
        let at_end = self.at >= self.bytes.len();
        self.wrong(if at_end { ViolationKind::Truncated } else { ViolationKind::Unexpected })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        self.at = scan::space(self.bytes, self.at);
    }

    /// Reads a value, or only the start of one that has content of its own (then `true`).
    fn value(&mut self) -> Result<bool, Violation> {
        self.space();
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.wrong(ViolationKind::TooManyNodes));
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| false),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.unexpected()),
        }
    }

    /// After a complete value: closes what closes, until the next value is due (`false`) or
    /// the document is over (`true`).
    fn follow(&mut self) -> Result<bool, Violation> {
        loop {
            self.space();
            let Some(frame) = self.frames.last() else { return Ok(true) };
            match (self.peek(), frame.object) {
                (Some(b','), false) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(b','), true) => {
                    self.at += 1;
                    self.space();
                    self.key()?;
                    return Ok(false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.keys.truncate(frame.first_key);
                    self.frames.pop();
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn open(&mut self, object: bool) -> Result<bool, Violation> {
        if self.frames.len() >= self.limits.depth {
            return Err(self.wrong(ViolationKind::TooDeep));
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(if object { b'}' } else { b']' }) {
            self.at += 1;
            return Ok(false);
        }
        self.frames.push(Frame { object, first_key: self.keys.len(), members: 0, many: None });
        if object {
            self.key()?;
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<(), Violation> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let escaped = self.string()?;
        // INVARIANT: the whole text is UTF-8 and quotes stand on character boundaries.
        let inner = self.bytes.get(start + 1..self.at - 1).unwrap_or_default();
        let inner = std::str::from_utf8(inner).unwrap_or_default();
        let key = if escaped { text::unescape(inner) } else { Cow::Borrowed(inner) };
        self.remember(key).map_err(|kind| Violation { kind, offset: start })?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    fn remember(&mut self, key: Cow<'a, str>) -> Result<(), ViolationKind> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        frame.members += 1;
        if frame.members > self.limits.members {
            return Err(ViolationKind::TooManyMembers);
        }
        if let Some(many) = &mut frame.many {
            return if many.insert(key) { Ok(()) } else { Err(ViolationKind::DuplicateKey) };
        }
        if self.keys.get(frame.first_key..).is_some_and(|keys| keys.contains(&key)) {
            return Err(ViolationKind::DuplicateKey);
        }
        self.keys.push(key);
        if frame.members == FEW {
            frame.many = Some(self.keys.drain(frame.first_key..).collect());
        }
        Ok(())
    }

    /// Reads a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, Violation> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = scan::plain(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.wrong(ViolationKind::Control)),
                None => return Err(self.wrong(ViolationKind::Truncated)),
            }
        }
        if self.at - start > self.limits.string {
            return Err(Violation { kind: ViolationKind::StringTooLong, offset: start - 1 });
        }
        self.at += 1;
        Ok(escaped)
    }

    fn escape(&mut self) -> Result<(), Violation> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                return Ok(());
            }
            Some(b'u') => {}
            Some(_) => return Err(self.wrong(ViolationKind::Escape)),
            None => return Err(self.wrong(ViolationKind::Truncated)),
        }
        let rest = self.bytes.get(self.at + 2..).unwrap_or_default();
        let Some(unit) = text::hex4(rest) else {
            return Err(self.wrong(ViolationKind::Escape));
        };
        match unit {
            0xd800..=0xdbff => {
                let next = rest.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"));
                let low = next.and_then(text::hex4);
                if !low.is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) {
                    return Err(self.wrong(ViolationKind::Surrogate));
                }
                self.at += 12;
            }
            0xdc00..=0xdfff => return Err(self.wrong(ViolationKind::Surrogate)),
            _ => self.at += 6,
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Violation> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong(ViolationKind::Number)),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong(ViolationKind::Number));
        }
        if self.at - start > self.limits.number {
            return Err(Violation { kind: ViolationKind::NumberTooLong, offset: start });
        }
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Violation> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.wrong(ViolationKind::Number)) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<bool, Violation> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(false)
        } else {
            Err(self.wrong(ViolationKind::Unexpected))
        }
    }
}
