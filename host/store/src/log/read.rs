//! Reading records in order, by number or from the end, also while a process appends.
//!
//! A reader opens files for reading only and keeps a sparse index of the places it has
//! passed. It checks each frame's checksum; whether the whole is genuine is for `verify`.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use super::{
    LogError,
    frame::Hash,
    segment::{self, DATA_START, Header, Scan, Segment, Step},
    tip,
};

/// One place is remembered for so many records.
const MARK_EVERY: u64 = 512;

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 0.
    pub seq: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// The record.
    pub bytes: Vec<u8>,
}

/// Reads a log directory.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    next: u64,
    open: Option<OpenSegment>,
    /// Record number → first seq of its segment and offset.
    marks: BTreeMap<u64, (u64, u64)>,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    header: Header,
    scan: Scan<File>,
    /// Number of the record at the scan's place.
    at: u64,
}

impl Reader {
    /// A reader from the first record on.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self { dir: dir.as_ref().to_owned(), next: 0, open: None, marks: BTreeMap::new() }
    }

    /// Goes on with record `seq`; it need not be there yet.
    pub fn seek(&mut self, seq: u64) {
        if self.next != seq || self.open.is_none() {
            self.next = seq;
            self.open = None;
        }
    }

    /// Goes to the last `count` records; gives the number of the first of them.
    pub fn seek_last(&mut self, count: u64) -> Result<u64, LogError> {
        let listed = self.segments()?;
        self.seek(listed.last().map_or(0, |(first, _)| *first));
        while self.advance()?.is_some() {}
        let from = self.next.saturating_sub(count);
        self.seek(from);
        Ok(from)
    }

    /// The number of the record that [`Reader::next`] gives next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// One record by number; `None` if there is none yet.
    pub fn read(&mut self, seq: u64) -> Result<Option<Entry>, LogError> {
        self.seek(seq);
        self.next()
    }

    /// The next record; `None` when there is none yet, and the same call may find one later.
    #[expect(clippy::should_implement_trait, reason = "an end that may move on is no iterator's")]
    pub fn next(&mut self) -> Result<Option<Entry>, LogError> {
        let found = self.advance()?;
        Ok(found.and_then(|(seq, leaf)| {
            let bytes = self.open.as_ref()?.scan.record().to_vec();
            Some(Entry { seq, leaf, bytes })
        }))
    }

    fn segments(&self) -> Result<Vec<(u64, PathBuf)>, LogError> {
        segment::list(&self.dir).map_err(|e| LogError::io("read", &self.dir, e))
    }

    fn advance(&mut self) -> Result<Option<(u64, Hash)>, LogError> {
        let mut read_again = false;
        loop {
            if self.open.is_none() && !self.open_for(self.next)? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match open.scan.step().map_err(|e| LogError::io("read", &open.path, e))? {
                Step::Frame { seq, leaf, .. } => {
                    if seq != open.at {
                        return Err(damaged(open, "its number is wrong"));
                    }
                    open.at += 1;
                    if open.at % MARK_EVERY == 0 {
                        let place = (open.header.first_seq, open.scan.offset());
                        self.marks.insert(open.at, place);
                    }
                    if seq == self.next {
                        self.next += 1;
                        return Ok(Some((seq, leaf)));
                    }
                }
                _ if !read_again => {
                    // What was buffered may be older than the file; the list of segments is
                    // looked at first, because a later segment means that this one is final.
                    read_again = true;
                    open.scan.again();
                }
                Step::Bad if is_flushed(open)? => {
                    return Err(damaged(open, "its checksum is wrong"));
                }
                Step::Bad => return Ok(None),
                Step::End => {
                    let at = open.at;
                    if !self.follow(at)? {
                        return Ok(None);
                    }
                    read_again = false;
                }
            }
        }
    }

    /// Moves to the segment that begins with `at`, if the present one has ended there.
    fn follow(&mut self, at: u64) -> Result<bool, LogError> {
        let Some((_, path)) = self.segments()?.into_iter().find(|(first, _)| *first == at) else {
            return Ok(false);
        };
        let Some(open) = &mut self.open else { return Ok(false) };
        if open.header.first_seq == at {
            return Ok(false);
        }
        // The segment before was read once more after this one had appeared.
        open.scan.again();
        if open.scan.step().map_err(|e| LogError::io("read", &open.path, e))? != Step::End {
            self.open = None;
            return Ok(true);
        }
        self.open_at(at, path, DATA_START)
    }

    fn open_for(&mut self, seq: u64) -> Result<bool, LogError> {
        let listed = self.segments()?;
        let Some((first, path)) = listed.into_iter().rev().find(|(first, _)| *first <= seq) else {
            return Ok(false);
        };
        let mark = self.marks.range(..=seq).next_back();
        match mark.filter(|(_, (segment, _))| *segment == first) {
            Some((at, (_, offset))) => {
                let (at, offset) = (*at, *offset);
                self.open_at(at, path, offset)
            }
            None => self.open_at(first, path, DATA_START),
        }
    }

    fn open_at(&mut self, at: u64, path: PathBuf, offset: u64) -> Result<bool, LogError> {
        let opened = Segment::open(&path, false).map_err(|e| LogError::io("open", &path, e))?;
        // A header that is not there yet belongs to a segment that is just being made.
        let Ok(Segment { file, header }) = opened else { return Ok(false) };
        self.open = Some(OpenSegment { path, header, scan: Scan::new(file, offset), at });
        Ok(true)
    }
}

fn damaged(open: &OpenSegment, what: &'static str) -> LogError {
    LogError::Damaged { seq: open.at, path: open.path.clone(), what }
}

/// Whether the record at the scan's place is covered by the segment's watermark.
fn is_flushed(open: &OpenSegment) -> Result<bool, LogError> {
    let failed = |e| LogError::io("read", &open.path, e);
    let file = File::open(&open.path).map_err(failed)?;
    let slots = tip::read(&file, &open.header, None).map_err(failed)?;
    Ok(tip::latest(slots).is_some_and(|tip| tip.size() > open.at))
}
