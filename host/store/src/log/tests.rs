//! The log through its public interface, against damaged copies of its directory, and
//! against two independent implementations of the C2SP formats.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::*;

mod damage;
mod independent;

/// Keys that are the same in each test.
pub(super) const KEYS: LogKeys = LogKeys { signing: [1; 32], tip: [2; 32] };
const HOUR: Duration = Duration::from_secs(3_600);

/// Small segments, and no background flush or checkpoint that a test has not asked for.
pub(super) fn quiet(dir: &Path) -> LogOptions {
    LogOptions {
        segment_bytes: 16 << 10,
        first_segment_bytes: 16 << 10,
        flush_every: HOUR,
        checkpoint_every: HOUR,
        min_free_bytes: 0,
        ..LogOptions::new(dir, "tidegate.test/log")
    }
}

pub(super) fn record(n: u64) -> Vec<u8> {
    format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(usize::try_from(n * 7 % 200).unwrap()))
        .into_bytes()
}

pub(super) fn fill(log: &Log, count: u64) {
    for _ in 0..count {
        let n = log.size();
        assert_eq!(log.append(&record(n)).unwrap().seq, n);
    }
}

fn open(dir: &Path) -> Log {
    Log::open(quiet(dir), &KEYS).unwrap().0
}

/// All records of a directory, checked to be numbered without a gap.
pub(super) fn read_all(dir: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(dir);
    let mut records = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        assert_eq!(entry.seq, records.len() as u64);
        records.push(entry.bytes);
    }
    records
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn records_come_back_in_order_over_many_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (log, recovery) = Log::open(quiet(dir.path()), &KEYS).unwrap();
        assert_eq!(recovery, Recovery { size: round * 75, checked: 0, torn_bytes: 0 });
        fill(&log, 75);
        log.close().unwrap();
        assert!(matches!(log.append(b"late"), Err(LogError::Closed)));
    }
    assert!(segment::list(dir.path()).unwrap().len() > 5);
    let expected: Vec<_> = (0..300).map(record).collect();
    assert_eq!(read_all(dir.path()), expected);

    let mut reader = Reader::new(dir.path());
    for seq in [299, 0, 150, 149, 151, 12, 298] {
        assert_eq!(reader.read(seq).unwrap().unwrap().bytes, record(seq));
        assert_eq!(reader.position(), seq + 1);
    }
    assert_eq!(reader.read(300).unwrap(), None);
    assert_eq!(reader.seek_last(3).unwrap(), 297);
    assert_eq!(reader.next().unwrap().unwrap().seq, 297);
    assert_eq!(reader.seek_last(1_000).unwrap(), 0);

    let report = verify(dir.path(), &key_beside(dir.path()).unwrap().unwrap(), None);
    assert_eq!((report.verdict, report.size, report.signed), (Verdict::Ok, 300, 300), "{report:?}");
    assert!(!report.live);
}

#[test]
fn whoever_appends_durably_alone_or_together_is_flushed_when_answered() {
    let many = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let one = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    for runtime in [many(), one()] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        runtime.block_on(async {
            for callers in [1_u8, 16] {
                let calling = (0..callers).map(|caller| {
                    let log = log.clone();
                    tokio::spawn(async move {
                        for _ in 0..20 {
                            let appended = log.append_durable(&[caller; 40]).await.unwrap();
                            assert!(log.durable_size() > appended.seq);
                        }
                    })
                });
                for called in calling.collect::<Vec<_>>() {
                    called.await.unwrap();
                }
            }
        });
        assert_eq!(log.size(), 17 * 20);
        log.close().unwrap();
        let closed = runtime.block_on(log.append_durable(b"late"));
        assert!(matches!(closed, Err(LogError::Closed)));
    }
}

#[test]
fn a_segment_may_be_full_to_the_last_byte_but_a_few() {
    let frame = super::frame::FRAME_HEADER;
    for left in 0..=frame + 2 {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let room = (16 << 10) - usize::try_from(segment::DATA_START).unwrap() - left;
        let first = vec![b'x'; room / 2];
        log.append(&first).unwrap();
        log.append(&vec![b'x'; room - first.len() - 2 * frame]).unwrap();
        // Into the next segment; nothing is flushed, so all of it is read at the start.
        fill(&log, 3);
        let killed = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), killed.path());
        assert_eq!(segment::list(killed.path()).unwrap().len(), 2, "{left} bytes left");
        drop(log);
        let (log, recovery) = Log::open(quiet(killed.path()), &KEYS).unwrap();
        assert_eq!((recovery.size, recovery.torn_bytes), (5, 0), "{left} bytes left");
        let key = log.verifier().clone();
        log.close().unwrap();
        let report = verify(killed.path(), &key, None);
        assert_eq!(report.verdict, Verdict::Ok, "{left} bytes left: {:?}", report.findings);
    }
}

#[test]
fn a_reader_follows_an_open_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut reader = log.reader();
    assert_eq!(reader.next().unwrap(), None);
    for n in 0..200 {
        fill(&log, 1);
        assert_eq!(reader.next().unwrap().unwrap().bytes, record(n), "{n}");
        assert_eq!(reader.next().unwrap(), None);
    }
}

#[test]
fn a_log_has_one_writer_one_key_and_one_origin() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3);
    assert!(matches!(Log::open(quiet(dir.path()), &KEYS), Err(LogError::InUse(_))));
    drop(log);
    let other_signing = LogKeys { signing: [9; 32], ..KEYS };
    let other_tip = LogKeys { tip: [9; 32], ..KEYS };
    let other_origin = LogOptions { origin: "tidegate.test/other".into(), ..quiet(dir.path()) };
    let bad_origin = LogOptions { origin: "a b".into(), ..quiet(dir.path()) };
    for (options, keys, wanted) in [
        (quiet(dir.path()), other_signing, "belongs to the log"),
        (quiet(dir.path()), other_tip, "not made with this key"),
        (other_origin, KEYS, "belongs to the log"),
        (bad_origin, KEYS, "cannot name a log"),
    ] {
        let error = Log::open(options, &keys).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(open(dir.path()).size(), 3);
}

#[test]
fn records_have_a_least_and_a_greatest_size() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert!(matches!(log.append(b""), Err(LogError::Size(0))));
    assert!(matches!(log.append(&vec![1; MAX_RECORD + 1]), Err(LogError::Size(_))));
    let largest = vec![7; MAX_RECORD];
    assert_eq!(log.append(&largest).unwrap().seq, 0);
    assert_eq!(log.append(&largest).unwrap().seq, 1);
    log.close().unwrap();
    assert_eq!(read_all(dir.path()), vec![largest.clone(), largest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_wait_together_are_served_together() {
    struct Counter(AtomicU64);
    impl Companion for Counter {
        fn sync(&self) -> std::io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let counter = Arc::new(Counter(AtomicU64::new(0)));
    log.accompany(Arc::clone(&counter) as Arc<dyn Companion>);
    let callers = (0..64).map(|_| {
        let log = log.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let intent = log.append(b"intent").unwrap();
                log.wait_durable(intent.seq).await.unwrap();
                let row = log.append(b"outcome").unwrap();
                log.wait_durable(row.seq).await.unwrap();
                assert!(log.durable_size() > row.seq);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!(log.size(), 640);
    let flushes = counter.0.load(Ordering::SeqCst);
    assert!((10..=640).contains(&flushes), "{flushes}");
}

#[tokio::test]
async fn waiting_on_a_closed_log_is_an_error_and_not_a_hang() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let seq = log.append(b"one").unwrap().seq;
    let never = log.wait_durable(seq + 1);
    log.close().unwrap();
    log.wait_durable(seq).await.unwrap();
    assert!(matches!(never.await, Err(LogError::Closed)));
}

#[test]
fn a_companion_that_cannot_sync_fails_the_log_closed() {
    struct Broken;
    impl Companion for Broken {
        fn sync(&self) -> std::io::Result<()> {
            Err(std::io::Error::other("broken"))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.accompany(Arc::new(Broken));
    fill(&log, 1);
    assert!(matches!(log.flush(), Err(LogError::Failed(_))));
    assert!(matches!(log.append(b"more"), Err(LogError::Failed(_))));
    assert!(matches!(log.health(), LogHealth::Failed(_)));
    drop(log);
    assert_eq!(open(dir.path()).size(), 1);
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let probe = Arc::clone(&is_full);
    let space =
        SpaceProbe::new(move |_| Ok(if probe.load(Ordering::SeqCst) { 0 } else { 1 << 40 }));
    let (log, _) = Log::open(LogOptions { space, ..quiet(dir.path()) }, &KEYS).unwrap();
    is_full.store(true, Ordering::SeqCst);
    let mut kept = 0;
    let error = loop {
        match log.append(&record(kept)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert!(kept > 10);
    assert!(matches!(log.health(), LogHealth::Full(_)));
    assert!(log.append(&record(kept)).is_err());
    log.flush().unwrap();
    is_full.store(false, Ordering::SeqCst);
    fill(&log, 50);
    assert!(!matches!(log.health(), LogHealth::Full(_)));
    log.close().unwrap();
    assert_eq!(read_all(dir.path()), (0..kept + 50).map(record).collect::<Vec<_>>());
}

#[test]
fn a_growing_log_verifies_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 1);
    log.checkpoint().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60 {
                fill(&log, 20);
                if round % 3 == 0 {
                    log.checkpoint().unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut last = 0;
        while !done.load(Ordering::SeqCst) {
            let report = verify(dir.path(), log.verifier(), None);
            assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
            assert!(report.live && report.size >= last);
            last = report.size;
        }
    });
}

/// Lets the background threads work until `done`; a minute is far more than they take.
fn until(done: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "the background work is not done");
        std::thread::yield_now();
    }
}

#[test]
fn flushes_checkpoints_and_segments_are_made_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        flush_every: Duration::from_millis(1),
        checkpoint_records: 10,
        ..quiet(dir.path())
    };
    let (log, _) = Log::open(options, &KEYS).unwrap();
    fill(&log, 1);
    until(|| log.durable_size() == 1);
    for round in 1..=5 {
        fill(&log, 10);
        until(|| verify(dir.path(), log.verifier(), None).signed >= round * 10);
    }
    let prepared = dir.path().join("prepared");
    until(|| {
        fill(&log, 1);
        prepared.metadata().is_ok_and(|meta| meta.len() == 16 << 10)
    });
    assert_eq!(log.health(), LogHealth::Ready);
}

#[test]
fn a_checkpoint_kept_elsewhere_uncovers_an_older_copy() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(dir.path());
    fill(&log, 40);
    log.close().unwrap();
    drop(log);
    copy_dir(dir.path(), older.path());
    let log = open(dir.path());
    fill(&log, 40);
    let note = log.checkpoint().unwrap();
    let key = log.verifier().clone();
    drop(log);
    let kept = key.check(&note).unwrap();
    assert_eq!(kept.size, 80);
    assert_eq!(verify(dir.path(), &key, Some(&kept)).verdict, Verdict::Ok);
    assert_eq!(verify(older.path(), &key, None).verdict, Verdict::Ok);
    let report = verify(older.path(), &key, Some(&kept));
    assert_eq!((report.verdict, report.first_bad), (Verdict::Incomplete, Some(40)));
    let forged = Checkpoint { root: [0; 32], ..kept };
    assert_eq!(verify(dir.path(), &key, Some(&forged)).verdict, Verdict::Tampered);
}

#[test]
fn what_cannot_be_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let key = NoteSigner::new("tidegate.test/log", &[1; 32]).unwrap().verifier().clone();
    let report = verify(&dir.path().join("none"), &key, None);
    assert_eq!(report.verdict, Verdict::Unreadable);
    let codes = [Verdict::Ok, Verdict::Tampered, Verdict::Incomplete, Verdict::Unreadable];
    assert_eq!(codes.map(Verdict::exit_code), [0, 2, 3, 4]);
}
