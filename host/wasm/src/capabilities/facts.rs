//! What is known about a caller's session.
//!
//! Interceptors add facts, policies read them. Where they are kept is the business of whoever
//! implements [`Facts`].

use std::{fmt, sync::Arc};

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
    let added =
        if is_fact(fact) { known(state)?.add(fact).await } else { Err(FactsError::Malformed) };
    added.map_err(|error| {
        let words = error.to_string();
        state.halt(match error {
            FactsError::Unavailable(_) => Stop::Host(words),
            FactsError::TooMany => Stop::SessionFull(words),
            FactsError::Malformed => Stop::BadHostCall(words),
        })
    })
}

pub(crate) fn has(state: &mut State, fact: &str) -> wasmtime::Result<bool> {
    Ok(known(state)?.has(fact))
}

pub(crate) fn all(state: &mut State) -> wasmtime::Result<Vec<String>> {
    Ok(known(state)?.all())
}

/// The session's facts. Where they are not known the hook ends: a guest that was told "none"
/// would let through what a fact forbids. That is so wherever there is no session, as when
/// a schema, edits or a connector's list are asked for.
fn known(state: &mut State) -> wasmtime::Result<Arc<dyn Facts>> {
    state.facts.clone().ok_or_else(|| {
        let error = FactsError::Unavailable("this hook belongs to no session".to_owned());
        state.halt(Stop::Host(error.to_string()))
    })
}
