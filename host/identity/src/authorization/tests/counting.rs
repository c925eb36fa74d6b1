//! A store that counts and fails as told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tidegate_store::{
    Batch, BoxFuture, Changes, Committed, Health, Keyring, Record, Row, Scan, Store, StoreError,
    Table, Verified,
};

/// A store that counts what is asked of it, and fails while it is told to.
#[derive(Debug)]
pub(super) struct Counting {
    store: Arc<dyn Store>,
    count: AtomicUsize,
    is_broken: AtomicBool,
}

impl Counting {
    pub(super) fn over(store: Arc<dyn Store>) -> Arc<Self> {
        let is_broken = AtomicBool::new(false);
        Arc::new(Self { store, count: AtomicUsize::new(0), is_broken })
    }

    /// Readings, scans and commits since the last time this was asked.
    pub(super) fn taken(&self) -> usize {
        self.count.swap(0, Ordering::SeqCst)
    }

    pub(super) fn breaks(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    fn count(&self) -> Result<(), StoreError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.is_broken.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }
}

impl Store for Counting {
    fn get<'a>(
        &'a self,
        table: Table,
        org: &'a tidegate_model::OrgId,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            self.count()?;
            self.store.get(table, org, key).await
        })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            self.count()?;
            self.store.scan(scan).await
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(async move {
            self.count()?;
            self.store.commit(batch).await
        })
    }

    fn ensure_org<'a>(
        &'a self,
        org: &'a tidegate_model::OrgId,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.ensure_org(org)
    }

    fn watch(&self) -> Changes {
        self.store.watch()
    }

    fn health(&self) -> Health {
        self.store.health()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, StoreError>> {
        self.store.verify()
    }

    fn keyring(&self) -> &Arc<Keyring> {
        self.store.keyring()
    }
}
