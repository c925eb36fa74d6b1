//! One space: reads, and changes one group after another.
//!
//! Changes that come at the same moment are worked out together and committed as one batch, so
//! that a thousand calls counting at once cost a handful of commits. A task carries them out,
//! not the hook that asked: a hook may be stopped at any moment. Reads ask the store.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidegate_model::{Clock, OrgId};
use tidegate_store::{Batch, Scan, Store, StoreError, Table};
use tidegate_wasm::capabilities::state::{KEY, KeyValue, KeyValueError, VALUE};
use tokio::sync::oneshot;

use super::{
    draft::{Change, Draft, Ground},
    layout::{Head, Keys, Owner},
};

/// Most changes of one commit.
const GROUP: usize = 32;
/// Bytes of values after which a commit takes no further change.
const GROUP_BYTES: usize = 256 << 10;
/// Most changes that may wait.
const WAITING: usize = 4_096;
/// Most values whose time is up that one commit removes.
const EXPIRED: usize = 64;
/// Rows that one commit removes of a space that goes as a whole.
const CLEARED: usize = 512;
/// How often a commit or a read is tried that another writer of the space was faster than.
const ATTEMPTS: usize = 64;

type Answer = Result<i64, KeyValueError>;

/// A change that somebody waits for.
#[derive(Debug)]
struct Wish {
    key: Box<str>,
    change: Change,
    quota: u64,
    reply: oneshot::Sender<Answer>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Wish>,
    /// Whether a task sees to them.
    running: bool,
}

/// A space, shared by all that hold it.
#[derive(Debug)]
pub(super) struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    org: OrgId,
    keys: Keys,
    queue: Mutex<Queue>,
}

/// A space with a quota.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) shared: Arc<Shared>,
    pub(super) quota: u64,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        org: OrgId,
        owner: &Owner,
    ) -> Self {
        Self { store, clock, org, keys: Keys::new(owner), queue: Mutex::default() }
    }

    /// Removes what is over; how many values.
    pub(super) async fn expire(&self) -> Result<usize, KeyValueError> {
        self.expire_until(self.now()).await
    }

    /// Removes all of it.
    pub(super) async fn clear(&self) -> Result<(), KeyValueError> {
        let prefix = self.keys.all().to_vec();
        loop {
            let scan = Scan { prefix: prefix.clone(), limit: CLEARED, ..self.scan() };
            let rows = self.store.scan(scan).await.map_err(|error| failed(&error))?;
            if rows.is_empty() {
                return Ok(());
            }
            let batch = rows.iter().fold(Batch::new(), |batch, row| {
                batch.delete(Table::PluginState, &self.org, &row.key)
            });
            self.store.commit(batch).await.map_err(|error| failed(&error))?;
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, KeyValueError> {
        for _ in 0..ATTEMPTS {
            let record = self.read(&self.keys.first(key)).await?;
            let Some(record) = record else { return Ok(None) };
            let (head, first) = Head::read(&record.value).ok_or_else(unreadable)?;
            if head.is_over(self.now()) {
                return Ok(None);
            }
            let mut value = Vec::with_capacity(head.length);
            value.extend_from_slice(first);
            let mut is_whole = true;
            for number in 0..head.parts() {
                // All parts of a value are written by one commit, so its number tells whether
                // they belong together.
                match self.read(&self.keys.part(number, key)).await? {
                    Some(part) if part.version == record.version => value.extend(part.value),
                    _ => is_whole = false,
                }
            }
            if is_whole {
                return Ok(Some(value.into()));
            }
        }
        Err(contended())
    }

    async fn read(&self, key: &[u8]) -> Result<Option<tidegate_store::Record>, KeyValueError> {
        let record = self.store.get(Table::PluginState, &self.org, key).await;
        record.map_err(|error| failed(&error))
    }

    /// Hands a change to the task that carries changes out, and waits for what it comes to.
    async fn change(self: &Arc<Self>, key: &str, change: Change, quota: u64) -> Answer {
        let (reply, answer) = oneshot::channel();
        let must_start = {
            let mut queue = self.queue();
            if queue.waiting.len() >= WAITING {
                return Err(contended());
            }
            queue.waiting.push_back(Wish { key: key.into(), change, quota, reply });
            !std::mem::replace(&mut queue.running, true)
        };
        if must_start {
            tokio::spawn(Arc::clone(self).carry_out());
        }
        answer.await.unwrap_or_else(|_| Err(contended()))
    }

    /// Carries out what waits, until nothing does.
    async fn carry_out(self: Arc<Self>) {
        while let Some(wishes) = self.next() {
            let mut answers = self.commit(&wishes).await;
            if answers.is_none() {
                // The less there is to read before a commit, the sooner one is fast enough.
                let mut each = Vec::with_capacity(wishes.len());
                for wish in &wishes {
                    let answer = self.commit(std::slice::from_ref(wish)).await;
                    each.extend(answer.unwrap_or_else(|| vec![Err(contended())]));
                }
                answers = Some(each);
            }
            for (wish, answer) in wishes.into_iter().zip(answers.unwrap_or_default()) {
                // A hook that was stopped does not wait any more.
                drop(wish.reply.send(answer));
            }
        }
    }

    /// The changes of the next commit; `None` ends the task.
    fn next(&self) -> Option<Vec<Wish>> {
        let mut queue = self.queue();
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Some(wish) = queue.waiting.pop_front() else { break };
            // Whoever gave up before anything was done need not find it done.
            if wish.reply.is_closed() {
                continue;
            }
            if let Change::Set(value, _) = &wish.change {
                bytes += value.len();
            }
            group.push(wish);
        }
        queue.running = !group.is_empty();
        queue.running.then_some(group)
    }

    /// Commits changes together; `None` where another writer was faster each time.
    async fn commit(&self, wishes: &[Wish]) -> Option<Vec<Answer>> {
        match self.try_commit(wishes).await {
            Ok(answers) => answers,
            Err(error) => Some(wishes.iter().map(|_| Err(error.clone())).collect()),
        }
    }

    async fn try_commit(&self, wishes: &[Wish]) -> Result<Option<Vec<Answer>>, KeyValueError> {
        let now = self.now();
        let mut has_expired = false;
        for _ in 0..ATTEMPTS {
            let mut draft = Draft::new(self.ground(now)).await?;
            let mut answers = Vec::with_capacity(wishes.len());
            for wish in wishes {
                answers.push(draft.change(&wish.key, &wish.change, wish.quota).await);
            }
            // What is over takes no room: it goes first, then nothing is counted that is not there.
            if !has_expired && answers.contains(&Err(KeyValueError::Quota)) {
                has_expired = true;
                if self.expire_until(now).await? > 0 {
                    continue;
                }
            }
            let Some(batch) = draft.batch() else { return Ok(Some(answers)) };
            match self.store.commit(batch).await {
                Ok(_) => return Ok(Some(answers)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(None)
    }

    async fn expire_until(&self, now: u64) -> Result<usize, KeyValueError> {
        let (mut count, mut attempts) = (0, 0);
        while attempts < ATTEMPTS {
            let mut draft = Draft::new(self.ground(now)).await?;
            let scan = Scan { prefix: self.keys.ends(), limit: EXPIRED, ..self.scan() };
            let rows = self.store.scan(scan).await.map_err(|error| failed(&error))?;
            let mut found = 0;
            for row in rows {
                let (at, key) = self.keys.read_end(&row.key).ok_or_else(unreadable)?;
                if at > now {
                    break;
                }
                draft.expire(row.key.clone(), at, key).await?;
                found += 1;
            }
            let Some(batch) = draft.batch() else { return Ok(count) };
            match self.store.commit(batch).await {
                Ok(_) => (count, attempts) = (count + found, 0),
                Err(StoreError::Conflict { .. }) => attempts += 1,
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(contended())
    }

    fn ground(&self, now: u64) -> Ground<'_> {
        Ground { store: &*self.store, org: &self.org, keys: &self.keys, now }
    }

    fn scan(&self) -> Scan {
        Scan::all(Table::PluginState, &self.org)
    }

    fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyValue for Space {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, KeyValueError>> {
        Box::pin(async move {
            check(key, 0)?;
            self.shared.get(key).await
        })
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<(), KeyValueError>> {
        Box::pin(async move {
            check(key, value.len())?;
            let change = Change::Set(value, seconds.map(millis));
            self.shared.change(key, change, self.quota).await.map(drop)
        })
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        by: i64,
        seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<i64, KeyValueError>> {
        Box::pin(async move {
            check(key, 0)?;
            self.shared.change(key, Change::Add(by, seconds.map(millis)), self.quota).await
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KeyValueError>> {
        Box::pin(async move {
            check(key, 0)?;
            self.shared.change(key, Change::Remove, self.quota).await.map(drop)
        })
    }
}

fn millis(seconds: u32) -> u64 {
    Duration::from_secs(seconds.into()).as_millis().try_into().unwrap_or(u64::MAX)
}

fn check(key: &str, length: usize) -> Result<(), KeyValueError> {
    let fits = (1..=KEY).contains(&key.len()) && length <= VALUE;
    if fits { Ok(()) } else { Err(KeyValueError::TooLarge) }
}

/// What a guest is told of an error of the store; the log is told what it was.
pub(super) fn failed(error: &StoreError) -> KeyValueError {
    tracing::error!(%error, "the state of a plugin cannot be kept or read");
    KeyValueError::Unavailable("the store failed; the gateway's log says how".to_owned())
}

pub(super) fn unreadable() -> KeyValueError {
    let words = "what is stored cannot be read; was it written by a newer version?";
    KeyValueError::Unavailable(words.to_owned())
}

fn contended() -> KeyValueError {
    KeyValueError::Unavailable("it is changed by too many at once; try again".to_owned())
}
