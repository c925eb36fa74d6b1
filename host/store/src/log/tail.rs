//! The unfinished tail that a power loss or a killed process leaves.
//!
//! A disk writes sectors in any order: of records that nobody was told are durable, a later
//! one may be there and an earlier one not. What was not written still holds its zeros, and
//! that is how such a hole is told from damage.

use std::{fs::File, io, path::Path};

use super::{
    LogError,
    frame::{self, FRAME_HEADER, Parsed},
    recover::Placed,
    segment::{self, DATA_START},
};
use crate::disk;

/// The unit in which a disk writes or does not write.
const SECTOR: usize = 512;

/// Clears an unfinished tail that begins at `from` in `files[at]`, where record `seq` would be,
/// and removes the segments behind it; gives its length in bytes.
pub(crate) fn clear(
    files: &mut Vec<Placed>,
    at: usize,
    seq: u64,
    from: u64,
) -> Result<u64, LogError> {
    let Some((path, segment)) = files.get(at) else { return Ok(0) };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e| LogError::io("mend", path, e)
    };
    let tail = read_from(&segment.file, from).map_err(failed(path))?;
    let later = files.get(at + 1..).unwrap_or_default();
    let follows = holds_frame_after(&tail, seq) || !later.is_empty();
    if follows && !looks_unwritten(&tail, from) {
        let what = "later records are there";
        return Err(LogError::Damaged { seq, path: path.clone(), what });
    }
    let used = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let mut torn = used;
    disk::zero(&segment.file, from, from + used)
        .and_then(|()| segment.file.sync_all())
        .map_err(failed(path))?;
    for (path, segment) in later {
        torn += segment::first_nonzero(&segment.file, DATA_START)
            .map_err(failed(path))?
            .map_or(0, |_| 1);
        std::fs::remove_file(path).map_err(failed(path))?;
    }
    if let Some(dir) = path.parent() {
        disk::sync_dir(dir).map_err(failed(dir))?;
    }
    files.truncate(at + 1);
    Ok(torn)
}

fn read_from(file: &File, from: u64) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len().saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = disk::read_at(file, &mut bytes, from)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether some place of the tail holds a whole frame with a number above `seq`.
fn holds_frame_after(tail: &[u8], seq: u64) -> bool {
    let near = |bytes: &[u8]| frame::u64_at(bytes, 8).is_some_and(|n| n > seq && n - seq < 1 << 32);
    (1..tail.len())
        .filter_map(|at| tail.get(at..))
        .any(|bytes| near(bytes) && matches!(frame::parse(bytes), Parsed::Frame(_)))
}

/// Whether a part of the frame that begins the tail, as long as a sector or up to the next
/// sector's border, still holds the zeros the segment was filled with.
fn looks_unwritten(tail: &[u8], from: u64) -> bool {
    let claimed = frame::claimed_len(tail).filter(|len| *len > FRAME_HEADER);
    let len = claimed.unwrap_or(FRAME_HEADER).min(tail.len());
    let first = SECTOR - usize::try_from(from % SECTOR as u64).unwrap_or(0);
    let mut start = 0;
    let mut border = first;
    while start < len {
        let part = tail.get(start..border.min(len)).unwrap_or_default();
        if !part.is_empty() && part.iter().all(|byte| *byte == 0) {
            return true;
        }
        start = border;
        border += SECTOR;
    }
    false
}
