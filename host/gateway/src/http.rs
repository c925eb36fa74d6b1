//! HTTP: a thin adapter between axum and the rest.
//!
//! Owns listeners and the route tables; holds no business rule. The MCP endpoint is `mcp`,
//! the admin API `admin`, health and metrics `ops`.

pub(crate) mod admin;
pub(crate) mod listener;
mod mcp;
mod pages;
pub(crate) mod pace;
mod oauth;
mod login;
mod gate;
mod cookies;
pub(crate) mod ops;
pub(crate) mod router;
mod scim;
mod stream;
mod unstalled;
