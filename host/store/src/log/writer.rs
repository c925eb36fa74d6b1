//! The hot path: frame, hash, one write, under one mutex.
//!
//! Owns the place of the next record and the change to the next segment. State moves on
//! only after a write has succeeded, so that a failed append leaves nothing behind. Never
//! waits for a flush; making zero-filled segments ahead of need is the keeper's work.

use std::{fs::File, io, path::Path, sync::Arc};

use super::{
    Appended, LogError, Shared,
    frame::{self, Hash, MAX_RECORD},
    segment::{DATA_START, Header, Segment, file_name},
    tip::Tip,
    tree::Tree,
};
use crate::disk;

/// Zero-filled files that are not segments yet: the keeper's, and the writer's own for when
/// the keeper was too slow.
pub(crate) const PREPARED: [&str; 2] = ["prepared", "prepared-now"];

/// The end of the log.
pub(crate) struct Writer {
    segment: Arc<Segment>,
    offset: u64,
    prev: Hash,
    tree: Tree,
    frame: Vec<u8>,
    /// End of what a failed write may have left behind `offset`.
    scrub: Option<u64>,
    /// Zero-filled by the keeper, ready to become the next segment: file and capacity.
    prepared: Option<(File, u64)>,
    asked: bool,
    /// Segments written since the last flush, oldest first; the current one is always last.
    unsynced: Vec<Arc<Segment>>,
    new_names: bool,
    closed: bool,
    full: bool,
}

/// What a flush has to make durable.
pub(crate) struct Pending {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) new_names: bool,
    pub(crate) offset: u64,
    pub(crate) leaf: Hash,
    pub(crate) tree: Tree,
}

impl Writer {
    pub(crate) fn new(segment: Arc<Segment>, offset: u64, prev: Hash, tree: Tree) -> Self {
        Self {
            unsynced: vec![Arc::clone(&segment)],
            segment,
            offset,
            prev,
            tree,
            frame: Vec::new(),
            scrub: None,
            prepared: None,
            asked: false,
            new_names: true,
            closed: false,
            full: false,
        }
    }

    pub(crate) fn append(&mut self, shared: &Shared, bytes: &[u8]) -> Result<Appended, LogError> {
        if bytes.is_empty() || bytes.len() > MAX_RECORD {
            return Err(LogError::Size(bytes.len()));
        }
        if self.closed {
            return Err(LogError::Closed);
        }
        if let Some(fault) = shared.flusher.fault() {
            return Err(LogError::Failed(fault));
        }
        let seq = self.tree.size();
        frame::encode(&mut self.frame, seq, &self.prev, bytes);
        let len = self.frame.len() as u64;
        if self.offset + len > self.segment.header.capacity {
            self.roll(shared, len)?;
        }
        if let Err(error) = self.write() {
            self.full = disk::is_full(&error);
            return Err(self.refuse(shared, "append to", error));
        }
        self.full = false;
        let leaf = frame::leaf(&self.frame);
        self.tree.push(leaf);
        self.prev = leaf;
        self.offset += len;
        let room = self.segment.header.capacity.saturating_sub(DATA_START);
        if !self.asked && (self.offset - DATA_START) * 4 > room {
            self.asked = true;
            shared.keeper.ask();
        }
        Ok(Appended { seq, leaf })
    }

    /// Clears what an earlier failed write left behind.
    fn scrub(&mut self) -> io::Result<()> {
        if let Some(end) = self.scrub {
            disk::zero(&self.segment.file, self.offset, end)?;
            self.scrub = None;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.scrub()?;
        disk::write_at(&self.segment.file, &self.frame, self.offset).inspect_err(|_| {
            let end = self.offset + self.frame.len() as u64;
            self.scrub = match disk::zero(&self.segment.file, self.offset, end) {
                Ok(()) => None,
                Err(_) => Some(end),
            };
        })
    }

    /// Begins the next segment, with the prepared file if there is one.
    fn roll(&mut self, shared: &Shared, frame: u64) -> Result<(), LogError> {
        let dir = &shared.options.dir;
        let needed = DATA_START + frame;
        self.scrub().map_err(|error| self.refuse(shared, "extend", error))?;
        let [ahead, now] = PREPARED;
        let (name, file, capacity) = match self.prepared.take().filter(|(_, size)| *size >= needed)
        {
            Some((file, capacity)) => (ahead, file, capacity),
            None => {
                let capacity = shared.options.first_segment_bytes.max(needed);
                let made = check_space(shared, capacity).and_then(|()| {
                    zeroed(&dir.join(now), capacity).map_err(|e| self.refuse(shared, "extend", e))
                });
                self.full = made.is_err();
                (now, made?, capacity)
            }
        };
        let header = Header {
            first_seq: self.tree.size(),
            capacity,
            prev: self.prev,
            number: self.segment.header.number + 1,
            origin: shared.options.origin.clone(),
        };
        let path = dir.join(file_name(header.first_seq));
        let begun = Segment::begin(file, header).and_then(|segment| {
            std::fs::rename(dir.join(name), &path)?;
            Ok(Arc::new(segment))
        });
        let segment = begun.map_err(|error| self.refuse(shared, "extend", error))?;
        self.unsynced.push(Arc::clone(&segment));
        self.segment = segment;
        self.new_names = true;
        self.offset = DATA_START;
        self.asked = false;
        Ok(())
    }

    fn refuse(&self, shared: &Shared, doing: &'static str, error: io::Error) -> LogError {
        let dir = shared.options.dir.clone();
        if disk::is_full(&error) {
            LogError::Full { dir, needed: shared.options.first_segment_bytes }
        } else {
            LogError::io(doing, dir, error)
        }
    }

    /// Takes over what must be flushed; the current segment stays on the list.
    pub(crate) fn pending(&mut self) -> Pending {
        let current = Arc::clone(&self.segment);
        Pending {
            segments: std::mem::replace(&mut self.unsynced, vec![current]),
            new_names: std::mem::take(&mut self.new_names),
            offset: self.offset,
            leaf: self.prev,
            tree: self.tree.clone(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Capacity of the current segment, while the next one is wanted and missing.
    pub(crate) fn wants_segment(&self) -> Option<u64> {
        (self.asked && self.prepared.is_none()).then_some(self.segment.header.capacity)
    }

    pub(crate) fn provide(&mut self, file: File, capacity: u64) {
        self.prepared = Some((file, capacity));
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full && self.prepared.is_none()
    }
}

impl Pending {
    /// The watermark once all of this is durable.
    pub(crate) fn tip(self, counter: u64) -> Tip {
        Tip { counter, offset: self.offset, leaf: self.leaf, tree: self.tree }
    }
}

/// Refuses when a file of `capacity` would leave too little free.
pub(crate) fn check_space(shared: &Shared, capacity: u64) -> Result<(), LogError> {
    let dir = &shared.options.dir;
    let free = shared.options.space.free(dir).map_err(|e| LogError::io("measure", dir, e))?;
    let needed = capacity.saturating_add(shared.options.min_free_bytes);
    if free < needed { Err(LogError::Full { dir: dir.clone(), needed }) } else { Ok(()) }
}

/// Makes a file anew, filled with zeros; leaves nothing behind when it cannot.
pub(crate) fn zeroed(path: &Path, capacity: u64) -> io::Result<File> {
    let file = disk::private().read(true).write(true).create(true).truncate(true).open(path)?;
    match disk::zero(&file, 0, capacity) {
        Ok(()) => Ok(file),
        Err(error) => {
            drop(std::fs::remove_file(path));
            Err(error)
        }
    }
}
