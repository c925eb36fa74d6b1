//! API keys that the gateway made and keeps: the same form as those in files, found after them.
//!
//! Rows of table `client`: `"key" ‖ 0 ‖ id`, JSON, schema 1, ending when the key does. All are
//! in memory, so that a request reads no store. Who a key stands for is in the directory, with
//! the groups and roles of that moment: a key is worth nothing while its holder is not active,
//! and never becomes that of a later user of the same name.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{KeyId, OrgId, Secret, Timestamp, UserId, VmcpId};
use subtle::ConstantTimeEq;
use tidegate_model as model;
use tidegate_store::{Batch, Change, Changes, Event, Expect, Op, Put, Scan, StoreError, Table};

mod row;
#[cfg(test)]
mod tests;

use super::api_key::{KeyHash, KeyRefused, generate};
use crate::{Caller, Ground, SignIn, directory::Directory};
use row::{Entry, KeyRow, Keys, PREFIX, SCHEMA, entry, key_of, row_key};

/// Rows that are read at once.
const PAGE: usize = 1_000;
/// How often a key's last use is written down at most.
const USE: Duration = Duration::from_mins(10);
/// How long we wait before reading again what could not be read.
const PAUSE: Duration = Duration::from_secs(1);
/// How many keys one user may have.
const MOST: usize = 100;

/// One key, for people: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its id, the public part.
    pub id: KeyId,
    /// Who it stands for.
    pub user: UserId,
    /// The virtual MCPs it is good for; all when empty.
    pub vmcps: Vec<VmcpId>,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: UserId,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// When it was used last, to about ten minutes over a restart.
    pub last_used: Option<Timestamp>,
}

/// A key that is wanted.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Who it stands for.
    pub user: UserId,
    /// The virtual MCPs it is good for; all when empty.
    pub vmcps: Vec<VmcpId>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

/// Why a key was not made, listed or revoked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoredKeyError {
    /// There is one of this id.
    #[error("there is an API key `{0}` already: choose another id, or revoke it first")]
    Taken(KeyId),
    /// There is none of this id.
    #[error("there is no API key `{0}` that was made here; those in files are removed there")]
    Unknown(KeyId),
    /// It would stand for nobody.
    #[error("there is no active user `{0}`: add the user or agent first")]
    NoUser(UserId),
    /// It would never have worked.
    #[error("the key would have expired already: give a later end")]
    Expired,
    /// One user has too many.
    #[error("`{0}` has {MOST} API keys: revoke some that are not used")]
    TooMany(UserId),
    /// Made by a newer version.
    #[error("an API key was written by a newer version: use that version again")]
    Newer,
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The stored keys of one organisation.
#[derive(Debug)]
pub struct StoredKeys {
    ground: Ground,
    keys: RwLock<Keys>,
    /// Changes since it was opened, until somebody follows them.
    changes: Mutex<Option<Changes>>,
}

impl StoredKeys {
    /// Reads all keys.
    pub async fn open(ground: &Ground) -> Result<Arc<Self>, StoredKeyError> {
        let changes = Mutex::new(Some(ground.store.watch()));
        let keys = Self { ground: ground.clone(), keys: RwLock::default(), changes };
        keys.read_all().await?;
        Ok(Arc::new(keys))
    }

    /// Makes a key: its record, and the text to hand over once.
    pub async fn create(
        &self,
        directory: &Directory,
        new: NewKey,
        by: &Caller,
    ) -> Result<(StoredKey, Secret), StoredKeyError> {
        let now = self.ground.clock.now();
        let holder = directory.user(&new.user).filter(|person| person.user.active);
        let Some(holder) = holder else { return Err(StoredKeyError::NoUser(new.user)) };
        if new.expires.is_some_and(|end| end <= now) {
            return Err(StoredKeyError::Expired);
        }
        if self.of(&holder.user.id).len() >= MOST {
            return Err(StoredKeyError::TooMany(new.user));
        }
        let (text, hash) = generate(&new.id).map_err(|_| StoredKeyError::Random)?;
        let row = KeyRow {
            id: new.id,
            hash: hash.to_string(),
            user: holder.user.id.clone(),
            vmcps: new.vmcps,
            created: now,
            created_by: by.user().clone(),
            expires: new.expires,
            last_used: None,
        };
        let version = match self.write(&row, Expect::Absent).await {
            Err(StoreError::Conflict { .. }) => return Err(StoredKeyError::Taken(row.id)),
            other => other?,
        };
        let entry = Entry { row, hash, version, used: AtomicU64::new(0) };
        let shown = entry.shown();
        self.lock().put(entry);
        Ok((shown, text))
    }

    /// All keys, in the order of their ids; also those of holders who are not active.
    pub fn list(&self) -> Vec<StoredKey> {
        let now = self.ground.clock.now();
        self.read().by_id.values().filter(|key| !key.is_over(now)).map(|key| key.shown()).collect()
    }

    /// The keys of one user.
    pub fn of(&self, user: &UserId) -> Vec<StoredKey> {
        let now = self.ground.clock.now();
        let keys = self.read();
        let own = keys.by_id.values().filter(|key| key.row.user == *user && !key.is_over(now));
        own.map(|key| key.shown()).collect()
    }

    /// Takes a key out of use, at once and for good; gives what it was.
    pub async fn revoke(&self, id: &KeyId) -> Result<StoredKey, StoredKeyError> {
        let known = self.read().by_id.get(id).map(|key| key.shown());
        let known = known.ok_or_else(|| StoredKeyError::Unknown(id.clone()))?;
        let batch = Batch::new().delete(Table::Client, self.org(), &row_key(id));
        self.ground.store.commit(batch).await?;
        self.lock().remove(id);
        Ok(known)
    }

    /// Takes all keys of a user out of use.
    pub async fn revoke_of(&self, user: &UserId) -> Result<Vec<StoredKey>, StoredKeyError> {
        let mut revoked = Vec::new();
        for key in self.of(user) {
            match self.revoke(&key.id).await {
                Ok(key) => revoked.push(key),
                Err(StoredKeyError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(revoked)
    }

    /// The caller behind a presented key.
    pub fn authenticate(&self, directory: &Directory, key: &str) -> Result<Caller, KeyRefused> {
        let hash = KeyHash::of(key);
        let found = self.read().by_hash.get(&hash).cloned().ok_or(KeyRefused::Unknown)?;
        let same: bool = found.hash.as_bytes().ct_eq(hash.as_bytes()).into();
        if !same {
            return Err(KeyRefused::Unknown);
        }
        let now = self.ground.clock.now();
        let (caller, _) = self.stands_for(&found, directory, now)?;
        found.used.fetch_max(now.as_millis(), Ordering::Relaxed);
        Ok(caller)
    }

    /// The caller whose key was accepted earlier, as they are known now, and when it expires.
    pub fn renew(
        &self,
        directory: &Directory,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>), KeyRefused> {
        let hash = caller.proof().filter(|_| caller.org() == self.org());
        let found = hash.and_then(|hash| self.read().by_hash.get(hash).cloned());
        let found = found.ok_or(KeyRefused::Unknown)?;
        self.stands_for(&found, directory, now)
    }

    fn stands_for(
        &self,
        key: &Entry,
        directory: &Directory,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>), KeyRefused> {
        let row = &key.row;
        if key.is_over(now) {
            return Err(KeyRefused::Expired(row.id.clone()));
        }
        let holder = directory.user(&row.user).filter(|person| key.is_of(person));
        let holder = holder.ok_or_else(|| KeyRefused::NotActive(row.id.clone()))?;
        let caller = Caller::of(self.org().clone(), &holder, SignIn::ApiKey);
        Ok((caller.with_key(row.id.clone(), key.hash, &row.vmcps), row.expires))
    }

    /// Writes down when keys were used that have been since the last time, each at most every
    /// ten minutes.
    pub async fn keep_uses(&self) -> Result<(), StoredKeyError> {
        let due = |key: &&Arc<Entry>| {
            let kept = key.row.last_used.map(|kept| kept.after(USE).as_millis());
            let used = key.used.load(Ordering::Relaxed);
            used > 0 && kept.is_none_or(|kept| used >= kept)
        };
        let due: Vec<Arc<Entry>> = self.read().by_id.values().filter(due).cloned().collect();
        for key in due {
            let used = Timestamp::from_millis(key.used.load(Ordering::Relaxed));
            let row = KeyRow { last_used: Some(used), ..key.row.clone() };
            match self.write(&row, Expect::Version(key.version)).await {
                Ok(version) => {
                    let used = AtomicU64::new(used.as_millis());
                    self.lock().put(Entry { row, hash: key.hash, version, used });
                }
                // Revoked, or written by somebody else.
                Err(StoreError::Conflict { .. }) => self.reread(&key.row.id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes over what other processes change and writes down uses, until the store is closed.
    /// One caller drives it for as long as the keys are used.
    pub async fn follow(self: Arc<Self>) {
        let since = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut changes, mut is_behind) = match since {
            Some(changes) => (changes, false),
            None => (self.ground.store.watch(), true),
        };
        let mut uses = tokio::time::interval(USE);
        uses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if is_behind {
                match self.read_all().await {
                    Ok(()) => is_behind = false,
                    Err(error) => {
                        tracing::error!(%error, "the API keys cannot be read; trying again");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            let done = tokio::select! {
                change = changes.next() => match change {
                    None => return,
                    Some(Event::Missed) => { is_behind = true; Ok(()) }
                    Some(Event::Changed(change)) => self.heed(&change).await,
                },
                _ = uses.tick() => {
                    if let Err(error) = self.keep_uses().await {
                        tracing::warn!(%error, "the last uses of API keys were not written down");
                    }
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::error!(%error, "a change of an API key cannot be read");
                is_behind = true;
            }
        }
    }

    async fn heed(&self, change: &Change) -> Result<(), StoredKeyError> {
        if change.table != Table::Client || change.org != *self.org() {
            return Ok(());
        }
        let Some(id) = key_of(&change.key) else { return Ok(()) };
        let known = self.read().by_id.get(&id).map(|key| key.version);
        if change.version.is_some() && change.version == known {
            return Ok(());
        }
        self.reread(&id).await
    }

    async fn reread(&self, id: &KeyId) -> Result<(), StoredKeyError> {
        let known = self.read().by_id.get(id).map(|key| key.version);
        let found = self.ground.store.get(Table::Client, self.org(), &row_key(id)).await?;
        let found = found.as_ref().map(|record| entry(id, record)).transpose()?.flatten();
        let mut keys = self.lock();
        match found {
            Some(entry) => keys.put(entry),
            // Unless it was made meanwhile.
            None if keys.by_id.get(id).map(|key| key.version) == known => {
                keys.remove(id);
            }
            None => {}
        }
        Ok(())
    }

    async fn read_all(&self) -> Result<(), StoredKeyError> {
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let (table, org, prefix) = (Table::Client, self.org().clone(), PREFIX.to_vec());
            let scan = Scan { table, org, prefix, after, limit: PAGE };
            let rows = self.ground.store.scan(scan).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in rows {
                let Some(id) = key_of(&row.key) else { continue };
                if let Some(entry) = entry(&id, &row.record)? {
                    self.lock().put(entry);
                    seen.insert(id);
                }
            }
        }
        let known: Vec<KeyId> = self.read().by_id.keys().cloned().collect();
        for id in known.iter().filter(|id| !seen.contains(*id)) {
            self.reread(id).await?;
        }
        Ok(())
    }

    async fn write(&self, row: &KeyRow, expect: Expect) -> Result<u64, StoreError> {
        let put = Put {
            table: Table::Client,
            org: self.org().clone(),
            key: row_key(&row.id),
            value: serde_json::to_vec(row).unwrap_or_default(),
            schema: SCHEMA,
            expires: row.expires,
            expect,
        };
        Ok(self.ground.store.commit(Batch::new().with(Op::Put(put))).await?.version)
    }

    fn org(&self) -> &OrgId {
        self.ground.issuer.org()
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}
