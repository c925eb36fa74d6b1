//! Where root keys come from.
//!
//! A provider wraps and unwraps other keys; what it does inside (a file, later a key
//! service) is its own. Nothing else sees a root key. The file provider is in `file`.

use std::{path::PathBuf, sync::Arc};

use sha2::{Digest, Sha256};

mod file;
mod fixed;

pub use file::FileKeys;
pub use fixed::FixedKeys;

use crate::{
    envelope::{EnvelopeError, Header, KeyName, Place},
    seal::{Key, RandomError},
};

/// Wraps and unwraps keys with root keys that only it knows.
pub trait KeyProvider: Send + Sync + std::fmt::Debug {
    /// Seals a key under the current root key, for one place.
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError>;

    /// Opens a key that was sealed for the same place under any root key on offer.
    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError>;

    /// The root key that wraps.
    fn current_id(&self) -> KeyName;

    /// All root keys on offer.
    fn ids(&self) -> Vec<KeyName>;
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key source that is not understood.
    #[error("`{0}` is no key provider: use `file:PATH`")]
    BadSource(String),
    /// A file that others may read or that is not ours.
    #[error("`{path}` holds a root key and {fault}: run `{remedy}` and start again")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
        /// The command that mends it.
        remedy: String,
    },
    /// A file that holds no key.
    #[error("`{path}` line {line}: {fault}; a key is `tidegate-key-1` and 64 hexadecimal digits")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// The file cannot be read or made.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The root key that is needed is not on offer.
    #[error("this data is sealed under the root key `{wanted}`, and the provider offers {}: bring that key back", list(.offered))]
    Unknown {
        /// The key that is needed.
        wanted: KeyName,
        /// The keys that are there.
        offered: Vec<KeyName>,
    },
    /// A wrapped key that does not open.
    #[error("a key of the data directory is damaged")]
    Damaged(#[source] EnvelopeError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

fn list(names: &[KeyName]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The provider that a configuration names, such as `file:./data/root.key`. A missing file
/// is made; its directory must exist.
pub fn provider(source: &str) -> Result<Arc<dyn KeyProvider>, KeyError> {
    match source.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(Arc::new(FileKeys::open(path)?)),
        _ => Err(KeyError::BadSource(source.chars().take(80).collect())),
    }
}

/// The name of a root key.
pub(crate) fn name_of(key: &[u8; 32]) -> KeyName {
    let hash = Sha256::new().chain_update(key).chain_update(b"id").finalize();
    let mut name = [0; 8];
    name.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    KeyName(name)
}

/// Root keys held in memory; the last is the current one. What providers share.
struct Ring(Vec<(KeyName, Key)>);

const PURPOSE: &str = "wrap";

impl Ring {
    fn new(keys: Vec<Key>) -> Self {
        Self(keys.into_iter().map(|key| (name_of(&key), key)).collect())
    }

    fn current_id(&self) -> KeyName {
        self.0.last().map_or(KeyName([0; 8]), |(name, _)| *name)
    }

    fn ids(&self) -> Vec<KeyName> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    fn find(&self, wanted: KeyName) -> Result<&Key, KeyError> {
        let found = self.0.iter().find(|(name, _)| *name == wanted).map(|(_, key)| key);
        found.ok_or_else(|| KeyError::Unknown { wanted, offered: self.ids() })
    }

    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        let current = self.current_id();
        let header = Header::new(current, 0)?;
        header.seal(self.find(current)?, PURPOSE, place, key).map_err(KeyError::Damaged)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        let header = Header::read(wrapped).map_err(KeyError::Damaged)?;
        let root = self.find(header.kek)?;
        let plain = header.open(root, PURPOSE, place, wrapped).map_err(KeyError::Damaged)?;
        let plain = zeroize::Zeroizing::new(plain);
        let key = <[u8; 32]>::try_from(plain.as_slice());
        key.map(Key::new).map_err(|_| KeyError::Damaged(EnvelopeError::NoEnvelope))
    }
}
