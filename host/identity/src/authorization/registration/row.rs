//! How a client that registered itself lies in the store.

use model::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_model as model;
use tidegate_store::Record;

use crate::authorization::{
    client::{
        ApplicationType, Client, ClientAuthentication, ClientId, ClientKeys, ClientKind,
        ClientMetadata, GrantType, SecretHash,
    },
    jwks::PublicKeys,
    redirect::RedirectUri,
};

/// What the keys begin with.
pub(super) const PREFIX: &[u8] = b"registered\0";
/// The version of the value.
pub(super) const SCHEMA: u32 = 1;

pub(super) fn key(id: &ClientId) -> Vec<u8> {
    [PREFIX, id.as_str().as_bytes()].concat()
}

/// The client id in a key.
pub(super) fn id(key: &[u8]) -> Option<ClientId> {
    ClientId::new(std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?).ok()
}

/// The value.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    name: String,
    redirect_uris: Vec<String>,
    application_type: ApplicationType,
    authentication: Proof,
    grant_types: Vec<GrantType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    pub(super) created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Proof {
    None,
    SecretBasic([u8; 32]),
    SecretPost([u8; 32]),
    PrivateKey(PublicKeys),
}

impl Stored {
    pub(super) fn new(
        metadata: &ClientMetadata,
        authentication: &ClientAuthentication,
        now: Timestamp,
    ) -> Self {
        let authentication = match authentication {
            ClientAuthentication::SecretBasic(hash) | ClientAuthentication::Secret(hash) => {
                Proof::SecretBasic(*hash.as_bytes())
            }
            ClientAuthentication::SecretPost(hash) => Proof::SecretPost(*hash.as_bytes()),
            ClientAuthentication::PrivateKey(ClientKeys::Here(keys)) => {
                Proof::PrivateKey(keys.clone())
            }
            ClientAuthentication::None | ClientAuthentication::PrivateKey(ClientKeys::At(_)) => {
                Proof::None
            }
        };
        Self {
            name: metadata.name_or_host(),
            redirect_uris: metadata.redirect_uris.iter().map(ToString::to_string).collect(),
            application_type: metadata.application_type,
            authentication,
            grant_types: metadata.grant_types.clone(),
            uri: metadata.uri.clone(),
            created: now,
            used: None,
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `None` where it is none that this version knows.
    pub(super) fn read(record: &Record) -> Option<Self> {
        if record.schema != SCHEMA {
            return None;
        }
        serde_json::from_slice(&record.value).ok()
    }

    /// Redirect URIs that are not taken any more are left out.
    pub(super) fn client(&self, id: ClientId) -> Client {
        let redirect_uris = self.redirect_uris.iter();
        Client {
            id,
            kind: ClientKind::Registered,
            name: self.name.clone(),
            redirect_uris: redirect_uris.filter_map(|uri| RedirectUri::parse(uri).ok()).collect(),
            application_type: self.application_type,
            authentication: match &self.authentication {
                Proof::None => ClientAuthentication::None,
                Proof::SecretBasic(hash) => {
                    ClientAuthentication::SecretBasic(SecretHash::from_bytes(*hash))
                }
                Proof::SecretPost(hash) => {
                    ClientAuthentication::SecretPost(SecretHash::from_bytes(*hash))
                }
                Proof::PrivateKey(keys) => {
                    ClientAuthentication::PrivateKey(ClientKeys::Here(keys.clone()))
                }
            },
            grant_types: self.grant_types.clone(),
            uri: self.uri.clone(),
            agent: None,
            vmcps: Vec::new(),
        }
    }
}
