//! What an embedded backend has to be: ordered bytes with atomic durable batches.
//!
//! Sealing, versions, manifests and groups are done once, in `embedded`, above this trait.

use std::io;

/// A key and its stored bytes.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// A key and what is to be stored under it; `None` removes it.
pub type RawWrite = (Vec<u8>, Option<Vec<u8>>);

/// How a backend failed.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// Nothing was written, because it would leave too little space: bytes wanted.
    #[error("no space left: {0} bytes are wanted")]
    Full(u64),
    /// The disk refused; what was to be written may or may not be there.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The backend is beyond use: a panic or corruption.
    #[error("{0}")]
    Broken(String),
}

/// Ordered rows. Reads may run beside each other and beside one `apply`; `apply` and
/// `reopen` are called from one thread.
pub trait Rows: Send + Sync + std::fmt::Debug {
    /// The bytes under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// Rows from `from` on whose key begins with `prefix`, at most `limit`.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<RawRow>, RowsError>;

    /// Carries out all writes or none; durable when it returns.
    fn apply(&self, writes: &[RawWrite]) -> Result<(), RowsError>;

    /// Begins anew with what is durable, after an error of `apply`.
    fn reopen(&self) -> Result<(), RowsError>;

    /// Whether there is space for a commit; asked when an earlier one found none.
    fn has_room(&self) -> bool;

    /// What somebody should look at, given the bytes stored.
    fn warning(&self) -> Option<String>;
}
