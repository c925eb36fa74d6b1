//! Keeps the tool record of one connector up to date.
//!
//! Asks for the list at start, when the connector says that it changed, and now and then. A
//! connector that is down keeps its last record, so its tools stay listed; it is asked again
//! with growing pauses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_model::OrgId;
use tidegate_upstream::{
    Maintenance,
    armed::Duty,
    connector::{Connector, Listed},
};
use tokio::sync::oneshot;

use crate::{assembly::tools, control::Control};

/// Longest one listing may take.
const LISTING: Duration = Duration::from_secs(30);
/// Pause after the first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a quiet connector is asked.
const NOW_AND_THEN: Duration = Duration::from_secs(300);

/// Runs until it is aborted; `first` fires after the first attempt, whatever came of it.
pub(crate) async fn run(
    control: Arc<Control>,
    connector: Arc<dyn Connector>,
    first: Option<oneshot::Sender<()>>,
) {
    let mut first = first;
    let mut changes = connector.changes();
    let mut pause = FIRST_PAUSE;
    loop {
        changes.borrow_and_update();
        let proof = Maintenance::new(Duty::Sync, Instant::now() + LISTING);
        let wait = match connector.list(&proof).await {
            Ok(list) => {
                pause = FIRST_PAUSE;
                take(&control, &*connector, list).await;
                NOW_AND_THEN
            }
            Err(error) => {
                tracing::warn!(connector = %connector.id(), %error, "the connector's tools cannot be listed");
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        if let Some(first) = first.take() {
            // Nobody waits any more once the start is over.
            let _ = first.send(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = changes.changed() => if changed.is_err() {
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Takes a list over, if it differs from the record.
async fn take(control: &Arc<Control>, connector: &dyn Connector, list: Listed) {
    for dropped in &list.dropped {
        let name = dropped.name.as_deref().unwrap_or("(without a name)");
        tracing::warn!(connector = %connector.id(), tool = name, reason = dropped.reason, "a tool is left out");
    }
    let record = tools::record(list.offer.tools.iter().map(|tool| &**tool));
    let records = &control.gateway.assembly.records;
    match records.keep_tools(&OrgId::default_org(), connector.id(), &record).await {
        Ok(true) => {
            tracing::info!(connector = %connector.id(), tools = list.offer.tools.len(), "the connector's tools have changed");
            control.request_refresh();
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(connector = %connector.id(), %error, "the tool record cannot be kept")
        }
    }
}
