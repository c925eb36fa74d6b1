//! CASES: what a component is to do, as files, and the stand on which it is tried.
//!
//! A case runs through the sandbox, the adapters, the checks and the limits that a gateway
//! uses; what the capabilities lead to is its own: a store in memory, a clock that stands
//! where the case says, a server on loopback that answers as it was recorded. Knows no
//! command line, and neither configuration directory nor running gateway.

pub(crate) mod difference;
mod doubles;
mod expectation;
mod file;
mod past;
mod said;
pub(crate) mod scene;
mod stand;
mod surroundings;
mod web;

pub(crate) use doubles::CaseClock;
pub(crate) use file::Case;
pub(crate) use past::{Gone, Past, Recorded};
pub(crate) use said::Said;
pub(crate) use stand::{Chosen, Ready, Stand, Tried};

#[cfg(test)]
mod tests;
