//! Newline-delimited messages, the framing of stdio.
//!
//! Takes and gives bytes; who owns the pipe is no concern of it. A line that is no JSON
//! (a banner, a stray log) is reported and skipped, since real servers print them.

use bytes::Bytes;
use tidegate_model::Json;

use crate::json::{Limits, Raw, Violation, ViolationKind, checked};

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One JSON value that passed the strict pass.
    Message(Json),
    /// Anything else.
    Garbage(Garbage),
}

/// A line that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a line on stdout is no message: {violation}")]
pub struct Garbage {
    /// What is wrong with it.
    #[source]
    pub violation: Violation,
    /// How it begins, at most 200 characters, without control characters: for the log.
    pub excerpt: String,
}

/// Cuts a byte stream into lines.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    line: Vec<u8>,
    /// The rest of a line that was too long is thrown away.
    skipping: bool,
}

impl Decoder {
    /// A decoder whose lines must keep to `limits`, their length included.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, line: Vec::new(), skipping: false }
    }

    /// Takes the next bytes and appends what they complete to `lines`. Blank lines are
    /// nothing; a line cut off by the end of the stream is nothing either.
    pub fn feed(&mut self, mut chunk: &[u8], lines: &mut Vec<Line>) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (part, rest) = chunk.split_at(end);
            self.hold(part, lines);
            chunk = rest.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.skipping) && !line.trim_ascii().is_empty() {
                lines.push(read(line, &self.limits));
            }
        }
        self.hold(chunk, lines);
    }

    fn hold(&mut self, part: &[u8], lines: &mut Vec<Line>) {
        if self.skipping {
            return;
        }
        if self.line.len() + part.len() > self.limits.bytes {
            let mut line = std::mem::take(&mut self.line);
            let room = 1_024_usize.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            let offset = self.limits.bytes;
            let violation = Violation { kind: ViolationKind::TooLarge, offset };
            lines.push(Line::Garbage(Garbage { violation, excerpt: excerpt(&line) }));
            self.skipping = true;
            return;
        }
        self.line.extend_from_slice(part);
    }
}

/// Appends one message as one line.
///
/// In checked JSON a line break is only ever white space between tokens; it becomes a
/// space, so that a client that prints its JSON over several lines does no harm.
pub fn encode(out: &mut Vec<u8>, message: Raw<'_>) {
    let text = message.as_str().as_bytes();
    out.reserve(text.len() + 1);
    let mut rest = text;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        let (part, after) = rest.split_at(end);
        out.extend_from_slice(part);
        out.push(b' ');
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

fn read(line: Vec<u8>, limits: &Limits) -> Line {
    let line = Bytes::from(line);
    match checked(line.clone(), limits) {
        Ok(json) => Line::Message(json),
        Err(violation) => Line::Garbage(Garbage { violation, excerpt: excerpt(&line) }),
    }
}

fn excerpt(line: &[u8]) -> String {
    let head = line.get(..1_024).unwrap_or(line);
    let text = String::from_utf8_lossy(head);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
