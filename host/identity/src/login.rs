//! How people prove who they are in a browser.
//!
//! Owns the OpenID Connect relying party with its presets, accounts of the gateway's own, and
//! browser sessions. Knows no page and no cookie's name.
