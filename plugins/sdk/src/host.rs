//! Host capabilities. A component imports only those it calls; the administrator grants
//! `log`, `clock`, `random`, `state`, `credential` and `facts`, the rest belongs to every call.
//! Outgoing requests are `wasi:http`, see the example in `plugins/openapi`.
//!
//! Natively, the functions are doubles, see [`double`](crate::double).

pub use crate::bindings::base::tidegate::plugin::{
    credential::CredentialError, log::Level, state::StateError,
};

#[cfg(target_arch = "wasm32")]
use crate::bindings::base::tidegate::plugin as imported;
#[cfg(not(target_arch = "wasm32"))]
use crate::double as imported;

/// Writes one line to the plugin's log; over 4 KiB is cut. Capability `log`.
pub fn log(level: Level, message: &str) {
    imported::log::write(level, message);
}

/// Milliseconds since 1970-01-01 UTC. Capability `clock`.
pub fn now() -> u64 {
    imported::clock::now()
}

/// `length` random bytes, at most 65536. Capability `random`.
pub fn random(length: u32) -> Vec<u8> {
    imported::random::bytes(length)
}

/// The value of a key. Capability `state`, as for the three below.
pub fn state_get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
    imported::state::get(key)
}

/// Sets a value, for `seconds` or for good.
pub fn state_set(key: &str, value: &[u8], seconds: Option<u32>) -> Result<(), StateError> {
    imported::state::set(key, value, seconds)
}

/// Adds to a number and returns it, atomically; `seconds` count from the first addition.
pub fn state_add(key: &str, by: i64, seconds: Option<u32>) -> Result<i64, StateError> {
    imported::state::add(key, by, seconds)
}

/// Forgets a key.
pub fn state_remove(key: &str) -> Result<(), StateError> {
    imported::state::remove(key)
}

/// The credentials that the administrator gave this binding. Capability `credential`, as for
/// the two below.
pub fn credential_names() -> Vec<String> {
    imported::credential::names()
}

/// A text that stands for a secret in an outgoing request; the host exchanges it.
pub fn credential_handle(name: &str) -> Result<String, CredentialError> {
    imported::credential::handle(name)
}

/// HMAC-SHA256 of `message` with the secret as its key.
pub fn credential_hmac(name: &str, message: &[u8]) -> Result<Vec<u8>, CredentialError> {
    imported::credential::hmac_sha256(name, message)
}

/// Adds a fact to the caller's session. Capability `facts`, as for the two below.
pub fn fact_add(fact: &str) {
    imported::facts::add(fact);
}

/// Whether the caller's session has this fact.
pub fn fact_has(fact: &str) -> bool {
    imported::facts::has(fact)
}

/// All facts of the caller's session, sorted.
pub fn facts() -> Vec<String> {
    imported::facts::all()
}

/// Whether nobody waits for the answer any more.
pub fn cancelled() -> bool {
    imported::call::cancelled()
}

/// Milliseconds until the hook is stopped.
pub fn remaining() -> u32 {
    imported::call::remaining()
}

/// Tells the client how far the call is; connectors only.
pub fn progress(progress: f64, total: Option<f64>, message: Option<&str>) {
    imported::progress::report(progress, total, message);
}
