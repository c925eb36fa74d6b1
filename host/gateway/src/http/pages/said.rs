//! Sentences for people, made of what errors say.
//!
//! Owns their form: an error begins in lower case, has no full stop, and names words of a
//! protocol in backticks. Does not know what was said, or on which page.

use askama::Template;

/// A sentence as it stands on a page: it begins with a capital letter, ends with a full stop,
/// and shows words in backticks as code. It is shown as HTML in which all that was said is
/// escaped, so templates take it as safe.
#[derive(Debug, Template)]
#[template(
    source = "{% for (part, is_code) in parts %}{% if is_code %}<code>{{ part }}</code>\
              {% else %}{{ part }}{% endif %}{% endfor %}",
    ext = "html"
)]
pub(in crate::http) struct Said {
    parts: Vec<(String, bool)>,
}

impl Said {
    /// What an error or a page says. Backticks that do not come in pairs stay what they are.
    pub(in crate::http) fn new(words: &str) -> Self {
        let mut letters = words.trim().chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string());
        let mut sentence = first.unwrap_or_default() + letters.as_str();
        if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?']) {
            sentence.push('.');
        }
        if sentence.matches('`').count() % 2 == 1 {
            return Self { parts: vec![(sentence, false)] };
        }
        let parts = sentence.split('`').enumerate();
        Self { parts: parts.map(|(at, part)| (part.to_owned(), at % 2 == 1)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_errors_say_is_shown_as_sentences() {
        for (said, shown) in [
            ("an e-mail address is needed", "An e-mail address is needed."),
            ("Wait a moment.", "Wait a moment."),
            ("is it? no!", "Is it? no!"),
            (
                "the address (`redirect_uri`) is missing",
                "The address (<code>redirect_uri</code>) is missing.",
            ),
            ("`jwks` is needed, not `a`", "<code>jwks</code> is needed, not <code>a</code>."),
            ("one ` alone", "One ` alone."),
            ("\u{e9}t\u{e9}", "\u{c9}t\u{e9}."),
            ("", ""),
        ] {
            assert_eq!(Said::new(said).to_string(), shown, "{said}");
        }
    }

    #[test]
    fn nothing_that_is_said_is_markup() {
        for said in ["<b>", "`<b>`", "a `x` <b> `</code><b>`", "`<b>", "`</code>`<b>`"] {
            let shown = Said::new(said).to_string();
            let left = shown.replace("<code>", "").replace("</code>", "");
            assert!(!left.contains(['<', '>']), "{said}: {shown}");
            assert_eq!(shown.matches("<code>").count(), shown.matches("</code>").count());
        }
    }
}
