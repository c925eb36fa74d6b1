//! HTTP: a thin adapter between axum and the rest.
//!
//! Owns listeners and the route tables; holds no business rule. The MCP endpoint is `mcp`,
//! the admin API `admin`, health and metrics `ops`.

pub(crate) mod admin;
mod cookies;
mod gate;
pub(crate) mod listener;
mod login;
mod mcp;
mod oauth;
pub(crate) mod ops;
pub(crate) mod pace;
mod pages;
pub(crate) mod router;
mod scim;
mod stream;
mod unstalled;
