//! Clients: the programs that ask for access in somebody's name, or in their own.
//!
//! Owns who they are, wherever that is written: in the settings, in the store (those that
//! registered themselves), in a document at the URL that is their id, or in this file. All of
//! them become a [`Client`], and nobody else asks where it is from. Knows no grant and no token.

mod metadata;
mod written;

use std::{fmt, sync::Arc};

use model::{Timestamp, UserId, VmcpId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tidegate_model as model;
use tidegate_store::StoreError;

use super::{
    document::Documents,
    jwks::{KeySet, KeySets, PublicKeys},
    redirect::{Place, RedirectUri},
    registration::Registrations,
};
use crate::{Ground, Settings};

pub use metadata::{BadMetadata, ClientMetadata, WantedAuthentication};

pub(super) use metadata::object;

/// The longest client id.
const MAX_ID: usize = 512;

/// The id of the `tidegate` command line, known to every authorization server.
pub const COMMAND_LINE: &str = "tidegate-cli";

/// The name of a client among the clients of one organisation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

/// Not the id of any client: empty, too long, or with odd characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client id has 1 to 512 visible ASCII characters")]
pub struct BadClientId;

impl ClientId {
    /// Checks one.
    pub fn new(text: &str) -> Result<Self, BadClientId> {
        let is_id =
            (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if is_id { Ok(Self(text.into())) } else { Err(BadClientId) }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientId {
    type Error = BadClientId;
    fn try_from(text: String) -> Result<Self, BadClientId> {
        Self::new(&text)
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a client is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientKind {
    /// By an administrator, in the settings.
    Settings,
    /// By itself (RFC 7591). Its name is its own word.
    Registered,
    /// In the document at the URL that is its id. Its name is its own word.
    Document,
    /// Here: the command line of the gateway.
    BuiltIn,
}

impl ClientKind {
    /// Its spelling in answers and audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Registered => "registered",
            Self::Document => "document",
            Self::BuiltIn => "built-in",
        }
    }
}

/// Whether it runs on a server or on the person's own machine (OpenID Connect Dynamic Client
/// Registration, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    /// A web site: answers go over TLS only.
    Web,
    /// A program or an app on the person's machine.
    Native,
}

/// A way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 section 4.1.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// RFC 6749 section 6.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 6749 section 4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 8628.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
    /// RFC 7523 section 2.1.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
    /// RFC 8693.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// Every one that is served.
    pub const ALL: [Self; 6] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::JwtBearer,
        Self::TokenExchange,
    ];

    /// Its spelling in requests and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The one with this spelling.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }
}

/// SHA-256 of a client secret of 256 random bits, which needs no slower digest.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The digest of a presented secret.
    pub fn of(secret: &str) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(secret.as_bytes()).into())
    }

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, in constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// How a client proves at the token endpoint who it is.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// Not at all: it is public, and PKCE alone protects its codes.
    None,
    /// With a secret in the `Authorization` header.
    SecretBasic(SecretHash),
    /// With a secret in the form.
    SecretPost(SecretHash),
    /// With a secret, in either way: for clients of the settings, which do not say.
    Secret(SecretHash),
    /// With an assertion that it has signed (RFC 7523).
    PrivateKey(ClientKeys),
}

impl ClientAuthentication {
    /// Its spelling in metadata.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SecretBasic(_) | Self::Secret(_) => "client_secret_basic",
            Self::SecretPost(_) => "client_secret_post",
            Self::PrivateKey(_) => "private_key_jwt",
        }
    }
}

/// The public keys of a client.
#[derive(Debug, Clone)]
pub enum ClientKeys {
    /// These.
    Here(PublicKeys),
    /// Those at a URL of its own.
    At(Arc<KeySet>),
}

/// Who a client is when it acts for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAgent {
    /// The agent's name.
    pub user: UserId,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its roles.
    pub roles: Vec<String>,
}

/// A client, wherever it is from. Texts are its own words: show them as text.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Where it is written down.
    pub kind: ClientKind,
    /// What people are shown: at most 80 characters, none of them invisible.
    pub name: String,
    /// Where its answers may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
    /// Its ways to a token.
    pub grant_types: Vec<GrantType>,
    /// Its web page (`https`).
    pub uri: Option<String>,
    /// Who it is when it acts for itself, where it may.
    pub agent: Option<ClientAgent>,
    /// Virtual MCPs it may get tokens for; all when empty.
    pub vmcps: Vec<VmcpId>,
}

impl Client {
    /// Whether it may come this way to a token.
    pub fn may(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether it can keep a secret and has to prove who it is.
    pub fn is_confidential(&self) -> bool {
        !matches!(self.authentication, ClientAuthentication::None)
    }

    /// Whether an answer may go to `asked`.
    pub fn redirects_to(&self, asked: &RedirectUri) -> bool {
        self.redirect_uris.iter().any(|registered| registered.matches(asked))
    }

    /// Whether all its answers go to the machine of whoever agrees, so that any program there
    /// could pretend to be this client.
    pub fn is_loopback_only(&self) -> bool {
        !self.redirect_uris.is_empty()
            && self.redirect_uris.iter().all(|uri| uri.place() == Place::Loopback)
    }

    /// Whether an administrator or the gateway itself vouches for its name.
    pub fn is_vouched_for(&self) -> bool {
        matches!(self.kind, ClientKind::Settings | ClientKind::BuiltIn)
    }
}

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None has this id, or it is switched off in the settings.
    #[error("this client is not known here: register it, or ask an administrator to add it")]
    Unknown,
    /// Its document or its entry in the settings cannot be used; the sentence says why.
    #[error("the client cannot be used: {0}")]
    Unusable(String),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The clients of one organisation.
#[derive(Debug)]
pub struct Clients {
    pub(super) ground: Ground,
    pub(super) registrations: Registrations,
    pub(super) documents: Documents,
    key_sets: KeySets,
}

impl Clients {
    /// Nothing is read yet.
    pub fn new(ground: Ground) -> Arc<Self> {
        Arc::new(Self {
            registrations: Registrations::new(ground.clone()),
            documents: Documents::default(),
            key_sets: KeySets::default(),
            ground,
        })
    }

    /// The client with this id. Fetches its document where the id is a URL, otherwise reads
    /// the store at most once.
    pub async fn find(&self, settings: &Settings, id: &str) -> Result<Arc<Client>, ClientError> {
        let id = ClientId::new(id).map_err(|BadClientId| ClientError::Unknown)?;
        if id.as_str() == COMMAND_LINE {
            return Ok(Arc::new(written::command_line(id)));
        }
        if let Some(entry) = settings.clients.get(id.as_str()) {
            let client = written::of_settings(id, entry);
            return client.map(Arc::new).map_err(ClientError::Unusable);
        }
        if id.as_str().starts_with("https://") {
            if !settings.client_documents {
                return Err(ClientError::Unknown);
            }
            return self.documents.find(&self.ground, &self.key_sets, settings, id).await;
        }
        self.registrations.find(&id).await?.map(Arc::new).ok_or(ClientError::Unknown)
    }

    /// Keeps a client that registered itself for longer, because somebody has used it.
    pub async fn used(&self, settings: &Settings, client: &Client) -> Result<(), StoreError> {
        match client.kind {
            ClientKind::Registered => self.registrations.used(settings, &client.id).await,
            _ => Ok(()),
        }
    }

    /// The clients that registered themselves, in the order of their ids, from the one after
    /// `after` on.
    pub async fn registered(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<RegisteredEntry>, StoreError> {
        self.registrations.list(after, limit).await
    }

    /// Forgets a client that registered itself; whether there was one. What people granted it
    /// is for the caller to revoke.
    pub async fn remove(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.registrations.remove(id).await
    }
}

/// A client that registered itself, for administrators.
#[derive(Debug, Clone)]
pub struct RegisteredEntry {
    /// The client.
    pub client: Arc<Client>,
    /// When it registered.
    pub created: Timestamp,
    /// When it was used last, to the day; never where absent.
    pub used: Option<Timestamp>,
    /// When it is forgotten if nobody uses it.
    pub expires: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
