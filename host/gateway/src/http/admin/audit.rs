//! `/api/v1/audit/find`: rows of the organisation that fit, found through the index.

use serde::{Deserialize, Serialize};
use tidegate_governance::audit::{Filter, Row};
use tidegate_model::OrgId;
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};

/// Most rows of one answer.
const MOST: usize = 1_000;

/// Which rows are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuditFilter, value_type = Object)]
pub(super) struct Wanted(Filter);

/// One row that fits.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Found {
    /// Its sequence number.
    pub(crate) seq: u64,
    /// The row.
    #[schema(value_type = Object)]
    pub(crate) row: Row,
}

/// Rows that fit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundRows(Vec<Found>);

/// The newest rows that fit, oldest first.
pub(super) async fn find(
    asked: &Asked,
    Body(Wanted(mut filter)): Body<Wanted>,
) -> Result<Done<FoundRows>, Failed> {
    filter.limit = filter.limit.clamp(1, MOST);
    let (control, gateway) = (&asked.control, &asked.control.gateway);
    let mut found = Vec::new();
    let index = gateway.index.lock().await;
    if let (Some(index), Some(log)) = (index.as_ref(), gateway.audit.log()) {
        // One index over the one log, which is kept with the organisation that is always there.
        let (store, home) = (gateway.records().store(), OrgId::default_org());
        let rows = index.find((store, &home), &control.org.id, log, &filter).await;
        let rows = rows.map_err(|error| Failed::internal(&error))?;
        found.extend(rows.into_iter().map(|(seq, row)| Found { seq, row }));
    }
    Ok(Done::of(FoundRows(found)))
}
