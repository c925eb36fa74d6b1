//! Host capabilities. A component imports only those it calls; the administrator grants
//! `log`, `clock` and `random`, the rest belongs to every call.
//!
//! Natively, the functions are doubles: lines are dropped, the clock stands still, random
//! bytes are zero, nothing is ever cancelled.

pub use crate::bindings::base::tidegate::plugin::log::Level;

/// Writes one line to the plugin's log; over 4 KiB is cut.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::base::tidegate::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::base::tidegate::plugin::clock::now();
    #[cfg(not(target_arch = "wasm32"))]
    return 0;
}

/// `length` random bytes, at most 65536.
pub fn random(length: u32) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::base::tidegate::plugin::random::bytes(length);
    #[cfg(not(target_arch = "wasm32"))]
    return vec![0; length as usize];
}

/// Whether nobody waits for the answer any more.
pub fn cancelled() -> bool {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::base::tidegate::plugin::call::cancelled();
    #[cfg(not(target_arch = "wasm32"))]
    return false;
}

/// Tells the client how far the call is; connectors only.
pub fn progress(progress: f64, total: Option<f64>, message: Option<&str>) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::base::tidegate::plugin::progress::report(progress, total, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (progress, total, message);
}
