//! Reading and writing what the authorization server keeps.
//!
//! Owns the form of its values (JSON with a schema number) and that an expectation which does
//! not hold is an answer, not a fault. Knows no grant and no token.

use std::sync::Arc;

use model::{Clock, OrgId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, Put, Record, Row, Scan, Store, StoreError, Table};

use super::error::AuthorizationError;
use crate::Ground;

/// The schema number of every value here.
const SCHEMA: u32 = 1;

/// The rows of one organisation.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    store: Arc<dyn Store>,
    org: OrgId,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Rows {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            store: Arc::clone(&ground.store),
            org: ground.issuer.org().clone(),
            clock: Arc::clone(&ground.clock),
        }
    }

    /// A value and the version of its row; `what` names it where it cannot be read.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<(T, u64)>, AuthorizationError> {
        let Some(record) = self.store.get(table, &self.org, key).await? else { return Ok(None) };
        Ok(Some((value(&record, what)?, record.version)))
    }

    /// When a row ceases to exist; `None` where there is none, or it never does.
    pub(crate) async fn expiry(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Timestamp>, AuthorizationError> {
        Ok(self.store.get(table, &self.org, key).await?.and_then(|record| record.expires))
    }

    /// Some rows whose keys begin with `prefix`, after `after`.
    pub(crate) async fn list(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Row>, AuthorizationError> {
        let prefix = prefix.to_vec();
        let scan = Scan { table, org: self.org.clone(), prefix, after, limit };
        Ok(self.store.scan(scan).await?)
    }

    /// Calls `each` with every row whose key begins with `prefix`.
    pub(crate) async fn each(
        &self,
        table: Table,
        prefix: &[u8],
        mut each: impl FnMut(&Row),
    ) -> Result<(), AuthorizationError> {
        const PAGE: usize = 1_000;
        let mut after = None;
        loop {
            let rows = self.list(table, prefix, after.take(), PAGE).await?;
            rows.iter().for_each(&mut each);
            match rows.last() {
                Some(last) if rows.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// A step that writes a value which ends at `expires`.
    pub(crate) fn put<T: Serialize>(
        &self,
        (table, key): (Table, Vec<u8>),
        value: &T,
        expires: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Op, AuthorizationError> {
        let value = serde_json::to_vec(value)
            .map_err(|_| AuthorizationError::Damaged { what: "value of a new row" })?;
        let org = self.org.clone();
        Ok(Op::Put(Put { table, org, key, value, schema: SCHEMA, expires, expect }))
    }

    /// A step that removes a row.
    pub(crate) fn delete(&self, table: Table, key: Vec<u8>, expect: Expect) -> Op {
        Op::Delete(table, self.org.clone(), key, expect)
    }

    /// Does all of it, or nothing and says `false` where a row is not as expected.
    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<bool, AuthorizationError> {
        let batch = ops.into_iter().fold(Batch::new(), Batch::with);
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The value in a record.
pub(crate) fn value<T: DeserializeOwned>(
    record: &Record,
    what: &'static str,
) -> Result<T, AuthorizationError> {
    let damaged = AuthorizationError::Damaged { what };
    if record.schema > SCHEMA {
        return Err(damaged);
    }
    serde_json::from_slice(&record.value).map_err(|_| damaged)
}
