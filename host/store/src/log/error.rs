//! Why a log refuses, in words for a person.

use std::{io, path::PathBuf, sync::Arc};

use super::{MAX_RECORD, NoteError};

/// Why the log refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// A record of no or too many bytes.
    #[error(
        "a record of {0} bytes does not fit: use 1 to {MAX_RECORD} bytes and keep larger content beside the log"
    )]
    Size(usize),
    /// No room for another record.
    #[error(
        "no space left for the log in `{dir}`: free at least {needed} bytes; it goes on by itself"
    )]
    Full {
        /// The log's directory.
        dir: PathBuf,
        /// Bytes wanted.
        needed: u64,
    },
    /// The disk refused; the log goes on when it can.
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
    /// A flush failed, so nobody can know what is on the disk.
    #[error("the log failed and takes no more records until the gateway is started again")]
    Failed(#[source] Arc<io::Error>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// Another process writes this directory.
    #[error("`{0}` is in use by another process: stop that one first")]
    InUse(PathBuf),
    /// Made by a newer version.
    #[error(
        "`{path}` has format {found}, this version knows up to {known}: use the newer version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The highest known.
        known: u32,
    },
    /// A directory of another log, or keys of another.
    #[error("`{path}` belongs to the log `{found}`, not to `{wanted}`")]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A record that was once durable is damaged.
    #[error(
        "record {seq} in `{path}` is damaged ({what}): run `tidegate audit verify` and restore the directory from a copy"
    )]
    Damaged {
        /// The first record that cannot be trusted.
        seq: u64,
        /// Where it should be.
        path: PathBuf,
        /// What does not hold.
        what: &'static str,
    },
    /// Records that were once durable are gone.
    #[error(
        "the log ends after {found} records, but {what} covers {wanted}: run `tidegate audit verify` and restore the directory from a copy"
    )]
    Missing {
        /// Records found.
        found: u64,
        /// Records promised.
        wanted: u64,
        /// Who promises them.
        what: &'static str,
    },
    /// A checkpoint, key or origin that cannot be used.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl LogError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source: Arc::new(source) }
    }
}
