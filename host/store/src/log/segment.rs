//! One file of the log.
//!
//! ```text
//!     0  header page: magic "TIDELOG1", format u32 = 1, data start u32 = 12288, first seq u64,
//!        capacity u64, prev [32], number u64, origin length u16, origin; zeros; at 4092
//!        crc32c of 0..4092
//!  4096  two tip slots of 4096 bytes each (see `tip`)
//! 12288  frames, then zeros up to the capacity
//! ```
//!
//! Little endian. `prev` is the leaf hash of the frame before the first one; at the start of
//! a log SHA-256("tidegate log 1\n" ‖ origin). File names: the first seq, twenty digits.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::frame::{self, Hash, Parsed, hash_at, u32_at, u64_at};
use crate::disk;

pub(crate) const PAGE: usize = 4096;
/// Where frames begin.
pub(crate) const DATA_START: u64 = 3 * PAGE as u64;
const MAGIC: &[u8; 8] = b"TIDELOG1";
/// The format this code writes; a higher one is refused.
pub(crate) const FORMAT: u32 = 1;

/// The `prev` of the very first frame.
pub(crate) fn genesis(origin: &str) -> Hash {
    Sha256::new().chain_update(b"tidegate log 1\n").chain_update(origin).finalize().into()
}

/// The header page as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first_seq: u64,
    pub(crate) capacity: u64,
    pub(crate) prev: Hash,
    /// How many segments come before it.
    pub(crate) number: u64,
    pub(crate) origin: String,
}

/// Why a header page cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Only zeros, or its first or last sector still is.
    Blank,
    /// Wrong magic or checksum.
    Damaged,
    /// Made by a newer version.
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&FORMAT.to_le_bytes());
        page.extend_from_slice(&(DATA_START as u32).to_le_bytes());
        page.extend_from_slice(&self.first_seq.to_le_bytes());
        page.extend_from_slice(&self.capacity.to_le_bytes());
        page.extend_from_slice(&self.prev);
        page.extend_from_slice(&self.number.to_le_bytes());
        page.extend_from_slice(&u16::try_from(self.origin.len()).unwrap_or(u16::MAX).to_le_bytes());
        page.extend_from_slice(self.origin.as_bytes());
        page.resize(PAGE - 4, 0);
        let crc = crc32c::crc32c(&page);
        page.extend_from_slice(&crc.to_le_bytes());
        page
    }

    pub(crate) fn decode(page: &[u8]) -> Result<Self, BadHeader> {
        if page.iter().all(|byte| *byte == 0) {
            return Err(BadHeader::Blank);
        }
        let (body, crc) = (page.get(..PAGE - 4), u32_at(page, PAGE - 4));
        let whole = body.zip(crc).is_some_and(|(body, crc)| crc32c::crc32c(body) == crc);
        let blank =
            |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(|byte| *byte == 0));
        if !whole && (blank(page.get(..512)) || blank(page.get(PAGE - 512..))) {
            return Err(BadHeader::Blank);
        }
        if !whole || page.get(..8) != Some(MAGIC) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(page, 8) {
            Some(FORMAT) => {}
            Some(newer) if newer > FORMAT => return Err(BadHeader::Newer(newer)),
            _ => return Err(BadHeader::Damaged),
        }
        Self::fields(page).filter(|header| header.encode() == page).ok_or(BadHeader::Damaged)
    }

    fn fields(page: &[u8]) -> Option<Self> {
        let len = usize::from(u16::from_le_bytes(page.get(72..74)?.try_into().ok()?));
        let origin = std::str::from_utf8(page.get(74..74 + len)?).ok()?;
        Some(Self {
            first_seq: u64_at(page, 16)?,
            capacity: u64_at(page, 24)?,
            prev: hash_at(page, 32)?,
            number: u64_at(page, 64)?,
            origin: origin.to_owned(),
        })
    }
}

/// The name of the segment that begins with `first_seq`.
pub(crate) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// All segments of a directory by first seq.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20);
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// An open segment with its header.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) header: Header,
}

impl Segment {
    /// Turns a zero-filled file into the segment that follows `prev`.
    pub(crate) fn begin(file: File, header: Header) -> io::Result<Self> {
        disk::write_at(&file, &header.encode(), 0)?;
        Ok(Self { file, header })
    }

    /// Opens an existing segment; `Ok(Err(_))` when its header page cannot be used.
    pub(crate) fn open(path: &Path, write: bool) -> io::Result<Result<Self, BadHeader>> {
        let file = disk::private().read(true).write(write).open(path)?;
        let mut page = vec![0; PAGE];
        let read = disk::read_at(&file, &mut page, 0)?;
        if read < PAGE {
            return Ok(Err(BadHeader::Damaged));
        }
        Ok(Header::decode(&page).map(|header| Self { file, header }))
    }
}

/// What a scan met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame: number, previous hash, own leaf hash; the bytes are in [`Scan::record`].
    Frame { seq: u64, prev: Hash, leaf: Hash },
    /// Zeros where the next frame would be, or the end of the file.
    End,
    /// Bytes that are no frame.
    Bad,
}

/// Reads the frames of one segment in order, a buffer at a time.
#[derive(Debug)]
pub(crate) struct Scan<F> {
    file: F,
    /// Offset in the file of `buffer[start]`.
    at: u64,
    buffer: Vec<u8>,
    start: usize,
    /// Range of the last record in `buffer`.
    record: (usize, usize),
}

const SCAN_BUFFER: usize = 256 << 10;

impl<F: std::borrow::Borrow<File>> Scan<F> {
    pub(crate) fn new(file: F, from: u64) -> Self {
        Self { file, at: from, buffer: Vec::new(), start: 0, record: (0, 0) }
    }

    /// Offset of the next frame.
    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    /// The record of the frame that the last step met.
    pub(crate) fn record(&self) -> &[u8] {
        self.buffer.get(self.record.0..self.record.1).unwrap_or_default()
    }

    /// Makes the scan read the file again from where it stands.
    pub(crate) fn again(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            match frame::parse(rest) {
                Parsed::End => return Ok(Step::End),
                Parsed::Bad => return Ok(Step::Bad),
                Parsed::Frame(frame) => {
                    let step = Step::Frame { seq: frame.seq, prev: frame.prev, leaf: frame.leaf() };
                    let end = self.start + frame.whole.len();
                    self.record = (self.start + frame::FRAME_HEADER, end);
                    self.at += frame.whole.len() as u64;
                    self.start = end;
                    return Ok(step);
                }
                Parsed::Short(needed) => {
                    // At the end of the file there may be no room for as much as a length.
                    let blank = rest.iter().all(|byte| *byte == 0);
                    if !self.fill(needed)? {
                        return Ok(if blank { Step::End } else { Step::Bad });
                    }
                }
            }
        }
    }

    /// Reads on until `needed` bytes are there; `false` at the end of the file.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let had = self.buffer.len();
        self.buffer.resize(needed.max(SCAN_BUFFER), 0);
        let from = self.at + had as u64;
        let read = disk::read_at(
            self.file.borrow(),
            self.buffer.get_mut(had..).unwrap_or_default(),
            from,
        )?;
        self.buffer.truncate(had + read);
        Ok(self.buffer.len() >= needed)
    }
}

/// Whether anything was written to the watermark slots; tells a new segment from one that
/// lost its header.
pub(crate) fn has_slots(path: &Path) -> io::Result<bool> {
    let mut slots = vec![0; 2 * PAGE];
    disk::read_at(&File::open(path)?, &mut slots, PAGE as u64)?;
    Ok(slots.iter().any(|byte| *byte != 0))
}

/// The first byte in `from..` of the file that is not zero.
pub(crate) fn first_nonzero(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0_u8; SCAN_BUFFER];
    let mut at = from;
    loop {
        let read = disk::read_at(file, &mut buffer, at)?;
        let part = buffer.get(..read).unwrap_or_default();
        if let Some(found) = part.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + found as u64));
        }
        if read < buffer.len() {
            return Ok(None);
        }
        at += read as u64;
    }
}
