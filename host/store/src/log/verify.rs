//! Checking a whole log from the outside.
//!
//! Recomputes everything and trusts nothing that is stored: frames, numbers, chain, tree,
//! the root under every checkpoint, the watermarks, the zeros behind the last record. Opens
//! nothing for writing; a gateway may be appending meanwhile. Intents without outcome and
//! other meanings of records are for `governance`.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    frame::Hash,
    keeper::CHECKPOINTS,
    note::{Checkpoint, NoteFile, VerifierKey},
    recover::{LOCK, PUBLIC_KEY},
    report::{Finding, Report, Verdict},
    segment::{self, BadHeader, DATA_START, Scan, Segment, Step},
    tip::{self, Slot, Tip},
    tree::Tree,
};

/// Records that a running gateway may not have signed yet.
const UNSIGNED_LIMIT: u64 = 100_000;

/// Verifies the log in `dir` with the public key that its operator keeps, and against a
/// checkpoint kept elsewhere, if there is one. Never fails: what cannot be read is a finding.
pub fn verify(dir: &Path, key: &VerifierKey, against: Option<&Checkpoint>) -> Report {
    let mut check = Check {
        dir,
        key,
        live: is_live(dir),
        tree: Tree::default(),
        leaf: segment::genesis(key.origin()),
        roots: BTreeMap::new(),
        tips: BTreeMap::new(),
        signed: 0,
        checkpoints: 0,
        segments: 0,
        broken: false,
        findings: Vec::new(),
    };
    if let Err(error) = check.run(against) {
        let what = format!("cannot read `{}`: {error}", dir.display());
        check.find(Verdict::Unreadable, None, what);
    }
    check.report()
}

fn is_live(dir: &Path) -> bool {
    let lock = File::open(dir.join(LOCK));
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// A root that somebody has vouched for.
struct Promise {
    root: Hash,
    who: &'static str,
}

struct Check<'a> {
    dir: &'a Path,
    key: &'a VerifierKey,
    live: bool,
    tree: Tree,
    leaf: Hash,
    /// Roots to meet, by size.
    roots: BTreeMap<u64, Vec<Promise>>,
    /// Watermarks to meet, by size, with the first seq of their segment.
    tips: BTreeMap<u64, Vec<(u64, Tip)>>,
    signed: u64,
    checkpoints: u64,
    segments: u64,
    /// Whether reading had to stop.
    broken: bool,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, verdict: Verdict, seq: Option<u64>, what: String) {
        self.findings.push(Finding { verdict, seq, what });
    }

    fn run(&mut self, against: Option<&Checkpoint>) -> io::Result<()> {
        self.read_key_file()?;
        self.read_notes()?;
        if let Some(kept) = against {
            self.expect(kept, "the checkpoint kept elsewhere");
        }
        self.meet_roots(0);
        let listed = segment::list(self.dir)?;
        let count = listed.len();
        for (number, (first, path)) in listed.into_iter().enumerate() {
            if self.broken {
                break;
            }
            self.read_segment(first, &path, number + 1 == count)?;
        }
        self.judge_rest();
        Ok(())
    }

    fn read_key_file(&mut self) -> io::Result<()> {
        let text = std::fs::read(self.dir.join(PUBLIC_KEY))?;
        if std::str::from_utf8(&text).map(str::trim_end) != Ok(self.key.to_string().as_str()) {
            let what = format!("`{PUBLIC_KEY}` holds another key than the one given");
            self.find(Verdict::Tampered, None, what);
        }
        Ok(())
    }

    fn read_notes(&mut self) -> io::Result<()> {
        let bytes = std::fs::read(self.dir.join(CHECKPOINTS))?;
        let parsed = NoteFile::parse(&bytes);
        let cut = parsed.good_bytes < bytes.len();
        if parsed.damaged {
            let what = "a checkpoint in the middle of the file is damaged".to_owned();
            self.find(Verdict::Tampered, parsed.notes.last().map(|n| n.checkpoint.size), what);
        } else if cut && !self.live {
            let what = "the last checkpoint is unfinished".to_owned();
            self.find(Verdict::Incomplete, None, what);
        }
        let mut before = 0;
        for note in &parsed.notes {
            let size = note.checkpoint.size;
            if size < before {
                let what = format!("a checkpoint over {size} records follows one over {before}");
                self.find(Verdict::Tampered, Some(size), what);
            }
            before = before.max(size);
            match self.key.check_parsed(note) {
                Ok(checkpoint) => self.expect(&checkpoint, "a checkpoint"),
                Err(error) => self.find(Verdict::Tampered, Some(size), error.to_string()),
            }
        }
        Ok(())
    }

    fn expect(&mut self, checkpoint: &Checkpoint, who: &'static str) {
        if checkpoint.origin == self.key.origin() {
            let promise = Promise { root: checkpoint.root, who };
            self.roots.entry(checkpoint.size).or_default().push(promise);
        } else {
            let what = format!("{who} is of the log `{}`", checkpoint.origin);
            self.find(Verdict::Tampered, None, what);
        }
    }

    fn read_segment(&mut self, first: u64, path: &Path, is_last: bool) -> io::Result<()> {
        let size = self.tree.size();
        let opened = match Segment::open(path, false)? {
            Ok(segment) => segment,
            Err(_) if is_last && self.live => return Ok(()),
            Err(BadHeader::Newer(format)) => {
                let what = format!("`{}` has the newer format {format}", path.display());
                self.find(Verdict::Unreadable, Some(first), what);
                self.broken = true;
                return Ok(());
            }
            Err(BadHeader::Blank) if is_last && first == size && !segment::has_slots(path)? => {
                let what = format!("`{}` was never begun", path.display());
                self.find(Verdict::Incomplete, None, what);
                return Ok(());
            }
            Err(_) => {
                return self.stop(
                    Verdict::Tampered,
                    first.min(size),
                    path,
                    "its header is damaged",
                );
            }
        };
        self.check_header(first, path, &opened)?;
        if self.broken {
            return Ok(());
        }
        self.read_tips(path, &opened, is_last)?;
        self.meet_tip(first, DATA_START);
        self.read_frames(path, &opened, is_last)
    }

    fn stop(&mut self, verdict: Verdict, seq: u64, path: &Path, what: &str) -> io::Result<()> {
        self.broken = true;
        self.find(verdict, Some(seq), format!("`{}`: {what}", path.display()));
        Ok(())
    }

    fn check_header(&mut self, first: u64, path: &Path, segment: &Segment) -> io::Result<()> {
        let (size, header) = (self.tree.size(), &segment.header);
        if header.origin != self.key.origin() || header.first_seq != first {
            return self.stop(Verdict::Tampered, first, path, "it belongs to another place or log");
        }
        if first == size && header.number != self.segments {
            return self.stop(Verdict::Tampered, first, path, "it has another segment's number");
        }
        self.segments += 1;
        if first > size {
            let what = format!("records {size} to {} are missing before it", first - 1);
            return self.stop(Verdict::Incomplete, size, path, &what);
        }
        if first < size || header.prev != self.leaf {
            return self.stop(Verdict::Tampered, first, path, "it does not follow the one before");
        }
        let len = segment.file.metadata()?.len();
        if len > header.capacity {
            self.find(Verdict::Tampered, None, format!("`{}` has grown", path.display()));
        } else if len < header.capacity {
            self.find(Verdict::Incomplete, None, format!("`{}` was cut", path.display()));
        }
        Ok(())
    }

    fn read_tips(&mut self, path: &Path, segment: &Segment, is_last: bool) -> io::Result<()> {
        let mut slots = tip::read(&segment.file, &segment.header, None)?;
        for _ in 0..3 {
            if is_last && self.live && slots.contains(&Slot::Torn) {
                slots = tip::read(&segment.file, &segment.header, None)?;
            }
        }
        for slot in slots {
            match slot {
                Slot::Good(tip) => {
                    let place = (segment.header.first_seq, tip);
                    self.tips.entry(place.1.size()).or_default().push(place);
                }
                Slot::Torn | Slot::Forged => {
                    let what = format!("a watermark in `{}` is damaged", path.display());
                    self.find(Verdict::Tampered, None, what);
                }
                Slot::Empty => {}
            }
        }
        Ok(())
    }

    fn read_frames(&mut self, path: &Path, segment: &Segment, is_last: bool) -> io::Result<()> {
        let mut scan = Scan::new(&segment.file, DATA_START);
        let mut tries = 0;
        loop {
            let size = self.tree.size();
            match scan.step()? {
                Step::Frame { seq, prev, leaf } => {
                    if seq != size || prev != self.leaf {
                        let what = "a record does not follow the one before";
                        return self.stop(Verdict::Tampered, size, path, what);
                    }
                    self.tree.push(leaf);
                    self.leaf = leaf;
                    tries = 0;
                    self.meet_roots(size + 1);
                    self.meet_tip(segment.header.first_seq, scan.offset());
                }
                step if is_last && self.live => {
                    // It may be in the middle of being written.
                    let flushed = tip::latest(tip::read(&segment.file, &segment.header, None)?);
                    if flushed.is_none_or(|tip| tip.size() <= size) {
                        return Ok(());
                    }
                    tries += 1;
                    if tries > 3 {
                        return self.stop(Verdict::Tampered, size, path, what_is(&step));
                    }
                    scan.again();
                }
                Step::End => {
                    if segment::first_nonzero(&segment.file, scan.offset())?.is_some() {
                        return self.leftover(size, path, "bytes behind the last record");
                    }
                    return Ok(());
                }
                Step::Bad => return self.leftover(size, path, "a damaged record"),
            }
        }
    }

    /// Judges bytes that are no record: below a watermark or checkpoint they were one.
    fn leftover(&mut self, size: u64, path: &Path, what: &str) -> io::Result<()> {
        let promised = self.roots.keys().chain(self.tips.keys()).max().copied().unwrap_or(0);
        let later = segment::list(self.dir)?.last().is_some_and(|(first, _)| *first > size);
        if size < promised || later || self.signed == size {
            return self.stop(Verdict::Tampered, size, path, what);
        }
        self.stop(Verdict::Incomplete, size, path, &format!("{what}; the next start clears it"))
    }

    fn meet_roots(&mut self, size: u64) {
        let Some(promises) = self.roots.remove(&size) else { return };
        let root = self.tree.root();
        for promise in promises {
            if promise.root == root {
                self.signed = size;
                self.checkpoints += 1;
            } else {
                let what = format!("{} over {size} records has another root", promise.who);
                self.find(Verdict::Tampered, Some(size.saturating_sub(1)), what);
            }
        }
    }

    fn meet_tip(&mut self, first: u64, offset: u64) {
        let Some(tips) = self.tips.remove(&self.tree.size()) else { return };
        for (segment, tip) in tips {
            if segment == first
                && (tip.offset != offset || tip.leaf != self.leaf || tip.tree != self.tree)
            {
                let size = self.tree.size();
                let what = format!("the watermark over {size} records does not hold");
                self.find(Verdict::Tampered, Some(size.saturating_sub(1)), what);
            }
        }
    }

    /// Promises that were not met, and records that nobody has signed.
    fn judge_rest(&mut self) {
        let size = self.tree.size();
        if self.broken {
            return;
        }
        let roots = std::mem::take(&mut self.roots);
        for (wanted, promises) in roots {
            for promise in promises {
                let what = format!(
                    "the log ends after {size} records, but {} covers {wanted}",
                    promise.who
                );
                self.find(Verdict::Incomplete, Some(size.min(wanted)), what);
            }
        }
        if let Some(wanted) = self.tips.keys().max().copied() {
            let what = format!("the log ends after {size} records, but a watermark says {wanted}");
            self.find(Verdict::Incomplete, Some(size.min(wanted)), what);
        }
        let unsigned = size.saturating_sub(self.signed);
        let allowed = if self.live { UNSIGNED_LIMIT } else { 0 };
        if unsigned > allowed {
            let what = format!(
                "the last {unsigned} records are not signed: the gateway was killed and not started since, or they were added"
            );
            self.find(Verdict::Incomplete, Some(self.signed), what);
        }
    }

    fn report(self) -> Report {
        let verdict = self.findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Ok);
        let worst = self.findings.iter().filter(|finding| finding.verdict == verdict);
        Report {
            verdict,
            size: self.tree.size(),
            root: self.tree.root(),
            signed: self.signed,
            checkpoints: self.checkpoints,
            live: self.live,
            first_bad: worst.filter_map(|finding| finding.seq).min(),
            findings: self.findings,
        }
    }
}

fn what_is(step: &Step) -> &'static str {
    match step {
        Step::End => "a flushed record is gone",
        _ => "a damaged record",
    }
}

/// The public key beside a log, for an operator who has not kept one elsewhere.
pub fn key_beside(dir: &Path) -> io::Result<Option<VerifierKey>> {
    let path: PathBuf = dir.join(PUBLIC_KEY);
    Ok(VerifierKey::parse(&std::fs::read_to_string(path)?).ok())
}
