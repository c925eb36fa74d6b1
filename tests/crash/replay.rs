//! Turns a directory into what a power loss could have left of it.
//!
//! Reads the record that `shim.c` made. For each 4 KiB page of each file it keeps a random
//! prefix of the writes that no sync covers, undoes the others in reverse order, and shrinks
//! the file to what was kept. The same seed gives the same loss.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

const PAGE: u64 = 4096;

/// Numbers that follow from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// What was undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Pieces of writes that no sync covered.
    pub(crate) unsynced: u64,
    /// Those of them that were undone.
    pub(crate) undone: u64,
}

/// One write, within one page.
struct Piece {
    index: u64,
    offset: u64,
    length: usize,
    /// What was there; shorter than `length` where the file ended.
    old: Vec<u8>,
}

#[derive(Default)]
struct History {
    pieces: Vec<Piece>,
    /// Size that is durable.
    size: u64,
    known: bool,
}

/// Applies a power loss to `dir`, from the record at `log`.
pub(crate) fn lose_power(dir: &Path, log: &Path, seed: u64) -> io::Result<Loss> {
    let histories = read(&std::fs::read(log)?);
    let mut dice = Dice(seed);
    let mut loss = Loss::default();
    let mut files = HashMap::new();
    collect(dir, &mut files)?;
    for (inode, history) in histories {
        let Some(path) = files.get(&inode).filter(|_| !history.pieces.is_empty()) else { continue };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        undo(&file, history, &mut dice, &mut loss)?;
    }
    Ok(loss)
}

fn collect(dir: &Path, files: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.insert(entry.metadata()?.ino(), entry.path());
        }
    }
    Ok(())
}

fn undo(file: &File, history: History, dice: &mut Dice, loss: &mut Loss) -> io::Result<()> {
    let mut pages: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
    for piece in history.pieces {
        pages.entry(piece.offset / PAGE).or_default().push(piece);
    }
    let mut size = history.size;
    for pieces in pages.values() {
        let count = pieces.len() as u64;
        let kept = dice.below(count + 1);
        loss.unsynced += count;
        loss.undone += count - kept;
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        for piece in pieces.iter().skip(kept).rev() {
            let mut bytes = piece.old.clone();
            bytes.resize(piece.length, 0);
            file.write_all_at(&bytes, piece.offset)?;
        }
        let ends = pieces.iter().take(kept).map(|piece| piece.offset + piece.length as u64);
        size = ends.fold(size, u64::max);
    }
    if file.metadata()?.len() > size {
        file.set_len(size)?;
    }
    Ok(())
}

/// A cursor over the record; `None` at a record that was not finished.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }
}

fn read(log: &[u8]) -> BTreeMap<u64, History> {
    let mut histories = BTreeMap::new();
    let mut bytes = Bytes(log);
    for index in 0.. {
        if read_one(&mut bytes, index, &mut histories).is_none() {
            break;
        }
    }
    histories
}

fn read_one(bytes: &mut Bytes<'_>, index: u64, all: &mut BTreeMap<u64, History>) -> Option<()> {
    let kind = *bytes.take(1)?.first()?;
    let inode = bytes.u64()?;
    match kind {
        b'W' => {
            let (offset, length, had, size) =
                (bytes.u64()?, bytes.u32()?, bytes.u32()?, bytes.u64()?);
            let old = bytes.take(usize::try_from(had).ok()?)?;
            let history = all.entry(inode).or_default();
            if !history.known {
                history.known = true;
                history.size = size;
            }
            history.pieces.extend(pieces(index, offset, length, old));
        }
        b'S' => {
            let upto = bytes.u64()?;
            let history = all.entry(inode).or_default();
            let durable = history.pieces.iter().filter(|piece| piece.index < upto);
            let ends = durable.map(|piece| piece.offset + piece.length as u64);
            history.size = ends.fold(history.size, u64::max);
            history.pieces.retain(|piece| piece.index >= upto);
        }
        b'T' => {
            let size = bytes.u64()?;
            let history = all.entry(inode).or_default();
            history.pieces.retain(|piece| piece.offset + piece.length as u64 <= size);
            history.size = size;
            history.known = true;
        }
        b'D' => {
            all.insert(inode, History { known: true, ..History::default() });
        }
        _ => return None,
    }
    Some(())
}

/// Cuts a write at the borders of pages.
fn pieces(index: u64, offset: u64, length: u32, old: &[u8]) -> Vec<Piece> {
    let (mut at, end) = (offset, offset + u64::from(length));
    let mut cut = Vec::new();
    while at < end {
        let next = end.min((at / PAGE + 1) * PAGE);
        let from = usize::try_from(at - offset).unwrap_or(usize::MAX);
        let length = usize::try_from(next - at).unwrap_or(0);
        let had = old.get(from..).unwrap_or_default();
        let old = had.get(..length.min(had.len())).unwrap_or_default().to_vec();
        cut.push(Piece { index, offset: at, length, old });
        at = next;
    }
    cut
}
