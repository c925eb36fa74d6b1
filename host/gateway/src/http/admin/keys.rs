//! `/api/v1/keys`: API keys, those in files and those that the gateway made.
//!
//! The secret of a key stands in the answer that made it and nowhere else, not in a log and
//! not in a row.

use serde::{Deserialize, Serialize};
use tidegate_identity::method::stored_key::{NewKey, StoredKey};
use tidegate_model::{KeyId, VmcpId};
use utoipa::ToSchema;

use super::{
    asked::{Asked, listed, user_id},
    failed::Failed,
    moment::Moment,
    route::{Body, Done},
};
use crate::config::key::KeyConfig;

/// An API key; never its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct KeyInfo {
    pub(crate) id: String,
    /// `file` for one of the configuration, `stored` for one that was made here.
    pub(crate) kind: String,
    /// The user or agent that it stands for.
    pub(crate) user: String,
    /// The virtual MCPs it is good for; all when empty.
    pub(crate) vmcps: Vec<String>,
    /// When it stops working, as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    /// When it was used last, to about ten minutes; not known of those in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<Moment>,
}

/// All keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct KeyList {
    /// In the order of their ids.
    pub(crate) keys: Vec<KeyInfo>,
}

/// A key that is wanted.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedKey {
    /// What it is to be called.
    pub(crate) id: String,
    /// The user or agent that it is to stand for.
    pub(crate) user: String,
    /// The virtual MCPs it is to be good for; all, and this API, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) vmcps: Vec<String>,
    /// When it is to stop working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Moment>,
}

/// A key that was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct MadeKey {
    pub(crate) key: KeyInfo,
    /// What its holder presents. It is shown this once.
    pub(crate) secret: String,
}

impl KeyInfo {
    fn of_file(id: &KeyId, key: &KeyConfig) -> Self {
        Self {
            id: id.to_string(),
            kind: "file".to_owned(),
            user: key.user.clone().or_else(|| key.agent.clone()).unwrap_or_default(),
            vmcps: key.vmcps.clone(),
            expires: key.expires.clone(),
            created: None,
            created_by: None,
            last_used: None,
        }
    }

    fn of_stored(key: &StoredKey) -> Self {
        Self {
            id: key.id.to_string(),
            kind: "stored".to_owned(),
            user: key.user.to_string(),
            vmcps: key.vmcps.iter().map(ToString::to_string).collect(),
            expires: key.expires.map(|at| Moment(at).to_string()),
            created: Some(key.created.into()),
            created_by: Some(key.created_by.to_string()),
            last_used: key.last_used.map(Moment::from),
        }
    }
}

pub(super) async fn list(asked: &Asked, (): ()) -> Result<Done<KeyList>, Failed> {
    let files = asked.revision.resources.keys.iter();
    let mut keys: Vec<_> = files.map(|(id, key)| KeyInfo::of_file(id, key)).collect();
    keys.extend(asked.identity.keys.list().iter().map(KeyInfo::of_stored));
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Done::of(KeyList { keys }))
}

fn key_id(text: &str) -> Result<KeyId, Failed> {
    KeyId::new(text).map_err(|error| Failed::bad_request(&error.to_string()))
}

pub(super) async fn create(
    asked: &Asked,
    Body(wanted): Body<WantedKey>,
) -> Result<Done<MadeKey>, Failed> {
    let (id, user) = (key_id(&wanted.id)?, user_id(&wanted.user)?);
    if asked.revision.resources.keys.contains_key(&id) {
        return Err(Failed::conflict(format!("there is a file for an API key `{id}` already")));
    }
    if let Some(person) = asked.directory().user(&user) {
        // Whoever has the secret can do all that they can.
        asked.may_act_as(&person)?;
    }
    let vmcps: Result<Vec<VmcpId>, _> = wanted.vmcps.iter().map(|name| VmcpId::new(name)).collect();
    let vmcps = vmcps.map_err(|error| Failed::bad_request(&error.to_string()))?;
    let expires = wanted.expires.map(|at| at.0);
    let new = NewKey { id, user, vmcps, expires };
    let made = asked.identity.keys.create(asked.directory(), new, &asked.caller).await;
    let (key, secret) = made?;
    let info = KeyInfo::of_stored(&key);
    let note = format!(
        "key {} made for user {}: virtual MCPs {}, ends {}",
        info.id,
        info.user,
        listed(&info.vmcps),
        info.expires.as_deref().unwrap_or("never")
    );
    Ok(Done::noted(MadeKey { key: info, secret: secret.expose().to_owned() }, note))
}

pub(super) async fn revoke(asked: &Asked, (): ()) -> Result<Done<KeyInfo>, Failed> {
    let id = key_id(asked.parameter("key")?)?;
    if asked.revision.resources.keys.contains_key(&id) {
        let words = format!("the API key `{id}` is in a file: remove keys/{id}.toml instead");
        return Err(Failed::conflict(words));
    }
    let info = KeyInfo::of_stored(&asked.identity.keys.revoke(&id).await?);
    let note = format!("key {id} of user {} revoked", info.user);
    Ok(Done::noted(info, note))
}
