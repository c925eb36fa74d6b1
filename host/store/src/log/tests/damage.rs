//! What crashes and people do to the files, and what is made of it.

use std::path::PathBuf;

use super::*;

const DATA: usize = 12_288;

/// A stream of numbers that is the same in each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    segment::list(dir).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Ends of the frames of one segment, as offsets in the file.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut at = DATA;
    let mut found = vec![at];
    while let Some(len) = frame::u32_at(bytes, at).filter(|len| *len > 0) {
        at += 48 + len as usize;
        found.push(at);
    }
    found
}

/// A closed log of several segments and checkpoints.
fn closed(dir: &Path, keys: &LogKeys) -> VerifierKey {
    let log = Log::open(quiet(dir), keys).unwrap().0;
    log.append(&keys.signing).unwrap();
    fill(&log, 19);
    log.checkpoint().unwrap();
    for _ in 0..5 {
        fill(&log, 20);
        log.checkpoint().unwrap();
    }
    let key = log.verifier().clone();
    log.close().unwrap();
    key
}

/// The directory as it stands when a process was killed: ten flushed records, ten not.
fn killed(dir: &Path) {
    let origin = tempfile::tempdir().unwrap();
    let log = open(origin.path());
    fill(&log, 10);
    log.flush().unwrap();
    fill(&log, 10);
    copy_dir(origin.path(), dir);
}

#[test]
fn a_killed_process_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    let key = key_beside(dir.path()).unwrap().unwrap();
    assert_eq!(verify(dir.path(), &key, None).verdict, Verdict::Incomplete);
    let (log, recovery) = Log::open(quiet(dir.path()), &KEYS).unwrap();
    assert_eq!(recovery, Recovery { size: 20, checked: 10, torn_bytes: 0 });
    log.close().unwrap();
    assert_eq!(verify(dir.path(), &key, None).verdict, Verdict::Ok);
}

#[test]
fn a_tail_torn_anywhere_after_the_watermark_is_cleared() {
    let image = tempfile::tempdir().unwrap();
    killed(image.path());
    let path = segments(image.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let borders = borders(&whole);
    for cut in (borders[10]..=borders[20]).step_by(5).chain([borders[11], borders[19] + 1]) {
        for short_file in [false, true] {
            let mut bytes = whole.clone();
            if short_file {
                bytes.truncate(cut)
            } else {
                bytes[cut..].fill(0)
            }
            std::fs::write(&path, &bytes).unwrap();
            let (log, recovery) = Log::open(quiet(image.path()), &KEYS).unwrap();
            let kept = borders.iter().rposition(|border| *border <= cut).unwrap() as u64;
            assert_eq!(recovery.size, kept, "cut at {cut}");
            fill(&log, 3);
            log.close().unwrap();
            let report = verify(image.path(), log.verifier(), None);
            assert_eq!((report.verdict, report.size), (Verdict::Ok, kept + 3), "{report:?}");
            drop(log);
            std::fs::write(image.path().join("checkpoints"), b"").unwrap();
        }
    }
}

#[test]
fn a_hole_of_unwritten_space_is_a_torn_tail_and_a_flipped_bit_is_not() {
    let image = tempfile::tempdir().unwrap();
    killed(image.path());
    let path = segments(image.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let borders = borders(&whole);
    let mut hole = whole.clone();
    hole[borders[12]..borders[14]].fill(0);
    std::fs::write(&path, &hole).unwrap();
    let (log, recovery) = Log::open(quiet(image.path()), &KEYS).unwrap();
    assert_eq!(recovery.size, 12);
    assert!(recovery.torn_bytes > 0);
    drop(log);

    for (frame, opens) in [(12, false), (19, true)] {
        let image = tempfile::tempdir().unwrap();
        killed(image.path());
        let path = segments(image.path()).remove(0);
        let mut flipped = std::fs::read(&path).unwrap();
        flipped[borders[frame] + 50] ^= 4;
        std::fs::write(&path, &flipped).unwrap();
        match Log::open(quiet(image.path()), &KEYS) {
            Ok((log, _)) => assert!(opens && log.size() == 19, "frame {frame}"),
            Err(LogError::Damaged { seq: 12, .. }) => assert!(!opens),
            Err(other) => panic!("frame {frame}: {other}"),
        }
    }
}

#[test]
fn a_cut_below_the_watermark_is_refused_at_every_border() {
    let origin = tempfile::tempdir().unwrap();
    let key = closed(origin.path(), &KEYS);
    for (number, path) in segments(origin.path()).into_iter().enumerate() {
        let whole = std::fs::read(&path).unwrap();
        let ends = borders(&whole);
        for cut in ends.iter().take(ends.len() - 1) {
            for short_file in [false, true] {
                let mut bytes = whole.clone();
                if short_file {
                    bytes.truncate(*cut)
                } else {
                    bytes[*cut..].fill(0)
                }
                std::fs::write(&path, &bytes).unwrap();
                let verdict = verify(origin.path(), &key, None).verdict;
                assert_ne!(verdict, Verdict::Ok, "segment {number}, cut {cut}");
            }
        }
        std::fs::write(&path, &whole).unwrap();
        std::fs::rename(&path, origin.path().join("away")).unwrap();
        assert!(Log::open(quiet(origin.path()), &KEYS).is_err(), "segment {number} gone");
        assert_ne!(verify(origin.path(), &key, None).verdict, Verdict::Ok);
        std::fs::rename(origin.path().join("away"), &path).unwrap();
    }
    assert_eq!(verify(origin.path(), &key, None).verdict, Verdict::Ok);

    // A file that ends too early is noticed at start, wherever the cut is.
    let last = segments(origin.path()).pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    let ends = borders(&whole);
    for cut in ends.iter().take(ends.len() - 1) {
        std::fs::write(&last, &whole[..*cut]).unwrap();
        let refused = Log::open(quiet(origin.path()), &KEYS).unwrap_err();
        assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
    }
}

/// One way of changing a closed log; gives what was done, `None` if nothing changed.
fn tamper(dice: &mut Dice, dir: &Path, other: &Path) -> Option<String> {
    let paths = segments(dir);
    let at = dice.below(paths.len());
    let path = &paths[at];
    let mut bytes = std::fs::read(path).unwrap();
    let before = bytes.clone();
    let ends = borders(&bytes);
    let frame = dice.below(ends.len() - 1);
    let (start, end) = (ends[frame], ends[frame + 1]);
    let what = match dice.below(12) {
        0 => {
            let bit = dice.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("flip bit {bit}")
        }
        1 => {
            let at = start + dice.below(end - start);
            bytes[at] = u8::try_from(dice.below(256)).unwrap();
            format!("edit byte {at}")
        }
        2 => {
            let rest = bytes[end..].to_vec();
            bytes[start..start + rest.len()].copy_from_slice(&rest);
            format!("delete frame {frame}")
        }
        3 => {
            let copy = bytes[start..end].to_vec();
            bytes.splice(end..end, copy);
            bytes.truncate(before.len());
            format!("repeat frame {frame}")
        }
        4 => {
            let second = bytes[start..end].to_vec();
            let next = dice.below(ends.len() - 1);
            let first = bytes[ends[next]..ends[next + 1]].to_vec();
            let len = first.len().min(second.len());
            bytes[start..start + len].copy_from_slice(&first[..len]);
            bytes[ends[next]..ends[next] + len].copy_from_slice(&second[..len]);
            format!("swap frames {frame} and {next}")
        }
        5 => {
            bytes[start..].fill(0);
            format!("cut after frame {frame}")
        }
        6 => {
            bytes.truncate(start);
            format!("shorten to frame {frame}")
        }
        7 => {
            // An edit that knows the format: checksum made to fit again.
            bytes[start + 48] ^= 1;
            let crc = crc32c::crc32c(&bytes[start + 8..end]);
            bytes[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
            format!("edit frame {frame} with its checksum")
        }
        8 => {
            bytes.extend_from_slice(b"more");
            "append bytes".to_owned()
        }
        9 => {
            let name = path.file_name().unwrap();
            bytes = std::fs::read(other.join(name)).ok()?;
            format!("replace segment {at} by another log's")
        }
        10 => return tamper_notes(dice, dir, other),
        _ => {
            let second = dice.below(paths.len());
            let theirs = std::fs::read(&paths[second]).unwrap();
            std::fs::write(&paths[second], &bytes).unwrap();
            bytes = theirs;
            format!("swap segments {at} and {second}")
        }
    };
    std::fs::write(path, &bytes).unwrap();
    (bytes != before).then_some(format!("segment {at}: {what}"))
}

fn tamper_notes(dice: &mut Dice, dir: &Path, other: &Path) -> Option<String> {
    let path = dir.join("checkpoints");
    let before = std::fs::read(&path).unwrap();
    let mut bytes = before.clone();
    let what = match dice.below(5) {
        0 => {
            let bit = dice.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("flip bit {bit} of the checkpoints")
        }
        1 => {
            bytes.truncate(dice.below(bytes.len()));
            "cut the checkpoints".to_owned()
        }
        2 => {
            bytes = std::fs::read(other.join("checkpoints")).unwrap();
            "another log's checkpoints".to_owned()
        }
        3 => {
            let theirs = std::fs::read(other.join("audit.pub")).unwrap();
            std::fs::write(dir.join("audit.pub"), theirs).unwrap();
            bytes = std::fs::read(other.join("checkpoints")).unwrap();
            "another log's checkpoints and key".to_owned()
        }
        _ => {
            bytes = b"".to_vec();
            "no checkpoints".to_owned()
        }
    };
    std::fs::write(&path, &bytes).unwrap();
    (bytes != before).then_some(what)
}

#[test]
fn a_thousand_changes_are_all_detected() {
    let (origin, other, work) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = closed(origin.path(), &KEYS);
    // The same origin and size; the first record and the keys differ.
    closed(other.path(), &LogKeys { signing: [8; 32], tip: [8; 32] });
    let mut dice = Dice(7);
    let mut done = 0;
    while done < 1_000 {
        copy_dir(origin.path(), work.path());
        let Some(what) = tamper(&mut dice, work.path(), other.path()) else { continue };
        let report = verify(work.path(), &key, None);
        assert_ne!(report.verdict, Verdict::Ok, "change {done}: {what}");
        assert_ne!(report.verdict, Verdict::Unreadable, "change {done}: {what}: {report:?}");
        done += 1;
    }
}

#[test]
fn a_log_rewritten_without_the_key_is_detected_and_the_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let key = closed(dir.path(), &KEYS);
    let paths = segments(dir.path());
    // Record 3 is edited, and every checksum, hash and header after it made to fit.
    let mut prev = segment::genesis("tidegate.test/log");
    for path in paths {
        let mut bytes = std::fs::read(&path).unwrap();
        let mut header = segment::Header::decode(&bytes[..4096]).unwrap();
        header.prev = prev;
        bytes[..4096].copy_from_slice(&header.encode());
        bytes[4096..DATA].fill(0);
        let ends = borders(&bytes);
        for pair in ends.windows(2) {
            let mut record = bytes[pair[0] + 48..pair[1]].to_vec();
            let seq = frame::u64_at(&bytes, pair[0] + 8).unwrap();
            if seq == 3 {
                record[0] = b'!';
            }
            let mut new = Vec::new();
            frame::encode(&mut new, seq, &prev, &record);
            prev = frame::leaf(&new);
            bytes[pair[0]..pair[1]].copy_from_slice(&new);
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    let report = verify(dir.path(), &key, None);
    assert_eq!((report.verdict, report.first_bad), (Verdict::Tampered, Some(19)), "{report:?}");
    assert!(matches!(Log::open(quiet(dir.path()), &KEYS), Err(LogError::Damaged { .. })));
}
