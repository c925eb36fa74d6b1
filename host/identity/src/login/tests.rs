//! Sign-in against a provider on loopback that speaks TLS, signs with real keys, and lies.

mod flows;
mod keys;
mod lies;
mod logouts;
mod metadata;
mod presets;
pub(super) mod stand;
