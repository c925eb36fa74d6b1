//! Replaces the keys of organisations when they are due, and reseals what the ones before sealed.
//!
//! Goes on where an earlier process stopped: the way so far stands in table `job` under the key
//! `reseal`, as JSON ([`Progress`]). Takes a few thousand rows a second, so that calls go on beside
//! it, unless a key may be known to somebody else. How a row is resealed is the store's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidegate_model::{CallId, Clock, OrgId, Timestamp};
use tidegate_store::{
    Batch, EmbeddedStore, KeyUse, Store, StoreError, Table,
    blob::{BlobArea, BlobError},
};
use tokio::sync::Notify;

use crate::gateway::Gateway;

/// How often keys are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// Pause after an error.
const PAUSE: Duration = Duration::from_secs(5);
/// Rows in one piece.
const PIECE: usize = 128;
/// Rows resealed in a second.
const RATE: u32 = 2_000;
/// How often all rows are gone through again for what was written under the old key meanwhile.
const ROUNDS: u32 = 3;
const KEY: &[u8] = b"reseal";

/// Replaces keys; one for the process.
#[derive(Debug)]
pub(crate) struct Rotation {
    store: Arc<EmbeddedStore>,
    blobs: Arc<BlobArea>,
    clock: Arc<dyn Clock>,
    progress: Mutex<BTreeMap<OrgId, Progress>>,
    wake: Notify,
}

/// How far the resealing of an organisation has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The version of the key under which everything is to be sealed.
    pub(crate) version: u32,
    /// Rows under other versions when it began, once they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<u64>,
    /// Rows resealed, those written anew by others not among them.
    pub(crate) resealed: u64,
    /// Blobs resealed.
    pub(crate) blobs: u64,
    /// Rows and blobs that do not open and were left as they are.
    pub(crate) closed: u64,
    /// Whether it goes as fast as it can.
    pub(crate) urgent: bool,
    /// When the key was replaced.
    pub(crate) began: Timestamp,
    /// When everything was under the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// The row to go on with.
    from: Vec<u8>,
}

impl Rotation {
    /// Over the store and the blobs of a data directory.
    pub(crate) fn new(
        store: Arc<EmbeddedStore>,
        blobs: Arc<BlobArea>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let (progress, wake) = (Mutex::default(), Notify::new());
        Arc::new(Self { store, blobs, clock, progress, wake })
    }

    /// The store, for its root keys.
    pub(crate) fn store(&self) -> &Arc<EmbeddedStore> {
        &self.store
    }

    /// Puts a new key of an organisation in use. What was sealed before is resealed in the
    /// background, at once where that is urgent. Gives the version.
    pub(crate) async fn replace(&self, org: &OrgId, urgent: bool) -> Result<u32, StoreError> {
        let version = self.store.rotate_org(org).await?;
        let began = self.clock.now();
        let progress = Progress { version, urgent, began, ..Progress::default() };
        self.save(org, progress).await?;
        self.wake.notify_one();
        Ok(version)
    }

    /// How far resealing has come; `None` where a key was never replaced.
    pub(crate) fn progress(&self, org: &OrgId) -> Option<Progress> {
        self.all().get(org).cloned()
    }

    /// How many rows are still to be resealed, as far as they are counted.
    pub(crate) fn left(&self, org: &OrgId) -> u64 {
        let progress = self.progress(org);
        progress.map_or(0, |it| match it.ended {
            Some(_) => it.closed,
            None => it.of.unwrap_or(0).saturating_sub(it.resealed),
        })
    }

    /// The key that seals what an organisation writes now.
    pub(crate) fn key(&self, org: &OrgId) -> Option<KeyUse> {
        self.store.keyring().usage(org).last().copied()
    }

    /// What an administrator should know of an organisation's keys.
    pub(crate) fn notices(&self, org: &OrgId) -> Vec<String> {
        let key = self.key(org).filter(KeyUse::is_alarming);
        let alarm = key.map(|key| {
            let (version, sealed) = (key.version, key.sealed);
            format!("key {version} has sealed {sealed} values and stops at {}: run `tidegate key rotate`", tidegate_store::HARD_STOP)
        });
        let progress = self.progress(org);
        let going = progress.as_ref().filter(|it| it.ended.is_none()).map(|it| it.words());
        let closed = progress.filter(|it| it.closed > 0 && it.ended.is_some()).map(|it| {
            format!(
                "{} rows or blobs do not open and stay under an old key: see the log",
                it.closed
            )
        });
        alarm.into_iter().chain(going).chain(closed).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<OrgId, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn save(&self, org: &OrgId, progress: Progress) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&progress).unwrap_or_default();
        self.all().insert(org.clone(), progress);
        self.store.commit(Batch::new().put(Table::Job, org, KEY, text)).await?;
        Ok(())
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, gateway: Arc<Gateway>) {
        let mut has_begun = false;
        loop {
            let round = async {
                if !has_begun {
                    self.begin().await?;
                    has_begun = true;
                }
                self.round(&gateway).await
            };
            let pause = match round.await {
                Ok(()) => EVERY,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "keys cannot be looked after; trying again"
                    );
                    PAUSE
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Finishes what an earlier process began with root keys, and reads how far the rest is.
    async fn begin(&self) -> anyhow::Result<()> {
        let wrapped = self.store.rewrap().await?;
        if wrapped > 0 {
            tracing::info!(wrapped, "keys were wrapped under the present root key");
        }
        for org in self.store.keyring().orgs() {
            let Some(record) = self.store.get(Table::Job, &org, KEY).await? else { continue };
            match serde_json::from_slice(&record.value) {
                Ok(progress) => drop(self.all().insert(org, progress)),
                Err(error) => {
                    tracing::warn!(%org, %error, "how far resealing is cannot be read; it begins anew")
                }
            }
        }
        Ok(())
    }

    /// One look at every organisation's key.
    async fn round(&self, gateway: &Arc<Gateway>) -> anyhow::Result<()> {
        for org in self.store.keyring().orgs() {
            let Some(key) = self.key(&org) else { continue };
            if key.is_alarming() {
                tracing::error!(%org, sealed = key.sealed, "a key comes near the end of what it may seal");
            }
            if key.is_due(self.clock.now()) {
                let version = self.replace(&org, false).await?;
                tracing::info!(%org, version, "the key was old enough to be replaced");
                self.note(gateway, &org, version).await;
            }
            while self.is_wanted(&org) {
                self.reseal(&org).await.with_context(|| format!("organisation `{org}`"))?;
            }
        }
        Ok(())
    }

    /// Whether there may be anything under another key than the present one.
    fn is_wanted(&self, org: &OrgId) -> bool {
        let version = self.store.keyring().current_version(org).unwrap_or(0);
        match self.all().get(org) {
            Some(progress) => progress.version != version || progress.ended.is_none(),
            None => version > 1,
        }
    }

    /// Puts on record that a key was replaced by itself.
    async fn note(&self, gateway: &Arc<Gateway>, org: &OrgId, version: u32) {
        let mut random = [0_u8; 10];
        // Ids still sort and differ by time without it.
        let _ = getrandom::fill(&mut random);
        let id = CallId::new(self.clock.now(), random);
        let mut record = gateway.audit.open(id, org.clone(), "job:key_rotate");
        record.always_on_disk();
        record
            .note(format!("key {version} of organisation {org} in use, as the one before was due"));
        if let Err(error) = record.done().await {
            tracing::error!(%org, %error, "a replaced key is not on record");
        }
    }

    /// Reseals everything of an organisation, or until its key is replaced again.
    async fn reseal(&self, org: &OrgId) -> anyhow::Result<()> {
        let version = self.store.keyring().current_version(org).unwrap_or(0);
        let known = self.progress(org).filter(|known| known.version == version);
        let mut progress = known.unwrap_or_else(|| Progress {
            version,
            began: self.clock.now(),
            ..Progress::default()
        });
        if progress.of.is_none() {
            progress.of = Some(self.count_old(org, version).await?);
            self.save(org, progress.clone()).await?;
        }
        for _ in 0..ROUNDS {
            progress.closed = 0;
            if !self.rows(org, &mut progress).await? {
                return Ok(());
            }
            self.blobs(org, &mut progress).await?;
            if self.count_old(org, version).await? <= progress.closed {
                break;
            }
        }
        progress.ended = Some(self.clock.now());
        let Progress { resealed, blobs, closed, .. } = progress;
        tracing::info!(%org, version, resealed, blobs, closed, "everything is sealed under the present key");
        self.save(org, progress).await?;
        Ok(())
    }

    /// Goes through all rows; `false` where the key was replaced meanwhile.
    async fn rows(&self, org: &OrgId, progress: &mut Progress) -> anyhow::Result<bool> {
        loop {
            let piece = self.store.reseal(org, &progress.from, PIECE).await?;
            progress.resealed += piece.resealed;
            progress.closed += piece.closed;
            let is_last = piece.next.is_none();
            progress.from = piece.next.unwrap_or_default();
            if self.store.keyring().current_version(org) != Some(progress.version) {
                return Ok(false);
            }
            if piece.resealed > 0 || is_last {
                self.save(org, progress.clone()).await?;
            }
            if is_last {
                return Ok(true);
            }
            let paced = u32::try_from(piece.resealed).unwrap_or(RATE);
            // Whoever is urgent waits for nobody, not even in the queue.
            let is_urgent = self.all().values().any(|it| it.urgent && it.ended.is_none());
            if paced > 0 && !is_urgent {
                tokio::time::sleep(Duration::from_secs(1) * paced / RATE).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn blobs(&self, org: &OrgId, progress: &mut Progress) -> anyhow::Result<()> {
        let (blobs, of) = (Arc::clone(&self.blobs), org.clone());
        let work = move || -> Result<(u64, u64), BlobError> {
            let (mut resealed, mut closed) = (0, 0);
            for id in blobs.list(&of)? {
                match blobs.reseal(&of, id) {
                    Ok(done) => resealed += u64::from(done),
                    Err(BlobError::Damaged(id)) => {
                        tracing::error!(org = %of, blob = %id, "a blob does not open and is not resealed");
                        closed += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok((resealed, closed))
        };
        let (resealed, closed) = tokio::task::spawn_blocking(work).await??;
        progress.blobs += resealed;
        progress.closed += closed;
        Ok(())
    }

    /// Rows under other versions.
    async fn count_old(&self, org: &OrgId, version: u32) -> anyhow::Result<u64> {
        let (store, org) = (Arc::clone(&self.store), org.clone());
        let rows = tokio::task::spawn_blocking(move || store.rows_by_key(&org)).await??;
        Ok(rows.into_iter().filter(|(of, _)| *of != version).map(|(_, count)| count).sum())
    }
}

impl Progress {
    /// For people, while it goes on.
    fn words(&self) -> String {
        let Self { version, resealed, .. } = self;
        let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
        format!("key {version} is in use, and {resealed}{of} rows are resealed under it")
    }
}
