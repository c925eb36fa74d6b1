//! Component files: read, held to what was pinned, compiled once per content.
//!
//! A digest or a signature is checked at every reading, so that a file that was exchanged
//! behind the administrator's back is never bound.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidegate_wasm::{Compiling, Component, Sandbox};

use crate::{
    config::{Problem, directory, problem::sentence},
    signature::{SignatureError, Trust, digest_text},
};

/// Revisions for which a component is kept that none of them used.
const UNUSED: u64 = 2;

/// What is known of a component file before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pin<'a> {
    /// The digest it must have.
    pub(crate) digest: Option<&'a str>,
    /// The key that must have signed it.
    pub(crate) signed_by: Option<&'a str>,
    /// Whether any trusted key will do where signatures are required.
    pub(crate) by_anybody: bool,
}

#[derive(Debug)]
struct Known {
    component: Component,
    used: u64,
}

#[derive(Debug, Default)]
struct State {
    round: u64,
    by_hash: HashMap<[u8; 32], Known>,
    /// The files of this round: many plugins may share one.
    by_path: HashMap<PathBuf, Component>,
}

/// Reads and keeps components.
#[derive(Debug)]
pub(super) struct Components {
    sandbox: Sandbox,
    trust: Trust,
    state: Mutex<State>,
}

impl Components {
    /// What is being compiled.
    pub(super) fn compiling(&self) -> Vec<Compiling> {
        self.sandbox.progress()
    }

    pub(super) fn new(sandbox: Sandbox, trust: Trust) -> Self {
        Self { sandbox, trust, state: Mutex::default() }
    }

    pub(super) fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// A revision is about to be made: files are read anew, and what the last ones did not use
    /// is let go.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.round += 1;
        state.by_path.clear();
        let round = state.round;
        state.by_hash.retain(|_, known| known.used + UNUSED >= round);
    }

    /// The component in `path`, which `file` names.
    pub(super) async fn load(
        &self,
        path: &Path,
        file: &Path,
        pin: Pin<'_>,
    ) -> Result<Component, Problem> {
        // Nothing of a file is run, its schema included, before it is known to be the right one.
        match self.known(path, file).await? {
            Found::Component(component) => {
                self.check(path, file, component.sha256(), pin).await?;
                Ok(component)
            }
            Found::File(bytes) => {
                let hash: [u8; 32] = Sha256::digest(&bytes).into();
                self.check(path, file, &hash, pin).await?;
                self.compile(path, file, (hash, bytes)).await
            }
        }
    }

    /// Holds a file of this hash to what is pinned, and to its signature.
    async fn check(
        &self,
        path: &Path,
        file: &Path,
        hash: &[u8; 32],
        pin: Pin<'_>,
    ) -> Result<(), Problem> {
        let digest = digest_text(hash);
        if let Some(pinned) = pin.digest.filter(|pinned| **pinned != *digest) {
            let words = format!(
                "component `{}` has the hash `{digest}`, and `{pinned}` is pinned",
                path.display()
            );
            return Err(Problem::of(file, words).with_help(
                "restore the file, or install the new one with `tidegate plugin install`",
            ));
        }
        self.check_signature(path, &digest, pin).await.map_err(|error| {
            let words = format!("component `{}`: {error}", path.display());
            Problem::of(file, words).with_help(remedy(&error))
        })
    }

    async fn check_signature(
        &self,
        path: &Path,
        digest: &str,
        pin: Pin<'_>,
    ) -> Result<(), SignatureError> {
        if pin.signed_by.is_none() && !self.trust.is_required() {
            return Ok(());
        }
        let signature = tokio::fs::read_to_string(directory::signature(path)).await.ok();
        if pin.by_anybody {
            return self.trust.check_any(digest, signature.as_deref());
        }
        self.trust.check(digest, pin.signed_by, signature.as_deref())
    }

    /// What is known of a path in this round, or what lies there.
    async fn known(&self, path: &Path, file: &Path) -> Result<Found, Problem> {
        if let Some(known) = self.state().by_path.get(path).cloned() {
            return Ok(Found::Component(known));
        }
        let bytes = tokio::fs::read(path).await.map_err(|error| fault(path, file, &error))?;
        Ok(Found::File(bytes.into()))
    }

    async fn compile(
        &self,
        path: &Path,
        file: &Path,
        (hash, bytes): ([u8; 32], Bytes),
    ) -> Result<Component, Problem> {
        let known = self.state().by_hash.get(&hash).map(|known| known.component.clone());
        let component = match known {
            Some(component) => component,
            None => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let loading = self.sandbox.load_named(&name, bytes).await;
                loading.map_err(|error| fault(path, file, &error))?
            }
        };
        let mut state = self.state();
        let used = state.round;
        state.by_hash.insert(hash, Known { component: component.clone(), used });
        state.by_path.insert(path.to_owned(), component.clone());
        Ok(component)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a path leads to.
enum Found {
    Component(Component),
    File(Bytes),
}

fn fault(path: &Path, file: &Path, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::of(file, format!("component `{}`: {}", path.display(), sentence(error)))
}

/// What to do about a signature.
pub(crate) fn remedy(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::Unsigned => {
            "have it signed (`tidegate plugin sign`) by a key of `[plugins.keys]` and install it again"
        }
        SignatureError::UnknownKey(_) => {
            "add the key there and restart, or install a component that a known key signed"
        }
        _ => "install the component again with the signature of a key of `[plugins.keys]`",
    }
}
