//! Server sent events (HTML, section 9.2), both ways.
//!
//! The decoder takes bytes in any portions and holds at most one event, up to a limit. It
//! knows no MCP: what the data says is for [`crate::mcp`]. The encoder cannot be made to
//! write a field or an event that was not asked for.

use bytes::Bytes;

/// One event as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `event`; absent means `message`.
    pub name: Option<String>,
    /// The `data` lines, joined by line feeds; empty for an event that only carries an id.
    pub data: Bytes,
}

/// The longest `id` in bytes; longer ones are passed over.
const LONGEST_ID: usize = 1024;

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than the {limit} bytes allowed")]
pub struct EventTooLarge {
    /// The limit, in bytes.
    pub limit: usize,
}

/// Why an event cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event names and ids must not contain line breaks or nul")]
pub struct BadField;

/// Reads a stream of events, in portions of any size.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    name: Option<String>,
    id: Option<String>,
    /// The id as of the last event that was complete.
    last_id: Option<String>,
    retry: Option<u64>,
    at_start: bool,
    after_cr: bool,
}

impl Decoder {
    /// A decoder that refuses events, and single lines, of more than `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            name: None,
            id: None,
            last_id: None,
            retry: None,
            at_start: true,
            after_cr: false,
        }
    }

    /// Takes the next bytes and appends the events they complete to `events`.
    ///
    /// After an error the decoder must be dropped. What the end of the stream cuts off is
    /// no event.
    pub fn feed(&mut self, mut chunk: &[u8], events: &mut Vec<Event>) -> Result<(), EventTooLarge> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(rest) = chunk.strip_prefix(b"\n")
            {
                chunk = rest;
                continue;
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', chunk) else {
                return self.hold(chunk);
            };
            let (part, rest) = chunk.split_at(end);
            self.hold(part)?;
            self.after_cr = rest.first() == Some(&b'\r');
            chunk = rest.get(1..).unwrap_or_default();
            if let Some(event) = self.end_line()? {
                events.push(event);
            }
        }
        Ok(())
    }

    /// The id to send as `Last-Event-ID`: the last one seen up to the end of the last event,
    /// also of one without data. An event that was cut off does not count, nor does an id of
    /// more than 1,024 bytes.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The last `retry` seen, in milliseconds.
    pub const fn retry(&self) -> Option<u64> {
        self.retry
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), EventTooLarge> {
        if self.data.len() + self.line.len() + part.len() > self.limit.saturating_add(16) {
            return Err(EventTooLarge { limit: self.limit });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, EventTooLarge> {
        let mut line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        let event = if text.is_empty() { self.dispatch() } else { self.field(text) };
        // The buffer is kept, unless one large line made it large.
        if line.capacity() <= 64 * 1024 {
            line.clear();
            self.line = line;
        }
        if self.data.len() > self.limit {
            return Err(EventTooLarge { limit: self.limit });
        }
        Ok(event)
    }

    fn field(&mut self, line: &[u8]) -> Option<Event> {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (name, rest) = line.split_at(colon);
                let value = rest.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, <&[u8]>::default()),
        };
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if value.len() <= LONGEST_ID && !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = self.name.take().filter(|name| !name.is_empty());
        if self.last_id != self.id {
            self.last_id.clone_from(&self.id);
        }
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let data = Bytes::from(std::mem::take(&mut self.data));
        Some(Event { name, data })
    }
}

/// Appends one event; an absent name means `message`.
///
/// Line breaks in `data` become further `data` lines, which the reader joins by line feeds.
pub fn encode(
    out: &mut Vec<u8>,
    name: Option<&str>,
    id: Option<&str>,
    data: &[u8],
) -> Result<(), BadField> {
    let unsafe_field = |field: &str| field.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0));
    if [name, id].into_iter().flatten().any(unsafe_field) {
        return Err(BadField);
    }
    out.reserve(data.len() + 32);
    for (field, value) in [("event: ", name), ("id: ", id)] {
        if let Some(value) = value {
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(value.as_bytes());
            out.push(b'\n');
        }
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            break;
        };
        let (line, after) = rest.split_at(end);
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = after.strip_prefix(b"\r\n").or(after.get(1..)).unwrap_or_default();
    }
    out.extend_from_slice(b"\n\n");
    Ok(())
}

/// A comment that keeps a quiet stream from being cut.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Appends how long a client should wait before it reconnects, in milliseconds.
pub fn encode_retry(out: &mut Vec<u8>, millis: u64) {
    out.extend_from_slice(format!("retry: {millis}\n\n").as_bytes());
}

#[cfg(test)]
mod tests;
