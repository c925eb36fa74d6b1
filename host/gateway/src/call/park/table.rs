//! Calls that wait until their client repeats the request.
//!
//! A parked call is kept by a task of its own, which drives it on. Whoever names it first
//! gets it; after that the name means nothing. A call that nobody comes for in time is
//! dropped, which cancels it upstream and leaves an `abandoned` row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidegate_model::{Json, Refusal, VmcpId};
use tidegate_wire::client::Profile;
use tokio::sync::oneshot;

use super::{
    Context, Target, connector_of,
    live::Live,
    question,
    state::{self, State},
};
use crate::{gateway::Gateway, places::Places};

/// Most parked calls of one person.
const MOST_OF_ONE: usize = 16;
/// Most parked calls in all.
const MOST: usize = 1_024;

/// The name of a parked call: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ParkedId([u8; 16]);

impl std::fmt::Debug for ParkedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ParkedId")
    }
}

/// Takes the one who wants the call.
type Claim = oneshot::Sender<oneshot::Sender<Live>>;

/// All parked calls of the process.
#[derive(Debug)]
pub(crate) struct Parking {
    waiting: Mutex<HashMap<ParkedId, Claim>>,
    /// For calls that have been parked once and have not ended.
    places: Arc<Places>,
}

impl Default for Parking {
    fn default() -> Self {
        Self { waiting: Mutex::default(), places: Places::new(MOST_OF_ONE, MOST) }
    }
}

impl Parking {
    fn lock(&self) -> MutexGuard<'_, HashMap<ParkedId, Claim>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out a parked call, once.
    pub(crate) async fn claim(&self, id: ParkedId) -> Option<Live> {
        let claim = self.lock().remove(&id)?;
        let (hand, taken) = oneshot::channel();
        claim.send(hand).ok()?;
        taken.await.ok()
    }

    /// How many calls wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().len()
    }
}

/// The request behind a call, which every round has to repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round<'a> {
    /// Who asks, and under which revision.
    pub(crate) context: &'a Context,
    /// The virtual MCP.
    pub(crate) vmcp: &'a VmcpId,
    /// What is asked for.
    pub(crate) target: &'a Target,
    /// What the client said with this request that it can be asked.
    pub(crate) profile: Profile,
    /// How long the client may take to come back.
    pub(crate) patience: Duration,
}

/// Parks a call that asks; the result that asks its client. A call whose questions cannot be
/// asked is given back with all of them refused, so that it can go on.
pub(crate) async fn park(
    gateway: &Arc<Gateway>,
    round: Round<'_>,
    mut live: Live,
) -> Result<Json, Live> {
    live.refuse_beyond(round.profile);
    if live.open().is_empty() {
        return Err(live);
    }
    match prepare(gateway, round, &mut live).await {
        Err(words) => {
            live.refuse(&words);
            Err(live)
        }
        Ok((id, state)) => {
            let result = question::input_required(&question::requests(live.open()), &state);
            let (claim, claimed) = oneshot::channel();
            gateway.parking.lock().insert(id, claim);
            let keeping = keep(Arc::clone(gateway), id, live, claimed, round.patience);
            gateway.detached.spawn(keeping);
            Ok(result)
        }
    }
}

/// Makes sure of a place, the rows and the sealed name; if not, the words for the server.
async fn prepare(
    gateway: &Arc<Gateway>,
    round: Round<'_>,
    live: &mut Live,
) -> Result<(ParkedId, String), String> {
    let Round { context, vmcp, target, .. } = round;
    if gateway.stopping.is_cancelled() {
        return Err("the gateway is stopping".to_owned());
    }
    if live.place.is_none() {
        live.place = gateway.parking.places.take(&context.caller);
    }
    if live.place.is_none() {
        return Err("too many calls wait for their client already".to_owned());
    }
    let published = context.revision.snapshot.vmcp(vmcp.as_str());
    let connector = published.and_then(|published| connector_of(published, target));
    for open in live.open() {
        let asker =
            question::Asker { connector: connector.as_ref(), by: open.question.by.as_deref() };
        question::on_record(gateway, context, vmcp, asker, open.question.method)
            .await
            .map_err(|refused: Refusal| refused.message)?;
    }
    let mut random = [0; 16];
    let sealed = getrandom::fill(&mut random).ok().and_then(|()| {
        let state = State::Parked { id: ParkedId(random) };
        state::seal(gateway, context, vmcp, target, &state).ok()
    });
    let sealed = sealed.ok_or_else(|| "the system has no randomness".to_owned())?;
    Ok((ParkedId(random), sealed))
}

/// Drives a parked call until somebody comes for it.
async fn keep(
    gateway: Arc<Gateway>,
    id: ParkedId,
    mut live: Live,
    mut claimed: oneshot::Receiver<oneshot::Sender<Live>>,
    patience: Duration,
) {
    let mut over = std::pin::pin!(tokio::time::sleep(patience));
    loop {
        tokio::select! {
            biased;
            hand = &mut claimed => {
                if let Ok(hand) = hand {
                    // Where nobody takes it, it is dropped and with it the call.
                    drop(hand.send(live));
                }
                return;
            }
            () = gateway.stopping.cancelled() => break,
            () = &mut over => break,
            () = live.go_on() => {}
        }
    }
    gateway.parking.lock().remove(&id);
    tracing::debug!("a parked call is given up: its client did not come back in time");
}
