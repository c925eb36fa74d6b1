//! How far the store had come, kept outside of it.
//!
//! A backend that takes damage for an unfinished tail goes back to an earlier state which is
//! whole in itself. The number of the last durable commit, in a file of two alternating slots
//! at 0 and 512, tells: `magic "TIDEMARK" ‖ commits u64 ‖ mac [32]`, mac = HMAC-SHA256(manifest key,
//! "watermark" ‖ commits). It is written after each group and synced with every 64th and at
//! the end, so that it is exact after a killed process and never ahead.

use std::{fs::File, io, path::Path};

use crate::{
    disk,
    keyring::{Keyring, Purpose},
    log::{hash_at, u64_at},
    mac::hmac,
    seal::Key,
    store::StoreError,
};

const MAGIC: &[u8; 8] = b"TIDEMARK";
const SLOT: usize = 512;
const SYNC_EVERY: u64 = 64;

/// The open file.
pub(super) struct Watermark {
    file: File,
    key: Key,
    written: u64,
}

impl Watermark {
    /// Opens the file and compares it with the commits found, or makes it.
    pub(super) fn open(path: &Path, ring: &Keyring, commits: u64) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("use", path, error);
        let key = ring.derive(Purpose::Manifest);
        if !path.try_exists().map_err(failed)? {
            let slots = [slot(&key, commits), vec![0; SLOT]].concat();
            disk::write_whole(path, &slots).map_err(failed)?;
        }
        let file = disk::private().read(true).write(true).open(path).map_err(failed)?;
        let mut bytes = vec![0; 2 * SLOT];
        disk::read_at(&file, &mut bytes, 0).map_err(failed)?;
        let marks = bytes.chunks(SLOT).filter_map(|bytes| read(&key, bytes)).max();
        let damaged = |what| {
            let dir = path.parent().unwrap_or(path).to_owned();
            Err(StoreError::Damaged { dir, what })
        };
        match marks {
            None => damaged("its watermark is gone or changed".to_owned()),
            Some(mark) if mark > commits => {
                damaged(format!("it has gone back from commit {mark} to commit {commits}"))
            }
            Some(_) => Ok(Self { file, key, written: 0 }),
        }
    }

    /// Notes a durable commit. Failing to do so only leaves the mark lower than it could be.
    pub(super) fn note(&mut self, commits: u64) {
        self.written += 1;
        let offset = SLOT as u64 * (self.written & 1);
        let noted = disk::write_at(&self.file, &slot(&self.key, commits), offset).and_then(|()| {
            if self.written.is_multiple_of(SYNC_EVERY) { self.file.sync_data() } else { Ok(()) }
        });
        warn(noted);
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        warn(self.file.sync_data());
    }
}

fn warn(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(error = %error, "the watermark of the store could not be written");
    }
}

fn mac(key: &[u8; 32], commits: u64) -> [u8; 32] {
    hmac(key, &[b"watermark", &commits.to_le_bytes()])
}

fn slot(key: &[u8; 32], commits: u64) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&commits.to_le_bytes());
    slot.extend_from_slice(&mac(key, commits));
    slot.resize(SLOT, 0);
    slot
}

fn read(key: &[u8; 32], bytes: &[u8]) -> Option<u64> {
    let commits = u64_at(bytes, 8)?;
    let whole = bytes.starts_with(MAGIC) && hash_at(bytes, 16)? == mac(key, commits);
    whole.then_some(commits)
}
