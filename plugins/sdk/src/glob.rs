//! Names by pattern, for configurations that speak of many tools at once.

/// Whether all of `text` fits `pattern`, where `*` stands for any characters, also none, and
/// `?` for exactly one. Everything else stands for itself.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what came after the last `*` does not fit after all.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before_text = text.clone();
        let fits = match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = before_text.clone();
                retry = Some((pattern.clone(), before_text));
                continue;
            }
            (Some('?'), Some(_)) => true,
            (wanted, got) => wanted == got,
        };
        if !fits {
            let Some((after_star, from)) = &mut retry else { return false };
            // The `*` takes one character more.
            if from.next().is_none() {
                return false;
            }
            (pattern, text) = (after_star.clone(), from.clone());
        }
    }
}

/// Whether any of `patterns` fits.
pub fn any(patterns: &[impl AsRef<str>], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_ref(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("get_*", "get_", true),
            ("get_*", "forget_it", false),
            ("*_get", "to_get", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("*ab", "aab", true),
            ("?", "\u{e9}", true),
            ("??", "a", false),
            ("a?c", "abc", true),
            ("a**", "a", true),
            ("[a]", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(any(&["x", "a*"], "ab") && !any(&["x"], "ab"));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let text = "a".repeat(2_000);
        assert!(!matches(&format!("{}b", "*a".repeat(500)), &text));
    }
}
