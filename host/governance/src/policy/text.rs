//! Policy files as text: where each policy begins, and lines and columns for people.
//!
//! Splits at the semicolons that end policies, and so gives every policy its own text and
//! every syntax error its own policy; the parsing itself is Cedar's.

/// One policy in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Its text, from its first annotation or word to its semicolon.
    pub(super) text: &'a str,
    /// Where that begins in the file, in bytes.
    pub(super) offset: usize,
}

/// The policies of a file in order. Text that follows the last semicolon is a piece too,
/// unless it is only comments.
pub(super) fn pieces(file: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut begin = None;
    let mut rest = file.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '/' if rest.peek().is_some_and(|(_, next)| *next == '/') => {
                while rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            c if c.is_whitespace() || c == '\u{feff}' => {}
            '"' => {
                begin.get_or_insert(at);
                while let Some((_, c)) = rest.next() {
                    match c {
                        '\\' => _ = rest.next(),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            ';' => {
                let offset = begin.take().unwrap_or(at);
                found.extend(file.get(offset..=at).map(|text| Piece { text, offset }));
            }
            _ => _ = begin.get_or_insert(at),
        }
    }
    if let Some(offset) = begin {
        found.extend(file.get(offset..).map(|text| Piece { text: text.trim_end(), offset }));
    }
    found
}

/// A file with its line breaks found, for lines and columns.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    file: &'a str,
    breaks: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Finds the line breaks.
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, breaks: file.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.file.len());
        while !self.file.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = self.breaks.partition_point(|at| *at < offset);
        let line = before.checked_sub(1).and_then(|last| self.breaks.get(last));
        let begin = line.map_or(0, |at| at + 1);
        let column = self.file.get(begin..offset).map_or(0, |text| text.chars().count()) + 1;
        (before + 1, column)
    }
}

/// The known name nearest to `word`, if one is near enough to have been meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let scored = known.into_iter().map(|name| (strsim::levenshtein(word, name), name));
    let near = scored.filter(|(distance, name)| *distance <= limit && *name != word);
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_split_into_policies() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" // only a comment; \n", &[]),
            ("permit(a);forbid(b);", &["permit(a);", "forbid(b);"]),
            ("// x\n@id(\"a;b\")\npermit(x) // y;\n;", &["@id(\"a;b\")\npermit(x) // y;\n;"]),
            ("permit(x \"\\\";\" );rest // z", &["permit(x \"\\\";\" );", "rest // z"]),
            (";", &[";"]),
            ("permit(\"open;", &["permit(\"open;"]),
        ];
        for (file, expected) in cases {
            let found = pieces(file);
            let texts: Vec<&str> = found.iter().map(|piece| piece.text).collect();
            assert_eq!(&texts, expected, "{file:?}");
            for piece in found {
                assert!(file[piece.offset..].starts_with(piece.text));
            }
        }
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let file = "é1\n two";
        for (offset, expected) in [(0, (1, 1)), (1, (1, 1)), (2, (1, 2)), (4, (2, 1)), (99, (2, 5))]
        {
            assert_eq!(Lines::new(file).position(offset), expected, "{offset}");
        }
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["search_contacts", "amount", "ab"];
        for (word, expected) in [
            ("amout", Some("amount")),
            ("amount", None),
            ("search_contact", Some("search_contacts")),
            ("serach_contacts", Some("search_contacts")),
            ("delete", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
