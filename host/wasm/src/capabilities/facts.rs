//! What is known about a caller's session.
//!
//! Interceptors add facts, policies read them. Where they are kept is the business of whoever
//! implements [`Facts`].

use std::fmt;

use futures_util::future::BoxFuture;

use crate::state::{State, Stop};

/// Most characters of one fact.
pub const FACT: usize = 128;
/// Most facts of one session.
pub const FACTS: usize = 64;

/// Why a fact was not added; ends the hook, since a policy may depend on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// It is not 1 to [`FACT`] visible ASCII characters.
    #[error("a fact is 1 to {FACT} visible ascii characters")]
    Malformed,
    /// The session has [`FACTS`] already.
    #[error("a session has at most {FACTS} facts")]
    TooMany,
    /// They cannot be kept.
    #[error("the facts of the session are not available: {0}")]
    Unavailable(String),
}

/// The facts of one session.
pub trait Facts: Send + Sync + fmt::Debug {
    /// Adds a fact; when this returns, policies see it. Adding one again is fine.
    fn add<'a>(&'a self, fact: &'a str) -> BoxFuture<'a, Result<(), FactsError>>;

    /// Whether the session has it.
    fn has(&self, fact: &str) -> bool;

    /// All of them, sorted.
    fn all(&self) -> Vec<String>;
}

/// Whether a text can be a fact.
pub fn is_fact(text: &str) -> bool {
    (1..=FACT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Adds a fact. What cannot be kept ends the hook: a policy may depend on it.
pub(crate) async fn add(state: &mut State, fact: &str) -> wasmtime::Result<()> {
    let added = match (is_fact(fact), state.facts.clone()) {
        (false, _) => Err(FactsError::Malformed),
        (true, Some(facts)) => facts.add(fact).await,
        (true, None) => Err(FactsError::Unavailable("this hook belongs to no session".to_owned())),
    };
    added.map_err(|error| match error {
        FactsError::Unavailable(_) => state.halt(Stop::Host(error.to_string())),
        error => state.halt(Stop::BadHostCall(error.to_string())),
    })
}

pub(crate) fn has(state: &State, fact: &str) -> bool {
    state.facts.as_ref().is_some_and(|facts| facts.has(fact))
}

pub(crate) fn all(state: &State) -> Vec<String> {
    state.facts.as_ref().map_or_else(Vec::new, |facts| facts.all())
}
