//! The OAuth 2.1 authorization server of one organisation.
//!
//! Owns clients, grants, codes and tokens, and every refusal that the RFCs ask for. Issues in
//! two steps, pending and issued, so that whoever serves can ask policy in between. Serves no
//! HTTP and decides no policy.

pub mod client;
pub mod client_authentication;
mod document;
pub mod fetch;
pub mod jwks;
pub mod redirect;
pub mod registration;
pub mod spent;
