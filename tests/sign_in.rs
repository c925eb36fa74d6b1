//! Signing in with other people's programs: an independent OpenID provider, a real browser, the
//! SDKs' own OAuth clients.
//!
//! Owns what has to come out for somebody who only follows links, buttons and redirects. What a
//! single endpoint refuses is told elsewhere.

mod chromium;
mod documents;
mod harness;
mod leaving;
mod place;
mod presets;
mod sdk;
mod site;
mod sso;
mod team;
mod window;
