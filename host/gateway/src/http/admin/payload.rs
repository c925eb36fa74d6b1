//! `/api/v1/audit/payloads`: what calls carried, where it was kept.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_model::OrgId;
use tidegate_store::payload::{PayloadError, PayloadRef, Payloads as Folder};
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};
use crate::serve::PAYLOAD_DIR;

/// Most payloads of one answer.
pub(crate) const MOST: usize = 100;

/// The body of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedPayloads)]
pub(crate) struct Wanted {
    /// References as they stand in audit rows.
    pub(crate) payloads: Vec<String>,
}

/// One payload, or why it cannot be had; in the order of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// The masked text.
    Text(String),
    /// What is the matter.
    Error(String),
}

impl Kept {
    /// Opens the payload that a row refers to.
    pub(crate) fn open(payloads: &Folder, org: &OrgId, reference: &str) -> Self {
        let opened = PayloadRef::from_str(reference).and_then(|place| payloads.get(org, &place));
        match opened.map(String::from_utf8) {
            Ok(Ok(text)) => Self::Text(text),
            Ok(Err(_)) => Self::Error(PayloadError::Damaged.to_string()),
            Err(error) => Self::Error(error.to_string()),
        }
    }
}

/// What there is, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payloads(Vec<Kept>);

/// Opens the payloads that are asked for, whether more are being kept or not.
pub(super) async fn read(
    asked: &Asked,
    Body(wanted): Body<Wanted>,
) -> Result<Done<Payloads>, Failed> {
    if wanted.payloads.len() > MOST {
        return Err(Failed::bad_request(&format!("at most {MOST} payloads are read at once")));
    }
    let gateway = &asked.control.gateway;
    let ring = Arc::clone(gateway.records().store().keyring());
    let dir = gateway.config.data.join(PAYLOAD_DIR);
    let note = format!("{} payloads", wanted.payloads.len());
    let org = asked.control.org.id.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let payloads = Folder::open(dir, ring)?;
        let open = |reference: &String| Kept::open(&payloads, &org, reference);
        Ok::<Vec<Kept>, PayloadError>(wanted.payloads.iter().map(open).collect())
    });
    let read = reading.await.map_err(|error| Failed::internal(&error))?;
    let kept = read.map_err(|error| Failed::internal(&error))?;
    Ok(Done::noted(Payloads(kept), note))
}
