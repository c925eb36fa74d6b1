//! What is wrong with a file, where, and what to do about it.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

/// One fault in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, as the person named it.
    pub file: String,
    /// Line and column, from 1; `None` for a fault of the whole file.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do, where that is not obvious.
    pub help: Option<String>,
}

impl Problem {
    /// A fault of a whole file.
    pub fn of(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.display().to_string(), at: None, message: message.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at the byte `offset` of `text`.
    #[must_use]
    pub fn at(mut self, text: &str, offset: usize) -> Self {
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        self.at = Some((line, column));
        self
    }

    /// Turns a TOML error into a problem, with the nearest known key for an unknown one.
    pub fn toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = in_plain_words(error.message());
        let mut problem = Self::of(file, message.clone());
        if let Some(span) = error.span() {
            problem = problem.at(text, span.start);
        }
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        if let Some((unknown, known)) = quoted.split_first()
            && message.starts_with("unknown")
            && let Some(nearest) = nearest(unknown, known.iter().copied())
        {
            problem.help = Some(format!("did you mean `{nearest}`?"));
        }
        problem
    }
}

/// A TOML error without line breaks and without names of Rust types.
fn in_plain_words(message: &str) -> String {
    let mut text = message.trim().replace('\n', " ");
    for number in ["usize", "u64", "u32", "i32"] {
        if let Some(before) = text.strip_suffix(&format!("expected {number}")) {
            text = format!("{before}expected a whole number");
        }
    }
    text
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// An error and its causes in one sentence; a cause that the sentence names already is not
/// repeated.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// The known word nearest to `word`, if any is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_and_far_ones_are_not() {
        let known = ["listen", "public_url", "ops_listen"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("publicurl", known), Some("public_url"));
        assert_eq!(nearest("banana", known), None);
    }

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let text = "é = 1\néé = 2";
        let at = |offset| Problem::of(Path::new("a.toml"), "x").at(text, offset);
        // Within a character counts as at it; past the end as at the end.
        for (offset, place) in [(0, (1, 1)), (7, (2, 1)), (8, (2, 1)), (9, (2, 2)), (99, (2, 7))] {
            assert_eq!(at(offset).at, Some(place), "{offset}");
        }
        let problem = at(9);
        assert_eq!(problem.to_string(), "a.toml:2:2: x");
    }
}
