//! Why something was not permitted.
//!
//! Data for the refusal and the audit row; choosing codes and wording on the wire belongs to
//! `gateway::call::refusal`.

use std::fmt;

/// What kept the decision from being a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenialKind {
    /// A policy forbids it, or none permits it.
    Denied,
    /// A policy that applies could not be evaluated.
    Error,
    /// An argument that a policy looks at cannot be judged, such as an integer beyond 64 bits.
    Unrepresentable,
}

/// A refusal; gives back what was asked for, without a permit.
#[derive(Debug, Clone)]
pub struct Denial<T> {
    /// What kept it from being permitted.
    pub kind: DenialKind,
    /// What was to be done, as it was handed in.
    pub target: T,
    /// One sentence for the person: the `@reason` of the first policy (by id) that refuses and
    /// has one, else a general one.
    pub reason: String,
    /// The policies that refused it, by id, sorted: those that forbid, and those that could
    /// not be evaluated. Empty where no policy permits it.
    pub policies: Vec<String>,
    /// Policies in shadow mode that match, by id, sorted: what enforcing them could change.
    pub shadow: Vec<String>,
    /// What went wrong in detail, for the log only.
    pub detail: Option<String>,
}

const NOT_PERMITTED: &str = "no policy permits this";
pub(super) const FORBIDDEN: &str = "a policy forbids this";
pub(super) const NOT_EVALUATED: &str =
    "a policy that applies to this could not be evaluated; an administrator has to look at it";

impl<T> Denial<T> {
    /// A refusal because nothing permits it, or because it does not exist.
    pub(super) fn unexplained(target: T) -> Self {
        Self {
            kind: DenialKind::Denied,
            target,
            reason: NOT_PERMITTED.to_owned(),
            policies: Vec::new(),
            shadow: Vec::new(),
            detail: None,
        }
    }
}

impl<T> fmt::Display for Denial<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<T: fmt::Debug> std::error::Error for Denial<T> {}
