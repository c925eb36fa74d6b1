//! The sign-in methods, in the order in which they are tried.
//!
//! Each one turns a credential into a [`Caller`](crate::Caller) or refuses; a refusal never
//! tells an unknown credential from a wrong or expired one.

pub mod admin_socket;
pub mod anonymous;
pub mod api_key;
