//! What plugins noted of callers' sessions: the capability `facts`, and `context.facts` of
//! policies.
//!
//! A session is one person at one virtual MCP. Owns the facts of all of them: in memory, so that
//! a decision costs no read, and in the store's table `session`, so that they outlive the
//! process. They last until a session has been quiet for [`IDLE`]. Knows no policy and no guest.

mod row;
mod session;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidegate_model::{Clock, OrgId, Timestamp, UserId, VmcpId};
use tidegate_store::Store;
use tidegate_wasm::capabilities::facts::FactsError;

pub(crate) use session::SessionFacts;

/// How long a session may be quiet before its facts are forgotten.
pub(crate) const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// How often the use of a session with facts is written down.
const REFRESH: Duration = Duration::from_secs(600);
/// How long a session without facts is remembered: there is nothing to forget, and asking the
/// store for it again costs little.
const BLANK: Duration = Duration::from_secs(600);
const SHARDS: usize = 16;
/// Most sessions of one shard; more only while all of them are in use.
const OF_SHARD: usize = 1_024;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    org: OrgId,
    user: UserId,
    vmcp: VmcpId,
}

type Shard = Mutex<HashMap<Who, Arc<SessionFacts>>>;

/// The facts of all sessions of the process.
#[derive(Debug)]
pub(crate) struct FactBook {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

impl FactBook {
    /// Over a store; sessions are quiet by `clock`.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, shards: Default::default(), hasher: RandomState::new() }
    }

    /// The facts of a session, which is in use from now on. Reads the store the first time.
    pub(crate) async fn of(
        &self,
        org: &OrgId,
        user: &UserId,
        vmcp: &VmcpId,
    ) -> Result<Arc<SessionFacts>, FactsError> {
        let who = Who { org: org.clone(), user: user.clone(), vmcp: vmcp.clone() };
        let session = self.known(who);
        session.read().await?;
        session.touch().await?;
        Ok(session)
    }

    /// Forgets what has lapsed, and from memory what costs nothing to read again.
    pub(crate) async fn sweep(&self) {
        let now = self.clock.now();
        for shard in &self.shards {
            let unsettled: Vec<_> = {
                let map = shard.lock().unwrap_or_else(PoisonError::into_inner);
                map.values().filter(|session| !session.is_settled(now)).cloned().collect()
            };
            for session in unsettled {
                if let Err(error) = session.settle(now).await {
                    tracing::warn!(%error, "what is known of a session is not on disk yet");
                }
            }
            let mut map = shard.lock().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, session| is_held(session) || !session.is_blank(now, BLANK));
        }
    }

    /// How many sessions are in memory.
    #[cfg(test)]
    fn count(&self) -> usize {
        let count = |shard: &Shard| shard.lock().unwrap().len();
        self.shards.iter().map(count).sum()
    }

    /// The session in memory, as it is or not yet read. Two that ask at once get the same one,
    /// and one that somebody holds stays, so that nobody's facts are another's old news.
    fn known(&self, who: Who) -> Arc<SessionFacts> {
        let place = usize::try_from(self.hasher.hash_one(&who) % SHARDS as u64).unwrap_or_default();
        let fresh = || {
            let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
            Arc::new(SessionFacts::new(store, clock, who.clone()))
        };
        let Some(shard) = self.shards.get(place) else { return fresh() };
        let mut map = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = map.get(&who) {
            return Arc::clone(session);
        }
        if map.len() >= OF_SHARD {
            make_room(&mut map, self.clock.now());
        }
        let session = fresh();
        map.insert(who, Arc::clone(&session));
        session
    }
}

/// Drops what nobody holds and the store has as well: sessions without facts, or else the one
/// that was quiet for longest.
fn make_room(map: &mut HashMap<Who, Arc<SessionFacts>>, now: Timestamp) {
    let before = map.len();
    map.retain(|_, session| is_held(session) || !session.is_blank(now, Duration::ZERO));
    if map.len() < before {
        return;
    }
    let idle = map.iter().filter(|(_, session)| !is_held(session));
    let idle = idle.filter_map(|(who, session)| Some((session.kept_since()?, who)));
    if let Some(who) = idle.min_by_key(|(used, _)| *used).map(|(_, who)| who.clone()) {
        map.remove(&who);
    }
}

/// Whether somebody beside the map holds it; asked under the map's lock, where nobody new can.
fn is_held(session: &Arc<SessionFacts>) -> bool {
    Arc::strong_count(session) > 1
}

#[cfg(test)]
mod tests;
