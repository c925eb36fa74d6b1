//! Values that outlive a call: a space of its own for each binding.
//!
//! Says what a space can do and holds guests to the bounds of the contract; where values are
//! kept is the business of whoever implements [`KeyValue`].

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::state::State;

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

fn space(state: &State, key: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
    if !(1..=KEY).contains(&key.len()) {
        return Err(KeyValueError::TooLarge);
    }
    let none = || KeyValueError::Unavailable("this binding has no space for values".to_owned());
    state.reach.state.clone().ok_or_else(none)
}

pub(crate) async fn get(state: &mut State, key: &str) -> Result<Option<Bytes>, KeyValueError> {
    space(state, key)?.get(key).await
}

pub(crate) async fn set(
    state: &mut State,
    key: &str,
    value: Vec<u8>,
    seconds: Option<u32>,
) -> Result<(), KeyValueError> {
    let space = space(state, key)?;
    if value.len() > VALUE {
        return Err(KeyValueError::TooLarge);
    }
    space.set(key, value.into(), seconds).await
}

pub(crate) async fn add(
    state: &mut State,
    key: &str,
    by: i64,
    seconds: Option<u32>,
) -> Result<i64, KeyValueError> {
    space(state, key)?.add(key, by, seconds).await
}

pub(crate) async fn remove(state: &mut State, key: &str) -> Result<(), KeyValueError> {
    space(state, key)?.remove(key).await
}
