//! `/api/v1/config`: reading and replacing resources.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_model::RefusalCode;

use super::{Done, Failed};
use crate::{
    config::{Resources, resources::Change},
    control::{ApplyError, Control, summary},
};

/// The body of `POST /api/v1/config/apply`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apply {
    /// The resources.
    pub(crate) resources: Resources,
    /// Whether resources of the store that are not among them are removed.
    #[serde(default)]
    pub(crate) prune: bool,
    /// Whether nothing is changed.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// What changed, or would.
    pub(crate) changes: Vec<Change>,
}

/// All resources in effect; they hold no secret, only references and digests.
pub(super) fn show(control: &Control) -> Result<Done, Failed> {
    let revision = control.org.revision().ok_or_else(Failed::unready)?;
    let body =
        serde_json::to_vec(&*revision.resources).map_err(|error| Failed::internal(&error))?;
    Ok(Done { body, note: None })
}

/// Replaces resources.
pub(super) async fn apply(control: Arc<Control>, body: Bytes) -> Result<Done, Failed> {
    let mut deserializer = serde_json::Deserializer::from_slice(&body);
    let wanted: Apply = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        Failed::bad_request(&format!("at `{}`: {}", error.path(), error.inner()))
    })?;
    let changes =
        control.apply(wanted.resources, wanted.prune, wanted.dry_run).await.map_err(|error| {
            let status = match &error {
                ApplyError::Owned(_) => StatusCode::CONFLICT,
                ApplyError::Problems(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            Failed::new(status, RefusalCode::InvalidRequest, error.to_string())
        })?;
    let note = (!wanted.dry_run).then(|| summary(&changes));
    let body =
        serde_json::to_vec(&Applied { changes }).map_err(|error| Failed::internal(&error))?;
    Ok(Done { body, note })
}
