//! The way of a person through a browser: where they are sent, and what they bring back.
//!
//! Knows no page and no cookie: whoever serves seals [`Begun`] and binds it to the browser and
//! to the person, so that nobody finishes what somebody else has begun.

use serde::{Deserialize, Serialize};
use tidegate_model::{ConnectorId, Secret, Timestamp};
use tidegate_store::Expect;
use zeroize::Zeroize;

use super::{
    Asking, Body, CredentialError, GrantError, Kept, OAuth, Owner,
    discovery::{Server, cut},
};
use crate::credential::About;

/// A way that was begun. Holds a secret: it goes nowhere but sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Begun {
    /// The connector.
    pub connector: ConnectorId,
    /// Whose the credential will be: a person's, or everybody's.
    pub user: Option<tidegate_model::UserId>,
    /// When it began.
    pub at: Timestamp,
    state: String,
    verifier: String,
    redirect_uri: String,
    server: Server,
    client: super::Client,
    resource: String,
    scopes: Vec<String>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.verifier.zeroize();
        self.state.zeroize();
    }
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Begun({}, {}, ***)", self.connector, self.server.issuer)
    }
}

/// What a page can say before anybody is sent anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The authorization server.
    pub issuer: String,
    /// The rights that will be asked for.
    pub scopes: Vec<String>,
}

/// What comes back to the redirect URI.
#[derive(Debug, Default)]
pub struct Returned {
    /// `code`.
    pub code: Option<Secret>,
    /// `state`.
    pub state: Option<String>,
    /// `iss`.
    pub iss: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
}

/// Why a way did not lead to a credential.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// It is not the answer to what was begun.
    #[error("this answer does not belong to the request that was begun here: begin again")]
    NotOurs,
    /// Another server answered than the one that was asked.
    #[error("the answer comes from another authorization server than the one that was asked")]
    OtherServer,
    /// The person or the server has refused.
    #[error("the service says: {0}")]
    Refused(String),
    /// Anything on the way.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl OAuth {
    /// Whom a person would be sent to, and for which rights.
    pub async fn outlook(&self, owner: &Owner) -> Result<Outlook, CredentialError> {
        let found = self.found().await?;
        let scopes = self.scopes(owner, &found).await?;
        Ok(Outlook { issuer: found.server.issuer.clone(), scopes })
    }

    /// Where to send whoever brings the credential of `owner`.
    pub async fn begin(&self, owner: &Owner) -> Result<(String, Begun), CredentialError> {
        let found = self.found().await?;
        let client = self.client(&found.server).await?;
        let scopes = self.scopes(owner, &found).await?;
        let asking = Asking {
            reach: &self.reach,
            server: &found.server,
            client: &client,
            resource: &found.resource,
        };
        let redirect_uri = self.setting.vault.identity().redirect_uri.clone();
        let sent = asking.send(&redirect_uri, &scopes);
        let sent = sent.map_err(|error| self.issuer_error("sending you there", error))?;
        let begun = Begun {
            connector: self.setting.connector.clone(),
            user: owner.user().cloned(),
            at: self.setting.vault.now(),
            state: sent.state,
            verifier: sent.verifier.secret().clone(),
            redirect_uri,
            server: found.server.clone(),
            client: client.clone(),
            resource: found.resource.clone(),
            scopes,
        };
        Ok((sent.url, begun))
    }

    /// Takes what came back, and keeps what the code is good for. `by` is who brought it.
    pub async fn finish(
        &self,
        begun: &Begun,
        returned: &Returned,
        by: &str,
    ) -> Result<(), FlowError> {
        if begun.connector != self.setting.connector {
            return Err(FlowError::NotOurs);
        }
        let is_same = returned.state.as_deref().is_some_and(|state| same(state, &begun.state));
        if !is_same {
            return Err(FlowError::NotOurs);
        }
        // Before anything else that the answer says, its error included (RFC 9207).
        let names_itself = begun.server.authorization_response_iss_parameter_supported;
        match &returned.iss {
            Some(iss) if *iss != begun.server.issuer => return Err(FlowError::OtherServer),
            None if names_itself => return Err(FlowError::OtherServer),
            _ => {}
        }
        if let Some(error) = &returned.error {
            let about = returned.error_description.as_deref().unwrap_or_default();
            return Err(FlowError::Refused(cut(&format!("{error} {about}")).trim().to_owned()));
        }
        let code = returned.code.as_ref().ok_or(FlowError::NotOurs)?;
        let (server, client) = (&begun.server, &begun.client);
        let asking = Asking { reach: &self.reach, server, client, resource: &begun.resource };
        let issued = asking.redeem(code.expose(), &begun.verifier, &begun.redirect_uri).await;
        let issued = match issued {
            Ok(issued) => issued,
            Err(GrantError::Dead(why) | GrantError::Client(why)) => {
                return Err(FlowError::Refused(why));
            }
            Err(error) => return Err(self.issuer_error("redeeming the code", error).into()),
        };
        let owner = begun.user.clone().map_or(Owner::Shared, Owner::User);
        let vault = &self.setting.vault;
        let mut about = About::new(&owner, by, vault.now());
        about.account.clone_from(&issued.account);
        let body = self.body((server, client, &begun.resource), &issued, &begun.scopes);
        let slot = self.setting.slot(&owner);
        vault
            .write(&slot, &Kept { about, body }, Expect::Any)
            .await
            .map_err(CredentialError::from)?;
        // A grant that was there before is not revoked: many servers keep one for each client
        // and person, and would take the new one with it.
        Ok(())
    }

    /// The rights to ask for: those that are configured, or that the connector names; those
    /// that were granted before, and those that it has asked for since.
    async fn scopes(
        &self,
        owner: &Owner,
        found: &super::Found,
    ) -> Result<Vec<String>, CredentialError> {
        let mut scopes = match self.spec.scopes.is_empty() {
            true => found.scopes.clone(),
            false => self.spec.scopes.clone(),
        };
        let before = self.setting.vault.read::<Body>(&self.setting.slot(owner)).await?;
        if let Some(before) = before
            && before.kept.body.server.issuer == found.server.issuer
        {
            let body = &before.kept.body;
            let more = body.scopes.iter().chain(&body.wanted);
            scopes.extend(more.cloned());
        }
        let offline = "offline_access";
        if found.server.scopes_supported.iter().any(|scope| scope == offline) {
            scopes.push(offline.to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        scopes.retain(|scope| seen.insert(scope.clone()));
        Ok(scopes)
    }
}

/// Compares two texts in the time of the longer one.
fn same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && differs == 0
}
