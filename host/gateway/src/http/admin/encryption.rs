//! `/api/v1/encryption`: the keys that seal what the gateway keeps.
//!
//! The root keys are the process's, so that only its owner, on the socket, sees and replaces
//! them; the key of an organisation is its own. No key is ever in an answer, only names.

use serde::{Deserialize, Serialize};
use tidegate_model::{OrgId, UserId};
use tidegate_store::{KeyError, KeyName, Store, StoreError, begin_generation, generation};
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    moment::Moment,
    route::{Body, Done},
};
use crate::{control::Control, gateway::Gateway, jobs::rotate::Rotation};

/// Users of one page.
const PAGE: usize = 500;

/// The keys that seal what the gateway keeps.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EncryptionStatus {
    /// The root keys, where the owner of the process asks about `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<RootStatus>,
    /// The organisation that was asked about; all of them where root keys are shown.
    pub(crate) organisations: Vec<OrgKeyStatus>,
}

/// The root keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RootStatus {
    /// The name of the one that wraps keys now.
    pub(crate) current: String,
    pub(crate) keys: Vec<RootKeyStatus>,
}

/// One root key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RootKeyStatus {
    /// Its name.
    pub(crate) id: String,
    /// How many keys are wrapped under it.
    pub(crate) wraps: u64,
}

/// The key of one organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrgKeyStatus {
    pub(crate) org: String,
    /// The version that seals.
    pub(crate) version: u32,
    /// Values that it has sealed, at least.
    pub(crate) sealed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Moment>,
    /// Whether it comes near the end of what it may seal.
    pub(crate) alarming: bool,
    /// How far what was sealed before has come under it; absent where no key was replaced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resealing: Option<Resealing>,
    /// Credentials brought before this have to be brought anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials_since: Option<Moment>,
}

/// How far resealing has come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Resealing {
    /// The version of the key under which all is to be.
    pub(crate) version: u32,
    /// Rows resealed so far.
    pub(crate) resealed: u64,
    /// Of so many, once they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<u64>,
    /// Blobs resealed.
    pub(crate) blobs: u64,
    /// Rows and blobs that do not open and stay as they are.
    pub(crate) closed: u64,
    pub(crate) began: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Moment>,
}

/// Whose keys are meant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whose {
    /// That of the organisation asked about.
    #[default]
    Own,
    /// Those of all organisations.
    All,
    /// Of none: the root key alone.
    None,
}

/// Which keys are to be replaced.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedRotation {
    /// The root key, too.
    #[serde(default)]
    pub(crate) root: bool,
    #[serde(default)]
    pub(crate) organisations: Whose,
    /// Whether the keys before may be known to somebody else: everything is resealed at once,
    /// everybody is signed out, and credentials have to be brought anew.
    #[serde(default)]
    pub(crate) revoke: bool,
}

/// What was replaced.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rotated {
    /// The root key that wraps now, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    /// How many keys were wrapped under it.
    pub(crate) wrapped: usize,
    pub(crate) organisations: Vec<OrgRotated>,
}

/// What was replaced of one organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrgRotated {
    pub(crate) org: String,
    /// The version that seals now.
    pub(crate) version: u32,
    /// Browser sessions that ended.
    pub(crate) sessions: usize,
    /// Grants that ended.
    pub(crate) grants: usize,
}

/// A root key that is to be given up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedRetirement {
    /// Its name.
    pub(crate) id: String,
}

/// A root key that was given up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Retired {
    pub(crate) id: String,
}

fn rotation(gateway: &Gateway) -> Result<&Rotation, Failed> {
    gateway.rotation.get().map(AsRef::as_ref).ok_or_else(Failed::unready)
}

/// Whether root keys and all organisations are the caller's to look after.
fn is_all(asked: &Asked) -> bool {
    asked.is_local() && asked.control.org.id == OrgId::default_org()
}

pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<EncryptionStatus>, Failed> {
    let rotation = rotation(&asked.control.gateway)?;
    let mut status = EncryptionStatus { root: None, organisations: Vec::new() };
    let mut orgs = vec![asked.control.org.id.clone()];
    if is_all(asked) {
        let known = rotation.store().root_keys().await?;
        let key =
            |(id, wraps): &(KeyName, u64)| RootKeyStatus { id: id.to_string(), wraps: *wraps };
        let keys = known.users.iter().map(key).collect();
        status.root = Some(RootStatus { current: known.current.to_string(), keys });
        orgs = rotation.store().keyring().orgs();
    }
    for org in orgs {
        status.organisations.extend(of(rotation, &org).await?);
    }
    Ok(Done::of(status))
}

async fn of(rotation: &Rotation, org: &OrgId) -> Result<Option<OrgKeyStatus>, Failed> {
    let Some(key) = rotation.key(org) else { return Ok(None) };
    let generation = generation(rotation.store().as_ref(), org).await?;
    let resealing = rotation.progress(org).map(|progress| Resealing {
        version: progress.version,
        resealed: progress.resealed,
        of: progress.of,
        blobs: progress.blobs,
        closed: progress.closed,
        began: progress.began.into(),
        ended: progress.ended.map(Moment::from),
    });
    Ok(Some(OrgKeyStatus {
        org: org.to_string(),
        version: key.version,
        sealed: key.sealed,
        created: key.created.map(Moment::from),
        alarming: key.is_alarming(),
        resealing,
        credentials_since: generation.map(|it| it.since.into()),
    }))
}

pub(super) async fn rotate(
    asked: &Asked,
    Body(wanted): Body<WantedRotation>,
) -> Result<Done<Rotated>, Failed> {
    let rotation = rotation(&asked.control.gateway)?;
    if (wanted.root || wanted.organisations != Whose::Own) && !is_all(asked) {
        let words = "root keys and the keys of all organisations are replaced by the owner of the \
                     process, on its machine";
        return Err(Failed::denied(words));
    }
    let mut rotated = Rotated::default();
    let mut note = Vec::new();
    if wanted.root {
        let (id, wrapped) = rotation.store().rotate_root().await.map_err(refused)?;
        note.push(format!("root key {id} in use, {wrapped} keys wrapped under it"));
        (rotated.root, rotated.wrapped) = (Some(id.to_string()), wrapped);
    }
    let orgs = match wanted.organisations {
        Whose::Own => vec![asked.control.org.id.clone()],
        Whose::All => rotation.store().keyring().orgs(),
        Whose::None => Vec::new(),
    };
    for org in orgs {
        let version = rotation.replace(&org, wanted.revoke).await.map_err(refused)?;
        let mut done = OrgRotated { org: org.to_string(), version, sessions: 0, grants: 0 };
        if wanted.revoke {
            revoke(asked, rotation, &org, &mut done).await?;
        }
        let OrgRotated { sessions, grants, .. } = done;
        note.push(format!("key {version} of organisation {org} in use"));
        if wanted.revoke {
            note.push(format!(
                "{sessions} sessions and {grants} grants of {org} ended, its credentials are to be brought anew"
            ));
        }
        rotated.organisations.push(done);
    }
    Ok(Done::noted(rotated, note.join("; ")))
}

/// Ends what keys that somebody else may know have sealed: sign-ins, grants, signing keys, and
/// the credentials of connectors.
async fn revoke(
    asked: &Asked,
    rotation: &Rotation,
    org: &OrgId,
    done: &mut OrgRotated,
) -> Result<(), Failed> {
    begin_generation(rotation.store().as_ref(), org, asked.control.gateway.clock.now()).await?;
    // One without a configuration has nobody who could be signed in.
    let Some(control) = asked.organisations.of(org.as_str()) else { return Ok(()) };
    sign_everybody_out(&control, done).await
}

async fn sign_everybody_out(control: &Control, done: &mut OrgRotated) -> Result<(), Failed> {
    let Some(identity) = control.org.identity() else { return Ok(()) };
    identity.server.replace_signing_keys().await?;
    let mut after: Option<UserId> = None;
    loop {
        let page = identity.directory.users(after.as_ref(), PAGE);
        for person in &page {
            let id = &person.user.id;
            identity.directory.sign_out_everywhere(id).await?;
            done.sessions += identity.browsers.end_user(id).await?.len();
            done.grants += identity.server.revoke_user(id).await?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.user.id.clone()),
            _ => break,
        }
    }
    control.gateway.sessions.dismiss(&control.org.id);
    Ok(())
}

pub(super) async fn retire(
    asked: &Asked,
    Body(wanted): Body<WantedRetirement>,
) -> Result<Done<Retired>, Failed> {
    let rotation = rotation(&asked.control.gateway)?;
    if !is_all(asked) {
        let words = "root keys are given up by the owner of the process, on its machine";
        return Err(Failed::denied(words));
    }
    let bad = || Failed::bad_request("a root key is named by 16 hexadecimal digits");
    let id = KeyName::parse(&wanted.id).ok_or_else(bad)?;
    rotation.store().retire_root(id).await.map_err(refused)?;
    Ok(Done::noted(Retired { id: id.to_string() }, format!("root key {id} given up")))
}

/// What the key provider says is for whoever asked, who owns it.
fn refused(error: StoreError) -> Failed {
    match &error {
        StoreError::Key(key) => match &**key {
            KeyError::Unknown { .. } => Failed::missing(error.to_string()),
            _ => Failed::conflict(error.to_string()),
        },
        _ => error.into(),
    }
}
