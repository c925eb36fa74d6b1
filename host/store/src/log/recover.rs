//! Start-up: what is on the disk becomes an open log, or a refusal that names the reason.
//!
//! Reads on from the latest watermark. A bad place after it is an unfinished tail, because
//! nobody was told that it is durable: it is cleared, provided that it looks like what a
//! power loss leaves (space that still holds its zeros). Anything else, and any damage
//! before the watermark or a checkpoint, refuses. What lies before the watermark is only
//! read by `verify`. What counts as unfinished is decided in `tail`.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    LogError, LogKeys, LogOptions, Recovery, Shared,
    flush::Flusher,
    frame::{FRAME_HEADER, Hash},
    keeper::{CHECKPOINTS, Keeper, Notes},
    note::{Checkpoint, NoteFile, NoteSigner},
    segment::{self, BadHeader, DATA_START, Header, Scan, Segment, Step},
    tail,
    tip::{self, Slot, Tip},
    tree::Tree,
    writer::{PREPARED, Writer},
};
use crate::disk;

/// Name of the file whose lock says that a process writes the log.
pub(crate) const LOCK: &str = "lock";
/// Name of the file with the public key.
pub(crate) const PUBLIC_KEY: &str = "audit.pub";

/// Opens or creates the log of a directory.
pub(crate) fn open(options: LogOptions, keys: &LogKeys) -> Result<(Shared, Recovery), LogError> {
    let dir = options.dir.clone();
    let signer = NoteSigner::new(&options.origin, &keys.signing)?;
    disk::make_dir(&dir).map_err(|e| LogError::io("make the directory", &dir, e))?;
    let held = take_lock(&dir)?;
    publish_key(&dir, &signer)?;
    for name in PREPARED {
        drop(std::fs::remove_file(dir.join(name)));
    }
    let (mut notes, last) = read_notes(&dir, &signer)?;
    let mut files = open_segments(&options)?;
    let signed = last.as_ref().map_or(0, |checkpoint| checkpoint.size);
    if files.is_empty() {
        if signed > 0 {
            return Err(LogError::Missing {
                found: 0,
                wanted: signed,
                what: "the last checkpoint",
            });
        }
        files.push(create_first(&options)?);
    }
    let mut end = read_tail(&mut files, &keys.tip, last.as_ref())?;
    if end.tree.size() < signed {
        let (found, wanted) = (end.tree.size(), signed);
        return Err(LogError::Missing { found, wanted, what: "the last checkpoint" });
    }
    let Some(current) = files.pop().map(|(_, segment)| Arc::new(segment)) else {
        return Err(LogError::Closed);
    };
    settle(&dir, &current, &mut end, &keys.tip)?;
    notes.signed = signed;
    let recovery =
        Recovery { size: end.tree.size(), checked: end.checked, torn_bytes: end.torn_bytes };
    let shared = Shared {
        tip_key: zeroize::Zeroizing::new(keys.tip),
        flusher: Flusher::new(end.tip()),
        writer: Mutex::new(Writer::new(current, end.offset, end.leaf, end.tree)),
        keeper: Keeper::new(notes),
        companions: Mutex::default(),
        signer,
        options,
        _lock: held,
    };
    Ok((shared, recovery))
}

fn take_lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK);
    let file = disk::private().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| LogError::io("open", &path, e))?;
    file.try_lock().map_err(|_| LogError::InUse(dir.to_owned()))?;
    Ok(file)
}

/// Writes the public key, or checks that the one there is ours.
fn publish_key(dir: &Path, signer: &NoteSigner) -> Result<(), LogError> {
    let path = dir.join(PUBLIC_KEY);
    let wanted = signer.verifier().to_string();
    match std::fs::read_to_string(&path) {
        Ok(found) if found.trim() == wanted => Ok(()),
        Ok(found) => Err(LogError::OtherLog { path, found: found.trim().to_owned(), wanted }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let line = format!("{wanted}\n");
            disk::write_whole(&path, line.as_bytes()).map_err(|e| LogError::io("write", &path, e))
        }
        Err(error) => Err(LogError::io("read", path, error)),
    }
}

fn read_notes(dir: &Path, signer: &NoteSigner) -> Result<(Notes, Option<Checkpoint>), LogError> {
    let path = dir.join(CHECKPOINTS);
    let file = disk::private().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| LogError::io("open", &path, e))?;
    let bytes = std::fs::read(&path).map_err(|e| LogError::io("read", &path, e))?;
    let parsed = NoteFile::parse(&bytes);
    if parsed.damaged {
        let seq = parsed.notes.last().map_or(0, |note| note.checkpoint.size);
        return Err(LogError::Damaged { seq, path, what: "a checkpoint in the middle" });
    }
    let last = parsed.notes.last().map(|note| signer.verifier().check_parsed(note)).transpose()?;
    let len = parsed.good_bytes as u64;
    if len < bytes.len() as u64 {
        file.set_len(len).map_err(|e| LogError::io("shorten", &path, e))?;
    }
    Ok((Notes { file, len, signed: 0 }, last))
}

/// A segment and its path.
pub(crate) type Placed = (PathBuf, Segment);

/// Opens all segments and checks that their headers fit each other. A last one without a
/// header is one whose creation was never flushed; it is removed.
fn open_segments(options: &LogOptions) -> Result<Vec<Placed>, LogError> {
    let dir = &options.dir;
    let listed = segment::list(dir).map_err(|e| LogError::io("read", dir, e))?;
    let count = listed.len();
    let mut files: Vec<Placed> = Vec::with_capacity(count);
    for (number, (first_seq, path)) in listed.into_iter().enumerate() {
        let opened = Segment::open(&path, true).map_err(|e| LogError::io("open", &path, e))?;
        let segment = match opened {
            Ok(segment) => segment,
            Err(BadHeader::Newer(found)) => {
                return Err(LogError::Newer { path, found, known: segment::FORMAT });
            }
            Err(BadHeader::Blank)
                if number + 1 == count
                    && !segment::has_slots(&path)
                        .map_err(|e| LogError::io("read", &path, e))? =>
            {
                std::fs::remove_file(&path).map_err(|e| LogError::io("remove", &path, e))?;
                break;
            }
            Err(_) => {
                return Err(LogError::Damaged { seq: first_seq, path, what: "segment header" });
            }
        };
        check_place(options, &files, first_seq, &path, &segment)?;
        let len = segment.file.metadata().map_err(|e| LogError::io("read", &path, e))?.len();
        let capacity = segment.header.capacity;
        if len > capacity || (len < capacity && number + 1 < count) {
            return Err(LogError::Damaged { seq: first_seq, path, what: "length of the file" });
        }
        files.push((path, segment));
    }
    Ok(files)
}

fn check_place(
    options: &LogOptions,
    before: &[Placed],
    first_seq: u64,
    path: &Path,
    segment: &Segment,
) -> Result<(), LogError> {
    let header = &segment.header;
    let damaged = |what| Err(LogError::Damaged { seq: first_seq, path: path.to_owned(), what });
    if header.origin != options.origin {
        return Err(LogError::OtherLog {
            path: path.to_owned(),
            found: header.origin.clone(),
            wanted: options.origin.clone(),
        });
    }
    if header.first_seq != first_seq {
        return damaged("its name and its header differ");
    }
    if header.number != before.len() as u64 || (before.is_empty() && first_seq != 0) {
        return damaged("the segment before it is gone");
    }
    if first_seq == 0 && header.prev != segment::genesis(&options.origin) {
        return damaged("segment header");
    }
    Ok(())
}

/// The first segment of a new log, durable before anything is written to it.
fn create_first(options: &LogOptions) -> Result<Placed, LogError> {
    let dir = &options.dir;
    let path = dir.join(segment::file_name(0));
    let header = Header {
        first_seq: 0,
        capacity: options.first_segment_bytes.max(DATA_START + FRAME_HEADER as u64),
        prev: segment::genesis(&options.origin),
        number: 0,
        origin: options.origin.clone(),
    };
    let [beside, _] = PREPARED;
    let made = super::writer::zeroed(&dir.join(beside), header.capacity)
        .and_then(|file| Segment::begin(file, header))
        .and_then(|segment| {
            segment.file.sync_all()?;
            std::fs::rename(dir.join(beside), &path)?;
            disk::sync_dir(dir)?;
            Ok(segment)
        });
    made.map(|segment| (path, segment)).map_err(|e| LogError::io("make a segment in", dir, e))
}

/// Where the log ends, as found on disk.
struct End {
    counter: u64,
    offset: u64,
    leaf: Hash,
    tree: Tree,
    checked: u64,
    torn_bytes: u64,
}

impl End {
    fn tip(&self) -> Tip {
        Tip { counter: self.counter, offset: self.offset, leaf: self.leaf, tree: self.tree.clone() }
    }
}

/// Reads from the latest watermark to the end, over as many segments as there are; leaves
/// in `files` the segments up to the one in which the log ends.
fn read_tail(
    files: &mut Vec<Placed>,
    key: &[u8; 32],
    last: Option<&Checkpoint>,
) -> Result<End, LogError> {
    let (mut at, mut end) = find_watermark(files, key)?;
    check_root(&end, last)?;
    while let Some((path, segment)) = files.get(at) {
        let torn = read_segment(path, segment, &mut end, last)?;
        let next = files.get(at + 1);
        match (torn, next) {
            (None, None) => break,
            (None, Some((path, next))) => {
                if next.header.first_seq != end.tree.size() || next.header.prev != end.leaf {
                    let seq = end.tree.size();
                    let what = "the next segment does not follow";
                    return Err(LogError::Damaged { seq, path: path.clone(), what });
                }
                end.offset = DATA_START;
                at += 1;
            }
            (Some(bad), _) => {
                end.torn_bytes = tail::clear(files, at, end.tree.size(), bad)?;
                break;
            }
        }
    }
    Ok(end)
}

fn find_watermark(files: &[Placed], key: &[u8; 32]) -> Result<(usize, End), LogError> {
    for (at, (path, segment)) in files.iter().enumerate().rev() {
        let slots = tip::read(&segment.file, &segment.header, Some(key))
            .map_err(|e| LogError::io("read", path, e))?;
        if slots.contains(&Slot::Forged) {
            let seq = segment.header.first_seq;
            let what = "the watermark was not made with this key";
            return Err(LogError::Damaged { seq, path: path.clone(), what });
        }
        if let Some(tip) = tip::latest(slots) {
            let Tip { counter, offset, leaf, tree } = tip;
            let len = segment.file.metadata().map_err(|e| LogError::io("read", path, e))?.len();
            if len < offset {
                let (seq, path) = (segment.header.first_seq, path.clone());
                return Err(LogError::Damaged { seq, path, what: "the file was cut" });
            }
            return Ok((at, End { counter, offset, leaf, tree, checked: 0, torn_bytes: 0 }));
        }
    }
    let leaf = files.first().map_or([0; 32], |(_, segment)| segment.header.prev);
    let tree = Tree::default();
    Ok((0, End { counter: 0, offset: DATA_START, leaf, tree, checked: 0, torn_bytes: 0 }))
}

fn check_root(end: &End, last: Option<&Checkpoint>) -> Result<(), LogError> {
    match last {
        Some(last) if last.size == end.tree.size() && last.root != end.tree.root() => {
            Err(LogError::Damaged {
                seq: last.size.saturating_sub(1),
                path: PathBuf::from(CHECKPOINTS),
                what: "the last checkpoint has another root",
            })
        }
        _ => Ok(()),
    }
}

/// Reads the rest of one segment; gives the offset of a bad place, if there is one.
fn read_segment(
    path: &Path,
    segment: &Segment,
    end: &mut End,
    last: Option<&Checkpoint>,
) -> Result<Option<u64>, LogError> {
    let mut scan = Scan::new(&segment.file, end.offset);
    loop {
        match scan.step().map_err(|e| LogError::io("read", path, e))? {
            Step::Frame { seq, prev, leaf } => {
                if seq != end.tree.size() || prev != end.leaf {
                    let seq = end.tree.size();
                    let what = "it does not follow the record before";
                    return Err(LogError::Damaged { seq, path: path.to_owned(), what });
                }
                end.tree.push(leaf);
                end.leaf = leaf;
                end.offset = scan.offset();
                end.checked += 1;
                check_root(end, last)?;
            }
            Step::Bad => return Ok(Some(scan.offset())),
            Step::End => {
                let dirt = segment::first_nonzero(&segment.file, scan.offset());
                let dirt = dirt.map_err(|e| LogError::io("read", path, e))?;
                return Ok(dirt.map(|_| scan.offset()));
            }
        }
    }
}

/// Makes what was found durable, mends a short file and torn slots, and notes the watermark;
/// does nothing after a clean end.
fn settle(dir: &Path, current: &Segment, end: &mut End, key: &[u8; 32]) -> Result<(), LogError> {
    let (file, header) = (&current.file, &current.header);
    let mut mend = || -> io::Result<()> {
        let len = file.metadata()?.len();
        let slots = tip::read(file, header, Some(key))?;
        let is_whole = len == header.capacity && !slots.contains(&Slot::Torn);
        if is_whole && end.checked == 0 && end.torn_bytes == 0 && end.counter > 0 {
            return Ok(());
        }
        disk::zero(file, len.max(end.offset), header.capacity)?;
        for (number, slot) in (1..).zip(slots) {
            if slot == Slot::Torn {
                let page = segment::PAGE as u64;
                disk::zero(file, number * page, (number + 1) * page)?;
            }
        }
        file.sync_all()?;
        end.counter += 1;
        end.tip().write(file, header, key)?;
        disk::sync_dir(dir)
    };
    mend().map_err(|e| LogError::io("mend", dir, e))
}
