//! Values that outlive a call: a space of its own for each binding.
//!
//! Says what a space can do and holds guests to the bounds of the contract; where values are
//! kept is the business of whoever implements [`KeyValue`].

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Most bytes of a key.
pub const KEY: usize = 256;
/// Most bytes of a value.
pub const VALUE: usize = 64 << 10;

/// Why a value was not kept or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The binding's quota would be exceeded.
    #[error("the quota of the plugin's state is used up")]
    Quota,
    /// The key or the value is larger than allowed.
    #[error("a key is 1 to {KEY} bytes, a value at most {VALUE} bytes")]
    TooLarge,
    /// The store failed.
    #[error("the plugin's state is not available: {0}")]
    Unavailable(String),
}

/// One binding's space. Keys and values have been held to [`KEY`] and [`VALUE`] already.
pub trait KeyValue: Send + Sync + fmt::Debug {
    /// The value of a key, unless its time is up.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, KeyValueError>>;

    /// Sets a value, for `seconds` or for good.
    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<(), KeyValueError>>;

    /// Adds to a number (0 where it is missing; decimal text) and returns it, atomically.
    /// `seconds` counts from the first addition.
    fn add<'a>(
        &'a self,
        key: &'a str,
        by: i64,
        seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<i64, KeyValueError>>;

    /// Forgets a key.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KeyValueError>>;
}

/// Whether a key is one.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=KEY).contains(&key.len())
}
