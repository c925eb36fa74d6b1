//! The one thread that commits.
//!
//! Takes what waits, up to 256 commits or 256 KiB, carries it out as one atomic batch of
//! rows and answers everybody when that is durable. Commits of a group see each other. What
//! an error leaves unknown is read anew before the next group.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tidegate_model::OrgId;
use tokio::sync::mpsc;

use super::{
    Inner, Job, Reply, State, backup, counts,
    layout::{
        COMMITS, Head, MANIFEST, commit_key, open_row, read_row_key, row_key, seal_row, tenant_key,
    },
    manifest::Manifest,
    start,
};
use crate::{
    keyring::{BATCH, Usage},
    log::u64_at,
    rows::{RawWrite, RowsError},
    store::{Batch, Change, Committed, Expect, Op, Put, StoreError, Table, Verified},
};

const GROUP: usize = 256;
const GROUP_BYTES: usize = 256 << 10;
/// How long a commit id is remembered.
const REMEMBER: Duration = Duration::from_secs(24 * 3_600);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const SWEEP_ROWS: usize = 1_024;

/// Runs until the store is dropped.
pub(super) fn run(inner: &Arc<Inner>, mut state: State, mut jobs: mpsc::Receiver<Job>) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| jobs.blocking_recv()) {
        match job {
            Job::Commit(batch, reply) => {
                let mut weight = batch.weight();
                let mut group = vec![(batch, reply)];
                while group.len() < GROUP && weight < GROUP_BYTES {
                    match jobs.try_recv() {
                        Ok(Job::Commit(batch, reply)) => {
                            weight += batch.weight();
                            group.push((batch, reply));
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit(inner, &mut state, group);
            }
            Job::EnsureOrg(org, reply) => drop(reply.send(ensure_org(inner, &mut state, &org))),
            Job::Work(work) => work(inner, &mut state),
            Job::Verify(reply) => drop(reply.send(verify(inner, &mut state))),
            Job::Export(to, note, reply) => drop(reply.send(backup::export(inner, to, &note))),
        }
    }
}

/// The state that a group of commits makes.
struct Group<'a> {
    inner: &'a Inner,
    hasher: &'a super::Hasher,
    manifest: Manifest,
    /// Rows by key as they are after the commits so far; `None` when there is none.
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    changes: Vec<Change>,
}

type Waiting = (Batch, Reply<Committed>);

fn commit(inner: &Inner, state: &mut State, waiting: Vec<Waiting>) {
    let ready = refresh(inner, state).and_then(|()| {
        let orgs = waiting.iter().flat_map(|(batch, _)| &batch.ops);
        let orgs = orgs.filter_map(|op| if let Op::Put(put) = op { Some(&put.org) } else { None });
        orgs.cloned().collect::<Vec<_>>().iter().try_for_each(|org| make_org(inner, state, org))
    });
    if let Err(error) = ready {
        return refuse_all(waiting, &error);
    }
    let manifest = state.manifest.clone();
    let rows = HashMap::new();
    let hasher = &state.hasher;
    let mut group = Group { inner, hasher, manifest, rows, changes: Vec::new() };
    let answers: Vec<_> = waiting.iter().map(|(batch, _)| group.add(batch)).collect();
    group.sweep(&mut state.swept, &mut state.cursor);
    let (manifest, changes) = (group.manifest.clone(), std::mem::take(&mut group.changes));
    match group.apply() {
        Err(error) => {
            state.stale = true;
            refuse_all(waiting, &error);
        }
        Ok(()) => {
            if let Some(mark) = &mut state.mark {
                mark.note(manifest.commits);
            }
            state.manifest = manifest;
            for change in changes {
                // Nobody may be watching.
                drop(inner.feed.send(change));
            }
            for ((_, reply), answer) in waiting.into_iter().zip(answers) {
                drop(reply.send(answer));
            }
        }
    }
}

fn refuse_all(waiting: Vec<Waiting>, error: &StoreError) {
    for (_, reply) in waiting {
        drop(reply.send(Err(error.clone())));
    }
}

/// Opens rows and manifest anew when an earlier error has left them unknown.
pub(super) fn refresh(inner: &Inner, state: &mut State) -> Result<(), StoreError> {
    inner.check()?;
    if !state.stale {
        return Ok(());
    }
    let failed = |error| write_error(inner, error);
    inner.rows.reopen().map_err(failed)?;
    let row = inner.rows.get(MANIFEST).map_err(failed)?;
    let manifest = row.and_then(|row| Manifest::open(&inner.ring, &row));
    let Some(manifest) = manifest else {
        return Err(inner.fail("the manifest is gone or changed".to_owned()));
    };
    state.manifest = manifest;
    state.stale = false;
    Ok(())
}

pub(super) fn write_error(inner: &Inner, error: RowsError) -> StoreError {
    match error {
        RowsError::Full(needed) => {
            set_full(inner, Some(needed));
            StoreError::Full { dir: inner.dir.clone(), needed }
        }
        RowsError::Io(error) => {
            if crate::disk::is_full(&error) {
                set_full(inner, Some(0));
            }
            StoreError::Unknown(Arc::new(error))
        }
        RowsError::Broken(reason) => inner.fail(reason),
    }
}

pub(super) fn set_full(inner: &Inner, needed: Option<u64>) {
    *inner.full.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = needed;
}

impl Group<'_> {
    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.rows.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.inner.rows.get(key).map_err(|e| self.inner.read_error(e)),
        }
    }

    /// Adds one commit, or nothing of it.
    fn add(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        if let Some(id) = batch.id
            && let Some(row) = self.row(&commit_key(id))?
        {
            return Ok(Committed { version: u64_at(&row, 8).unwrap_or(0), repeated: true });
        }
        let version = self.manifest.commits + 1;
        let mut old = HashMap::new();
        for op in &batch.ops {
            let (table, org, key, expect) = match op {
                Op::Put(put) => (put.table, &put.org, &put.key, put.expect),
                Op::Delete(table, org, key, expect) | Op::Check(table, org, key, expect) => {
                    (*table, org, key, *expect)
                }
            };
            let row = self.row(&row_key(table, org, key))?;
            self.check(table, key, row.as_deref(), expect)?;
            old.insert(row_key(table, org, key), row);
        }
        let sealed = batch.ops.iter().map(|op| match op {
            Op::Put(put) => seal_row(&self.inner.ring, put, version).map(Some),
            Op::Delete(..) | Op::Check(..) => Ok(None),
        });
        let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
        for (op, row) in batch.ops.iter().zip(sealed) {
            match op {
                Op::Put(Put { table, org, key, .. }) | Op::Delete(table, org, key, _) => {
                    self.set((*table, org, key), row, &mut old, version);
                }
                Op::Check(..) => {}
            }
        }
        self.manifest.commits = version;
        if let Some(id) = batch.id {
            let now = self.inner.clock.now().as_millis();
            let row = [now.to_le_bytes(), version.to_le_bytes()].concat();
            self.rows.insert(commit_key(id), Some(row));
        }
        Ok(Committed { version, repeated: false })
    }

    fn check(
        &self,
        table: Table,
        key: &[u8],
        row: Option<&[u8]>,
        expect: Expect,
    ) -> Result<(), StoreError> {
        let head = row.and_then(Head::read).map(|(head, _)| head);
        let found = head.filter(|head| !head.is_over(self.inner.clock.now()));
        let found = found.map(|head| head.version);
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        let key = String::from_utf8_lossy(key).into_owned();
        if holds { Ok(()) } else { Err(StoreError::Conflict { table, key, found }) }
    }

    fn set(
        &mut self,
        (table, org, key): (Table, &OrgId, &[u8]),
        row: Option<Vec<u8>>,
        old: &mut HashMap<Vec<u8>, Option<Vec<u8>>>,
        version: u64,
    ) {
        let name = row_key(table, org, key);
        let before = old.insert(name.clone(), row.clone()).flatten();
        if let Some(before) = &before {
            self.manifest.remove(self.hasher, table, &name, before);
        }
        if let Some(row) = &row {
            self.manifest.add(self.hasher, table, &name, row);
        }
        if !table.is_derived() && (row.is_some() || before.is_some()) {
            let version = row.is_some().then_some(version);
            let change = Change { table, org: org.clone(), key: key.to_vec(), version };
            self.changes.push(change);
        }
        self.rows.insert(name, row);
    }

    /// Removes some expired records and forgotten commit ids, now and then.
    fn sweep(&mut self, swept: &mut tidegate_model::Timestamp, cursor: &mut Vec<u8>) {
        let now = self.inner.clock.now();
        if now < swept.after(SWEEP_EVERY) {
            return;
        }
        *swept = now;
        let Ok(page) = self.inner.rows.scan(&[], cursor, SWEEP_ROWS) else { return };
        *cursor = match page.last() {
            Some((last, _)) if page.len() == SWEEP_ROWS => [last.as_slice(), &[0]].concat(),
            _ => Vec::new(),
        };
        for (name, row) in page {
            if self.rows.contains_key(&name) {
                continue;
            }
            if name.first() == Some(&COMMITS) {
                let at = tidegate_model::Timestamp::from_millis(u64_at(&row, 0).unwrap_or(0));
                if at.after(REMEMBER) < now {
                    self.rows.insert(name, None);
                }
            } else if let Some((table, org, key)) = read_row_key(&name)
                && Head::read(&row).is_some_and(|(head, _)| head.is_over(now))
            {
                self.set((table, &org, key), None, &mut [(name.clone(), Some(row))].into(), 0);
            }
        }
    }

    fn apply(self) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut writes: Vec<RawWrite> = self.rows.into_iter().collect();
        writes.push((MANIFEST.to_vec(), Some(self.manifest.seal(&self.inner.ring)?)));
        let (due, counted): (Vec<_>, Vec<_>) =
            counts::behind(&self.inner.ring, self.inner.clock.now()).into_iter().unzip();
        writes.extend(counted);
        self.inner.rows.apply(&writes).map_err(|error| write_error(self.inner, error))?;
        due.iter().for_each(counts::Due::settle);
        set_full(self.inner, None);
        Ok(())
    }
}

fn ensure_org(inner: &Inner, state: &mut State, org: &OrgId) -> Result<(), StoreError> {
    refresh(inner, state)?;
    make_org(inner, state, org)
}

/// Makes a key for an organisation that has none; durable before anything is sealed with it.
fn make_org(inner: &Inner, state: &mut State, org: &OrgId) -> Result<(), StoreError> {
    if inner.ring.has(org) {
        return Ok(());
    }
    // An earlier attempt may have written it without knowing.
    let kept = inner.rows.get(&tenant_key(org, 1)).map_err(|e| inner.read_error(e))?;
    match kept {
        Some(wrapped) => Ok(inner.ring.add_tenant(org, 1, &wrapped, Usage::default())?),
        None => add_key(inner, state, org, 1),
    }
}

/// Makes a version of an organisation's key; durable before anything is sealed with it.
pub(super) fn add_key(
    inner: &Inner,
    state: &mut State,
    org: &OrgId,
    version: u32,
) -> Result<(), StoreError> {
    let now = inner.clock.now();
    let wrapped = inner.ring.new_tenant(org, version)?;
    let row = (tenant_key(org, version), Some(wrapped.clone()));
    let applied = inner.rows.apply(&[row, counts::new(&inner.ring, org, version, now)]);
    applied.map_err(|error| {
        state.stale = true;
        write_error(inner, error)
    })?;
    let usage = Usage::kept(0, now.as_millis().max(1));
    usage.set_kept(BATCH, usage.created());
    Ok(inner.ring.add_tenant(org, version, &wrapped, usage)?)
}

/// Reads and opens every row and compares every table with the manifest.
fn verify(inner: &Inner, state: &mut State) -> Result<Verified, StoreError> {
    refresh(inner, state)?;
    let mut verified = Verified::default();
    for table in Table::ALL {
        let (mut count, mut closed) = (0, 0_u64);
        start::for_each(inner.rows.as_ref(), &[table as u8], |name, row| {
            count += 1;
            let opened = read_row_key(name)
                .and_then(|(table, org, key)| open_row(&inner.ring, (table, &org, key), row));
            closed += u64::from(!matches!(opened, Some(Ok(_))));
        })
        .map_err(|error| inner.read_error(error))?;
        if closed > 0 {
            verified.faults.push(format!("{closed} rows of {table} do not open"));
        }
        let rows = inner.rows.as_ref();
        let place = (&state.manifest, table);
        match start::compare(rows, &inner.dir, &state.hasher, place) {
            Ok(()) => {}
            Err(StoreError::Damaged { what, .. }) => verified.faults.push(what),
            Err(other) => return Err(other),
        }
        verified.records.push((table, count));
    }
    Ok(verified)
}
