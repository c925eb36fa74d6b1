//! What the gateway keeps in its store: approved offers, published names, applied resources,
//! the number of the last revision.
//!
//! The only module that knows how these are laid out in tables. Texts longer than one value
//! go to the blob area first and are referred to by hash, so none is ever half there.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tidegate_governance::catalog::names::Pinned;
use tidegate_model::{ConnectorId, Json, OrgId, RevisionId, ToolName, VmcpId};
use tidegate_store::{
    Batch, Health, MAX_VALUE, Scan, Store, StoreError, Table,
    blob::{BlobArea, BlobError, BlobId},
};

use crate::{assembly::offers, config::Resources};

/// Between the parts of a key; no part can hold it.
const SEPARATOR: u8 = 0;
/// First byte of a value that holds its text.
const INLINE: u8 = 0;
/// First byte of a value that names a blob.
const IN_BLOB: u8 = 1;
/// Key of the resources that the store owns.
const APPLIED: &[u8] = b"applied";
/// Key of the number of the last revision.
const LAST: &[u8] = b"last";

/// Why a record cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The store refused.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The blob area refused.
    #[error("the blob area failed: {0}")]
    Blob(#[from] BlobError),
    /// What is stored is not what was written.
    #[error("the stored {0} cannot be read; was it written by a newer version?")]
    Unreadable(&'static str),
}

/// The gateway's records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: Arc<dyn Store>,
    blobs: Arc<BlobArea>,
}

impl Records {
    /// Over a store in which the organisation has its key already.
    pub(crate) fn new(store: Arc<dyn Store>, blobs: Arc<BlobArea>) -> Self {
        Self { store, blobs }
    }

    /// The store itself, for what is laid out elsewhere (the audit index).
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The same, shared.
    pub(crate) fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Whether the store can be used.
    pub(crate) fn health(&self) -> Health {
        self.store.health()
    }

    /// The approved offer of a connector, as `assembly::offers` reads it.
    pub(crate) async fn offer(
        &self,
        org: &OrgId,
        connector: &ConnectorId,
    ) -> Result<Option<Json>, RecordError> {
        let text = self.text(Table::ToolRecord, org, connector.as_str().as_bytes()).await?;
        let json = text.map(Json::parse).transpose();
        json.map_err(|_| RecordError::Unreadable("record of a connector"))
    }

    /// The tools that a connector had once and has no more: a record of tools alone.
    pub(crate) async fn gone(
        &self,
        org: &OrgId,
        connector: &ConnectorId,
    ) -> Result<Option<Json>, RecordError> {
        let text = self.text(Table::ToolRecord, org, &gone_key(connector)).await?;
        text.map(Json::parse)
            .transpose()
            .map_err(|_| RecordError::Unreadable("record of a connector"))
    }

    /// Keeps the offer of a connector, and the tools it has no more; whether the former
    /// differs from what was kept.
    pub(crate) async fn keep_offer(
        &self,
        org: &OrgId,
        connector: &ConnectorId,
        record: &Json,
    ) -> Result<bool, RecordError> {
        let key = connector.as_str().as_bytes();
        let before = self.text(Table::ToolRecord, org, key).await?;
        if before.as_deref() == Some(record.as_str().as_bytes()) {
            return Ok(false);
        }
        let before = before.map(Json::parse).transpose();
        let before = before.map_err(|_| RecordError::Unreadable("record of a connector"))?;
        let earlier = [before, self.gone(org, connector).await?];
        let gone = offers::gone(connector, earlier.iter().flatten(), record);
        self.keep(Table::ToolRecord, org, &gone_key(connector), gone.as_str().as_bytes()).await?;
        self.keep(Table::ToolRecord, org, key, record.as_str().as_bytes()).await?;
        Ok(true)
    }

    /// All published names of an organisation.
    pub(crate) async fn pinned(&self, org: &OrgId) -> Result<HashMap<VmcpId, Pinned>, RecordError> {
        let mut pinned: HashMap<VmcpId, Pinned> = HashMap::new();
        let mut scan = Scan::all(Table::PinnedName, org);
        loop {
            let rows = self.store.scan(scan.clone()).await?;
            let Some(last) = rows.last() else { return Ok(pinned) };
            scan.after = Some(last.key.clone());
            for row in &rows {
                let (vmcp, connector, tool) =
                    read_pin_key(&row.key).ok_or(RecordError::Unreadable("published name"))?;
                let name = String::from_utf8(row.record.value.clone());
                let name = name.map_err(|_| RecordError::Unreadable("published name"))?;
                pinned.entry(vmcp).or_default().insert((connector, tool), name);
            }
        }
    }

    /// Keeps the names that are new or changed.
    pub(crate) async fn pin(
        &self,
        org: &OrgId,
        before: &HashMap<VmcpId, Pinned>,
        now: &HashMap<VmcpId, Pinned>,
    ) -> Result<(), RecordError> {
        let is_new = |vmcp: &VmcpId, key: &(ConnectorId, ToolName), name: &String| {
            before.get(vmcp).and_then(|pins| pins.get(key)) != Some(name)
        };
        let fresh: Vec<(Vec<u8>, &String)> = now
            .iter()
            .flat_map(|(vmcp, pins)| pins.iter().map(move |(key, name)| (vmcp, key, name)))
            .filter(|(vmcp, key, name)| is_new(vmcp, key, name))
            .map(|(vmcp, (connector, tool), name)| (pin_key(vmcp, connector, tool), name))
            .collect();
        for some in fresh.chunks(512) {
            let batch = some.iter().fold(Batch::new(), |batch, (key, name)| {
                batch.put(Table::PinnedName, org, key, name.as_bytes().to_vec())
            });
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    /// The resources that the store owns.
    pub(crate) async fn applied(&self, org: &OrgId) -> Result<Resources, RecordError> {
        match self.text(Table::Resource, org, APPLIED).await? {
            None => Ok(Resources::default()),
            Some(text) => {
                serde_json::from_slice(&text).map_err(|_| RecordError::Unreadable("resources"))
            }
        }
    }

    /// Keeps the resources that the store owns.
    pub(crate) async fn keep_applied(
        &self,
        org: &OrgId,
        resources: &Resources,
    ) -> Result<(), RecordError> {
        let text =
            serde_json::to_vec(resources).map_err(|_| RecordError::Unreadable("resources"))?;
        self.keep(Table::Resource, org, APPLIED, &text).await
    }

    /// The number of the last revision.
    pub(crate) async fn last_revision(&self, org: &OrgId) -> Result<RevisionId, RecordError> {
        let record = self.store.get(Table::Revision, org, LAST).await?;
        let Some(record) = record else { return Ok(RevisionId::default()) };
        let number = <[u8; 8]>::try_from(record.value.as_slice());
        number
            .map(|number| RevisionId(u64::from_be_bytes(number)))
            .map_err(|_| RecordError::Unreadable("revision"))
    }

    /// Keeps the number of the last revision.
    pub(crate) async fn keep_revision(
        &self,
        org: &OrgId,
        id: RevisionId,
    ) -> Result<(), RecordError> {
        let batch = Batch::new().put(Table::Revision, org, LAST, id.0.to_be_bytes().to_vec());
        self.store.commit(batch).await?;
        Ok(())
    }

    /// A text that may be longer than one value.
    async fn text(
        &self,
        table: Table,
        org: &OrgId,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, RecordError> {
        let Some(record) = self.store.get(table, org, key).await? else { return Ok(None) };
        match record.value.split_first() {
            Some((&INLINE, text)) => Ok(Some(text.to_vec())),
            Some((&IN_BLOB, id)) => {
                let id = BlobId(
                    <[u8; 32]>::try_from(id).map_err(|_| RecordError::Unreadable("reference"))?,
                );
                let (blobs, org) = (Arc::clone(&self.blobs), org.clone());
                let read = tokio::task::spawn_blocking(move || blobs.get(&org, id)).await;
                Ok(Some(read.map_err(|_| RecordError::Unreadable("blob"))??))
            }
            _ => Err(RecordError::Unreadable("value")),
        }
    }

    /// Writes a text: into the record itself, or into the blob area where it is long.
    async fn keep(
        &self,
        table: Table,
        org: &OrgId,
        key: &[u8],
        text: &[u8],
    ) -> Result<(), RecordError> {
        let mut value = Vec::with_capacity(text.len().min(MAX_VALUE) + 1);
        if text.len() < MAX_VALUE {
            value.push(INLINE);
            value.extend_from_slice(text);
        } else {
            let (blobs, of, text) = (Arc::clone(&self.blobs), org.clone(), text.to_vec());
            let put = tokio::task::spawn_blocking(move || blobs.put(&of, &text)).await;
            value.push(IN_BLOB);
            value.extend_from_slice(&put.map_err(|_| RecordError::Unreadable("blob"))??.0);
        }
        self.store.commit(Batch::new().put(table, org, key, value)).await?;
        Ok(())
    }

    /// Removes blobs that no record refers to (any more).
    pub(crate) async fn collect(&self, org: &OrgId) -> Result<usize, RecordError> {
        self.blobs.begin_collection(org)?;
        let mut referenced = HashSet::new();
        for table in [Table::ToolRecord, Table::Resource] {
            let mut scan = Scan::all(table, org);
            loop {
                let rows = self.store.scan(scan.clone()).await?;
                let Some(last) = rows.last() else { break };
                scan.after = Some(last.key.clone());
                referenced.extend(rows.iter().filter_map(
                    |row| match row.record.value.split_first() {
                        Some((&IN_BLOB, id)) => <[u8; 32]>::try_from(id).ok().map(BlobId),
                        _ => None,
                    },
                ));
            }
        }
        Ok(self.blobs.end_collection(org, &referenced)?)
    }
}

/// Connector names hold no slash, so this is no connector's own key.
fn gone_key(connector: &ConnectorId) -> Vec<u8> {
    format!("{connector}/gone").into_bytes()
}

fn pin_key(vmcp: &VmcpId, connector: &ConnectorId, tool: &ToolName) -> Vec<u8> {
    let mut key = Vec::new();
    for part in [vmcp.as_str(), connector.as_str()] {
        key.extend_from_slice(part.as_bytes());
        key.push(SEPARATOR);
    }
    key.extend_from_slice(tool.as_str().as_bytes());
    key
}

fn read_pin_key(key: &[u8]) -> Option<(VmcpId, ConnectorId, ToolName)> {
    let mut parts = std::str::from_utf8(key).ok()?.splitn(3, char::from(SEPARATOR));
    let vmcp = VmcpId::new(parts.next()?).ok()?;
    let connector = ConnectorId::new(parts.next()?).ok()?;
    Some((vmcp, connector, ToolName::new(parts.next()?).ok()?))
}
