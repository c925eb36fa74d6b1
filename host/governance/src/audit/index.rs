//! The index over the audit log: which rows can be skipped when one looks for something.
//!
//! One entry for every thousand rows says when they were written and which users, tools and
//! codes are among them; reading the few blocks that can match does the rest. The log is the
//! truth: an index that is missing or behind is made anew from it, and a damaged one can only
//! make a search slower or be dropped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidegate_model::{CallId, OrgId, Timestamp};
use tidegate_store::{
    Batch, MAX_VALUE, Scan, Store, StoreError, Table,
    log::{Log, LogError, Reader},
};

use super::Row;

/// Rows of one entry.
const BLOCK: u64 = 1_000;

/// Why the index cannot be brought up to date or searched.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The log cannot be read.
    #[error("the audit log cannot be read")]
    Log(#[from] LogError),
    /// The store refused.
    #[error("the audit index cannot be kept")]
    Store(#[from] StoreError),
    /// An entry cannot be written as JSON; a fault of the gateway's own.
    #[error("the audit index entry cannot be written")]
    Entry(#[source] serde_json::Error),
}

/// What one entry says of its rows.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Block {
    from: Timestamp,
    to: Timestamp,
    rows: u64,
    /// Whose rows they are; empty where there are too many to name, and in entries of before
    /// organisations were named.
    #[serde(default)]
    orgs: BTreeSet<OrgId>,
    /// Empty with `any` set where there are too many to name.
    words: BTreeSet<String>,
    any: bool,
}

/// What to look for; what is left out is not narrowed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// The operation.
    pub call: Option<CallId>,
    /// The user.
    pub user: Option<String>,
    /// The tool, prompt or resource, as `connector/original name` or `connector/original URI`.
    pub tool: Option<String>,
    /// The refusal code.
    pub code: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// At most so many rows, the newest; 0 for none.
    pub limit: usize,
}

/// The index of one log, with the rows of all organisations.
#[derive(Debug)]
pub struct Index {
    next: u64,
}

impl Index {
    /// Finds out how far the index in the store reaches. One that promises more rows than the
    /// log has, or that has a gap, is dropped.
    pub async fn open(store: &dyn Store, org: &OrgId, log: &Log) -> Result<Self, IndexError> {
        let mut next = 0;
        let mut scan = Scan::all(Table::AuditIndex, org);
        let mut sound = true;
        loop {
            let rows = store.scan(scan.clone()).await?;
            let Some(last) = rows.last() else { break };
            scan.after = Some(last.key.clone());
            for row in &rows {
                sound &= row.key == key(next)
                    && serde_json::from_slice::<Block>(&row.record.value).is_ok();
                next += BLOCK;
            }
        }
        if sound && next <= log.durable_size() {
            return Ok(Self { next });
        }
        drop_all(store, org).await?;
        Ok(Self { next: 0 })
    }

    /// Takes over what the log has since then; returns how many entries were written.
    pub async fn advance(
        &mut self,
        store: &dyn Store,
        org: &OrgId,
        log: &Log,
    ) -> Result<usize, IndexError> {
        let mut written = 0;
        while self.next + BLOCK <= log.durable_size() {
            let mut reader = log.reader();
            reader.seek(self.next);
            let block = Block::read(&mut reader)?;
            let value = serde_json::to_vec(&block).map_err(IndexError::Entry)?;
            store.commit(Batch::new().put(Table::AuditIndex, org, &key(self.next), value)).await?;
            self.next += BLOCK;
            written += 1;
        }
        Ok(written)
    }

    /// The newest rows of organisation `of` that fit, oldest first, with their sequence numbers;
    /// the index is that of organisation `org`.
    pub async fn find(
        &self,
        (store, org): (&dyn Store, &OrgId),
        of: &OrgId,
        log: &Log,
        filter: &Filter,
    ) -> Result<Vec<(u64, Row)>, IndexError> {
        let mut found = Vec::new();
        let mut first = (self.next / BLOCK) * BLOCK;
        read_block(log, first, u64::MAX, (of, filter), &mut found)?;
        while found.len() < filter.limit && first > 0 {
            first -= BLOCK;
            let entry = store.get(Table::AuditIndex, org, &key(first)).await?;
            let block = entry.and_then(|entry| serde_json::from_slice::<Block>(&entry.value).ok());
            if block.is_none_or(|block| block.may_hold(of, filter)) {
                let mut here = Vec::new();
                read_block(log, first, BLOCK, (of, filter), &mut here)?;
                here.append(&mut found);
                found = here;
            }
        }
        let surplus = found.len().saturating_sub(filter.limit);
        Ok(found.split_off(surplus))
    }
}

impl Block {
    fn read(reader: &mut Reader) -> Result<Self, LogError> {
        let mut block = Self::default();
        while block.rows < BLOCK
            && let Some(entry) = reader.next()?
        {
            block.rows += 1;
            let Ok(row) = Row::from_bytes(&entry.bytes) else { continue };
            if block.from == Timestamp::default() {
                block.from = row.ts;
            }
            block.from = block.from.min(row.ts);
            block.to = block.to.max(row.ts);
            block.words.extend(words(&row));
            block.orgs.insert(row.org);
        }
        // An entry has to fit a value of the store; one that names everything is no help anyway.
        if block.words.iter().map(|word| word.len() + 8).sum::<usize>() > MAX_VALUE / 2 {
            block.words.clear();
            block.any = true;
        }
        if block.orgs.iter().map(|org| org.as_str().len() + 8).sum::<usize>() > MAX_VALUE / 4 {
            block.orgs.clear();
        }
        Ok(block)
    }

    fn may_hold(&self, of: &OrgId, filter: &Filter) -> bool {
        // A call's id begins with its millisecond; its row is written when it ends.
        let began = filter.call.map(|call| call.began());
        let has = |kind: char, word: &str| self.words.contains(&format!("{kind}:{word}"));
        let target = |wanted: &String| {
            let connector = wanted.split_once('/').map(|(connector, _)| connector);
            has('t', wanted) || connector.is_some_and(|connector| has('r', connector))
        };
        (self.orgs.is_empty() || self.orgs.contains(of))
            && began.is_none_or(|began| self.from <= began && began <= self.to)
            && filter.since.is_none_or(|since| since <= self.to)
            && (self.any
                || filter.user.as_ref().is_none_or(|user| has('u', user))
                    && filter.tool.as_ref().is_none_or(target)
                    && filter.code.as_ref().is_none_or(|code| has('c', code)))
    }
}

/// What an entry says of a row: its user, its code, and its tool or prompt. There can be more
/// resources than an entry has room for, so of them only the connector is named.
fn words(row: &Row) -> impl Iterator<Item = String> {
    let user = row.caller.as_ref().map(|caller| format!("u:{}", caller.user));
    let code = row.code.map(|code| format!("c:{}", code.name()));
    let target = match (&row.resource, &row.connector) {
        (Some(_), Some(connector)) => Some(format!("r:{connector}")),
        _ => row.target().map(|target| format!("t:{target}")),
    };
    [user, target, code].into_iter().flatten()
}

fn read_block(
    log: &Log,
    first: u64,
    rows: u64,
    (of, filter): (&OrgId, &Filter),
    found: &mut Vec<(u64, Row)>,
) -> Result<(), LogError> {
    let mut reader = log.reader();
    reader.seek(first);
    let end = first.saturating_add(rows);
    while let Some(entry) = reader.next()? {
        if entry.seq >= end {
            break;
        }
        if let Ok(row) = Row::from_bytes(&entry.bytes)
            && row.org == *of
            && fits(&row, filter)
        {
            found.push((entry.seq, row));
        }
    }
    Ok(())
}

fn fits(row: &Row, filter: &Filter) -> bool {
    filter.call.is_none_or(|call| call == row.id)
        && filter.user.as_ref().is_none_or(|user| {
            row.caller.as_ref().is_some_and(|caller| caller.user.as_str() == user)
        })
        && filter.tool.as_ref().is_none_or(|wanted| row.target().as_ref() == Some(wanted))
        && filter
            .code
            .as_ref()
            .is_none_or(|wanted| row.code.is_some_and(|code| code.name() == wanted))
        && filter.since.is_none_or(|since| row.ts >= since)
}

fn key(first: u64) -> [u8; 8] {
    first.to_be_bytes()
}

async fn drop_all(store: &dyn Store, org: &OrgId) -> Result<(), StoreError> {
    loop {
        let rows = store.scan(Scan::all(Table::AuditIndex, org)).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let batch = rows
            .iter()
            .fold(Batch::new(), |batch, row| batch.delete(Table::AuditIndex, org, &row.key));
        store.commit(batch).await?;
    }
}
