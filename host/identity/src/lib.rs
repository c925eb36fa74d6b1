//! WHO: the authenticated caller and the ways to become one.
//!
//! Owns [`Caller`], which only a sign-in method can make, and the ordered list of methods.
//! Does not decide what a caller may do (that is `governance`) and speaks no HTTP: a method
//! is handed the credential that the HTTP layer found.

pub mod caller;
pub mod method;

pub use caller::{Caller, CallerClass, SignIn};
