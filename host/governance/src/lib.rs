//! MAY: what exists for whom, who may do what, and the record of what was done.
//!
//! Owns the catalogue ([`catalog::Snapshot`]), the policy engine and the audit record. It is
//! the only crate that knows Cedar. It performs no network IO and runs no guest: `gateway`
//! fetches tools and runs customizers, and hands the results in.

pub mod audit;
pub mod catalog;
pub mod policy;
