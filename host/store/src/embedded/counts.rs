//! How much each key of an organisation was used, kept beside the key.
//!
//! `F0 ‖ "n" ‖ version u32, big endian ‖ org`: `sealed u64 ‖ created u64 ‖ MAC(manifest key, "use" ‖ key
//! of the row ‖ sealed ‖ created)`. What is kept is ahead of the count, see `keyring::usage`.

use std::{path::Path, sync::Arc};

use tidegate_model::{OrgId, Timestamp};

use super::{layout::use_key, start};
use crate::{
    keyring::{BATCH, Keyring, Purpose, Usage},
    log::{hash_at, u64_at},
    mac::hmac,
    rows::{RawWrite, Rows},
    store::StoreError,
};

/// The use of a key as it is kept; of one that is not known, nothing.
pub(super) fn read(
    rows: &dyn Rows,
    dir: &Path,
    ring: &Keyring,
    (org, version): (&OrgId, u32),
) -> Result<Usage, StoreError> {
    let key = use_key(org, version);
    let Some(row) = rows.get(&key).map_err(|error| start::refusal(dir, error))? else {
        return Ok(Usage::default());
    };
    let open = || {
        let (sealed, created) = (u64_at(&row, 0)?, u64_at(&row, 8)?);
        (hash_at(&row, 16)? == mac(ring, &key, sealed, created)).then_some((sealed, created))
    };
    let (sealed, created) = open().ok_or_else(|| StoreError::Damaged {
        dir: dir.to_owned(),
        what: "the count of what a key has sealed was changed".to_owned(),
    })?;
    Ok(Usage::kept(sealed, created))
}

/// The row of a key that is made now.
pub(super) fn new(ring: &Keyring, org: &OrgId, version: u32, now: Timestamp) -> RawWrite {
    write(ring, (org, version), BATCH, moment(now))
}

/// A count that is to be kept.
pub(super) struct Due {
    usage: Arc<Usage>,
    kept: u64,
    created: u64,
}

impl Due {
    /// Notes that the row is durable.
    pub(super) fn settle(&self) {
        self.usage.set_kept(self.kept, self.created);
    }
}

/// Rows for the counts that have come as far as they are kept.
pub(super) fn behind(ring: &Keyring, now: Timestamp) -> Vec<(Due, RawWrite)> {
    let due = ring.usages_behind().into_iter();
    due.map(|(org, version, usage)| {
        let created = if usage.created() == 0 { moment(now) } else { usage.created() };
        let kept = usage.sealed() + BATCH;
        let row = write(ring, (&org, version), kept, created);
        (Due { usage, kept, created }, row)
    })
    .collect()
}

fn moment(now: Timestamp) -> u64 {
    now.as_millis().max(1)
}

fn write(ring: &Keyring, (org, version): (&OrgId, u32), sealed: u64, created: u64) -> RawWrite {
    let key = use_key(org, version);
    let mac = mac(ring, &key, sealed, created);
    let row = [&sealed.to_le_bytes()[..], &created.to_le_bytes(), &mac].concat();
    (key, Some(row))
}

fn mac(ring: &Keyring, key: &[u8], sealed: u64, created: u64) -> [u8; 32] {
    let parts: [&[u8]; 4] = [b"use", key, &sealed.to_le_bytes(), &created.to_le_bytes()];
    hmac(&ring.derive(Purpose::Manifest), &parts)
}
