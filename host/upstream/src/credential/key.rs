//! The kind `key`: a token, API key or password that is used as it is.
//!
//! It comes from outside (`env:`, `file:`), the same for everybody, or from the vault, where
//! an administrator has put it for all or each person their own.

use std::{sync::Arc, time::Instant};

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tidegate_model::Secret;
use tidegate_store::Expect;
use zeroize::Zeroize;

use super::{
    About, CredentialError, Kept, KeySource, KeySpec, Kind, Material, Owner, Refused, Setting,
    Slot, Vault, Want, header, spec::Placing,
};

/// The most characters a key may have.
const LONGEST: usize = 8 << 10;

/// What is kept of it.
#[derive(Clone, Serialize, Deserialize)]
struct Body {
    secret: String,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// One that comes from outside.
#[derive(Debug)]
pub(super) struct Given(Arc<Material>);

/// One that lies in the vault.
#[derive(Debug)]
pub(super) struct Stored {
    setting: Setting,
    placing: Placing,
}

/// Opens the kind.
pub(super) fn open(
    spec: &KeySpec,
    setting: impl Fn() -> Result<Setting, CredentialError>,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Result<Box<dyn Kind>, CredentialError> {
    header::check_placing(&spec.placing)?;
    match &spec.source {
        KeySource::Reference(reference) => {
            let value =
                secret(reference).ok_or_else(|| CredentialError::Missing(reference.clone()))?;
            let material = Material::placed(&spec.placing, &value, reference)?;
            Ok(Box::new(Given(Arc::new(material))))
        }
        KeySource::Stored(_) => {
            Ok(Box::new(Stored { setting: setting()?, placing: spec.placing.clone() }))
        }
    }
}

/// Puts a key into the vault for `slot`, in place of any that was there. Refuses one that does
/// not fit where it goes.
pub async fn put(
    vault: &Vault,
    slot: &Slot,
    placing: &Placing,
    secret: &Secret,
    by: &str,
) -> Result<(), CredentialError> {
    if secret.expose().len() > LONGEST {
        return Err(CredentialError::Unprintable("the key".into()));
    }
    Material::placed(placing, secret, "the key")?;
    let about = About::new(&slot.owner, by, vault.now());
    let body = Body { secret: secret.expose().trim_end_matches(['\r', '\n']).to_owned() };
    vault.write(slot, &Kept { about, body }, Expect::Any).await?;
    Ok(())
}

impl Kind for Given {
    fn at_hand(&self) -> Option<&Arc<Material>> {
        Some(&self.0)
    }

    fn obtain<'a>(
        &'a self,
        _: &'a Owner,
        _: Instant,
    ) -> BoxFuture<'a, Result<Arc<Material>, CredentialError>> {
        std::future::ready(Ok(Arc::clone(&self.0))).boxed()
    }
}

impl Kind for Stored {
    fn obtain<'a>(
        &'a self,
        owner: &'a Owner,
        _: Instant,
    ) -> BoxFuture<'a, Result<Arc<Material>, CredentialError>> {
        async move {
            let slot = self.setting.slot(owner);
            let found = self.setting.vault.read::<Body>(&slot).await?;
            let found = found.ok_or_else(|| self.setting.wanted(owner, Want::Absent))?;
            if let Some(why) = found.kept.about.dead {
                return Err(self.setting.wanted(owner, Want::Refused(why)));
            }
            let secret = Secret::new(found.kept.body.secret.clone());
            let material = Material::placed(&self.placing, &secret, "the stored key")?;
            Ok(Arc::new(material.at_version(found.content)))
        }
        .boxed()
    }

    fn refused<'a>(
        &'a self,
        owner: &'a Owner,
        material: &'a Material,
        refused: &'a Refused,
    ) -> BoxFuture<'a, Result<Option<Want>, CredentialError>> {
        async move {
            // A key cannot be renewed, and a service that asks for other rights may still take
            // it elsewhere.
            if !refused.is_dead() {
                return Ok(None);
            }
            let slot = self.setting.slot(owner);
            let Some(mut found) = self.setting.vault.read::<Body>(&slot).await? else {
                return Ok(None);
            };
            if found.content != material.version || found.kept.about.dead.is_some() {
                return Ok(None);
            }
            let why = refused.sentence();
            found.kept.about.dead = Some(why.clone());
            let expect = Expect::Version(found.version);
            self.setting.vault.write(&slot, &found.kept, expect).await?;
            Ok(Some(Want::Refused(why)))
        }
        .boxed()
    }
}
