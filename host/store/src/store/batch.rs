//! What one commit is to do.

use tidegate_model::{OrgId, Timestamp};
use zeroize::Zeroize as _;

use super::{MAX_KEY, MAX_OPS, MAX_VALUE, StoreError, Table};

/// Names a commit, so that it can be repeated safely after an unclear answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitId(pub [u8; 16]);

/// What a record must be like for the batch to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// There is no such record.
    Absent,
    /// It has this version.
    Version(u64),
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct Put {
    /// Its table.
    pub table: Table,
    /// Its organisation.
    pub org: OrgId,
    /// Its key: 1 to 512 bytes.
    pub key: Vec<u8>,
    /// Its value: at most 16 KiB.
    pub value: Vec<u8>,
    /// Version of the value's own schema.
    pub schema: u32,
    /// When it ceases to exist.
    pub expires: Option<Timestamp>,
    /// What must be there before.
    pub expect: Expect,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub enum Op {
    /// Writes a record.
    Put(Put),
    /// Removes a record.
    Delete(Table, OrgId, Vec<u8>, Expect),
    /// Changes nothing, but must hold.
    Check(Table, OrgId, Vec<u8>, Expect),
}

/// Steps that happen together or not at all. All expectations look at the state before the
/// batch; of several steps on one record the last one holds. Values are wiped with the batch.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) id: Option<CommitId>,
    pub(crate) ops: Vec<Op>,
}

impl Drop for Batch {
    /// Values may be secrets.
    fn drop(&mut self) {
        for op in &mut self.ops {
            if let Op::Put(put) = op {
                put.value.zeroize();
            }
        }
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the commit.
    #[must_use]
    pub fn with_id(mut self, id: CommitId) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds any step.
    #[must_use]
    pub fn with(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Writes a record that never expires, whatever was there.
    #[must_use]
    pub fn put(self, table: Table, org: &OrgId, key: &[u8], value: Vec<u8>) -> Self {
        self.put_if(table, (org, key), value, Expect::Any)
    }

    /// Writes a record that never expires, if the record of that organisation and key is as
    /// expected.
    #[must_use]
    pub fn put_if(
        self,
        table: Table,
        (org, key): (&OrgId, &[u8]),
        value: Vec<u8>,
        expect: Expect,
    ) -> Self {
        let (org, key) = (org.clone(), key.to_vec());
        self.with(Op::Put(Put { table, org, key, value, schema: 0, expires: None, expect }))
    }

    /// Removes a record if there is one.
    #[must_use]
    pub fn delete(self, table: Table, org: &OrgId, key: &[u8]) -> Self {
        self.with(Op::Delete(table, org.clone(), key.to_vec(), Expect::Any))
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Refuses what does not fit.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let size = |what, found, limit| Err(StoreError::Size { what, found, limit });
        if self.ops.len() > MAX_OPS {
            return size("batch", self.ops.len(), MAX_OPS);
        }
        for op in &self.ops {
            let (Op::Put(Put { key, .. }) | Op::Delete(_, _, key, _) | Op::Check(_, _, key, _)) =
                op;
            if key.is_empty() || key.len() > MAX_KEY {
                return size("key", key.len(), MAX_KEY);
            }
            if let Op::Put(put) = op
                && put.value.len() > MAX_VALUE
            {
                return size("value", put.value.len(), MAX_VALUE);
            }
        }
        Ok(())
    }

    /// Bytes that it will take, roughly.
    pub(crate) fn weight(&self) -> usize {
        let of = |op: &Op| match op {
            Op::Put(put) => put.value.len() + put.key.len() + 256,
            Op::Delete(..) | Op::Check(..) => 256,
        };
        self.ops.iter().map(of).sum()
    }
}
