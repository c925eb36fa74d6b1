//! Root keys given by value: for tests and for embedding.

use super::{KeyError, KeyProvider, Ring};
use crate::{
    envelope::{KeyName, Place},
    seal::Key,
};

/// A provider over keys that the caller holds; the last one is current.
pub struct FixedKeys(Ring);

impl FixedKeys {
    /// Takes the keys over.
    pub fn new(keys: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(Ring::new(keys.into_iter().map(Key::new).collect()))
    }
}

impl KeyProvider for FixedKeys {
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        self.0.wrap(key, place)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        self.0.unwrap(wrapped, place)
    }

    fn current_id(&self) -> KeyName {
        self.0.current_id()
    }

    fn ids(&self) -> Vec<KeyName> {
        self.0.ids()
    }

    fn renew(&self) -> Result<KeyName, KeyError> {
        Err(elsewhere("making a root key"))
    }

    fn retire(&self, _: KeyName) -> Result<(), KeyError> {
        Err(elsewhere("removing a root key"))
    }
}

fn elsewhere(what: &'static str) -> KeyError {
    let (place, remedy) = ("given by value".to_owned(), "give other keys".to_owned());
    KeyError::Elsewhere { what, place, remedy }
}

impl std::fmt::Debug for FixedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FixedKeys").field(&self.ids()).finish()
    }
}
