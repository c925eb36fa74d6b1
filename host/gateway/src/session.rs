//! Sessions of legacy clients (2025-11-25 and before).
//!
//! A session is bound to a person and a virtual MCP, never to the bytes of a credential, and
//! is no proof of anything: every request is authenticated anew. It remembers the revision
//! that was negotiated, which requests are under way, what its client was asked and what was
//! sent on its streams. Nothing of that takes room before it is used.

pub(crate) mod questions;
pub(crate) mod streams;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use tidegate_identity::{Caller, directory::Kind};
use tidegate_model::{ConnectorId, OrgId, Timestamp, UserId, VmcpId};
use tidegate_wire::{
    client::{Affinity, ClientCan, Profile},
    mcp::{Level, OwnedId, Revision, code},
    server::Rejection,
};
use tokio_util::sync::CancellationToken;

use crate::{
    call::Context,
    gateway::Gateway,
    notices::follows::Follows,
    places::{Place, Places},
};
use questions::Questions;
use streams::{Reader, Streams, Writer};

const SHARDS: usize = 16;
/// Most sessions of one person.
const OF_ONE: usize = 10_000;

/// A session's name: 128 random bits as 22 characters of base64url.
pub(crate) type SessionId = Box<str>;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    org: OrgId,
    user: UserId,
    kind: Kind,
    vmcp: VmcpId,
    /// The negotiated revision.
    pub(crate) revision: Revision,
    /// What the client called itself.
    pub(crate) client: Option<Box<str>>,
    /// What the client said it can do, as far as its revision knows it.
    pub(crate) can: ClientCan,
    affinity: Affinity,
    /// The least severe log line that the client wants; all of them until it says so.
    level: AtomicU8,
    used: AtomicU64,
    running: Mutex<Vec<(OwnedId, CancellationToken)>>,
    ended: CancellationToken,
    /// Tells its streams from those of other sessions.
    salt: u64,
    streams: OnceLock<Streams>,
    /// The number of the stream that belongs to no request.
    own: Mutex<Option<u64>>,
    questions: OnceLock<Questions>,
    follows: OnceLock<Arc<Follows>>,
    /// Given back when the session ends.
    place: Mutex<Option<Place>>,
    tasks: Mutex<Tasks>,
}

/// Published ids of tasks, by connector and the connector's own id.
pub(crate) type Tasks = BTreeMap<(ConnectorId, Box<str>), Box<str>>;

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
    /// Notes a request under way; its token is cancelled when the client says so, and when the
    /// session ends. `None` where the id is in use already.
    pub(crate) fn begin(&self, id: OwnedId) -> Option<CancellationToken> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.iter().any(|(known, _)| *known == id) {
            return None;
        }
        let token = self.ended.child_token();
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

    /// Cancelled when the session has ended.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// What is sent to the client on streams.
    pub(crate) fn streams(&self) -> &Streams {
        self.streams.get_or_init(|| Streams::new(self.salt))
    }

    /// What the client is asked.
    pub(crate) fn questions(&self) -> &Questions {
        self.questions.get_or_init(Questions::default)
    }

    /// A connection to the one stream that belongs to no request, in place of the one it had.
    /// Where there was no such stream, also the writer of the new one.
    pub(crate) fn own_stream(&self) -> (Reader, Option<Writer>) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = own.and_then(|number| self.streams().again(number)) {
            return (reader, None);
        }
        let (writer, reader) = self.streams().open();
        *own = Some(writer.number());
        (reader, Some(writer))
    }

    /// A connection that goes on after the event with this id; see [`Streams::resume`].
    pub(crate) fn resume(&self, last: &str) -> Option<Reader> {
        self.streams.get()?.resume(last)
    }

    /// Whether the event with this id was sent on the stream that belongs to no request.
    pub(crate) fn is_own_event(&self, id: &str) -> bool {
        let own = *self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.is_some() && self.streams.get().and_then(|streams| streams.stream_of(id)) == own
    }

    /// The tasks that its client is told about.
    pub(crate) fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The virtual MCP it is at.
    pub(crate) fn vmcp(&self) -> &VmcpId {
        &self.vmcp
    }

    /// Whose organisation it belongs to.
    pub(crate) fn org(&self) -> &OrgId {
        &self.org
    }

    /// What the client subscribed to.
    pub(crate) fn follows(&self, gateway: &Gateway) -> Arc<Follows> {
        let of_org = || gateway.with_notices(&self.org, Follows::new);
        Arc::clone(self.follows.get_or_init(of_org))
    }

    /// Subscribes to a resource, by published URI; refused where the caller may not read it or
    /// there is no room. Updates travel on the stream that belongs to no request.
    pub(crate) fn subscribe(
        &self,
        gateway: &Gateway,
        context: &Context,
        uri: &str,
    ) -> Result<(), Rejection> {
        let (revision, caller) = (&context.revision, &context.caller);
        let refused = |words| Rejection::new(StatusCode::OK, code::INVALID_PARAMS, words);
        let vmcp = revision.snapshot.vmcp(self.vmcp.as_str());
        let vmcp = vmcp.ok_or_else(|| refused("there is no such virtual MCP here".to_owned()))?;
        let followed = self.follows(gateway).follow(revision, caller, vmcp, uri);
        followed.map_err(|error| refused(error.to_string()))
    }

    /// Ends a subscription; one that there is not is not an error.
    pub(crate) fn unsubscribe(&self, uri: &str) {
        if let Some(follows) = self.follows.get() {
            follows.unfollow(uri);
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

    /// Ends it: what began in it is cancelled, its place is free.
    fn finish(&self) {
        self.ended.cancel();
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn used(&self) -> Timestamp {
        Timestamp::from_millis(self.used.load(Ordering::Relaxed))
    }

    /// Whether something is under way, or a client listens.
    fn is_busy(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        !running.is_empty() || self.streams.get().is_some_and(Streams::are_read)
    }

    fn is_of(&self, caller: &Caller, vmcp: &VmcpId) -> bool {
        self.org == *caller.org()
            && self.user == *caller.user()
            && self.kind == caller.kind()
            && self.vmcp == *vmcp
    }
}

/// All sessions of the process.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: [Mutex<HashMap<SessionId, Arc<Session>>>; SHARDS],
    places: Arc<Places>,
}

impl Sessions {
    /// Room for `most` sessions.
    pub(crate) fn new(most: usize) -> Self {
        Self { shards: Default::default(), places: Places::new(OF_ONE.min(most), most) }
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
        let place = self.places.take(caller).ok_or(SessionRefused::Full)?;
        let Some(Random { name, mark, salt }) = Random::new() else {
            return Err(SessionRefused::NoRandomness);
        };
        let id: SessionId = URL_SAFE_NO_PAD.encode(name).into();
        // All apart, so that neither a connector's state nor the id of an event tells the id.
        let affinity = u128::from_be_bytes(mark);
        let (client, can) = client;
        let can = ClientCan { profile: known_to(revision, can.profile), ..can };
        let session = Session {
            org: caller.org().clone(),
            user: caller.user().clone(),
            kind: caller.kind(),
            vmcp: vmcp.clone(),
            revision,
            client: client.map(|name| name.chars().take(120).collect::<String>().into()),
            can,
            affinity: Affinity(affinity),
            // Until a client says otherwise the server decides what to send (2025-11-25, logging).
            level: AtomicU8::new(0),
            used: AtomicU64::new(now.as_millis()),
            running: Mutex::default(),
            ended: CancellationToken::new(),
            salt: u64::from_be_bytes(salt),
            streams: OnceLock::new(),
            own: Mutex::default(),
            questions: OnceLock::new(),
            follows: OnceLock::new(),
            tasks: Mutex::default(),
            place: Mutex::new(Some(place)),
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

    /// Ends a session and cancels what it has under way; the session, if there was one.
    pub(crate) fn close(
        &self,
        id: &str,
        caller: &Caller,
        vmcp: &VmcpId,
        now: Timestamp,
    ) -> Option<Arc<Session>> {
        let session = self.find(id, caller, vmcp, now)?;
        // Of two that close it at once, one does.
        self.shard(id, |map| map.remove(id))?;
        session.finish();
        Some(session)
    }

    /// Ends all sessions of an organisation.
    pub(crate) fn dismiss(&self, org: &OrgId) {
        for shard in &self.shards {
            let mut map = shard.lock().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, session| {
                let stays = session.org != *org;
                if !stays {
                    session.finish();
                }
                stays
            });
        }
    }

    /// Ends all sessions that have been idle for that long and have nothing under way, and
    /// forgets old streams of the others. Returns those that ended.
    pub(crate) fn reap(&self, now: Timestamp, idle: Duration) -> Vec<Arc<Session>> {
        let mut gone = Vec::new();
        for shard in &self.shards {
            let mut map = shard.lock().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, session| {
                let busy = session.is_busy();
                if busy {
                    session.used.store(now.as_millis(), Ordering::Relaxed);
                }
                let keep = busy || session.used().after(idle) > now;
                if keep {
                    session.streams.get().into_iter().for_each(Streams::sweep);
                } else {
                    session.finish();
                    gone.push(Arc::clone(session));
                }
                keep
            });
        }
        gone
    }

    /// How many an organisation has.
    pub(crate) fn count_of(&self, org: &OrgId) -> usize {
        let lock = |shard: &Mutex<HashMap<SessionId, Arc<Session>>>| {
            let map = shard.lock().unwrap_or_else(PoisonError::into_inner);
            map.values().filter(|session| session.org == *org).count()
        };
        self.shards.iter().map(lock).sum()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places.taken()
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

/// What a client of this revision can be asked, of what it declared.
fn known_to(revision: Revision, declared: Profile) -> Profile {
    const FINER: Profile = Profile::SAMPLING_TOOLS.with(Profile::SAMPLING_CONTEXT);
    const MODES: Profile = Profile::FORM.with(Profile::URL);
    if revision >= Revision::V2025_11_25 {
        return declared;
    }
    // There was one mode before there were modes, and no member could be said of it.
    let asks_forms = revision.has_elicitation() && declared.without(MODES) != declared;
    let known = declared.without(MODES).without(FINER);
    if asks_forms { known.with(Profile::FORM) } else { known }
}

/// What of a session is random.
struct Random {
    name: [u8; 16],
    mark: [u8; 16],
    salt: [u8; 8],
}

impl Random {
    /// `None` where the system has no randomness.
    fn new() -> Option<Self> {
        let mut random = Self { name: [0; 16], mark: [0; 16], salt: [0; 8] };
        getrandom::fill(&mut random.name).ok()?;
        getrandom::fill(&mut random.mark).ok()?;
        getrandom::fill(&mut random.salt).ok()?;
        Some(random)
    }
}

#[cfg(test)]
mod tests;
