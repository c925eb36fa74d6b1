//! Backups: a logical export of sealed rows, the same for every backend.
//!
//! `"TIDEEXP1" ‖ frames ‖ 0 u32 ‖ rows u64 ‖ SHA-256 of everything before`, little endian; a frame is
//! `length u32 ‖ crc32c u32 ‖ key length u16 ‖ key ‖ row`, where length and checksum are over what
//! follows. Holds wrapped keys, never a root key: reading it back needs the same provider.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    Inner,
    layout::{COMMITS, FORMAT, MANIFEST, NOTE, read_row_key, root_key},
    manifest::Manifest,
    start,
};
use crate::{
    keyring::Keyring,
    keys::KeyProvider,
    rows::{RawWrite, Rows},
    store::{StoreError, Table},
};

const MAGIC: &[u8; 8] = b"TIDEEXP1";
const MAX_FRAME: u32 = 1 << 20;
const PAGE: usize = 256;

/// Counts and hashes what passes.
struct Tap<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Tap<T> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }

    fn put_frame(&mut self, key: &[u8], row: &[u8]) -> io::Result<()> {
        let length = u16::try_from(key.len()).map_err(|_| bad("a key is too long"))?;
        let body = [&length.to_le_bytes()[..], key, row].concat();
        let size = u32::try_from(body.len()).map_err(|_| bad("a row is too long"))?;
        self.put(&size.to_le_bytes())?;
        self.put(&crc32c::crc32c(&body).to_le_bytes())?;
        self.put(&body)
    }
}

impl<T: Read> Tap<T> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.hash.update(bytes);
        Ok(bytes)
    }

    /// The next key and row; `None` at the end.
    fn take_frame(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let size = u32::from_le_bytes(self.take()?);
        if size == 0 {
            return Ok(None);
        }
        let crc = u32::from_le_bytes(self.take()?);
        if size > MAX_FRAME {
            return Err(bad("a row is too long"));
        }
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        self.inner.read_exact(&mut body)?;
        self.hash.update(&body);
        let parts = body.split_first_chunk::<2>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
        });
        match parts {
            Some((key, row)) if crc32c::crc32c(&body) == crc => {
                Ok(Some((key.to_vec(), row.to_vec())))
            }
            _ => Err(bad("a row is damaged")),
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes the backup; gives the number of rows.
pub(super) fn export(
    inner: &Inner,
    to: Box<dyn Write + Send>,
    note: &str,
) -> Result<u64, StoreError> {
    inner.check()?;
    let failed = |error| StoreError::io("write a backup of", &inner.dir, error);
    let mut tap = Tap { inner: BufWriter::new(to), hash: Sha256::new() };
    tap.put(MAGIC).and_then(|()| tap.put_frame(NOTE, note.as_bytes())).map_err(failed)?;
    let (mut count, mut from) = (1_u64, Vec::new());
    loop {
        let page = inner.rows.scan(&[], &from, PAGE).map_err(|e| inner.read_error(e))?;
        let Some((last, _)) = page.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (key, row) in &page {
            let derived = read_row_key(key).is_some_and(|(table, ..)| table.is_derived());
            if !derived && key.first() != Some(&COMMITS) {
                tap.put_frame(key, row).map_err(failed)?;
                count += 1;
            }
        }
    }
    let end = |tap: &mut Tap<BufWriter<Box<dyn Write + Send>>>| -> io::Result<()> {
        tap.put(&0_u32.to_le_bytes())?;
        tap.put(&count.to_le_bytes())?;
        let hash = tap.hash.clone().finalize();
        tap.inner.write_all(&hash)?;
        tap.inner.flush()
    };
    end(&mut tap).map_err(failed)?;
    Ok(count)
}

/// Reads a backup into empty rows; gives the note in it. Nothing is left usable on an error.
pub(super) fn import(
    from: &mut dyn Read,
    rows: &dyn Rows,
    dir: &Path,
    provider: &Arc<dyn KeyProvider>,
) -> Result<String, StoreError> {
    let failed = |error| StoreError::io("read the backup for", dir, error);
    let stored = |error| start::refusal(dir, error);
    if !rows.scan(&[], &[], 1).map_err(stored)?.is_empty() {
        let error = bad("the store is not empty: import into a new directory");
        return Err(failed(error));
    }
    let mut tap = Tap { inner: BufReader::new(from), hash: Sha256::new() };
    if tap.take::<8>().map_err(failed)? != *MAGIC {
        return Err(failed(bad("this is no backup")));
    }
    let (mut note, mut count, mut held) = (String::new(), 0_u64, Vec::<RawWrite>::new());
    let mut page = Vec::new();
    while let Some((key, row)) = tap.take_frame().map_err(failed)? {
        count += 1;
        if !start::is_known(&key) {
            return Err(failed(bad("it holds a row of a newer version")));
        }
        if key == NOTE {
            note = String::from_utf8(row).map_err(|_| failed(bad("its note is no text")))?;
        } else if key == FORMAT || key == MANIFEST || key == root_key() {
            held.push((key, Some(row)));
        } else {
            page.push((key, Some(row)));
        }
        if page.len() >= PAGE {
            rows.apply(&page).map_err(stored)?;
            page.clear();
        }
    }
    let total = u64::from_le_bytes(tap.take().map_err(failed)?);
    let hash = tap.hash.clone().finalize();
    let mut found = [0; 32];
    tap.inner.read_exact(&mut found).map_err(failed)?;
    if total != count || found != *hash {
        return Err(failed(bad("it is incomplete or damaged")));
    }
    settle(&mut held, dir, provider)?;
    page.append(&mut held);
    rows.apply(&page).map_err(stored)?;
    Ok(note)
}

/// Checks format and keys, and makes the manifest forget the derived tables left out.
fn settle(
    held: &mut [RawWrite],
    dir: &Path,
    provider: &Arc<dyn KeyProvider>,
) -> Result<(), StoreError> {
    let find =
        |wanted: &[u8]| held.iter().find(|(key, _)| key == wanted).and_then(|(_, row)| row.clone());
    let damaged = || {
        let what = "the backup lacks its format, root key or manifest".to_owned();
        StoreError::Damaged { dir: dir.to_owned(), what }
    };
    start::check_format(&find(FORMAT).ok_or_else(damaged)?, dir)?;
    let ring = Keyring::unwrap(Arc::clone(provider), &find(&root_key()).ok_or_else(damaged)?)?;
    let row = find(MANIFEST).ok_or_else(damaged)?;
    let mut manifest = Manifest::open(&ring, &row).ok_or_else(damaged)?;
    Table::ALL.into_iter().filter(|table| table.is_derived()).for_each(|t| manifest.forget(t));
    let sealed = manifest.seal(&ring)?;
    for (_, row) in held.iter_mut().filter(|(key, _)| key == MANIFEST) {
        *row = Some(sealed.clone());
    }
    Ok(())
}
