//! The synced watermark: how far the log is known to be durable.
//!
//! After each flush the state of the log (size, place, last leaf, compact range) goes into
//! one of two alternating slots of the segment. The next flush of the segment makes the slot
//! itself durable, so at a power loss it lags by one group at most, and after a killed
//! process it is exact. Layout of a slot, little endian:
//!
//! `magic "TIDETIP1" ‖ body length u32 ‖ crc32c(mac ‖ body) u32 ‖ mac [32] ‖ body`, where body is
//! `counter u64 ‖ size u64 ‖ end offset u64 ‖ last leaf [32] ‖ nodes u8 ‖ nodes × [32]` and mac is
//! HMAC-SHA256(tip key, first seq of the segment u64 ‖ origin ‖ body).

use std::{fs::File, io};

use super::{
    frame::{Hash, hash_at, u32_at, u64_at},
    segment::{Header, PAGE},
    tree::Tree,
};
use crate::disk;

const MAGIC: &[u8; 8] = b"TIDETIP1";
const BODY: usize = 48;

/// A state of the log at a record border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) counter: u64,
    /// Where the next frame goes, in the segment that holds the slot.
    pub(crate) offset: u64,
    /// Leaf hash of the last record.
    pub(crate) leaf: Hash,
    pub(crate) tree: Tree,
}

impl Tip {
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Writes the slot whose turn it is.
    pub(crate) fn write(&self, file: &File, header: &Header, key: &[u8; 32]) -> io::Result<()> {
        let mut body = Vec::with_capacity(PAGE);
        body.extend_from_slice(&self.counter.to_le_bytes());
        body.extend_from_slice(&self.size().to_le_bytes());
        body.extend_from_slice(&self.offset.to_le_bytes());
        body.extend_from_slice(&self.leaf);
        body.push(u8::try_from(self.tree.nodes().len()).unwrap_or(u8::MAX));
        self.tree.nodes().iter().for_each(|node| body.extend_from_slice(node));
        let mut slot = Vec::with_capacity(BODY + body.len());
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
        let mac = mac(key, header, &body);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&mac), &body);
        slot.extend_from_slice(&crc.to_le_bytes());
        slot.extend_from_slice(&mac);
        slot.extend_from_slice(&body);
        slot.resize(PAGE, 0);
        disk::write_at(file, &slot, PAGE as u64 * (1 + (self.counter & 1)))
    }
}

/// A slot as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Empty,
    /// The checksum does not hold: the slot was being written, or was damaged.
    Torn,
    /// The checksum holds and the MAC was made with the key, if one was given.
    Good(Tip),
    /// The checksum holds, the MAC does not.
    Forged,
}

/// Reads both slots.
pub(crate) fn read(file: &File, header: &Header, key: Option<&[u8; 32]>) -> io::Result<[Slot; 2]> {
    let mut page = vec![0; PAGE];
    let mut slot = |number: u64| -> io::Result<Slot> {
        page.fill(0);
        disk::read_at(file, &mut page, PAGE as u64 * (1 + number))?;
        Ok(decode(&page, header, key, number))
    };
    Ok([slot(0)?, slot(1)?])
}

/// The latest good state among slots.
pub(crate) fn latest(slots: [Slot; 2]) -> Option<Tip> {
    let tips = slots.into_iter().filter_map(|slot| match slot {
        Slot::Good(tip) => Some(tip),
        _ => None,
    });
    tips.max_by_key(|tip| tip.counter)
}

fn decode(page: &[u8], header: &Header, key: Option<&[u8; 32]>, number: u64) -> Slot {
    if page.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let Some((tip, body, found)) = fields(page) else { return Slot::Torn };
    if tip.counter & 1 != number {
        return Slot::Torn;
    }
    match key {
        Some(key) if mac(key, header, body) != found => Slot::Forged,
        _ => Slot::Good(tip),
    }
}

fn fields(page: &[u8]) -> Option<(Tip, &[u8], Hash)> {
    if page.get(..8)? != MAGIC {
        return None;
    }
    let len = usize::try_from(u32_at(page, 8)?).ok()?;
    let body = page.get(BODY..BODY.checked_add(len)?)?;
    let rest = page.get(BODY + len..)?;
    if crc32c::crc32c(page.get(16..BODY + len)?) != u32_at(page, 12)?
        || rest.iter().any(|byte| *byte != 0)
    {
        return None;
    }
    let count = usize::from(*body.get(56)?);
    let nodes: Option<Vec<Hash>> = (0..count).map(|n| hash_at(body, 57 + n * 32)).collect();
    if body.len() != 57 + count * 32 {
        return None;
    }
    let tree = Tree::from_parts(u64_at(body, 8)?, nodes?)?;
    let tip = Tip {
        counter: u64_at(body, 0)?,
        offset: u64_at(body, 16)?,
        leaf: hash_at(body, 24)?,
        tree,
    };
    Some((tip, body, hash_at(page, 16)?))
}

fn mac(key: &[u8; 32], header: &Header, body: &[u8]) -> Hash {
    crate::mac::hmac(key, &[&header.first_seq.to_le_bytes(), header.origin.as_bytes(), body])
}
