//! References to secrets: `env:NAME` or `file:PATH`.
//!
//! Configuration never holds a secret itself. A reference is resolved when a connector is
//! opened, so a rotated file is picked up at the next revision.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::Secret;

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Reference {
    /// An environment variable of the gateway's process.
    Env(String),
    /// A file; a trailing line break is not part of the secret.
    File(PathBuf),
}

/// Why a reference cannot be read or resolved. Never shows the secret.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Not a reference.
    #[error("a secret is given as `env:NAME` or `file:PATH`, never as itself")]
    NotAReference,
    /// The variable is not set or is not text.
    #[error("environment variable `{0}` is not set")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read the secret file `{0}`")]
    NoFile(PathBuf, #[source] std::io::Error),
    /// Nothing in it, or a line break within.
    #[error("the secret in `{0}` is empty or has more than one line")]
    NotOneLine(String),
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;
    fn try_from(text: String) -> Result<Self, ReferenceError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(ReferenceError::NotAReference),
        }
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        match reference {
            Reference::Env(name) => format!("env:{name}"),
            Reference::File(path) => format!("file:{}", path.display()),
        }
    }
}

impl Reference {
    /// Makes a relative file path absolute.
    pub fn rooted(&mut self, base: &Path) {
        if let Self::File(path) = self {
            *path = base.join(&*path);
        }
    }

    /// The file it points to, where it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Fetches the secret.
    #[expect(clippy::disallowed_methods, reason = "configuration is where the environment is read")]
    pub fn resolve(&self) -> Result<Secret, ReferenceError> {
        let (mut text, name) = match self {
            Self::Env(name) => {
                let text =
                    std::env::var(name).map_err(|_| ReferenceError::NoVariable(name.clone()))?;
                (text, format!("env:{name}"))
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| ReferenceError::NoFile(path.clone(), cause))?;
                (text, path.display().to_string())
            }
        };
        let kept = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(kept);
        let secret = Secret::new(text);
        let one_line = !secret.expose().is_empty() && !secret.expose().contains(['\n', '\r', '\0']);
        if one_line { Ok(secret) } else { Err(ReferenceError::NotOneLine(name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_taken() {
        for good in ["env:TOKEN", "file:/run/secret"] {
            assert_eq!(String::from(Reference::try_from(good.to_owned()).unwrap()), good);
        }
        for bad in ["sk-123", "env:", "file:", "vault", "http://x"] {
            assert!(Reference::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_holds_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let reference = Reference::File(path.clone());
        assert!(matches!(reference.resolve(), Err(ReferenceError::NoFile(..))));
        std::fs::write(&path, "canary\n").unwrap();
        assert_eq!(reference.resolve().unwrap().expose(), "canary");
        std::fs::write(&path, "a\nb\n").unwrap();
        assert!(matches!(reference.resolve(), Err(ReferenceError::NotOneLine(_))));
    }
}
