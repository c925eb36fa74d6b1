//! Where credentials are kept: one organisation's rows in the store's table `Credential`.
//!
//! A row's key is `c ‖ 0 ‖ connector ‖ 0 ‖ kind ‖ 0 ‖ place ‖ 0 ‖ SHA-256 of the owner`, where the
//! place is the origin that it may be sent to, or `machine` for a hosted program. The store
//! seals a value under its organisation, table, key, version and expiry, so that a row which
//! was moved to another connector, place or owner, or put back to an older state, does not
//! open; and a connector whose URL is changed finds nothing. Values are JSON ([`Kept`]).
//!
//! Rows under other prefixes are of kinds alone: `k` registrations at authorization servers,
//! `r` whose credential a connector's lists are read with.
//!
//! Knows no kind: the part of a value that is a kind's own is whatever that kind serializes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tidegate_model::{Clock, ConnectorId, OrgId, Timestamp, UserId};
use tidegate_store::{
    Batch, Changes, Event, Expect, Op, Put, Scan, Store, StoreError, Table, generation,
};
use tidegate_wire::client::egress::Egress;
use tokio::sync::OwnedMutexGuard;
use zeroize::Zeroizing;

use super::{Owner, oauth::registration::ClientIdentity, owner::OwnerKey, shelf::Shelf};

/// The schema number of values.
const SCHEMA: u32 = 1;
const SEPARATOR: u8 = 0;
/// Most credentials that are listed of one connector at once.
const PAGE: usize = 1_000;
/// How often what nobody uses any more is wiped from memory.
const SWEEP: Duration = Duration::from_secs(60);

/// The credentials of one organisation.
#[derive(Debug)]
pub struct Vault {
    org: OrgId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    egress: Arc<Egress>,
    identity: ClientIdentity,
    /// What connectors have at hand, to be told of changes.
    shelves: Mutex<Vec<(ConnectorId, Weak<Shelf>)>>,
    /// One lock for each credential that is being renewed.
    renewals: Mutex<HashMap<Vec<u8>, Weak<tokio::sync::Mutex<()>>>>,
}

/// Nobody else renews the same credential for as long as it is held.
pub(crate) type Alone = OwnedMutexGuard<()>;

/// Which credential: whose, for which connector, of which kind, sent where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The connector.
    pub connector: ConnectorId,
    /// The kind, as [`super::CredentialSpec::kind`] spells it.
    pub kind: &'static str,
    /// The origin it may be sent to, or `machine`.
    pub place: String,
    /// Whose it is.
    pub owner: Owner,
}

/// A kept credential. `T` is the kind's own part; it holds the secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept<T> {
    /// About it, without a secret.
    #[serde(flatten)]
    pub about: About,
    /// The kind's own part.
    pub body: T,
}

/// What is shown of a credential; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose it is; absent for a shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Who brought it.
    pub by: String,
    /// The account that it stands for, as the service calls it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// When it was brought.
    pub created: Timestamp,
    /// When it was last renewed or replaced.
    pub changed: Timestamp,
    /// When it stops working for good, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Why it does not work any more: somebody has to bring a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
}

/// A kept credential with the version of its row.
pub struct Versioned<T> {
    /// It.
    pub kept: Kept<T>,
    /// The version of its row, to be expected when it is written again.
    pub version: u64,
    /// Changes with what it says, and not when it is merely sealed with another key.
    pub content: u64,
}

/// A credential in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The connector.
    pub connector: ConnectorId,
    /// The kind.
    pub kind: String,
    /// The origin it may be sent to, or `machine`.
    pub place: String,
    /// About it.
    pub about: About,
}

/// Why the vault refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The store refused.
    #[error("the vault cannot be read or written: {0}")]
    Store(#[from] StoreError),
    /// A value that this version does not understand.
    #[error("a stored credential cannot be read; was it written by a newer version?")]
    Unreadable,
    /// Somebody else has changed it meanwhile.
    #[error("the credential was changed meanwhile: try again")]
    Changed,
}

impl Vault {
    /// Over a store in which the organisation has its key already. Whoever makes it runs
    /// [`Vault::follow`] beside it.
    pub fn new(
        org: OrgId,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        egress: Arc<Egress>,
        identity: ClientIdentity,
    ) -> Arc<Self> {
        let (shelves, renewals) = (Mutex::default(), Mutex::default());
        Arc::new(Self { org, store, clock, egress, identity, shelves, renewals })
    }

    /// The organisation.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The gateway as a client of authorization servers.
    pub fn identity(&self) -> &ClientIdentity {
        &self.identity
    }

    /// The way out, for kinds that ask somebody for their material.
    pub(crate) fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Hears of changes by other processes, from the moment it is called until the store is
    /// closed.
    pub fn follow(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        let changes = self.store.watch();
        self.following(changes)
    }

    async fn following(self: Arc<Self>, mut changes: Changes) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let event = tokio::select! {
                event = changes.next() => event,
                _ = sweep.tick() => {
                    let now = self.now();
                    self.each_shelf(None, |shelf| shelf.sweep(now));
                    continue;
                }
            };
            match event {
                Some(Event::Changed(change)) => {
                    if change.org != self.org {
                        continue;
                    }
                    match change.table {
                        Table::Credential => self.forget(&change.key),
                        // Perhaps all credentials were revoked.
                        Table::Meta => self.each_shelf(None, Shelf::clear),
                        _ => {}
                    }
                }
                Some(Event::Missed) => self.each_shelf(None, Shelf::clear),
                None => return,
            }
        }
    }

    /// A credential, if there is one.
    pub async fn read<T: DeserializeOwned>(
        &self,
        slot: &Slot,
    ) -> Result<Option<Versioned<T>>, VaultError> {
        self.read_at(&slot.key()).await
    }

    async fn read_at<T: DeserializeOwned>(
        &self,
        key: &[u8],
    ) -> Result<Option<Versioned<T>>, VaultError> {
        let found = self.store.get(Table::Credential, &self.org, key).await?;
        let Some(record) = found else { return Ok(None) };
        let value = Zeroizing::new(record.value);
        let mut kept: Kept<T> =
            serde_json::from_slice(&value).map_err(|_| VaultError::Unreadable)?;
        let generation = generation(&*self.store, &self.org).await?;
        if generation.is_some_and(|generation| kept.about.created < generation.since) {
            let why = "all credentials of the organisation were revoked since it was brought";
            kept.about.dead.get_or_insert_with(|| why.to_owned());
        }
        let content =
            Sha256::digest(&*value).first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        Ok(Some(Versioned { kept, version: record.version, content }))
    }

    /// Keeps a credential, if it is as `expect` says; durable when it answers. The version.
    pub async fn write<T: Serialize>(
        &self,
        slot: &Slot,
        kept: &Kept<T>,
        expect: Expect,
    ) -> Result<u64, VaultError> {
        let key = slot.key();
        let value = serde_json::to_vec(kept).map_err(|_| VaultError::Unreadable)?;
        let put = Put {
            table: Table::Credential,
            org: self.org.clone(),
            key: key.clone(),
            value,
            schema: SCHEMA,
            expires: None,
            expect,
        };
        let committed = self.store.commit(Batch::new().with(Op::Put(put))).await;
        // Also where it is not known whether it was written.
        self.forget(&key);
        match committed {
            Ok(committed) => Ok(committed.version),
            Err(StoreError::Conflict { .. }) => Err(VaultError::Changed),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a credential; whether there was one.
    pub async fn remove(&self, slot: &Slot) -> Result<bool, VaultError> {
        let key = slot.key();
        let found = self.store.get(Table::Credential, &self.org, &key).await?;
        if found.is_some() {
            let batch = Batch::new().delete(Table::Credential, &self.org, &key);
            let removed = self.store.commit(batch).await;
            self.forget(&key);
            removed?;
        }
        Ok(found.is_some())
    }

    /// What is kept for a connector, or for all where none is named, without secrets.
    pub async fn list(&self, connector: Option<&ConnectorId>) -> Result<Vec<Listed>, VaultError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(flatten)]
            about: About,
        }
        let mut prefix = b"c\0".to_vec();
        if let Some(connector) = connector {
            prefix.extend_from_slice(connector.as_str().as_bytes());
            prefix.push(SEPARATOR);
        }
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (table, org) = (Table::Credential, self.org.clone());
            let scan =
                Scan { table, org, prefix: prefix.clone(), after: after.take(), limit: PAGE };
            let rows = self.store.scan(scan).await?;
            let is_last = rows.len() < PAGE;
            after = rows.last().map(|row| row.key.clone());
            for row in rows {
                let value = Zeroizing::new(row.record.value);
                let head: Head =
                    serde_json::from_slice(&value).map_err(|_| VaultError::Unreadable)?;
                let (connector, kind, place) = parts(&row.key).ok_or(VaultError::Unreadable)?;
                all.push(Listed { connector, kind, place, about: head.about });
            }
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Whose credential a connector's lists are read with, where each brings their own.
    pub async fn reader(&self, connector: &ConnectorId) -> Result<Option<UserId>, VaultError> {
        let key = reader_key(connector);
        let found = self.store.get(Table::Credential, &self.org, &key).await?;
        let Some(record) = found else { return Ok(None) };
        serde_json::from_slice(&record.value).map(Some).map_err(|_| VaultError::Unreadable)
    }

    /// Has a connector's lists be read with the credential of `user` from now on.
    pub async fn set_reader(
        &self,
        connector: &ConnectorId,
        user: &UserId,
    ) -> Result<(), VaultError> {
        let value = serde_json::to_vec(user).map_err(|_| VaultError::Unreadable)?;
        let key = reader_key(connector);
        self.store.commit(Batch::new().put(Table::Credential, &self.org, &key, value)).await?;
        Ok(())
    }

    /// Something that a kind keeps beside credentials, under a key with a prefix of its own.
    pub(crate) async fn aside<T: DeserializeOwned>(
        &self,
        key: &[u8],
    ) -> Result<Option<T>, VaultError> {
        let found = self.store.get(Table::Credential, &self.org, key).await?;
        let Some(record) = found else { return Ok(None) };
        let value = Zeroizing::new(record.value);
        serde_json::from_slice(&value).map(Some).map_err(|_| VaultError::Unreadable)
    }

    /// Keeps it.
    pub(crate) async fn keep_aside<T: Serialize>(
        &self,
        key: &[u8],
        value: &T,
    ) -> Result<(), VaultError> {
        let value = serde_json::to_vec(value).map_err(|_| VaultError::Unreadable)?;
        self.store.commit(Batch::new().put(Table::Credential, &self.org, key, value)).await?;
        Ok(())
    }

    /// Forgets it.
    pub(crate) async fn drop_aside(&self, key: &[u8]) -> Result<(), VaultError> {
        self.store.commit(Batch::new().delete(Table::Credential, &self.org, key)).await?;
        Ok(())
    }

    /// Waits until nobody else in this process renews the same credential.
    pub(crate) async fn alone(&self, slot: &Slot) -> Alone {
        self.lock_of(slot).lock_owned().await
    }

    /// The same without waiting; `None` where somebody does.
    pub(crate) fn alone_now(&self, slot: &Slot) -> Option<Alone> {
        self.lock_of(slot).try_lock_owned().ok()
    }

    fn lock_of(&self, slot: &Slot) -> Arc<tokio::sync::Mutex<()>> {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let key = slot.key();
        match renewals.get(&key).and_then(Weak::upgrade) {
            Some(lock) => lock,
            None => {
                renewals.retain(|_, lock| lock.strong_count() > 0);
                let lock = Arc::new(tokio::sync::Mutex::new(()));
                renewals.insert(key, Arc::downgrade(&lock));
                lock
            }
        }
    }

    /// Tells `shelf` of changes from now on.
    pub(crate) fn tell(&self, connector: &ConnectorId, shelf: &Arc<Shelf>) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|(_, shelf)| shelf.strong_count() > 0);
        shelves.push((connector.clone(), Arc::downgrade(shelf)));
    }

    fn forget(&self, key: &[u8]) {
        let Some((connector, ..)) = parts(key) else { return };
        let Some(owner) = owner_of(key) else { return };
        self.each_shelf(Some(&connector), |shelf| shelf.drop_one(owner));
    }

    fn each_shelf(&self, connector: Option<&ConnectorId>, each: impl Fn(&Shelf)) {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned =
            shelves.iter().filter(|(of, _)| connector.is_none_or(|connector| connector == of));
        concerned.filter_map(|(_, shelf)| shelf.upgrade()).for_each(|shelf| each(&shelf));
    }
}

impl Slot {
    fn key(&self) -> Vec<u8> {
        let mut key = b"c\0".to_vec();
        for part in [self.connector.as_str(), self.kind, self.place.as_str()] {
            key.extend_from_slice(part.as_bytes());
            key.push(SEPARATOR);
        }
        key.extend_from_slice(&self.owner.key().0);
        key
    }
}

impl About {
    /// Something that `by` has brought for `owner` just now.
    pub fn new(owner: &Owner, by: impl Into<String>, now: Timestamp) -> Self {
        Self {
            user: owner.user().cloned(),
            by: by.into(),
            account: None,
            created: now,
            changed: now,
            expires: None,
            dead: None,
        }
    }
}

fn reader_key(connector: &ConnectorId) -> Vec<u8> {
    [b"r\0", connector.as_str().as_bytes()].concat()
}

/// Connector, kind and place of a credential's key.
fn parts(key: &[u8]) -> Option<(ConnectorId, String, String)> {
    let (head, _) = key.strip_prefix(b"c\0")?.split_last_chunk::<32>()?;
    let mut parts = std::str::from_utf8(head).ok()?.split('\0');
    let connector = ConnectorId::new(parts.next()?).ok()?;
    Some((connector, parts.next()?.to_owned(), parts.next()?.to_owned()))
}

fn owner_of(key: &[u8]) -> Option<OwnerKey> {
    key.last_chunk::<32>().copied().map(OwnerKey)
}

#[cfg(test)]
mod tests;
