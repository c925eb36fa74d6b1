//! The proof that something was permitted.
//!
//! Only this crate can make one, and what is inside cannot be changed: taking it out drops
//! the proof, so a changed call has to be authorized again.

use std::sync::Arc;

use tidegate_model::RevisionId;

/// Why something was permitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// The configuration revision that the decision was made under.
    pub revision: RevisionId,
    /// The policies that permitted it, by id, sorted.
    pub policies: Arc<[String]>,
    /// Policies in shadow mode that would have refused it, by id, sorted.
    pub shadow: Arc<[String]>,
}

/// `T`, permitted.
#[derive(Debug)]
pub struct Permitted<T> {
    inner: T,
    grounds: Grounds,
}

impl<T> Permitted<T> {
    pub(crate) fn new(inner: T, grounds: Grounds) -> Self {
        Self { inner, grounds }
    }

    /// What is permitted.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// Why.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// Takes the thing out and gives up the proof.
    pub fn into_inner(self) -> T {
        self.inner
    }
}
