//! `/api/v1/audit/find`: rows of the organisation that fit, found through the index.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_governance::audit::{Filter, Row};
use tidegate_model::OrgId;

use super::{Done, Failed};
use crate::control::Control;

/// Most rows of one answer.
const MOST: usize = 1_000;

/// One row that fits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Its sequence number.
    pub(crate) seq: u64,
    /// The row.
    pub(crate) row: Row,
}

/// The newest rows that fit, oldest first.
pub(super) async fn find(control: Arc<Control>, body: Bytes) -> Result<Done, Failed> {
    let mut filter: Filter =
        serde_json::from_slice(&body).map_err(|error| Failed::bad_request(&error.to_string()))?;
    filter.limit = filter.limit.clamp(1, MOST);
    let gateway = &control.gateway;
    let mut found = Vec::new();
    let index = gateway.index.lock().await;
    if let (Some(index), Some(log)) = (index.as_ref(), gateway.audit.log()) {
        // One index over the one log, which is kept with the organisation that is always there.
        let (store, home) = (gateway.records().store(), OrgId::default_org());
        let rows = index.find((store, &home), &control.org.id, log, &filter).await;
        let rows = rows.map_err(|error| Failed::internal(&error))?;
        found.extend(rows.into_iter().map(|(seq, row)| Found { seq, row }));
    }
    let body = serde_json::to_vec(&found).map_err(|error| Failed::internal(&error))?;
    Ok(Done { body, note: None })
}
