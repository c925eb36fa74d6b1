//! Renewing a token: once for all who wait, and written down before it is used.
//!
//! A server that rotates refresh tokens knows the new one from the moment it has issued it, so
//! losing that answer costs the grant. What could not be written is therefore kept in memory
//! and written first of all the next time, and serves nobody before. Where two processes renew
//! at once, the one that comes second takes what the first has written.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tidegate_store::Expect;

use super::{
    Asking, Body, CredentialError, GrantError, Kept, Material, OAuth, Owner, Versioned, Want,
};
use crate::credential::{VaultError, vault::Alone};

/// How long a failed renewal is not tried again while the old token still works.
const PAUSE: Duration = Duration::from_secs(10);
/// How often something is written down before whoever waits is told that it cannot be.
const WRITES: u32 = 3;

impl OAuth {
    /// Material of `owner` that works now.
    pub(super) async fn renewed(
        &self,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Arc<Material>, CredentialError> {
        self.save_left_over(owner).await?;
        let found = self.read(owner).await?;
        let now = self.setting.vault.now();
        if !found.kept.body.is_due(now) {
            return self.material(&found.kept.body, found.content);
        }
        if found.kept.body.refresh.is_none() {
            return match found.kept.body.is_over(now) {
                true => Err(self.ended(owner, found).await?),
                false => self.material(&found.kept.body, found.content),
            };
        }
        let slot = self.setting.slot(owner);
        let alone = match found.kept.body.is_over(now) {
            // The old one works for whoever comes while it is renewed.
            false => match self.setting.vault.alone_now(&slot) {
                Some(alone) => alone,
                None => return self.material(&found.kept.body, found.content),
            },
            true => {
                let waiting = self.setting.vault.alone(&slot);
                let until = tokio::time::Instant::from_std(deadline);
                let alone = tokio::time::timeout_at(until, waiting).await;
                alone.map_err(|_| self.issuer_error("renewing the token", "it took too long"))?
            }
        };
        self.renew(owner, alone).await
    }

    async fn renew(&self, owner: &Owner, alone: Alone) -> Result<Arc<Material>, CredentialError> {
        // Somebody may have done it while this one waited.
        let found = self.read(owner).await?;
        let now = self.setting.vault.now();
        if !found.kept.body.is_due(now) {
            return self.material(&found.kept.body, found.content);
        }
        let Some(refresh) = found.kept.body.refresh.clone() else {
            return self.material(&found.kept.body, found.content);
        };
        let body = &found.kept.body;
        let (server, client, resource) = (&body.server, &body.client, body.resource.as_str());
        let asking = Asking { reach: &self.reach, server, client, resource };
        let answer = asking.refresh(&zeroize::Zeroizing::new(refresh)).await;
        let issued = match answer {
            Ok(issued) => issued,
            Err(error) => return self.not_renewed(owner, found, error).await,
        };
        let mut next = self.body((server, client, resource), &issued, &body.scopes);
        if next.refresh.is_none() {
            next.refresh.clone_from(&body.refresh);
        }
        next.wanted.clone_from(&body.wanted);
        next.forced = body.refused;
        let material = self.keep(owner, found, next).await?;
        drop(alone);
        Ok(material)
    }

    /// Writes down what was issued in place of `found`.
    async fn keep(
        &self,
        owner: &Owner,
        found: Versioned<Body>,
        next: Body,
    ) -> Result<Arc<Material>, CredentialError> {
        let about = super::super::About { changed: self.setting.vault.now(), ..found.kept.about };
        let kept = Kept { about, body: next };
        let (vault, slot) = (&self.setting.vault, self.setting.slot(owner));
        let expect = Expect::Version(found.version);
        let mut error = VaultError::Changed;
        for turn in 0..WRITES {
            match vault.write(&slot, &kept, expect).await {
                Ok(_) => {
                    let written = self.read(owner).await?;
                    return self.material(&written.kept.body, written.content);
                }
                // Another process was faster, or the owner has brought another one.
                Err(VaultError::Changed) => {
                    let other = self.read(owner).await?;
                    return self.material(&other.kept.body, other.content);
                }
                Err(failed) => error = failed,
            }
            tokio::time::sleep(Duration::from_millis(50 << turn)).await;
        }
        tracing::error!(
            connector = %self.setting.connector, %owner, %error,
            "a renewed token cannot be written down; it is kept in memory and not used until it is"
        );
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.insert(owner.key(), kept.body);
        Err(error.into())
    }

    /// Writes down what an earlier renewal could not.
    async fn save_left_over(&self, owner: &Owner) -> Result<(), CredentialError> {
        let has_one = |owner: &Owner| {
            let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
            unsaved.contains_key(&owner.key())
        };
        if !has_one(owner) {
            return Ok(());
        }
        let (vault, slot) = (&self.setting.vault, self.setting.slot(owner));
        let _alone = vault.alone(&slot).await;
        let found = self.read(owner).await?;
        let body = {
            let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
            unsaved.get(&owner.key()).cloned()
        };
        let Some(body) = body else { return Ok(()) };
        // What was brought or renewed since is newer.
        if found.kept.body.issued <= body.issued {
            let kept = Kept { about: found.kept.about, body };
            match vault.write(&slot, &kept, Expect::Version(found.version)).await {
                Ok(_) | Err(VaultError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner.key());
        Ok(())
    }

    /// The server gave no new token.
    async fn not_renewed(
        &self,
        owner: &Owner,
        found: Versioned<Body>,
        error: GrantError,
    ) -> Result<Arc<Material>, CredentialError> {
        let now = self.setting.vault.now();
        if matches!(error, GrantError::Dead(_) | GrantError::Client(_)) {
            // Another process may have been faster, and this refresh token be used up by that.
            let again = self.read(owner).await?;
            if again.content != found.content {
                return self.material(&again.kept.body, again.content);
            }
            if let GrantError::Client(_) = error
                && self.spec.client_id.is_none()
            {
                let (vault, connector) = (&self.setting.vault, &self.setting.connector);
                let issuer = &found.kept.body.server.issuer;
                super::registration::forget(vault, connector, issuer).await?;
            }
            return Err(self.dead(owner, found, error.to_string()).await?);
        }
        if found.kept.body.is_over(now) {
            return Err(self.issuer_error("renewing the token", error));
        }
        tracing::warn!(
            connector = %self.setting.connector, %owner, %error,
            "a token cannot be renewed yet; the old one serves until it ends"
        );
        let material = self.material(&found.kept.body, found.content)?;
        let again = now.after(PAUSE);
        let ends = found.kept.body.ends;
        let later = Material::placed(
            &self.spec.placing,
            &tidegate_model::Secret::new(found.kept.body.access.clone()),
            "the access token",
        )?;
        Ok(Arc::new(later.at_version(material.version()).until(Some(again), ends)))
    }

    /// It has ended, and there is nothing to renew it with.
    async fn ended(
        &self,
        owner: &Owner,
        found: Versioned<Body>,
    ) -> Result<CredentialError, CredentialError> {
        let why = "the access token has ended, and the service gave none to renew it with";
        self.dead(owner, found, why.to_owned()).await
    }

    /// Notes that somebody has to agree anew.
    async fn dead(
        &self,
        owner: &Owner,
        mut found: Versioned<Body>,
        why: String,
    ) -> Result<CredentialError, CredentialError> {
        found.kept.about.dead = Some(why.clone());
        let (vault, slot) = (&self.setting.vault, self.setting.slot(owner));
        match vault.write(&slot, &found.kept, Expect::Version(found.version)).await {
            Ok(_) | Err(VaultError::Changed) => {}
            Err(error) => tracing::warn!(%error, "that a credential is dead cannot be noted"),
        }
        tracing::warn!(connector = %self.setting.connector, %owner, why, "a credential is dead");
        Ok(self.setting.wanted(owner, Want::Refused(why)))
    }
}
