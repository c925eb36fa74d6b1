//! As whom the gateway comes to an authorization server.
//!
//! In this order: the client that an administrator has registered; the gateway's own metadata
//! document, where the server takes one; one that registers itself (RFC 7591). A registration
//! is kept for one issuer and one connector, never used for another issuer, and made anew when
//! it has expired or the server knows it no more.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, Timestamp};
use zeroize::Zeroize;

use super::{
    discovery::{Server, cut},
    reach::Reach,
};
use crate::credential::{Vault, VaultError};

/// A client at an authorization server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    pub(crate) proves: Proves,
    /// When it has to be made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    /// The redirect URI it was registered with.
    #[serde(default)]
    pub(crate) redirect_uri: String,
}

/// How a client proves itself to the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proves {
    /// By nothing but the code's verifier.
    Nothing,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// The gateway as a client, the same for all servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Where people come back to.
    pub redirect_uri: String,
    /// The URL of its metadata document, where that is public.
    pub document: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Nobody may register themselves there.
    #[error(
        "`{0}` registers nobody by itself: register the gateway there, with the redirect URI `{1}`, and put `client_id` (and `client_secret`) into the connector's `[auth]`"
    )]
    Closed(String, String),
    /// It did not take the registration.
    #[error("`{issuer}` did not register the gateway: {why}")]
    Refused {
        /// The server.
        issuer: String,
        /// What happened.
        why: String,
    },
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(secret) = &mut self.secret {
            secret.zeroize();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}, ***)", self.id)
    }
}

/// How a client with a secret proves itself to `server`.
pub(crate) fn with_secret(server: &Server) -> Proves {
    let methods = &server.token_endpoint_auth_methods_supported;
    let knows = |name: &str| methods.iter().any(|method| method == name);
    // RFC 8414: where nothing is said, it is `client_secret_basic`.
    match !knows("client_secret_basic") && knows("client_secret_post") {
        true => Proves::Post,
        false => Proves::Basic,
    }
}

/// The client that was registered, or is now.
pub(crate) async fn registered(
    reach: &Reach,
    vault: &Vault,
    connector: &ConnectorId,
    server: &Server,
    identity: &ClientIdentity,
) -> Result<Client, RegistrationError> {
    let key = key(connector, &server.issuer);
    if let Some(client) = vault.aside::<Client>(&key).await? {
        let lives = client.expires.is_none_or(|at| vault.now() < at);
        if lives && client.redirect_uri == identity.redirect_uri {
            return Ok(client);
        }
    }
    if let Some(document) = &identity.document
        && server.client_id_metadata_document_supported
    {
        let (id, proves) = (document.clone(), Proves::Nothing);
        let redirect_uri = identity.redirect_uri.clone();
        return Ok(Client { id, secret: None, proves, expires: None, redirect_uri });
    }
    let client = register(reach, vault, server, identity).await?;
    vault.keep_aside(&key, &client).await?;
    Ok(client)
}

/// Forgets a registration that the server knows no more.
pub(crate) async fn forget(
    vault: &Vault,
    connector: &ConnectorId,
    issuer: &str,
) -> Result<(), VaultError> {
    vault.drop_aside(&key(connector, issuer)).await
}

async fn register(
    reach: &Reach,
    vault: &Vault,
    server: &Server,
    identity: &ClientIdentity,
) -> Result<Client, RegistrationError> {
    #[derive(Deserialize)]
    struct Answer {
        client_id: String,
        #[serde(default)]
        client_secret: Option<String>,
        #[serde(default)]
        client_secret_expires_at: u64,
        #[serde(default)]
        token_endpoint_auth_method: Option<String>,
    }
    let (issuer, redirect_uri) = (server.issuer.clone(), identity.redirect_uri.clone());
    let Some(endpoint) = &server.registration_endpoint else {
        return Err(RegistrationError::Closed(issuer, redirect_uri));
    };
    let methods = &server.token_endpoint_auth_methods_supported;
    let may_prove_nothing = methods.is_empty() || methods.iter().any(|method| method == "none");
    let method = match (may_prove_nothing, with_secret(server)) {
        (true, _) => "none",
        (false, Proves::Post) => "client_secret_post",
        (false, _) => "client_secret_basic",
    };
    let wanted = json!({
        "client_name": "Tidegate",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": application(&redirect_uri),
    });
    let answer: Answer = reach.post(endpoint, &wanted).await.map_err(|error| {
        RegistrationError::Refused { issuer: issuer.clone(), why: cut(&error.to_string()) }
    })?;
    let proves = match (&answer.client_secret, answer.token_endpoint_auth_method.as_deref()) {
        (None, _) | (Some(_), Some("none")) => Proves::Nothing,
        (Some(_), Some("client_secret_post")) => Proves::Post,
        (Some(_), _) => Proves::Basic,
    };
    let expires = (answer.client_secret.is_some() && answer.client_secret_expires_at > 0)
        .then(|| Timestamp::from_millis(answer.client_secret_expires_at.saturating_mul(1_000)));
    // What would not survive until the person has agreed is of no use.
    if expires.is_some_and(|at| at <= vault.now()) {
        let why = "the registration had expired before it came".to_owned();
        return Err(RegistrationError::Refused { issuer, why });
    }
    Ok(Client { id: answer.client_id, secret: answer.client_secret, proves, expires, redirect_uri })
}

/// A redirect to this machine belongs to a native client (RFC 8252), any other to a web one.
fn application(redirect_uri: &str) -> &'static str {
    match redirect_uri.starts_with("https://") {
        true => "web",
        false => "native",
    }
}

fn key(connector: &ConnectorId, issuer: &str) -> Vec<u8> {
    let mut key = b"k\0".to_vec();
    key.extend_from_slice(connector.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&Sha256::digest(issuer.as_bytes()));
    key
}
