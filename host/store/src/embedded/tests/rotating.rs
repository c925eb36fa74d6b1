//! Keys that are replaced under a store in use.

use std::collections::BTreeMap;

use super::*;
use crate::{
    FileKeys,
    keyring::{ROTATE_AFTER, ROTATE_AT},
    keys::KeyError,
    store::{Event, Expect, Op, Put},
};

fn other() -> OrgId {
    OrgId::new("other").unwrap()
}

fn value(n: u16) -> Vec<u8> {
    [CANARY, &n.to_be_bytes()].concat()
}

/// Rows of two organisations, some of which expire.
async fn fill(store: &EmbeddedStore, rows: u16) {
    for n in 0..rows {
        let put = |table, org: OrgId, expires| {
            let (key, value) = (n.to_be_bytes().to_vec(), value(n));
            let expect = Expect::Absent;
            Op::Put(Put { table, org, key, value, schema: 7, expires, expect })
        };
        let later = (n % 3 == 0).then(|| tidegate_model::Timestamp::from_millis(u64::MAX / 2));
        let batch = Batch::new()
            .with(put(Table::Credential, acme(), later))
            .with(put(Table::Session, acme(), None))
            .with(put(Table::Credential, other(), None));
        store.commit(batch).await.unwrap();
    }
}

/// Reseals everything, a piece at a time. Gives the number of rows resealed.
async fn reseal(store: &EmbeddedStore, org: &OrgId, piece: usize) -> u64 {
    let (mut from, mut resealed) = (Vec::new(), 0);
    loop {
        let done = store.reseal(org, &from, piece).await.unwrap();
        assert!(done.seen <= piece as u64 && done.closed == 0, "{done:?}");
        resealed += done.resealed;
        match done.next {
            Some(next) => from = next,
            None => return resealed,
        }
    }
}

async fn everything(store: &EmbeddedStore, org: &OrgId) -> Vec<(Table, Row)> {
    let mut all = Vec::new();
    for table in Table::ALL {
        let scan = Scan { limit: 10_000, ..Scan::all(table, org) };
        all.extend(store.scan(scan).await.unwrap().into_iter().map(|row| (table, row)));
    }
    all
}

async fn faults(store: &EmbeddedStore) -> Vec<String> {
    store.verify().await.unwrap().faults
}

#[tokio::test]
async fn a_root_key_is_replaced_and_the_old_one_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    let open = |keys: Arc<dyn KeyProvider>| {
        EmbeddedStore::sled(options(dir.path()), keys, Arc::new(SystemClock))
    };
    let keys = || Arc::new(FileKeys::open(&path).unwrap());
    let store = open(keys()).unwrap();
    fill(&store, 20).await;
    let first = store.root_keys().await.unwrap();
    let old = first.current;
    assert_eq!(first.users, [(old, 3)], "the instance root and two organisations");
    let before = everything(&store, &acme()).await;
    let old_file = std::fs::read(&path).unwrap();

    let (new, wrapped) = store.rotate_root().await.unwrap();
    assert_eq!(wrapped, 3);
    assert_eq!(store.root_keys().await.unwrap().users, [(old, 0), (new, 3)]);
    assert_eq!(everything(&store, &acme()).await, before);
    let refused = store.retire_root(new).await.unwrap_err().to_string();
    assert!(refused.contains(&new.to_string()), "{refused}");
    store.retire_root(old).await.unwrap();
    assert_eq!(store.root_keys().await.unwrap().users, [(new, 3)]);
    assert!(store.retire_root(old).await.is_err(), "it is not there any more");
    drop(store);

    let store = open(keys()).unwrap();
    assert_eq!(everything(&store, &acme()).await, before);
    assert_eq!(faults(&store).await, Vec::<String>::new());
    drop(store);
    let new_file = std::fs::read(&path).unwrap();
    std::fs::write(&path, old_file).unwrap();
    let refused = open(keys()).unwrap_err().to_string();
    assert!(refused.contains(&new.to_string()) && refused.contains(&old.to_string()), "{refused}");
    std::fs::write(&path, new_file).unwrap();
    open(keys()).unwrap();
}

#[tokio::test]
async fn a_root_key_in_use_is_not_given_up_and_a_rotation_cut_short_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Arc::new(FileKeys::open(dir.path().join("root.key")).unwrap());
    let provider = Arc::clone(&keys) as Arc<dyn KeyProvider>;
    let store = EmbeddedStore::memory(provider, Arc::new(SystemClock)).unwrap();
    fill(&store, 3).await;
    let old = store.root_keys().await.unwrap().current;
    // The process died when the new key was made and nothing was wrapped under it.
    let new = keys.renew().unwrap();
    let refused = store.retire_root(old).await.unwrap_err().to_string();
    assert!(refused.contains("still wraps 3 keys"), "{refused}");
    assert_eq!(store.rewrap().await.unwrap(), 3);
    assert_eq!(store.rewrap().await.unwrap(), 0);
    assert_eq!(store.root_keys().await.unwrap().users, [(old, 0), (new, 3)]);
    store.retire_root(old).await.unwrap();
    assert_eq!(keys.ids(), [new]);

    // A provider that cannot make keys says so, and nothing is different.
    let store = EmbeddedStore::memory(super::keys(1), Arc::new(SystemClock)).unwrap();
    let refused = store.rotate_root().await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Key(error) if matches!(**error, KeyError::Elsewhere { .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_resealed_as_they_are_while_others_write() {
    const ROWS: u16 = 600;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()).unwrap());
    fill(&store, ROWS).await;
    let before = everything(&store, &acme()).await;
    let theirs = everything(&store, &other()).await;
    let rows = u64::from(ROWS) * 2;
    assert_eq!(store.rows_by_key(&acme()).unwrap(), BTreeMap::from([(1, rows)]));
    assert_eq!(reseal(&store, &acme(), 100).await, 0, "nothing is to be done");
    let mut changes = store.watch();

    assert_eq!(store.rotate_org(&acme()).await.unwrap(), 2);
    assert_eq!(everything(&store, &acme()).await, before, "the old key opens");
    // Somebody who holds versions from before goes on by them, and never meets the resealing.
    let writer = tokio::spawn({
        let (store, before) = (Arc::clone(&store), before.clone());
        async move {
            let mine = before.iter().filter(|(table, _)| *table == Table::Session);
            for (table, row) in mine.step_by(3) {
                let expect = Expect::Version(row.record.version);
                let value = [&row.record.value[..], b" and more"].concat();
                let batch = Batch::new().put_if(*table, (&acme(), &row.key), value, expect);
                store.commit(batch).await.unwrap();
            }
        }
    });
    let resealed = reseal(&store, &acme(), 64).await;
    writer.await.unwrap();
    let written = u64::from(ROWS / 3);
    assert!((rows - written..=rows).contains(&resealed), "{resealed}");
    assert_eq!(store.rows_by_key(&acme()).unwrap(), BTreeMap::from([(2, rows)]));
    assert_eq!(store.rows_by_key(&other()).unwrap(), BTreeMap::from([(1, u64::from(ROWS))]));

    let after = everything(&store, &acme()).await;
    for ((_, old), (table, new)) in before.iter().zip(&after) {
        assert_eq!(old.key, new.key);
        let has_changed = *table == Table::Session && new.record.value.ends_with(b" and more");
        assert!(has_changed || old == new, "{table}: {old:?} {new:?}");
    }
    let changed = after.iter().filter(|(_, row)| row.record.value.ends_with(b" and more")).count();
    assert_eq!(changed as u64, written, "no commit was overwritten");
    for _ in 0..written {
        assert!(matches!(changes.next().await, Some(Event::Changed(_))));
    }
    assert_eq!(everything(&store, &other()).await, theirs);
    assert_eq!(faults(&store).await, Vec::<String>::new());
    drop(changes);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(everything(&store, &acme()).await, after);
    let next = store.commit(Batch::new().put(Table::Job, &acme(), b"x", vec![1])).await.unwrap();
    assert!(after.iter().all(|(_, row)| row.record.version < next.version));
}

#[tokio::test]
async fn a_row_from_before_it_was_resealed_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    fill(&store, 5).await;
    drop(store);
    let key = row_key(Table::Credential, &acme(), &3_u16.to_be_bytes());
    let older = raw(dir.path()).get(&key).unwrap();
    let store = open(dir.path()).unwrap();
    store.rotate_org(&acme()).await.unwrap();
    assert_eq!(reseal(&store, &acme(), 1_000).await, 10);
    drop(store);
    let newer = raw(dir.path()).get(&key).unwrap();
    assert_ne!(older, newer);
    raw(dir.path()).apply(&[(key.clone(), older)]).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("older one"), "{error}");
    // One of another organisation in its place neither opens nor passes.
    let theirs = row_key(Table::Credential, &other(), &3_u16.to_be_bytes());
    let moved = raw(dir.path()).get(&theirs).unwrap();
    raw(dir.path()).apply(&[(key.clone(), moved)]).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Damaged { .. })));
    raw(dir.path()).apply(&[(key, newer)]).unwrap();
    assert_eq!(faults(&open(dir.path()).unwrap()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_is_damaged_behind_our_back_is_left_alone_and_the_rest_goes_on() {
    let rows = Shared(Arc::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store =
        EmbeddedStore::over(Box::new(rows.clone()), Path::new("x"), keys(1), clock).unwrap();
    fill(&store, 4).await;
    store.rotate_org(&acme()).await.unwrap();
    let key = row_key(Table::Session, &acme(), &2_u16.to_be_bytes());
    let mut row = rows.get(&key).unwrap().unwrap();
    *row.last_mut().unwrap() ^= 1;
    rows.apply(&[(key, Some(row))]).unwrap();
    let done = store.reseal(&acme(), &[], 100).await.unwrap();
    assert_eq!((done.resealed, done.closed, done.next), (7, 1, None));
    assert_eq!(store.rows_by_key(&acme()).unwrap(), BTreeMap::from([(1, 1), (2, 7)]));
}

#[tokio::test]
async fn what_an_error_leaves_unknown_is_read_anew() {
    for written in [false, true] {
        let rows = Shared(Arc::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let place = Path::new("flaky");
        let store = EmbeddedStore::over(Box::new(rows.clone()), place, keys(1), Arc::clone(&clock));
        let store = store.unwrap();
        fill(&store, 10).await;
        let before = everything(&store, &acme()).await;
        let fail = || {
            let error = RowsError::Io(std::io::Error::other("power"));
            *rows.0.1.lock().unwrap() = Some((error, written));
        };
        fail();
        assert!(matches!(store.rotate_org(&acme()).await, Err(StoreError::Unknown(_))));
        let version = store.rotate_org(&acme()).await.unwrap();
        assert_eq!(version, if written { 3 } else { 2 }, "none is made twice");
        fail();
        let refused = store.reseal(&acme(), &[], 7).await;
        assert!(matches!(refused, Err(StoreError::Unknown(_))));
        let again = reseal(&store, &acme(), 7).await;
        assert_eq!(again, if written { 13 } else { 20 });
        assert_eq!(everything(&store, &acme()).await, before);
        assert_eq!(faults(&store).await, Vec::<String>::new());
        drop(store);
        let store = EmbeddedStore::over(Box::new(rows), place, keys(1), clock).unwrap();
        assert_eq!(everything(&store, &acme()).await, before);
        assert_eq!(store.rotate_org(&acme()).await.unwrap(), version + 1);
    }
}

#[tokio::test]
async fn how_much_a_key_was_used_outlives_the_process() {
    let rows = Shared(Arc::default());
    let clock = Arc::new(TestClock::default());
    clock.set(5_000);
    let open = || {
        let rows = Box::new(rows.clone());
        EmbeddedStore::over(rows, Path::new("x"), keys(1), Arc::clone(&clock) as _)
    };
    let store = open().unwrap();
    fill(&store, 50).await;
    let key = |store: &EmbeddedStore| *store.keyring().usage(&acme()).last().unwrap();
    assert_eq!((key(&store).sealed, key(&store).created.unwrap().as_millis()), (100, 5_000));
    drop(store);
    let store = open().unwrap();
    let reopened = key(&store);
    assert!((100..=100 + 65_536).contains(&reopened.sealed), "{reopened:?}");
    clock.set(5_000 + u64::try_from(ROTATE_AFTER.as_millis()).unwrap());
    assert!(reopened.is_due(clock.now()) && reopened.sealed < ROTATE_AT);
    store.rotate_org(&acme()).await.unwrap();
    assert!(!key(&store).is_due(clock.now()));
    drop(store);
    // Whoever sets a count back is found out.
    let name = layout::use_key(&acme(), 1);
    let mut row = rows.get(&name).unwrap().unwrap();
    row[2] ^= 1;
    rows.apply(&[(name, Some(row))]).unwrap();
    assert!(open().unwrap_err().to_string().contains("the count of what a key has sealed"));
}
