//! Sessions of legacy clients (2025-11-25 and before).
//!
//! A session is bound to a person and a virtual MCP, never to the bytes of a credential, and
//! is no proof of anything: every request is authenticated anew. It remembers the revision
//! that was negotiated and which requests are under way, so that they can be cancelled.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidegate_identity::Caller;
use tidegate_model::{OrgId, Timestamp, UserId, VmcpId};
use tidegate_wire::{
    client::{Affinity, ClientCan},
    mcp::{Level, OwnedId, Revision},
};
use tokio_util::sync::CancellationToken;

const SHARDS: usize = 16;

/// A session's name: 128 random bits as 22 characters of base64url.
pub(crate) type SessionId = Box<str>;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    org: OrgId,
    user: UserId,
    vmcp: VmcpId,
    /// The negotiated revision.
    pub(crate) revision: Revision,
    /// What the client called itself.
    pub(crate) client: Option<Box<str>>,
    /// What the client said it can do.
    pub(crate) can: ClientCan,
    affinity: Affinity,
    /// The least severe log line that the client wants; all of them until it says so.
    level: AtomicU8,
    used: AtomicU64,
    running: Mutex<Vec<(OwnedId, CancellationToken)>>,
}

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionRefused {
    /// There are as many as there may be.
    #[error("the gateway has no room for another session; try again later")]
    Full,
    /// The system has no randomness.
    #[error("the system has no randomness for a session id")]
    NoRandomness,
}

impl Session {
    /// Notes a request under way; its token is cancelled when the client says so. `None` where
    /// the id is in use already.
    pub(crate) fn begin(&self, id: OwnedId) -> Option<CancellationToken> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.iter().any(|(known, _)| *known == id) {
            return None;
        }
        let token = CancellationToken::new();
        running.push((id, token.clone()));
        Some(token)
    }

    /// Forgets a request that has ended.
    pub(crate) fn end(&self, id: &OwnedId) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(known, _)| known != id);
    }

    /// Cancels a request under way; one that is unknown or has ended is not an error.
    pub(crate) fn cancel(&self, id: &OwnedId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = running.iter().find(|(known, _)| known == id) {
            token.cancel();
        }
    }

    /// The mark under which connectors keep what belongs to this session.
    pub(crate) fn affinity(&self) -> Affinity {
        self.affinity
    }

    /// The least severe log line that the client wants.
    pub(crate) fn level(&self) -> Option<Level> {
        Level::ALL.get(usize::from(self.level.load(Ordering::Relaxed))).copied()
    }

    /// Sets [`Session::level`].
    pub(crate) fn set_level(&self, level: Level) {
        let place = Level::ALL.iter().position(|known| *known == level).unwrap_or_default();
        self.level.store(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed);
    }

    fn is_of(&self, caller: &Caller, vmcp: &VmcpId) -> bool {
        self.org == *caller.org() && self.user == *caller.user() && self.vmcp == *vmcp
    }
}

/// All sessions of the process.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: [Mutex<HashMap<SessionId, Arc<Session>>>; SHARDS],
    count: AtomicUsize,
    most: usize,
}

impl Sessions {
    /// Room for `most` sessions.
    pub(crate) fn new(most: usize) -> Self {
        Self { shards: Default::default(), count: AtomicUsize::new(0), most }
    }

    /// Opens a session.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        vmcp: &VmcpId,
        revision: Revision,
        client: (Option<&str>, ClientCan),
        now: Timestamp,
    ) -> Result<SessionId, SessionRefused> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(SessionRefused::Full);
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|_| SessionRefused::NoRandomness)?;
        let (name, mark) = random.split_at(16);
        let id: SessionId = URL_SAFE_NO_PAD.encode(name).into();
        // Apart from the id, so that no connector's state tells it.
        let affinity = <[u8; 16]>::try_from(mark).map(u128::from_be_bytes).unwrap_or_default();
        let (client, can) = client;
        let session = Session {
            org: caller.org().clone(),
            user: caller.user().clone(),
            vmcp: vmcp.clone(),
            revision,
            client: client.map(|name| name.chars().take(120).collect::<String>().into()),
            can,
            affinity: Affinity(affinity),
            // Until a client says otherwise the server decides what to send (2025-11-25, logging).
            level: AtomicU8::new(0),
            used: AtomicU64::new(now.as_millis()),
            running: Mutex::default(),
        };
        self.shard(&id, |map| map.insert(id.clone(), Arc::new(session)));
        Ok(id)
    }

    /// The session of that name, if it is this caller's and of this virtual MCP; marks it used.
    pub(crate) fn find(
        &self,
        id: &str,
        caller: &Caller,
        vmcp: &VmcpId,
        now: Timestamp,
    ) -> Option<Arc<Session>> {
        let session = self.shard(id, |map| map.get(id).cloned())?;
        session.is_of(caller, vmcp).then(|| {
            session.used.store(now.as_millis(), Ordering::Relaxed);
            session
        })
    }

    /// Ends a session and cancels what it has under way; whether there was one.
    pub(crate) fn close(&self, id: &str, caller: &Caller, vmcp: &VmcpId, now: Timestamp) -> bool {
        let Some(session) = self.find(id, caller, vmcp, now) else { return false };
        if self.shard(id, |map| map.remove(id)).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        for (_, token) in session.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            token.cancel();
        }
        true
    }

    /// Ends all sessions that have been idle for that long and have nothing under way.
    pub(crate) fn reap(&self, now: Timestamp, idle: Duration) {
        for shard in &self.shards {
            let mut map = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = map.len();
            map.retain(|_, session| {
                let used = Timestamp::from_millis(session.used.load(Ordering::Relaxed));
                let busy =
                    !session.running.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                busy || used.after(idle) > now
            });
            self.count.fetch_sub(before - map.len(), Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Acts on the shard that `id` falls into.
    fn shard<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut HashMap<SessionId, Arc<Session>>) -> Option<T>,
    ) -> Option<T> {
        let place = usize::from(id.bytes().last().unwrap_or_default()) % SHARDS;
        let shard = self.shards.get(place)?;
        act(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
