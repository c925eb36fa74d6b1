//! How people prove who they are in a browser.
//!
//! Owns the OpenID Connect relying party with its presets, accounts of the gateway's own, and
//! browser sessions. Knows no page and no cookie's name.

pub mod bootstrap;
pub mod claims;
pub mod discovery;
mod entra;
mod exchange;
pub mod flow;
pub mod logout;
pub mod password;
mod provider;
mod refused;
pub mod session;
#[cfg(test)]
mod tests;

pub use discovery::Providers;
pub use flow::{Begun, Finished};
pub use logout::{LogoutToken, SignedOut};
pub use refused::LoginRefused;
pub use session::{Found, NewSession, Opened, Session, SessionId, Sessions};
