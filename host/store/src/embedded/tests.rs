//! Both backends against the contract, and sled against what happens to directories.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use tidegate_model::SystemClock;

use super::*;
use crate::{
    conformance::{self, TestClock},
    disk::SpaceProbe,
    keys::FixedKeys,
    watchdog::OnFatal,
};

mod rotating;

const CANARY: &[u8] = b"canary-5f3a9c-value";

fn keys(byte: u8) -> Arc<dyn KeyProvider> {
    Arc::new(FixedKeys::new([[byte; 32]]))
}

fn options(dir: &Path) -> SledOptions {
    let on_fatal = OnFatal::new(|_| {});
    SledOptions { on_fatal, min_free_bytes: 0, ..SledOptions::new(dir.join("store")) }
}

fn open(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::sled(options(dir), keys(1), Arc::new(SystemClock))
}

fn raw(dir: &Path) -> SledRows {
    SledRows::open(options(dir)).unwrap()
}

fn acme() -> OrgId {
    OrgId::new("acme").unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A store with a few rows in several tables, closed again.
fn filled(dir: &Path) {
    let store = open(dir).unwrap();
    block_on(async {
        for n in 0..40_u8 {
            let value = [CANARY, &[n]].concat();
            let batch = Batch::new()
                .put(Table::Resource, &acme(), &[n], value.clone())
                .put(Table::Credential, &acme(), &[n], value.clone())
                .put(Table::AuditIndex, &acme(), &[n], value);
            store.commit(batch).await.unwrap();
        }
    });
}

fn read_back(store: &EmbeddedStore) -> bool {
    block_on(async {
        let mut whole = true;
        for table in [Table::Resource, Table::Credential, Table::AuditIndex] {
            for n in 0..40_u8 {
                let wanted = [CANARY, &[n]].concat();
                let found = store.get(table, &acme(), &[n]).await;
                if !matches!(&found, Ok(Some(record)) if record.value == wanted) {
                    eprintln!("{table} {n}: {found:?}");
                    whole = false;
                }
            }
        }
        whole
    })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, target)) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    conformance::check(|clock| Box::new(EmbeddedStore::memory(keys(1), clock).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sled_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    conformance::check(|clock| {
        let dir = dir.path().join(next.fetch_add(1, Ordering::SeqCst).to_string());
        Box::new(EmbeddedStore::sled(options(&dir), keys(1), clock).unwrap())
    })
    .await;
}

#[test]
fn sled_keeps_everything_over_openings_and_nothing_readable() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let version = {
        let store = open(dir.path()).unwrap();
        assert!(read_back(&store));
        assert!(matches!(open(dir.path()), Err(StoreError::InUse(_))));
        let batch = Batch::new().put(Table::Job, &acme(), b"j", CANARY.to_vec());
        block_on(store.commit(batch)).unwrap().version
    };
    assert_eq!(version, 41);
    let store = open(dir.path()).unwrap();
    assert_eq!(block_on(store.verify()).unwrap().faults, Vec::<String>::new());
    assert_eq!(store.keyring().orgs(), [acme()]);
    drop(store);
    for path in files(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(CANARY.len()).any(|part| part == CANARY);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn another_root_key_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let error = EmbeddedStore::sled(options(dir.path()), keys(2), Arc::new(SystemClock));
    let error = error.unwrap_err().to_string();
    for id in [keys(1), keys(2)].map(|keys| keys.current_id().to_string()) {
        assert!(error.contains(&id), "{error}");
    }
    assert!(read_back(&open(dir.path()).unwrap()));
}

/// Changes rows behind the store's back; each change must be refused at start.
#[test]
fn the_manifest_catches_what_sled_would_serve() {
    type Change = fn(&SledRows);
    fn name(table: Table, key: &[u8]) -> Vec<u8> {
        row_key(table, &acme(), key)
    }
    fn row(rows: &SledRows, key: &[u8]) -> Option<Vec<u8>> {
        rows.get(key).unwrap()
    }
    let changes: &[(&str, Change, &str)] = &[
        (
            "a missing row",
            |r| r.apply(&[(name(Table::Credential, &[3]), None)]).unwrap(),
            "39 rows",
        ),
        (
            "a copied row",
            |r| {
                let copied = row(r, &name(Table::Resource, &[3]));
                r.apply(&[(name(Table::Resource, &[77]), copied)]).unwrap();
            },
            "41 rows",
        ),
        (
            "two rows swapped",
            |r| {
                let names = [name(Table::Resource, &[3]), name(Table::Resource, &[4])];
                let [a, b] = names.clone().map(|name| row(r, &name));
                let [first, second] = names;
                r.apply(&[(first, b), (second, a)]).unwrap();
            },
            "changed or is an older",
        ),
        (
            "a table gone",
            |r| {
                let all = r.scan(&[Table::Resource as u8], &[], 100).unwrap();
                let gone: Vec<_> = all.into_iter().map(|(key, _)| (key, None)).collect();
                r.apply(&gone).unwrap();
            },
            "holds 0 rows",
        ),
        ("no manifest", |r| r.apply(&[(layout::MANIFEST.to_vec(), None)]).unwrap(), "manifest"),
        ("no root key", |r| r.apply(&[(layout::root_key(), None)]).unwrap(), "root key"),
        ("no format", |r| r.apply(&[(layout::FORMAT.to_vec(), None)]).unwrap(), "now empty"),
        (
            "a newer format",
            |r| {
                let newer = [&b"TIDESTOR"[..], &2_u32.to_le_bytes()].concat();
                r.apply(&[(layout::FORMAT.to_vec(), Some(newer))]).unwrap();
            },
            "has format 2",
        ),
    ];
    for (what, change, wanted) in changes {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        change(&raw(dir.path()));
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{what}: {error}");
    }
}

#[test]
fn an_older_row_is_caught_and_so_is_a_changed_index_row() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let key = row_key(Table::Credential, &acme(), &[9]);
    let older = raw(dir.path()).get(&key).unwrap();
    let store = open(dir.path()).unwrap();
    let newer = Batch::new().put(Table::Credential, &acme(), &[9], b"newer".to_vec());
    block_on(store.commit(newer)).unwrap();
    drop(store);
    let current = raw(dir.path()).get(&key).unwrap();
    raw(dir.path()).apply(&[(key.clone(), older)]).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("older one"), "{error}");
    // The derived index is not read at start; verifying finds what is wrong with it.
    let index = row_key(Table::AuditIndex, &acme(), &[9]);
    raw(dir.path()).apply(&[(key, current), (index, None)]).unwrap();
    let store = open(dir.path()).unwrap();
    let verified = block_on(store.verify()).unwrap();
    assert!(verified.faults.concat().contains("audit-index holds 39 rows"), "{verified:?}");
}

#[test]
fn a_lost_database_is_not_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    for name in ["db", "conf"] {
        std::fs::remove_file(dir.path().join("store").join(name)).unwrap();
    }
    for path in files(&dir.path().join("store")) {
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("now empty"), "{error}");
}

#[test]
fn a_store_whose_creation_was_cut_short_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::remove_file(dir.path().join("store/tidegate-store")).unwrap();
    raw(dir.path()).apply(&[(layout::FORMAT.to_vec(), None)]).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.keyring().orgs(), []);
    assert!(dir.path().join("store.unfinished-0/db").exists());
    drop(store);
    open(dir.path()).unwrap();
}

#[test]
fn leftovers_are_put_aside_and_spilled_values_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let leftover = dir.path().join("store/snap.00000000000000FF.generating");
    std::fs::write(&leftover, b"half").unwrap();
    assert!(read_back(&open(dir.path()).unwrap()));
    assert!(!leftover.exists());
    let aside = dir.path().join("store.aside/snap.00000000000000FF.generating");
    assert_eq!(std::fs::read(aside).unwrap(), b"half");

    let store = open(dir.path()).unwrap();
    assert_eq!(store.health(), Health::Ready);
    std::fs::write(dir.path().join("store/blobs/7"), b"spilled").unwrap();
    assert!(matches!(store.health(), Health::Warning(_)));
}

#[test]
fn a_full_disk_refuses_commits_keeps_reads_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let probe = Arc::clone(&is_full);
    let space =
        SpaceProbe::new(move |_| Ok(if probe.load(Ordering::SeqCst) { 10 } else { 1 << 40 }));
    let options = SledOptions { space, ..options(dir.path()) };
    let store = EmbeddedStore::sled(options, keys(1), Arc::new(SystemClock)).unwrap();
    let write =
        |n: u8| block_on(store.commit(Batch::new().put(Table::Job, &acme(), &[n], vec![n])));
    write(1).unwrap();
    is_full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(write(2), Err(StoreError::Full { .. })));
        assert!(matches!(store.health(), Health::Full(_)));
        assert!(block_on(store.get(Table::Job, &acme(), &[1])).unwrap().is_some());
    }
    is_full.store(false, Ordering::SeqCst);
    assert_eq!(store.health(), Health::Ready);
    write(3).unwrap();
    assert_eq!(block_on(store.get(Table::Job, &acme(), &[2])).unwrap(), None);
    assert_eq!(block_on(store.verify()).unwrap().faults, Vec::<String>::new());
}

/// Rows whose next `apply` fails in a chosen way.
#[derive(Debug, Default)]
struct Flaky(MemoryRows, Mutex<Option<(RowsError, bool)>>);

#[derive(Debug, Clone)]
struct Shared(Arc<Flaky>);

impl Rows for Shared {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.0.0.get(key)
    }
    fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<crate::rows::RawRow>, RowsError> {
        self.0.0.scan(prefix, from, limit)
    }
    fn apply(&self, writes: &[crate::rows::RawWrite]) -> Result<(), RowsError> {
        match self.0.1.lock().unwrap().take() {
            Some((error, written)) => {
                if written {
                    self.0.0.apply(writes)?;
                }
                Err(error)
            }
            None => self.0.0.apply(writes),
        }
    }
    fn reopen(&self) -> Result<(), RowsError> {
        Ok(())
    }
    fn has_room(&self) -> bool {
        true
    }
    fn warning(&self) -> Option<String> {
        None
    }
}

#[test]
fn an_unclear_commit_can_be_repeated_under_its_id() {
    for written in [false, true] {
        let rows = Shared(Arc::default());
        let clock = Arc::new(TestClock::default());
        let place = Path::new("flaky");
        let store = EmbeddedStore::over(Box::new(rows.clone()), place, keys(1), clock).unwrap();
        block_on(store.ensure_org(&acme())).unwrap();
        let batch = || {
            let id = crate::store::CommitId([4; 16]);
            let expect = crate::store::Expect::Absent;
            Batch::new().put_if(Table::Job, (&acme(), b"x"), vec![1], expect).with_id(id)
        };
        *rows.0.1.lock().unwrap() = Some((RowsError::Io(std::io::Error::other("power")), written));
        assert!(matches!(block_on(store.commit(batch())), Err(StoreError::Unknown(_))));
        let again = block_on(store.commit(batch())).unwrap();
        assert_eq!(again.repeated, written);
        assert_eq!(block_on(store.verify()).unwrap().faults, Vec::<String>::new());
    }
}

#[test]
fn a_broken_backend_fails_the_store_for_good() {
    let rows = Shared(Arc::default());
    let clock = Arc::new(TestClock::default());
    let store =
        EmbeddedStore::over(Box::new(rows.clone()), Path::new("x"), keys(1), clock).unwrap();
    let write = || block_on(store.commit(Batch::new().put(Table::Job, &acme(), b"x", vec![1])));
    write().unwrap();
    *rows.0.1.lock().unwrap() = Some((RowsError::Broken("sled panicked".into()), false));
    for _ in 0..2 {
        assert!(matches!(write(), Err(StoreError::Failed(_))));
        assert!(block_on(store.get(Table::Job, &acme(), b"x")).is_err());
        assert!(matches!(store.health(), Health::Failed(_)));
    }
}

/// A writer whose bytes can be looked at afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_restores_into_either_backend_and_every_flipped_bit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = open(dir.path()).unwrap();
    let sink = Sink::default();
    let count = block_on(store.export(Box::new(sink.clone()), "checkpoint".to_owned())).unwrap();
    assert_eq!(count, 80 + 6);
    let backup = sink.0.lock().unwrap().clone();
    assert!(!backup.windows(CANARY.len()).any(|part| part == CANARY));

    let other = tempfile::tempdir().unwrap();
    let clock = || Arc::new(SystemClock);
    let restored = EmbeddedStore::import(&mut &backup[..], options(other.path()), keys(1), clock());
    let (restored, note) = restored.unwrap();
    assert_eq!(note, "checkpoint");
    assert_eq!(block_on(restored.verify()).unwrap().faults, Vec::<String>::new());
    drop(restored);
    let restored = open(other.path()).unwrap();
    let record = block_on(restored.get(Table::Credential, &acme(), &[5])).unwrap().unwrap();
    assert_eq!(record.value, [CANARY, &[5]].concat());
    assert_eq!(block_on(restored.get(Table::AuditIndex, &acme(), &[5])).unwrap(), None);

    let into = |bytes: &[u8], keys: Arc<dyn KeyProvider>| {
        let rows: Box<dyn Rows> = Box::<MemoryRows>::default();
        let mut bytes = bytes;
        EmbeddedStore::import_into(&mut bytes, rows, Path::new("m"), keys, clock())
    };
    assert!(into(&backup, keys(1)).is_ok());
    assert!(into(&backup, keys(2)).is_err());
    for at in (0..backup.len()).step_by(97) {
        let mut changed = backup.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(into(&changed, keys(1)).is_err(), "byte {at}");
        assert!(into(&backup[..at], keys(1)).is_err(), "length {at}");
    }
    let again = EmbeddedStore::import(&mut &backup[..], options(dir.path()), keys(1), clock());
    assert!(again.is_err(), "a store that holds something is not overwritten");
}

#[test]
fn a_flipped_bit_is_refused_or_harmless_and_never_silent() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join("store/db");
    let used = std::fs::read(&path).unwrap();
    let last = used.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for n in 0..40_usize {
        let work = tempfile::tempdir().unwrap();
        copy(dir.path(), work.path());
        let mut bytes = used.clone();
        let at = (n * 2_654_435_761) % last;
        bytes[at] ^= 1 << (n % 8);
        std::fs::write(work.path().join("store/db"), bytes).unwrap();
        match open(work.path()) {
            Err(_) => refused += 1,
            Ok(store) => {
                let verified = block_on(store.verify());
                let clean = verified.is_ok_and(|verified| verified.faults.is_empty());
                assert!(!clean || read_back(&store), "byte {at} changed silently");
                harmless += 1;
            }
        }
    }
    assert!(refused > 0 && refused + harmless == 40, "{refused} refused, {harmless} harmless");
}
