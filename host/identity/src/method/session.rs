//! A browser that is signed in.
//!
//! The session itself belongs to `login`; whoever asks has found it and checked it. Its caller
//! also stands in for the person when policies are asked before a token is issued.

use model::{OrgId, Timestamp};
use tidegate_model as model;

use crate::{Caller, SignIn, directory::Person};

/// The caller behind a browser session that began at `authenticated`; none for somebody who is
/// not active, or whose sessions were ended since.
pub fn session(org: OrgId, person: &Person, authenticated: Timestamp) -> Option<Caller> {
    let user = &person.user;
    let holds = user.active && authenticated >= user.not_before;
    let caller = Caller::of(org, person, SignIn::Session);
    holds.then(|| caller.with_authenticated(authenticated))
}
