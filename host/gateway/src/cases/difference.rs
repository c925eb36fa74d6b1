//! Where two JSON values differ, for people and for programs.

use serde::Serialize;
use serde_json::Value;

/// Characters of a value that a line shows.
const LENGTH: usize = 200;
/// Lines that are shown of one comparison.
const LINES: usize = 40;

/// One place where two values differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// JSON pointer; empty for the whole.
    pub(crate) path: String,
    /// What was there; missing where there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<Value>,
    /// What is there now; missing where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is: Option<Value>,
}

/// All places where `is` differs from `was`, in the order of the text.
pub(crate) fn differences(was: &Value, is: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(was), Some(is), &mut found);
    found
}

fn compare(path: &str, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<Difference>) {
    match (was, is) {
        (Some(Value::Object(was)), Some(Value::Object(is))) => {
            let added = is.keys().filter(|name| !was.contains_key(*name));
            for name in was.keys().chain(added) {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                compare(&format!("{path}/{escaped}"), was.get(name), is.get(name), found);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) => {
            for place in 0..was.len().max(is.len()) {
                compare(&format!("{path}/{place}"), was.get(place), is.get(place), found);
            }
        }
        (was, is) if was == is => {}
        (was, is) => {
            found.push(Difference { path: path.to_owned(), was: was.cloned(), is: is.cloned() })
        }
    }
}

/// The differences for people: `-` what was, `+` what is.
pub(crate) fn lines(found: &[Difference]) -> Vec<String> {
    let both = found.iter().flat_map(|one| {
        let path = if one.path.is_empty() { "(all)".to_owned() } else { plain(&one.path) };
        let line = |sign, value: &Value| format!("{sign} {path}: {}", short(value));
        [one.was.as_ref().map(|was| line('-', was)), one.is.as_ref().map(|is| line('+', is))]
    });
    let mut lines: Vec<String> = both.flatten().collect();
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("… and {more} lines more; --json shows all"));
    }
    lines
}

/// A text that cannot do anything to a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value in a line, cut where it is long.
pub(crate) fn short(value: &Value) -> String {
    let text = plain(&value.to_string());
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => {
            format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_place() {
        let was = json!({"a": 1, "b": [1, {"c/d": "x"}], "gone": null, "same": {"x": []}});
        let is = json!({"a": 2, "b": [1, {"c/d": "y"}, 3], "new": true, "same": {"x": []}});
        let found = differences(&was, &is);
        let expected = [
            "- /a: 1",
            "+ /a: 2",
            "- /b/1/c~1d: \"x\"",
            "+ /b/1/c~1d: \"y\"",
            "+ /b/2: 3",
            "- /gone: null",
            "+ /new: true",
        ];
        assert_eq!(lines(&found), expected);
        assert!(differences(&was, &was).is_empty());
        assert_eq!(lines(&differences(&json!(1), &json!([]))), ["- (all): 1", "+ (all): []"]);
    }

    #[test]
    fn long_values_and_long_lists_are_cut() {
        let long = short(&json!("é".repeat(1_000)));
        assert!(long.chars().count() < LENGTH + 30 && long.ends_with("(2002 bytes)"), "{long}");
        let many: Vec<u32> = (0..100).collect();
        let lines = lines(&differences(&json!([]), &json!(many)));
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[LINES].contains("60 lines more"));
    }
}
