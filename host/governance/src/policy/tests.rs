//! The policy engine from outside: decisions, problems, visibility, slices, sandboxes.

pub(super) mod fixture;

mod besides;
mod decisions;
mod facts;
mod problems;
mod roles;
mod sandboxes;
mod slices;
mod starter;
mod visibility;
