//! Tables and texts for a terminal.
//!
//! Much of what is shown was written by clients and providers: nothing of it reaches the
//! terminal as a control character.

/// Columns under headings, each as wide as its widest cell; words instead where there is no row.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: &[[String; N]],
    none: &str,
) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|it| shown(it))).collect();
    let headings = headings.map(str::to_uppercase);
    let all = || std::iter::once(&headings).chain(&rows);
    let mut lines = vec![String::new(); rows.len() + 1];
    for column in 0..N {
        let cells = all().map(|row| row.get(column).map(String::as_str).unwrap_or_default());
        let width = cells.clone().map(|cell| cell.chars().count()).max().unwrap_or_default();
        let gap = if column == 0 { "" } else { "  " };
        for (line, cell) in lines.iter_mut().zip(cells) {
            line.push_str(&format!("{gap}{cell:<width$}"));
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// One thing with its members, one a line; those without a value are left out.
pub(super) fn fields(members: &[(&str, String)]) -> String {
    let members = members.iter().filter(|(_, value)| !value.is_empty());
    let lines = members.map(|(name, value)| format!("{name:<16} {}", shown(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A list in one cell.
pub(super) fn joined(names: &[String]) -> String {
    names.join(", ")
}

/// A moment or another text that may not be known.
pub(super) fn or_none<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A text on one line, without what a terminal would obey or people would not see.
pub(crate) fn shown(text: &str) -> String {
    let is_odd = |c: char| c.is_control() || is_invisible(c);
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The same of several lines.
pub(super) fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// Marks that turn text around or take no room.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_obeyed() {
        let rows = [
            ["ae@example.com".to_owned(), "one".to_owned()],
            ["x\u{1b}[31m\n".to_owned(), String::new()],
        ];
        let text = table(["id", "name"], &rows, "nobody");
        assert_eq!(text, "ID              NAME\nae@example.com  one\nx\u{fffd}[31m\u{fffd}");
        assert_eq!(table::<1>(["id"], &[], "nobody"), "nobody");
        assert_eq!(shown("a\u{202e}b"), "a\u{fffd}b");
    }

    #[test]
    fn members_without_a_value_are_left_out() {
        let text = fields(&[("id", "a".into()), ("name", String::new()), ("roles", "x, y".into())]);
        assert_eq!(text, "id               a\nroles            x, y");
    }
}
