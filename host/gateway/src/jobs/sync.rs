//! Keeps the record of one connector up to date, and an ear on what it tells.
//!
//! Asks for its lists at start, when the connector says that one has changed, and now and
//! then. A connector that is down keeps its last record, so what it offers stays listed; it
//! is asked again with growing pauses. What a connector announced is told to clients when it
//! is in effect, not before, so that whoever then asks sees it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidegate_model::{Json, Offer};
use tidegate_upstream::{
    Maintenance,
    armed::Duty,
    connector::{Connector, List, Listed, Update},
};
use tokio::sync::{
    Notify,
    broadcast::{Receiver, error::RecvError},
    oneshot,
};

use crate::{
    assembly::offers, control::Control, notices::Notice, organisation::Organisation,
    records::RecordError,
};

/// Longest one listing may take.
const LISTING: Duration = Duration::from_secs(30);
/// Pause after the first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause between the first word of a change and asking: what is said about one change arrives
/// in several ways, and changes come in bursts.
const SETTLE: Duration = Duration::from_millis(50);
/// How often a quiet connector is asked.
const NOW_AND_THEN: Duration = Duration::from_secs(300);

/// The lists that a connector said have changed, until they were read again.
#[derive(Debug, Default)]
struct Announced {
    lists: Mutex<HashSet<List>>,
    added: Notify,
}

impl Announced {
    fn add(&self, lists: impl IntoIterator<Item = List>) {
        self.lists().extend(lists);
        self.added.notify_one();
    }

    fn take(&self) -> HashSet<List> {
        std::mem::take(&mut self.lists())
    }

    /// Waits until there is something to take.
    async fn more(&self) {
        while self.lists().is_empty() {
            self.added.notified().await;
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashSet<List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is aborted; `first` fires after the first attempt, whatever came of it.
pub(crate) async fn run(
    control: Arc<Control>,
    connector: Arc<dyn Connector>,
    first: Option<oneshot::Sender<()>>,
) {
    let announced = Announced::default();
    let updates = connector.updates();
    tokio::join!(
        listening(&control.org, &*connector, updates, &announced),
        listing(&control, &*connector, first, &announced),
    );
}

/// Hands on what the connector tells of its own accord, until it is closed.
async fn listening(
    org: &Organisation,
    connector: &dyn Connector,
    mut updates: Receiver<Update>,
    announced: &Announced,
) {
    loop {
        let id = || connector.id().clone();
        match updates.recv().await {
            Ok(Update::Changed(list)) => announced.add([list]),
            Ok(Update::Resource(params)) => {
                org.notices.tell(Notice::Resource { connector: id(), params });
            }
            Ok(Update::Task(params)) => org.notices.tell(Notice::Task { connector: id(), params }),
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(org = %org.id, connector = %connector.id(), lost, "the connector tells more than can be heard");
                announced.add([List::Tools, List::Prompts, List::Resources]);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reads the lists again and again.
async fn listing(
    control: &Arc<Control>,
    connector: &dyn Connector,
    mut first: Option<oneshot::Sender<()>>,
    announced: &Announced,
) {
    let mut changes = connector.changes();
    let mut pause = FIRST_PAUSE;
    let mut untold = HashSet::new();
    loop {
        changes.borrow_and_update();
        untold.extend(announced.take());
        let proof = Maintenance::new(Duty::Sync, Instant::now() + LISTING);
        let wait = match connector.list(&proof).await {
            Ok(list) => {
                pause = FIRST_PAUSE;
                take(control, connector, list, std::mem::take(&mut untold)).await;
                NOW_AND_THEN
            }
            Err(error) => {
                tracing::warn!(org = %control.org.id, connector = %connector.id(), %error, "the connector's lists cannot be read");
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
            () = announced.more() => tokio::time::sleep(SETTLE).await,
            changed = changes.changed() => {
                tokio::time::sleep(if changed.is_ok() { SETTLE } else { wait }).await;
            }
        }
    }
}

/// Takes an offer over, if it differs from the record; what was announced is told once it is
/// in effect.
async fn take(
    control: &Arc<Control>,
    connector: &dyn Connector,
    list: Listed,
    announced: HashSet<List>,
) {
    let id = connector.id();
    for dropped in &list.dropped {
        let name = dropped.name.as_deref().unwrap_or("(without a name)");
        tracing::warn!(org = %control.org.id, connector = %id, list = dropped.list, name, reason = dropped.reason, "an entry is left out");
    }
    let announced = announced.into_iter().map(|list| (id.clone(), list));
    match keep(control, connector, list).await {
        Ok(None) => announced.for_each(|(connector, list)| {
            control.org.notices.tell(Notice::Listed { connector, list });
        }),
        Ok(Some(offer)) => {
            tracing::info!(
                org = %control.org.id,
                connector = %id,
                tools = offer.tools.len(),
                prompts = offer.prompts.len(),
                resources = offer.resources.len(),
                templates = offer.templates.len(),
                "what the connector offers has changed"
            );
            control.request_refresh(announced);
        }
        Err(error) => {
            tracing::error!(org = %control.org.id, connector = %id, %error, "the connector's record cannot be kept");
        }
    }
}

/// Puts an offer on record; the offer, if the record is another now.
async fn keep(
    control: &Arc<Control>,
    connector: &dyn Connector,
    list: Listed,
) -> Result<Option<Offer>, RecordError> {
    let (records, org) = (control.gateway.records(), &control.org.id);
    let mut offer = list.offer;
    if !list.unread.is_empty() {
        for unread in &list.unread {
            tracing::warn!(%org, connector = %connector.id(), list = unread.method, reason = unread.reason, "a list cannot be read; what is known of it stays");
        }
        let before = records.offer(org, connector.id()).await?;
        let before = before.map(|record: Json| offers::approved(connector.id(), &record, None));
        let unread = list.unread.iter().map(|unread| unread.method);
        offer = offers::completed(offer, &before.unwrap_or_default(), unread);
    }
    let record = offers::record(&offer);
    let is_new = records.keep_offer(org, connector.id(), &record).await?;
    Ok(is_new.then_some(offer))
}

#[cfg(test)]
mod tests;
