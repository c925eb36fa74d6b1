//! Where root keys come from.
//!
//! A provider wraps and unwraps other keys; what it does inside is its own. Nothing else sees a
//! root key. A file or a systemd credential is in `file`, an environment variable in `variable`,
//! a key service behind a program or a socket in `external`, the text of keys in `text`.

use std::{path::PathBuf, sync::Arc};

use sha2::{Digest, Sha256};

mod external;
mod file;
mod fixed;
mod text;
mod variable;

pub use external::{ServiceKeys, ServiceOptions};
pub use file::FileKeys;
pub use fixed::FixedKeys;
pub use variable::VariableKeys;

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

    /// Puts a new root key in use: one that was added at the source since it was read, else
    /// one that is made there. Those before it go on to unwrap. Gives the one that wraps now.
    fn renew(&self) -> Result<KeyName, KeyError>;

    /// Gives up a root key. The caller has made sure that nothing is wrapped under it.
    fn retire(&self, id: KeyName) -> Result<(), KeyError>;
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key source that is not understood.
    #[error(
        "`{0}` is no key provider: use `file:PATH`, `credential:NAME`, `exec:PROGRAM ARGUMENTS`, `unix:SOCKET`, or `env:NAME` for development"
    )]
    BadSource(String),
    /// A variable that is not there or holds no key.
    #[error("the environment variable `{name}` {fault}")]
    BadVariable {
        /// The variable.
        name: String,
        /// What is wrong.
        fault: String,
    },
    /// A key that only somebody else can make or remove.
    #[error("{what} is not done by the gateway where the root key is {place}: {remedy}")]
    Elsewhere {
        /// What was wanted.
        what: &'static str,
        /// Where the keys are.
        place: String,
        /// What to do there.
        remedy: String,
    },
    /// The key service did not do what it was asked.
    #[error("the key service `{service}` {fault}")]
    Service {
        /// Its program or socket, without arguments.
        service: String,
        /// What is wrong.
        fault: String,
    },
    /// A root key that other keys are still wrapped under, or that wraps new ones.
    #[error("the root key `{id}` {fault}")]
    InUse {
        /// The key.
        id: KeyName,
        /// What it is used for.
        fault: String,
    },
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

/// The provider that a configuration names, such as `file:./data/root.key`, where no variable
/// of the environment is at hand. A missing file is made; its directory must exist.
pub fn provider(source: &str) -> Result<Arc<dyn KeyProvider>, KeyError> {
    provider_with(source, &|_| None)
}

/// The provider that a configuration names; `variable` reads the environment.
pub fn provider_with(
    source: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn KeyProvider>, KeyError> {
    let bad = || KeyError::BadSource(source.chars().take(80).collect());
    let (kind, rest) = source.split_once(':').ok_or_else(bad)?;
    if rest.trim().is_empty() {
        return Err(bad());
    }
    Ok(match kind {
        "file" => Arc::new(FileKeys::open(rest)?),
        "credential" => Arc::new(FileKeys::credential(rest, variable(CREDENTIALS))?),
        "env" => Arc::new(VariableKeys::open(rest, variable(rest))?),
        "exec" => Arc::new(ServiceKeys::open(ServiceOptions::program(rest)?)?),
        "unix" => Arc::new(ServiceKeys::open(ServiceOptions::socket(rest))?),
        _ => return Err(bad()),
    })
}

/// Where systemd says that a service's credentials are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The name of a root key.
pub(crate) fn name_of(key: &[u8; 32]) -> KeyName {
    let hash = Sha256::new().chain_update(key).chain_update(b"id").finalize();
    let mut name = [0; 8];
    name.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    KeyName(name)
}

/// The root key that a kept key is wrapped under; `None` for bytes that are no wrapped key.
pub(crate) fn wrapped_under(wrapped: &[u8]) -> Option<KeyName> {
    let own = Header::read(wrapped).ok().map(|header| header.kek);
    own.or_else(|| external::Wrapped::read(wrapped).map(|wrapped| wrapped.root))
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

    /// Refuses keys that lack one of `before`.
    fn check_holds(&self, before: &Self) -> Result<(), KeyError> {
        let gone = before.ids().into_iter().find(|id| !self.ids().contains(id));
        gone.map_or(Ok(()), |wanted| Err(KeyError::Unknown { wanted, offered: self.ids() }))
    }

    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        let current = self.current_id();
        wrap_under(current, self.find(current)?, key, place)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        let header = Header::read(wrapped).map_err(KeyError::Damaged)?;
        unwrap_under(self.find(header.kek)?, wrapped, place)
    }
}

/// Seals a key under another one that is at hand.
fn wrap_under(
    id: KeyName,
    root: &Key,
    key: &[u8; 32],
    place: &Place<'_>,
) -> Result<Vec<u8>, KeyError> {
    Header::new(id, 0)?.seal(root, PURPOSE, place, key).map_err(KeyError::Damaged)
}

/// Opens what [`wrap_under`] made with the same key for the same place.
fn unwrap_under(root: &Key, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
    let header = Header::read(wrapped).map_err(KeyError::Damaged)?;
    let plain = header.open(root, PURPOSE, place, wrapped).map_err(KeyError::Damaged)?;
    let plain = zeroize::Zeroizing::new(plain);
    let key = <[u8; 32]>::try_from(plain.as_slice());
    key.map(Key::new).map_err(|_| KeyError::Damaged(EnvelopeError::NoEnvelope))
}
