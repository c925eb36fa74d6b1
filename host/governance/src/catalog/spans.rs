//! Exchanging values anywhere inside checked text; every other byte stays as it was.
//!
//! Where `wire::mcp::splice` changes members of one object by name, this takes the values
//! themselves, found by walking, so that elements of arrays can be reached too.

use tidegate_model::Json;
use tidegate_wire::json::{Raw, write_string};

/// Values of one text and the strings that take their places.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    whole: &'a Json,
    /// Where each begins and ends in the text.
    parts: Vec<(usize, usize, String)>,
}

impl<'a> Exchange<'a> {
    /// Nothing yet.
    pub(super) fn of(whole: &'a Json) -> Self {
        Self { whole, parts: Vec::new() }
    }

    /// Puts the string `text` in place of `value`, which is a part of the text; one that is
    /// none changes nothing.
    pub(super) fn put(&mut self, value: Raw<'_>, text: String) {
        let outer = self.whole.as_str().as_ptr() as usize;
        let start = (value.as_str().as_ptr() as usize).checked_sub(outer);
        let span = start.map(|start| (start, start.saturating_add(value.as_str().len())));
        if let Some((start, end)) = span.filter(|(_, end)| *end <= self.whole.len()) {
            self.parts.push((start, end, text));
        }
    }

    /// The text with all exchanges made; the very same where there are none.
    pub(super) fn done(mut self) -> Json {
        if self.parts.is_empty() {
            return self.whole.clone();
        }
        self.parts.sort_unstable_by_key(|(start, ..)| *start);
        let text = self.whole.as_str();
        let longer: usize = self.parts.iter().map(|(.., new)| new.len() + 2).sum();
        let mut out = Vec::with_capacity(text.len() + longer);
        let mut done = 0;
        for (start, end, new) in &self.parts {
            // A value is named once by every walk; a second time would lie before `done`.
            let Some(kept) = text.get(done..*start) else { continue };
            out.extend_from_slice(kept.as_bytes());
            write_string(&mut out, new);
            done = *end;
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default().as_bytes());
        Json::from_checked(out.into())
    }
}
