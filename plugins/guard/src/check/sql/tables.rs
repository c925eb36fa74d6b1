//! The names that a `WITH` list gives: they look like calls where their columns are named.
//!
//! Reads the list as the grammar has it. What only looks like its end or its element
//! (`FROM f(x) AS (values int)`) stands in no list, so it names nothing here.

use super::token::Token;

/// Where in `tokens` the names of common tables stand, in order.
pub(super) fn names(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut reads = false;
    for (place, token) in tokens.iter().enumerate() {
        // `WITH ORDINALITY` and `WITH ROLLUP` follow something; a list begins a query.
        let opened = place.checked_sub(1).and_then(|before| tokens.get(before));
        let begins = !reads || opened.is_some_and(|token| token.is("("));
        if begins && is_word(token, &["WITH"]) {
            list(tokens, place + 1, &mut found);
        }
        reads |= is_word(token, &["SELECT", "TABLE", "VALUES", "WITH"]);
    }
    found.sort_unstable();
    found
}

/// Reads a list whose first word is at `at`.
fn list(tokens: &[Token<'_>], mut at: usize, found: &mut Vec<usize>) {
    let skip = |at: usize, words: &[&str]| {
        at + usize::from(tokens.get(at).is_some_and(|token| is_word(token, words)))
    };
    at = skip(at, &["RECURSIVE"]);
    loop {
        let name = at;
        if !tokens.get(name).is_some_and(Token::is_name) {
            return;
        }
        let columns = name + 1;
        let after = match tokens.get(columns) {
            Some(token) if token.is("(") => behind(tokens, columns),
            _ => Some(columns),
        };
        let Some(after) = after else { return };
        let body = skip(after, &["AS"]);
        if body == after {
            return;
        }
        let body = skip(skip(body, &["NOT"]), &["MATERIALIZED"]);
        if !reads(tokens, body) {
            return;
        }
        found.push(name);
        match behind(tokens, body) {
            Some(next) if tokens.get(next).is_some_and(|token| token.is(",")) => at = next + 1,
            _ => return,
        }
    }
}

/// Whether a query in brackets stands at `at`.
fn reads(tokens: &[Token<'_>], at: usize) -> bool {
    if !tokens.get(at).is_some_and(|token| token.is("(")) {
        return false;
    }
    let Some(first) = tokens.get(at + 1) else { return false };
    // `values` may be the name of a column as well.
    is_word(first, &["SELECT", "TABLE", "WITH"])
        || is_word(first, &["VALUES"]) && tokens.get(at + 2).is_some_and(|token| token.is("("))
}

/// What follows the bracket that closes the one at `open`.
fn behind(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, token) in tokens.get(open..)?.iter().enumerate() {
        if token.is("(") {
            depth += 1;
        } else if token.is(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return Some(open + offset + 1);
        }
    }
    None
}

fn is_word(token: &Token<'_>, words: &[&str]) -> bool {
    token.is_word() && words.contains(&token.upper().as_str())
}
