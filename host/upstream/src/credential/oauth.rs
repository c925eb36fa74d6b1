//! The kind `oauth`: tokens that an authorization server issues after somebody has agreed.
//!
//! One for all callers (a service account) or one for each of them. Finding the server is
//! [`discovery`]'s, the gateway's registration there [`registration`]'s, what is asked of it
//! `grant`'s; [`flow`] is the way of a person through a browser. This module owns what is
//! kept, and its renewal: ahead of its end, once however many wait for it, and written down
//! before it is used.

mod challenge;
pub mod discovery;
pub mod flow;
pub(crate) mod grant;
pub(crate) mod reach;
pub mod registration;
mod renewal;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tidegate_model::{Secret, Timestamp};
use tidegate_store::Expect;
use tidegate_wire::client::egress::AddressPolicy;
use zeroize::Zeroize;

use super::{
    CredentialError, Kept, Kind, Material, Owner, Placing, Refused, Scope, Setting, Versioned,
    Want, owner::OwnerKey,
};
use challenge::Challenge;
use discovery::{Found, Named, Server};
use grant::{Asking, GrantError, Issued};
use reach::Reach;
use registration::{Client, Proves};

/// How long a discovery is believed.
const BELIEVED: Duration = Duration::from_secs(600);

/// What an administrator says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthSpec {
    /// Where tokens go.
    pub placing: Placing,
    /// One for all, or one for each.
    pub scope: Scope,
    /// The connector's URL, which tokens are for.
    pub url: String,
    /// What the connector may reach beyond the public internet; its authorization server, too.
    pub allow: AddressPolicy,
    /// What is known of the authorization server.
    pub named: Named,
    /// The gateway's client there, where an administrator has registered it.
    pub client_id: Option<String>,
    /// Its secret: the key into [`crate::connector::Parts::secrets`].
    pub client_secret: Option<String>,
    /// The rights to ask for, where it shall not be found out.
    pub scopes: Vec<String>,
}

/// What is kept of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Body {
    server: Server,
    client: Client,
    resource: String,
    access: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
    /// The rights that were granted.
    scopes: Vec<String>,
    /// The rights that the connector has asked for on top.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wanted: Vec<String>,
    issued: Timestamp,
    /// When the access token ends; never, as far as is known, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<Timestamp>,
    /// Whether the connector has refused the token that this one was got for.
    #[serde(default)]
    forced: bool,
    /// Whether the connector has refused this token.
    #[serde(default)]
    refused: bool,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.access.zeroize();
        if let Some(refresh) = &mut self.refresh {
            refresh.zeroize();
        }
    }
}

/// The kind.
pub struct OAuth {
    setting: Setting,
    spec: OAuthSpec,
    secret: Option<Secret>,
    reach: Reach,
    found: Mutex<Option<(Arc<Found>, Timestamp)>>,
    /// What was issued and could not be written down yet.
    unsaved: Mutex<HashMap<OwnerKey, Body>>,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OAuth({}, ***)", self.setting.connector)
    }
}

/// Opens the kind.
pub(super) fn open(
    spec: &OAuthSpec,
    setting: Setting,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Result<OAuth, CredentialError> {
    super::header::check_placing(&spec.placing)?;
    let secret = match &spec.client_secret {
        None => None,
        Some(reference) => {
            Some(secret(reference).ok_or_else(|| CredentialError::Missing(reference.clone()))?)
        }
    };
    let reach = Reach::new(Arc::clone(setting.vault.egress()), spec.allow.clone());
    let (found, unsaved) = (Mutex::default(), Mutex::default());
    Ok(OAuth { setting, spec: spec.clone(), secret, reach, found, unsaved })
}

impl OAuth {
    fn issuer_error(&self, stage: &'static str, why: impl std::fmt::Display) -> CredentialError {
        let connector = self.setting.connector.clone();
        CredentialError::Issuer { connector, stage, why: discovery::cut(&why.to_string()) }
    }

    /// The authorization server, found out again when that was long ago.
    pub(crate) async fn found(&self) -> Result<Arc<Found>, CredentialError> {
        let now = self.setting.vault.now();
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((found, until)) = known
            && now < until
        {
            return Ok(found);
        }
        let found = discovery::discover(&self.reach, &self.spec.url, &self.spec.named).await;
        let found =
            found.map_err(|error| self.issuer_error("finding its authorization server", error))?;
        let found = Arc::new(found);
        let kept = (Arc::clone(&found), now.after(BELIEVED));
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(found)
    }

    /// As whom the gateway comes to `server`.
    pub(crate) async fn client(&self, server: &Server) -> Result<Client, CredentialError> {
        let vault = &self.setting.vault;
        let identity = vault.identity();
        if let Some(id) = &self.spec.client_id {
            let secret = self.secret.as_ref().map(|secret| secret.expose().trim().to_owned());
            let proves = match secret {
                Some(_) => registration::with_secret(server),
                None => Proves::Nothing,
            };
            let redirect_uri = identity.redirect_uri.clone();
            return Ok(Client { id: id.clone(), secret, proves, expires: None, redirect_uri });
        }
        let connector = &self.setting.connector;
        let client =
            registration::registered(&self.reach, vault, connector, server, identity).await;
        client.map_err(|error| self.issuer_error("registering the gateway", error))
    }

    /// What is kept after `issued`, which was asked for with `scopes`.
    fn body(
        &self,
        (server, client, resource): (&Server, &Client, &str),
        issued: &Issued,
        scopes: &[String],
    ) -> Body {
        let now = self.setting.vault.now();
        Body {
            server: server.clone(),
            client: client.clone(),
            resource: resource.to_owned(),
            access: issued.access.secret().clone(),
            refresh: issued.refresh.as_ref().map(|refresh| refresh.secret().clone()),
            scopes: issued.scopes.clone().unwrap_or_else(|| scopes.to_vec()),
            wanted: Vec::new(),
            issued: now,
            ends: issued.lives.map(|lives| now.after(lives)),
            forced: false,
            refused: false,
        }
    }

    fn material(&self, body: &Body, content: u64) -> Result<Arc<Material>, CredentialError> {
        let access = Secret::new(body.access.clone());
        let material = Material::placed(&self.spec.placing, &access, "the access token")?;
        let material = material.at_version(content).until(body.renew_at(), body.ends);
        Ok(Arc::new(material))
    }

    async fn read(&self, owner: &Owner) -> Result<Versioned<Body>, CredentialError> {
        let found = self.setting.vault.read::<Body>(&self.setting.slot(owner)).await?;
        let found = found.ok_or_else(|| self.setting.wanted(owner, Want::Absent))?;
        match &found.kept.about.dead {
            Some(why) => Err(self.setting.wanted(owner, Want::Refused(why.clone()))),
            None => Ok(found),
        }
    }
}

impl Body {
    /// A minute ahead of its end, or a fifth of its life where that is shorter.
    fn renew_at(&self) -> Option<Timestamp> {
        let ends = self.ends?;
        let life = ends.as_millis().saturating_sub(self.issued.as_millis());
        let ahead = (life / 5).min(60_000);
        self.refresh.as_ref()?;
        Some(Timestamp::from_millis(ends.as_millis().saturating_sub(ahead)))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.refused || self.ends.is_some_and(|ends| ends <= now)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.is_over(now) || self.renew_at().is_some_and(|at| at <= now)
    }
}

impl Kind for OAuth {
    fn obtain<'a>(
        &'a self,
        owner: &'a Owner,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Arc<Material>, CredentialError>> {
        self.renewed(owner, deadline).boxed()
    }

    fn refused<'a>(
        &'a self,
        owner: &'a Owner,
        material: &'a Material,
        refused: &'a Refused,
    ) -> BoxFuture<'a, Result<Option<Want>, CredentialError>> {
        async move {
            let mut found = self.read(owner).await?;
            if found.content != material.version() {
                return Ok(None);
            }
            let challenge = Challenge::read(refused.challenge.as_deref()).unwrap_or_default();
            let body = &mut found.kept.body;
            let want = if refused.status == 403 {
                if challenge.error.as_deref() != Some("insufficient_scope") {
                    return Ok(None);
                }
                let lacking = challenge.scopes.into_iter();
                let lacking: Vec<String> =
                    lacking.filter(|scope| !body.scopes.contains(scope)).collect();
                if lacking.is_empty() {
                    return Ok(None);
                }
                body.wanted.clone_from(&lacking);
                Some(Want::Scopes(lacking))
            } else if body.refresh.is_some() && !body.forced {
                body.refused = true;
                None
            } else {
                let why = refused.sentence();
                found.kept.about.dead = Some(why.clone());
                Some(Want::Refused(why))
            };
            let expect = Expect::Version(found.version);
            let slot = self.setting.slot(owner);
            self.setting.vault.write(&slot, &found.kept, expect).await?;
            Ok(want)
        }
        .boxed()
    }

    fn revoke<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(), CredentialError>> {
        async move {
            let slot = self.setting.slot(owner);
            let Some(found) = self.setting.vault.read::<Body>(&slot).await? else { return Ok(()) };
            let Kept { body, .. } = found.kept;
            let asking = Asking {
                reach: &self.reach,
                server: &body.server,
                client: &body.client,
                resource: &body.resource,
            };
            let failed = |error: GrantError| self.issuer_error("revoking the token", error);
            if let Some(refresh) = &body.refresh {
                asking.revoke(refresh, "refresh_token").await.map_err(failed)?;
            }
            asking.revoke(&body.access, "access_token").await.map_err(failed)
        }
        .boxed()
    }

    fn oauth(&self) -> Option<&OAuth> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
