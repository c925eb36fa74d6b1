//! WHO: the authenticated caller and the ways to become one.
//!
//! Owns [`Caller`], which only a sign-in method can make; the directory of people and agents;
//! the sign-in of people with their organisation's provider; the authorization server towards
//! clients. Does not decide what a caller may do (that is `governance`) and serves no HTTP:
//! whatever is here is handed what the HTTP layer found, and hands back what it is to say.

pub mod authorization;
pub mod caller;
pub mod directory;
pub mod ground;
pub mod issuer;
pub mod login;
pub mod method;
pub mod settings;

pub use caller::{Caller, CallerClass, SignIn};
pub use ground::Ground;
pub use issuer::{Issuer, Resource, Scope, Scopes};
pub use settings::Settings;
