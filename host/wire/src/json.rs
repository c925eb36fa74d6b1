//! JSON as it is let in, and how it is read without rebuilding it.
//!
//! [`check()`] is the one strict pass that outside bytes meet: grammar, UTF-8, duplicate
//! keys, surrogates, depth, counts, sizes. [`Raw`] is a borrowed view of text that has
//! passed; it walks members and elements by span. Deliberately knows nothing of JSON-RPC.

mod check;
mod raw;
mod scan;
mod text;

pub use check::{Limits, Violation, ViolationKind, check, checked};
pub use raw::{Elements, Kind, Member, Members, Raw};
pub use text::write_string;

#[cfg(test)]
pub(crate) use tests::any_value;

#[cfg(test)]
pub(crate) mod texts;

#[cfg(test)]
mod tests;
