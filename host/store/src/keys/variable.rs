//! Root keys in an environment variable: for development only.
//!
//! Whoever may look at the process sees its environment, and children inherit it. Knows not how
//! the environment is read.

use zeroize::Zeroizing;

use super::{KeyError, KeyProvider, Ring, text};
use crate::{
    envelope::{KeyName, Place},
    seal::Key,
};

/// The provider over a variable, in the form that a key file has.
pub struct VariableKeys {
    name: String,
    ring: Ring,
}

impl VariableKeys {
    /// Takes the keys from the value of a variable, and warns that they are there.
    pub fn open(name: &str, value: Option<String>) -> Result<Self, KeyError> {
        let bad = |fault: String| KeyError::BadVariable { name: name.to_owned(), fault };
        let value = Zeroizing::new(value.ok_or_else(|| {
            bad("is not set: it should hold a root key, a line `tidegate-key-1` and 64 hexadecimal digits".to_owned())
        })?);
        let keys = text::read(&value).map_err(|fault| {
            bad(format!("does not hold root keys, line {}: {}", fault.line, fault.what))
        })?;
        tracing::warn!(
            variable = name,
            "THE ROOT KEY IS IN THE ENVIRONMENT, where programs of this user can see it: use this for development only, and `file:` or `exec:` for anything else"
        );
        Ok(Self { name: name.to_owned(), ring: Ring::new(keys) })
    }

    fn elsewhere(&self, what: &'static str, remedy: &str) -> KeyError {
        let place = format!("in the environment variable `{}`", self.name);
        KeyError::Elsewhere { what, place, remedy: remedy.to_owned() }
    }
}

impl KeyProvider for VariableKeys {
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        self.ring.wrap(key, place)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        self.ring.unwrap(wrapped, place)
    }

    fn current_id(&self) -> KeyName {
        self.ring.current_id()
    }

    fn ids(&self) -> Vec<KeyName> {
        self.ring.ids()
    }

    fn renew(&self) -> Result<KeyName, KeyError> {
        let remedy = "add a line with a new key after the old one, and start again; what was \
                      wrapped under the old one is wrapped anew then";
        Err(self.elsewhere("making a root key", remedy))
    }

    fn retire(&self, _: KeyName) -> Result<(), KeyError> {
        Err(self.elsewhere("removing a root key", "take its line out, and start again"))
    }
}

impl std::fmt::Debug for VariableKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VariableKeys").field("name", &self.name).field("ids", &self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_holds_what_a_file_would() {
        let [old, new] = ["0123456789abcdef", "fedcba9876543210"]
            .map(|digits| format!("tidegate-key-1 {}\n", digits.repeat(4)));
        let open = |value: &str| VariableKeys::open("KEY", Some(value.to_owned()));
        let first = open(&old).unwrap();
        let wrapped = first.wrap(&[9; 32], &Place::default()).unwrap();
        let both = open(&format!("{old}{new}")).unwrap();
        assert_eq!(both.ids(), [first.current_id(), both.current_id()]);
        assert_eq!(*both.unwrap(&wrapped, &Place::default()).unwrap(), [9; 32]);
        let refusals = [both.renew().map(drop), both.retire(first.current_id())];
        for refused in refusals {
            assert!(matches!(refused, Err(KeyError::Elsewhere { .. })), "{refused:?}");
        }
        for (value, wanted) in [(None, "is not set"), (Some("canary"), "line 1: this is no key")] {
            let error = VariableKeys::open("KEY", value.map(str::to_owned)).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(wanted) && error.contains("`KEY`"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
