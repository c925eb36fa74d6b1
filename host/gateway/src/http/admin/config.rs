//! `/api/v1/config`: reading and replacing resources.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_model::RefusalCode;
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};
use crate::{
    config::{Resources, machine, resources::Change},
    control::{ApplyError, summary},
};

/// All resources, as in the files of a configuration directory.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct Configuration(Resources);

/// The body of `POST /api/v1/config/apply`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apply {
    /// The resources.
    #[schema(value_type = Object)]
    pub(crate) resources: Resources,
    /// Whether resources of the store that are not among them are removed.
    #[serde(default)]
    pub(crate) prune: bool,
    /// Whether nothing is changed.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Applied {
    /// What changed, or would.
    #[schema(value_type = Vec<Object>)]
    pub(crate) changes: Vec<Change>,
}

/// All resources in effect; they hold no secret, only references and digests.
pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<Configuration>, Failed> {
    Ok(Done::of(Configuration(Resources::clone(&asked.revision.resources))))
}

/// Replaces resources.
pub(super) async fn apply(
    asked: &Asked,
    Body(wanted): Body<Apply>,
) -> Result<Done<Applied>, Failed> {
    within_reach(asked, &wanted)?;
    off_the_machine(asked, &wanted)?;
    let control = &asked.control;
    let changes =
        control.apply(wanted.resources, wanted.prune, wanted.dry_run).await.map_err(|error| {
            let status = match &error {
                ApplyError::Owned(_) => StatusCode::CONFLICT,
                ApplyError::Problems(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            Failed::new(status, RefusalCode::InvalidRequest, error.to_string())
        })?;
    let note = (!wanted.dry_run).then(|| summary(&changes));
    Ok(Done { answer: Applied { changes }, note })
}

/// Refuses what would let somebody hand out more than they have: policies, keys and the way in
/// are for owners to change.
fn within_reach(asked: &Asked, wanted: &Apply) -> Result<(), Failed> {
    if asked.is_owner() {
        return Ok(());
    }
    let (now, new) = (&asked.revision.resources, &wanted.resources);
    let is_other = |what: &str| Failed::denied(&format!("only an owner changes {what} here"));
    if wanted.prune {
        return Err(is_other("what is not sent along"));
    }
    if !is_part(&new.policies, &now.policies) {
        return Err(is_other("policies"));
    }
    if !is_part(&new.keys, &now.keys) {
        return Err(is_other("API keys"));
    }
    if new.identity.is_some() && new.identity != now.identity {
        return Err(is_other("how people sign in"));
    }
    Ok(())
}

/// Refuses what reaches the machine to whoever is not on it.
fn off_the_machine(asked: &Asked, wanted: &Apply) -> Result<(), Failed> {
    if !asked.is_local()
        && let Some(reached) = machine::reached(&asked.revision.resources, &wanted.resources)
    {
        let words = format!(
            "{reached} would reach the machine that the gateway runs on (its programs, files, \
             secrets or network): that is changed there, in its files or with `tidegate apply`"
        );
        return Err(Failed::denied(&words));
    }
    Ok(())
}

/// Whether all of `new` is in `now` already, just so.
fn is_part<K: Ord, V: PartialEq>(new: &BTreeMap<K, V>, now: &BTreeMap<K, V>) -> bool {
    new.iter().all(|(name, value)| now.get(name) == Some(value))
}
