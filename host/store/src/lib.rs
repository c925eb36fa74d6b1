//! MEMORY: what the gateway remembers.
//!
//! Owns the [`Store`] trait and its backends, the segment log, the blob area,
//! and the keys that seal all of it. Knows no call, no policy and no protocol: it keeps
//! bytes by name, in order, durably, sealed. Byte formats stand in `host/store/FORMAT.md`.

pub mod blob;
#[cfg(test)]
mod conformance;
pub mod disk;
pub mod embedded;
pub mod envelope;
mod generation;
pub mod keyring;
pub mod keys;
pub mod log;
mod mac;
pub mod memory;
pub mod payload;
pub mod rows;
mod seal;
pub mod sled;
pub mod store;
pub mod watchdog;

pub use self::sled::SledOptions;
pub use embedded::{EmbeddedStore, Reseal, RootKeys};
pub use envelope::{EnvelopeError, KeyName, Place};
pub use generation::{Generation, begin_generation, generation};
pub use keyring::{HARD_STOP, KeyUse, Keyring, KeyringError, Purpose};
pub use keys::{
    FileKeys, FixedKeys, KeyError, KeyProvider, ServiceKeys, ServiceOptions, VariableKeys,
};
pub use seal::{Key, RandomError, SealError};
pub use store::{
    Batch, BoxFuture, Change, Changes, CommitId, Committed, Event, Expect, Health, MAX_VALUE, Op,
    Put, Record, Row, Scan, Store, StoreError, Table, Verified,
};
