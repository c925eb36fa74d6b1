//! Keys that are replaced while the store is used.
//!
//! A root key: the keys wrapped under it are wrapped anew, all of them in one batch. An
//! organisation's key: a new version seals from then on, and rows are resealed a page at a time.
//! A resealed row is the same record: version, expiry and schema stay, so that nobody who holds a
//! version or follows changes is told of anything; the manifest and the number of commits go on,
//! so that the row before is an older one. Rows are read again on the commit thread before they
//! are resealed, so that no commit is overwritten. Knows neither when nor how fast.

use std::collections::BTreeMap;

use tidegate_model::OrgId;
use tokio::sync::oneshot;

use super::{
    EmbeddedStore, Inner, Job, State, commit,
    layout::{
        MANIFEST, read_row_key, read_tenant_key, reseal_row, root_key, row_prefix, sealed_under,
        tenant_prefix,
    },
    start,
};
use crate::{
    envelope::KeyName,
    keys::{KeyError, wrapped_under},
    rows::{RawRow, RawWrite},
    store::{StoreError, Table},
};

/// Rows looked at in one go.
const PAGE: usize = 256;

/// The root keys on offer, and how many keys are wrapped under each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    /// The one that wraps.
    pub current: KeyName,
    /// All on offer, and any other that something is wrapped under, with the number of keys.
    pub users: Vec<(KeyName, u64)>,
}

/// A piece of resealing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reseal {
    /// Rows looked at.
    pub seen: u64,
    /// Rows that were sealed under another version and are not any more.
    pub resealed: u64,
    /// Rows that do not open under the key they name; they are left as they are.
    pub closed: u64,
    /// Where to go on; `None` when all rows have been looked at.
    pub next: Option<Vec<u8>>,
}

impl EmbeddedStore {
    /// Which root keys there are and what is wrapped under them.
    pub async fn root_keys(&self) -> Result<RootKeys, StoreError> {
        self.work(|inner, _| root_keys(inner)).await
    }

    /// Puts a new root key in use and wraps all keys under it, or those that are not wrapped
    /// under the present one where the source has nothing new. Gives the key and how many were
    /// wrapped.
    pub async fn rotate_root(&self) -> Result<(KeyName, usize), StoreError> {
        self.work(|inner, state| {
            let (provider, before) = (inner.ring.provider(), root_keys(inner)?);
            let is_mixed = before.users.iter().any(|(id, n)| *id != before.current && *n > 0);
            match provider.renew() {
                // An earlier attempt got as far as the new key, or somebody made it by hand.
                Err(KeyError::Elsewhere { .. }) if is_mixed => {}
                other => drop(other?),
            }
            Ok((provider.current_id(), rewrap(inner, state)?))
        })
        .await
    }

    /// Wraps under the current root key what is wrapped under another. Gives how many.
    pub async fn rewrap(&self) -> Result<usize, StoreError> {
        self.work(rewrap).await
    }

    /// Gives up a root key that nothing is wrapped under.
    pub async fn retire_root(&self, id: KeyName) -> Result<(), StoreError> {
        self.work(move |inner, _| {
            let known = root_keys(inner)?;
            let found = known.users.iter().find(|(known, _)| *known == id);
            let fault = match found {
                None => {
                    let offered = inner.ring.provider().ids();
                    return Err(KeyError::Unknown { wanted: id, offered }.into());
                }
                Some(_) if id == known.current => "is the one that wraps new keys".to_owned(),
                Some((_, 0)) => return Ok(inner.ring.provider().retire(id)?),
                Some((_, users)) => format!("still wraps {users} keys: run `tidegate key rotate`"),
            };
            Err(KeyError::InUse { id, fault }.into())
        })
        .await
    }

    /// Makes a new version of an organisation's key, with which everything is sealed from now
    /// on. Gives the version; what was sealed before goes on to open.
    pub async fn rotate_org(&self, org: &OrgId) -> Result<u32, StoreError> {
        let org = org.clone();
        self.work(move |inner, state| {
            commit::refresh(inner, state)?;
            // An earlier attempt may have written one without knowing; it is passed over.
            let mut version = inner.ring.current_version(&org).unwrap_or(0) + 1;
            start::for_each(inner.rows.as_ref(), &tenant_prefix(), |key, _| {
                if let Some((_, kept)) = read_tenant_key(key).filter(|(of, _)| *of == org) {
                    version = version.max(kept + 1);
                }
            })
            .map_err(|error| inner.read_error(error))?;
            commit::add_key(inner, state, &org, version)?;
            Ok(version)
        })
        .await
    }

    /// Reseals rows of an organisation under the present version of its key: of the next
    /// `limit` rows from `from` on (as an earlier piece gave it, or empty), those that need it.
    pub async fn reseal(
        &self,
        org: &OrgId,
        from: &[u8],
        limit: usize,
    ) -> Result<Reseal, StoreError> {
        let (mut piece, old) = find(&self.inner, org, from, limit)?;
        if !old.is_empty() {
            let done = self.work(move |inner, state| reseal(inner, state, old)).await?;
            (piece.resealed, piece.closed) = done;
        }
        Ok(piece)
    }

    /// How many rows of an organisation are sealed under each version of its key. Reads all.
    pub fn rows_by_key(&self, org: &OrgId) -> Result<BTreeMap<u32, u64>, StoreError> {
        self.inner.check()?;
        let mut found = BTreeMap::new();
        for table in Table::ALL {
            start::for_each(self.inner.rows.as_ref(), &row_prefix(table, org), |_, row| {
                *found.entry(sealed_under(row).unwrap_or(0)).or_default() += 1;
            })
            .map_err(|error| self.inner.read_error(error))?;
        }
        Ok(found)
    }

    /// Runs something on the commit thread.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut State) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|reply: oneshot::Sender<Result<T, StoreError>>| {
            Job::Work(Box::new(move |inner, state| drop(reply.send(work(inner, state)))))
        })
        .await
    }
}

/// Every wrapped key with its row; the instance root first.
fn wrapped(inner: &Inner) -> Result<Vec<RawRow>, StoreError> {
    let root = inner.rows.get(&root_key()).map_err(|error| inner.read_error(error))?;
    let mut all: Vec<_> = root.map(|row| (root_key(), row)).into_iter().collect();
    start::for_each(inner.rows.as_ref(), &tenant_prefix(), |key, row| {
        all.push((key.to_vec(), row.to_vec()));
    })
    .map_err(|error| inner.read_error(error))?;
    Ok(all)
}

fn root_keys(inner: &Inner) -> Result<RootKeys, StoreError> {
    let provider = inner.ring.provider();
    let mut users: Vec<(KeyName, u64)> = provider.ids().into_iter().map(|id| (id, 0)).collect();
    for (_, row) in wrapped(inner)? {
        let id = wrapped_under(&row).ok_or_else(|| inner.damaged("a wrapped key".to_owned()))?;
        match users.iter_mut().find(|(known, _)| *known == id) {
            Some((_, count)) => *count += 1,
            None => users.push((id, 1)),
        }
    }
    Ok(RootKeys { current: provider.current_id(), users })
}

fn rewrap(inner: &Inner, state: &mut State) -> Result<usize, StoreError> {
    commit::refresh(inner, state)?;
    let mut writes: Vec<RawWrite> = Vec::new();
    for (key, row) in wrapped(inner)? {
        let of = read_tenant_key(&key).filter(|_| key != root_key());
        let of = of.as_ref().map(|(org, version)| (org, *version));
        if let Some(anew) = inner.ring.rewrap(of, &row)? {
            writes.push((key, Some(anew)));
        }
    }
    if writes.is_empty() {
        return Ok(0);
    }
    apply(inner, state, &writes)?;
    Ok(writes.len())
}

fn apply(inner: &Inner, state: &mut State, writes: &[RawWrite]) -> Result<(), StoreError> {
    inner.rows.apply(writes).map_err(|error| {
        state.stale = true;
        commit::write_error(inner, error)
    })
}

/// The next rows of an organisation, and the names of those sealed under another version.
fn find(
    inner: &Inner,
    org: &OrgId,
    from: &[u8],
    limit: usize,
) -> Result<(Reseal, Vec<Vec<u8>>), StoreError> {
    inner.check()?;
    let current = inner.ring.current_version(org);
    let (mut piece, mut old) = (Reseal::default(), Vec::new());
    for table in Table::ALL {
        let prefix = row_prefix(table, org);
        let is_within = from.starts_with(&prefix);
        if from > prefix.as_slice() && !is_within {
            // An earlier piece went through this table.
            continue;
        }
        let mut at = if is_within { from.to_vec() } else { prefix.clone() };
        loop {
            let seen = usize::try_from(piece.seen).unwrap_or(usize::MAX);
            let wanted = limit.saturating_sub(seen).min(PAGE);
            if wanted == 0 {
                piece.next = Some(at);
                return Ok((piece, old));
            }
            let page = inner.rows.scan(&prefix, &at, wanted).map_err(|e| inner.read_error(e))?;
            let Some((last, _)) = page.last() else { break };
            at = [last.as_slice(), &[0]].concat();
            piece.seen += page.len() as u64;
            let others = page.into_iter().filter(|(_, row)| sealed_under(row) != current);
            old.extend(others.map(|(name, _)| name));
        }
    }
    Ok((piece, old))
}

/// Reseals these rows, as they are by now, in one batch. Gives how many, and how many do not
/// open.
fn reseal(inner: &Inner, state: &mut State, names: Vec<Vec<u8>>) -> Result<(u64, u64), StoreError> {
    commit::refresh(inner, state)?;
    let (mut manifest, mut writes, mut closed) = (state.manifest.clone(), Vec::new(), 0);
    for name in names {
        let row = inner.rows.get(&name).map_err(|error| inner.read_error(error))?;
        // Removed meanwhile.
        let Some(row) = row else { continue };
        let Some((table, org, key)) = read_row_key(&name) else { continue };
        match reseal_row(&inner.ring, (table, &org, key), &row) {
            // Written meanwhile.
            None => {}
            Some(Ok(anew)) => {
                manifest.remove(&state.hasher, table, &name, &row);
                manifest.add(&state.hasher, table, &name, &anew);
                writes.push((name, Some(anew)));
            }
            Some(Err(error)) if matches!(error, crate::KeyringError::Envelope(_)) => {
                tracing::error!(%table, %org, %error, "a row does not open and is not resealed");
                closed += 1;
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
    if writes.is_empty() {
        return Ok((0, closed));
    }
    let resealed = writes.len() as u64;
    manifest.commits += 1;
    writes.push((MANIFEST.to_vec(), Some(manifest.seal(&inner.ring)?)));
    let (due, counted): (Vec<_>, Vec<_>) =
        super::counts::behind(&inner.ring, inner.clock.now()).into_iter().unzip();
    writes.extend(counted);
    apply(inner, state, &writes)?;
    due.iter().for_each(super::counts::Due::settle);
    if let Some(mark) = &mut state.mark {
        mark.note(manifest.commits);
    }
    state.manifest = manifest;
    Ok((resealed, closed))
}
