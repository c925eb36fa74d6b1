//! Doubles of the host's capabilities, for native tests of a plugin.
//!
//! One world per thread: [`reset`] it at the start of a test, set what the plugin is to find
//! with [`with`], and look at what it did afterwards.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use crate::host::Level;

/// What a plugin finds, and what it did.
#[derive(Debug, Default)]
pub struct Double {
    /// The time of day in milliseconds.
    pub now: u64,
    /// The byte that all random bytes are.
    pub random: u8,
    /// Whether nobody waits any more.
    pub cancelled: bool,
    /// Milliseconds until the hook is stopped; a second where nothing is set.
    pub remaining: Option<u32>,
    /// Values that outlive a call.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Whether the state answers that it is not available.
    pub state_fails: bool,
    /// The names of credentials.
    pub credentials: BTreeSet<String>,
    /// Facts of the session.
    pub facts: BTreeSet<String>,
    /// Lines that were written.
    pub lines: Vec<(Level, String)>,
    /// Reports of progress: how far, of what, and the message.
    pub progress: Vec<(f64, Option<f64>, Option<String>)>,
}

thread_local! {
    static DOUBLE: RefCell<Double> = RefCell::default();
}

/// Looks at this thread's double, or changes it.
pub fn with<T>(look: impl FnOnce(&mut Double) -> T) -> T {
    DOUBLE.with_borrow_mut(look)
}

/// Begins anew.
pub fn reset() {
    with(|double| *double = Double::default());
}

pub(crate) mod log {
    use super::{Level, with};

    pub(crate) fn write(level: Level, message: &str) {
        with(|double| double.lines.push((level, message.to_owned())));
    }
}

pub(crate) mod clock {
    pub(crate) fn now() -> u64 {
        super::with(|double| double.now)
    }
}

pub(crate) mod random {
    pub(crate) fn bytes(length: u32) -> Vec<u8> {
        super::with(|double| vec![double.random; length as usize])
    }
}

pub(crate) mod call {
    pub(crate) fn cancelled() -> bool {
        super::with(|double| double.cancelled)
    }

    pub(crate) fn remaining() -> u32 {
        if cancelled() { 0 } else { super::with(|double| double.remaining.unwrap_or(1_000)) }
    }
}

pub(crate) mod progress {
    pub(crate) fn report(progress: f64, total: Option<f64>, message: Option<&str>) {
        let report = (progress, total, message.map(str::to_owned));
        super::with(|double| double.progress.push(report));
    }
}

pub(crate) mod facts {
    use super::with;

    pub(crate) fn add(fact: &str) {
        with(|double| double.facts.insert(fact.to_owned()));
    }

    pub(crate) fn has(fact: &str) -> bool {
        with(|double| double.facts.contains(fact))
    }

    pub(crate) fn all() -> Vec<String> {
        with(|double| double.facts.iter().cloned().collect())
    }
}

pub(crate) mod credential {
    use super::with;
    use crate::host::CredentialError;

    pub(crate) fn names() -> Vec<String> {
        with(|double| double.credentials.iter().cloned().collect())
    }

    pub(crate) fn handle(name: &str) -> Result<String, CredentialError> {
        let known = with(|double| double.credentials.contains(name));
        if known { Ok(format!("tgh_{name}")) } else { Err(CredentialError::Unknown) }
    }

    /// No HMAC, but as different for different names and messages as a test needs.
    pub(crate) fn hmac_sha256(name: &str, message: &[u8]) -> Result<Vec<u8>, CredentialError> {
        handle(name)?;
        let seed = name.bytes().chain([0]).chain(message.iter().copied());
        let hash = |salt: u64| {
            seed.clone().fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        Ok((0..4).flat_map(|salt| hash(salt).to_be_bytes()).collect())
    }
}

pub(crate) mod state {
    use super::with;
    use crate::host::StateError;

    fn available() -> Result<(), StateError> {
        let fails = with(|double| double.state_fails);
        if fails { Err(StateError::Unavailable("the double says so".to_owned())) } else { Ok(()) }
    }

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
        available()?;
        Ok(with(|double| double.values.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8], _seconds: Option<u32>) -> Result<(), StateError> {
        available()?;
        with(|double| double.values.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn add(key: &str, by: i64, _seconds: Option<u32>) -> Result<i64, StateError> {
        available()?;
        with(|double| {
            let value = double.values.entry(key.to_owned()).or_default();
            let number = String::from_utf8_lossy(value).parse().unwrap_or(0_i64).wrapping_add(by);
            *value = number.to_string().into_bytes();
            Ok(number)
        })
    }

    pub(crate) fn remove(key: &str) -> Result<(), StateError> {
        available()?;
        with(|double| double.values.remove(key));
        Ok(())
    }
}
