//! The [`Store`] trait: records by table, organisation and key.
//!
//! Owns the words that every backend speaks. A commit is atomic, durable when it answers,
//! and may be repeated under the same id. Knows no backend and no meaning of a value.

use std::{io, path::PathBuf, pin::Pin, sync::Arc};

use tidegate_model::{OrgId, Timestamp};

use crate::{
    keyring::{Keyring, KeyringError},
    keys::KeyError,
};

mod batch;
mod table;

pub use batch::{Batch, CommitId, Expect, Op, Put};
pub use table::Table;

/// The longest value; larger ones go to the blob area.
pub const MAX_VALUE: usize = 16 << 10;
/// The longest key.
pub const MAX_KEY: usize = 512;
/// The most operations in one batch.
pub const MAX_OPS: usize = 1_024;

/// A future that does not say what it is made of.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A value with its version.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the commit that wrote it; grows with each write, also over deletion.
    pub version: u64,
    /// Version of the value's own schema, as its writer gave it.
    pub schema: u32,
    /// When it ceases to exist.
    pub expires: Option<Timestamp>,
    /// The value.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Record {
    /// Shows the size only: the value may hold what must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record(version {}, {} bytes)", self.version, self.value.len())
    }
}

/// Which records to list, in the order of their keys.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// The organisation.
    pub org: OrgId,
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Only keys after this one.
    pub after: Option<Vec<u8>>,
    /// At most so many.
    pub limit: usize,
}

impl Scan {
    /// All records of an organisation in a table, at most 1,000.
    pub fn all(table: Table, org: &OrgId) -> Self {
        Self { table, org: org.clone(), prefix: Vec::new(), after: None, limit: 1_000 }
    }
}

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// The record.
    pub record: Record,
}

/// A commit that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its number: the version of every record it wrote.
    pub version: u64,
    /// Whether an earlier attempt under the same id had already done it.
    pub repeated: bool,
}

/// One record that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: Table,
    /// Its organisation.
    pub org: OrgId,
    /// Its key.
    pub key: Vec<u8>,
    /// Its new version; `None` when it is gone.
    pub version: Option<u64>,
}

/// The changes from the moment of [`Store::watch`] on.
#[derive(Debug)]
pub struct Changes(pub(crate) tokio::sync::broadcast::Receiver<Change>);

/// What [`Changes::next`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A record has changed.
    Changed(Change),
    /// The watcher was too slow and has missed some: it must read anew.
    Missed,
}

impl Changes {
    /// Waits for the next change; `None` when the store is closed.
    pub async fn next(&mut self) -> Option<Event> {
        use tokio::sync::broadcast::error::RecvError;
        match self.0.recv().await {
            Ok(change) => Some(Event::Changed(change)),
            Err(RecvError::Lagged(_)) => Some(Event::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Whether a store can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It can, but somebody should look at it.
    Warning(String),
    /// It can be read, but not written until there is space.
    Full(String),
    /// It cannot be used until the process is started again.
    Failed(String),
}

/// What [`Store::verify`] has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records by table.
    pub records: Vec<(Table, u64)>,
    /// What does not hold, for a person; empty when all is well.
    pub faults: Vec<String>,
}

/// Why the store refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A record is not as the batch expects it.
    #[error("the record `{key}` in {table} has changed meanwhile: read it again")]
    Conflict {
        /// The table.
        table: Table,
        /// The key, as text.
        key: String,
        /// The version found; `None` when there is no such record.
        found: Option<u64>,
    },
    /// A key, value or batch that is too large or empty.
    #[error("a {what} of {found} does not fit: the limit is {limit}")]
    Size {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Nothing was written: the disk is full.
    #[error(
        "no space left for the store in `{dir}`: free at least {needed} bytes; it goes on by itself"
    )]
    Full {
        /// The store's directory.
        dir: PathBuf,
        /// Bytes wanted.
        needed: u64,
    },
    /// It is not known whether the commit is durable.
    #[error("it is not known whether the change was saved: repeat it under the same commit id")]
    Unknown(#[source] Arc<io::Error>),
    /// The store failed and stays so.
    #[error("the store failed and can be used no more until the gateway is started again: {0}")]
    Failed(String),
    /// What is stored does not hold.
    #[error(
        "the store in `{dir}` is damaged ({what}): restore it with `tidegate store import BACKUP`"
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// Made by a newer version.
    #[error(
        "the store in `{dir}` has format {found}, this version knows up to {known}: use the newer version again"
    )]
    Newer {
        /// The store's directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The highest known.
        known: u32,
    },
    /// Another process has it open.
    #[error("the store in `{0}` is in use by another process: stop that one first")]
    InUse(PathBuf),
    /// The disk refused.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A key is missing or does not open something.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The key provider refused.
    #[error(transparent)]
    Key(Arc<KeyError>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<KeyError> for StoreError {
    fn from(error: KeyError) -> Self {
        Self::Key(Arc::new(error))
    }
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source: Arc::new(source) }
    }
}

/// Records by table, organisation and key, with atomic durable commits.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// One record; an expired one does not exist.
    fn get<'a>(
        &'a self,
        table: Table,
        org: &'a OrgId,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Records in the order of their keys.
    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;

    /// Carries out all of the batch or nothing; durable when it answers.
    ///
    /// With a commit id, a repetition within a day answers as the first one did.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// Sees to it that an organisation has a key, so that [`Keyring::seal`] works for it.
    fn ensure_org<'a>(&'a self, org: &'a OrgId) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Changes of all tables but the audit index, from now on.
    fn watch(&self) -> Changes;

    /// Whether it can be used.
    fn health(&self) -> Health;

    /// Reads and opens everything and compares it with the manifest.
    fn verify(&self) -> BoxFuture<'_, Result<Verified, StoreError>>;

    /// The keys of the data directory.
    fn keyring(&self) -> &Arc<Keyring>;
}
