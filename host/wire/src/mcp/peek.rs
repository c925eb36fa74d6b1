//! The members that the gateway reads from parameters and results; all others stay text.
//!
//! A peek borrows and never judges what it does not need. Where a wrong reading would be a
//! hole (the name of the tool to call), a member of the wrong type or one that differs from
//! a known member only by case is an error, since a laxer parser upstream might read it.

mod meta;
mod params;
mod results;

pub use meta::{Meta, key};
pub use params::{
    CallToolParams, CancelledParams, CompleteParams, CompletionRef, GetPromptParams,
    InitializeParams, ListParams, ProgressParams, ResourceParams, SetLevelParams, TaskParams,
    params_meta,
};
pub use results::{
    DiscoverResult, ErrorObject, Implementation, InitializeResult, ResultPeek, ResultType,
};

/// Why parameters or a result cannot be read; answered with
/// [`super::code::INVALID_PARAMS`] where it is the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// A member that has to be there is not.
    #[error("member `{0}` is missing")]
    Missing(&'static str),
    /// A member has another type than the protocol says.
    #[error("member `{0}` must be {1}")]
    Type(&'static str, &'static str),
    /// A member differs from a known one only by case.
    #[error("member `{found}` is not known; did you mean `{meant}`?")]
    Case {
        /// As it was sent, cut to 80 characters.
        found: String,
        /// The member that the protocol knows.
        meant: &'static str,
    },
}

/// The one of `known` that `found` would be if case did not count, while it is none of them.
///
/// Folds the two letters outside ASCII that lower to ASCII ones (`ſ`, `K`), as parsers in
/// Go do.
pub(super) fn folded<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    if known.contains(&found) {
        return None;
    }
    known.iter().copied().find(|name| {
        let mut letters = name.chars();
        found.chars().all(|c| {
            let c = match c {
                'ſ' => 's',
                '\u{212a}' => 'k',
                c => c.to_ascii_lowercase(),
            };
            letters.next().is_some_and(|name| name.to_ascii_lowercase() == c)
        }) && letters.next().is_none()
    })
}

/// Whether [`folded`] finds one.
pub(super) fn folds_to_any(found: &str, known: &[&str]) -> bool {
    folded(found, known).is_some()
}

#[cfg(test)]
mod tests;
