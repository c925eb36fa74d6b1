//! Start-up of an embedded store: format, keys, and every table against the manifest.

use std::{path::Path, sync::Arc};

use super::{
    counts,
    layout::{
        FORMAT, FORMAT_VERSION, KEYS, MANIFEST, NOTE, read_row_key, read_tenant_key, root_key,
        tenant_prefix,
    },
    manifest::{Hasher, Manifest},
};
use crate::{
    keyring::Keyring,
    keys::KeyProvider,
    log::u32_at,
    rows::{Rows, RowsError},
    store::{StoreError, Table},
};

/// The watermark: in the directory of every store that has been opened once.
pub(super) const MARKER: &str = "tidegate-store";
const MAGIC: &[u8; 8] = b"TIDESTOR";
const PAGE: usize = 256;

pub(super) fn refusal(dir: &Path, error: RowsError) -> StoreError {
    let damaged = |what: String| StoreError::Damaged { dir: dir.to_owned(), what };
    match error {
        RowsError::Full(needed) => StoreError::Full { dir: dir.to_owned(), needed },
        RowsError::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::InUse(dir.to_owned())
        }
        RowsError::Io(error) => StoreError::io("open", dir, error),
        RowsError::Broken(what) => damaged(what),
    }
}

/// Whether a store was opened in this directory before.
pub(super) fn check_marker(dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join(MARKER);
    path.try_exists().map_err(|error| StoreError::io("read", path, error))
}

/// Refuses a directory that once held a store and now holds nothing.
pub(super) fn check_lost(rows: &dyn Rows, dir: &Path, created: bool) -> Result<(), StoreError> {
    let found = rows.get(FORMAT).map_err(|error| refusal(dir, error))?;
    if created && found.is_none() {
        let what = "it was in use and is now empty".to_owned();
        return Err(StoreError::Damaged { dir: dir.to_owned(), what });
    }
    Ok(())
}

/// Puts a directory aside whose creation was never finished; nobody was told of anything in it.
pub(super) fn put_aside(dir: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("put aside", dir, error);
    for number in 0..u32::MAX {
        let aside = dir.with_extension(format!("unfinished-{number}"));
        if !aside.try_exists().map_err(failed)? {
            tracing::warn!(dir = %dir.display(), aside = %aside.display(), "an unfinished store is put aside");
            return std::fs::rename(dir, aside).map_err(failed);
        }
    }
    Ok(())
}

/// Reads the format, the keys and the manifest, making them for an empty store, and compares
/// every table that is not derived with the manifest.
pub(super) fn read(
    rows: &dyn Rows,
    dir: &Path,
    provider: Arc<dyn KeyProvider>,
) -> Result<(Keyring, Manifest), StoreError> {
    let failed = |error| refusal(dir, error);
    let damaged = |what: &str| StoreError::Damaged { dir: dir.to_owned(), what: what.to_owned() };
    let Some(format) = rows.get(FORMAT).map_err(failed)? else {
        if !rows.scan(&[], &[], 1).map_err(failed)?.is_empty() {
            return Err(damaged("its format row is gone"));
        }
        return create(rows, dir, provider);
    };
    check_format(&format, dir)?;
    let Some(root) = rows.get(&root_key()).map_err(failed)? else {
        return Err(damaged("its root key row is gone"));
    };
    let ring = Keyring::unwrap(provider, &root)?;
    read_tenants(rows, dir, &ring)?;
    let row = rows.get(MANIFEST).map_err(failed)?;
    let manifest = row.and_then(|row| Manifest::open(&ring, &row));
    let manifest = manifest.ok_or_else(|| damaged("its manifest is gone or changed"))?;
    let hasher = Hasher::new(&ring);
    for table in Table::ALL {
        if !table.is_derived() {
            compare(rows, dir, &hasher, (&manifest, table))?;
        }
    }
    Ok((ring, manifest))
}

/// The format row of this version.
pub(super) fn format_row() -> Vec<u8> {
    [&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat()
}

pub(super) fn check_format(row: &[u8], dir: &Path) -> Result<(), StoreError> {
    let dir = dir.to_owned();
    match u32_at(row, 8).filter(|_| row.starts_with(MAGIC)) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => {
            Err(StoreError::Newer { dir, found, known: FORMAT_VERSION })
        }
        _ => Err(StoreError::Damaged { dir, what: "its format row is changed".to_owned() }),
    }
}

fn create(
    rows: &dyn Rows,
    dir: &Path,
    provider: Arc<dyn KeyProvider>,
) -> Result<(Keyring, Manifest), StoreError> {
    let (ring, root) = Keyring::create(provider)?;
    let manifest = Manifest::default();
    let writes = [
        (root_key(), Some(root)),
        (MANIFEST.to_vec(), Some(manifest.seal(&ring)?)),
        (FORMAT.to_vec(), Some(format_row())),
    ];
    rows.apply(&writes).map_err(|error| refusal(dir, error))?;
    Ok((ring, manifest))
}

pub(super) fn read_tenants(rows: &dyn Rows, dir: &Path, ring: &Keyring) -> Result<(), StoreError> {
    let mut from = tenant_prefix();
    loop {
        let page = rows.scan(&tenant_prefix(), &from, PAGE).map_err(|e| refusal(dir, e))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        for (key, wrapped) in &page {
            let Some((org, version)) = read_tenant_key(key) else {
                let what = "the name of a wrapped key".to_owned();
                return Err(StoreError::Damaged { dir: dir.to_owned(), what });
            };
            let usage = counts::read(rows, dir, ring, (&org, version))?;
            ring.add_tenant(&org, version, wrapped, usage)?;
        }
    }
}

/// Compares one table with the manifest.
pub(super) fn compare(
    rows: &dyn Rows,
    dir: &Path,
    hasher: &Hasher,
    (manifest, table): (&Manifest, Table),
) -> Result<(), StoreError> {
    let mut found = Manifest::default();
    let mut lost = 0_u64;
    for_each(rows, &[table as u8], |key, row| {
        found.add(hasher, table, key, row);
        // A damaged index may list a row and yet not find it.
        lost += u64::from(!matches!(rows.get(key), Ok(Some(again)) if again == row));
    })
    .map_err(|error| refusal(dir, error))?;
    if lost > 0 {
        let what = format!("{lost} rows of {table} cannot be found by their keys");
        return Err(StoreError::Damaged { dir: dir.to_owned(), what });
    }
    let (found, wanted) = (found.of(table), manifest.of(table));
    if found == wanted {
        return Ok(());
    }
    let what = if found.count == wanted.count {
        format!("a row of {table} was changed or is an older one")
    } else {
        format!("{table} holds {} rows and should hold {}", found.count, wanted.count)
    };
    Err(StoreError::Damaged { dir: dir.to_owned(), what })
}

/// Calls `act` with every row under a prefix, a page at a time.
pub(super) fn for_each(
    rows: &dyn Rows,
    prefix: &[u8],
    mut act: impl FnMut(&[u8], &[u8]),
) -> Result<(), RowsError> {
    let mut from = prefix.to_vec();
    loop {
        let page = rows.scan(prefix, &from, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        page.iter().for_each(|(key, row)| act(key, row));
    }
}

/// Whether a backup may hold a row of this key.
pub(super) fn is_known(key: &[u8]) -> bool {
    let ours = key == MANIFEST || key == FORMAT || key == NOTE || key == root_key();
    ours || (key.first() == Some(&KEYS) && read_tenant_key(key).is_some())
        || read_row_key(key).is_some()
}
