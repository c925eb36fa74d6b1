//! What every store must do, run against each backend.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidegate_model::{Clock, OrgId, Timestamp};

use crate::store::{
    Batch, CommitId, Event, Expect, Health, MAX_KEY, MAX_OPS, MAX_VALUE, Op, Put, Scan, Store,
    StoreError, Table,
};

/// A clock that tests set.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn org(name: &str) -> OrgId {
    OrgId::new(name).unwrap()
}

fn put(key: &[u8], value: &[u8]) -> Put {
    Put {
        table: Table::Resource,
        org: org("a"),
        key: key.to_vec(),
        value: value.to_vec(),
        schema: 0,
        expires: None,
        expect: Expect::Any,
    }
}

async fn value(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(Table::Resource, &org("a"), key).await.unwrap().map(|record| record.value)
}

/// Runs the whole suite; `make` gives a new empty store each time.
pub(crate) async fn check(make: impl Fn(Arc<TestClock>) -> Box<dyn Store>) {
    let clock = Arc::new(TestClock::default());
    clock.set(1_000);
    let store = || make(Arc::clone(&clock));
    records_are_kept_apart(&*store()).await;
    scans_page_in_order(&*store()).await;
    batches_are_atomic_and_conditional(&*store()).await;
    versions_only_grow(&*store()).await;
    commits_repeat_under_their_id(&*store(), &clock).await;
    expired_records_are_gone(&*store(), &clock).await;
    limits_are_kept(&*store()).await;
    changes_are_told(&*store()).await;
    many_commit_at_once(store().into()).await;
    all_of_it_verifies(&*store()).await;
}

async fn records_are_kept_apart(store: &dyn Store) {
    let (a, b) = (org("a"), org("b"));
    let places = [
        (Table::Resource, &a, &b"x"[..]),
        (Table::Resource, &b, b"x"),
        (Table::Credential, &a, b"x"),
        (Table::Resource, &a, b"xx"),
        (Table::Resource, &a, b"\x00\xff"),
    ];
    for (n, (table, org, key)) in places.iter().enumerate() {
        let value = vec![u8::try_from(n).unwrap(); n * 1_000];
        store.commit(Batch::new().put(*table, org, key, value)).await.unwrap();
    }
    for (n, (table, org, key)) in places.iter().enumerate() {
        let record = store.get(*table, org, key).await.unwrap().unwrap();
        assert_eq!(record.value, vec![u8::try_from(n).unwrap(); n * 1_000]);
        assert_eq!((record.schema, record.expires), (0, None));
    }
    assert_eq!(store.get(Table::Session, &a, b"x").await.unwrap(), None);
    assert_eq!(store.get(Table::Resource, &org("c"), b"x").await.unwrap(), None);
    store.commit(Batch::new().delete(Table::Resource, &a, b"x")).await.unwrap();
    assert_eq!(store.get(Table::Resource, &a, b"x").await.unwrap(), None);
    assert!(store.get(Table::Resource, &b, b"x").await.unwrap().is_some());
    store.ensure_org(&org("c")).await.unwrap();
    assert_eq!(store.keyring().orgs(), [a, b, org("c")]);
}

async fn scans_page_in_order(store: &dyn Store) {
    let a = org("a");
    let key = |n: u32| format!("k/{n:04}").into_bytes();
    for from in (0..600).step_by(200) {
        let batch = (from..from + 200).rev().fold(Batch::new(), |batch, n| {
            batch.put(Table::Resource, &a, &key(n), n.to_le_bytes().to_vec())
        });
        store.commit(batch).await.unwrap();
    }
    let other = Batch::new()
        .put(Table::Resource, &a, b"j", vec![])
        .put(Table::Resource, &a, b"k0", vec![])
        .put(Table::Resource, &org("aa"), b"k/0000", vec![])
        .put(Table::Revision, &a, b"k/0000", vec![]);
    store.commit(other).await.unwrap();
    let base = Scan { prefix: b"k/".to_vec(), ..Scan::all(Table::Resource, &a) };
    let rows = store.scan(base.clone()).await.unwrap();
    assert_eq!(rows.len(), 600);
    assert!(
        rows.iter()
            .zip(0..)
            .all(|(row, n): (_, u32)| { row.key == key(n) && row.record.value == n.to_le_bytes() })
    );
    let (mut seen, mut after) = (0, None);
    loop {
        let page = Scan { after: after.clone(), limit: 7, ..base.clone() };
        let rows = store.scan(page).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        seen += rows.len();
    }
    assert_eq!(seen, 600);
    assert_eq!(store.scan(Scan::all(Table::Resource, &a)).await.unwrap().len(), 602);
    assert_eq!(store.scan(Scan { limit: 0, ..base }).await.unwrap(), []);
}

async fn batches_are_atomic_and_conditional(store: &dyn Store) {
    let a = org("a");
    let first = store.commit(Batch::new().put(Table::Resource, &a, b"x", b"1".into())).await;
    let version = first.unwrap().version;
    let refused = [
        (Expect::Absent, &b"x"[..], Some(version)),
        (Expect::Version(version + 7), b"x", Some(version)),
        (Expect::Version(1), b"none", None),
    ];
    for (expect, key, wanted) in refused {
        for op in [
            Op::Put(Put { expect, ..put(key, b"2") }),
            Op::Delete(Table::Resource, a.clone(), key.to_vec(), expect),
            Op::Check(Table::Resource, a.clone(), key.to_vec(), expect),
        ] {
            let batch = Batch::new().put(Table::Resource, &a, b"other", b"2".into()).with(op);
            let error = store.commit(batch).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Conflict { found, .. } if *found == wanted),
                "{error}"
            );
        }
    }
    assert_eq!(value(store, b"x").await.unwrap(), b"1");
    assert_eq!(value(store, b"other").await, None);
    let good = Batch::new()
        .with(Op::Check(Table::Resource, a.clone(), b"x".to_vec(), Expect::Version(version)))
        .put_if(Table::Resource, (&a, b"y"), b"3".into(), Expect::Absent)
        .with(Op::Delete(Table::Resource, a.clone(), b"x".to_vec(), Expect::Version(version)))
        .put(Table::Resource, &a, b"twice", b"old".into())
        .put(Table::Resource, &a, b"twice", b"new".into());
    store.commit(good).await.unwrap();
    assert_eq!(value(store, b"x").await, None);
    assert_eq!(value(store, b"y").await.unwrap(), b"3");
    assert_eq!(value(store, b"twice").await.unwrap(), b"new");
    store.commit(Batch::new()).await.unwrap();
}

async fn versions_only_grow(store: &dyn Store) {
    let a = org("a");
    let mut last = 0;
    for round in 0..5 {
        let done = store.commit(Batch::new().put(Table::Resource, &a, b"x", vec![round])).await;
        let version = done.unwrap().version;
        assert!(version > last);
        let record = store.get(Table::Resource, &a, b"x").await.unwrap().unwrap();
        assert_eq!(record.version, version);
        last = store.commit(Batch::new().delete(Table::Resource, &a, b"x")).await.unwrap().version;
        assert!(last > version);
    }
}

async fn commits_repeat_under_their_id(store: &dyn Store, clock: &TestClock) {
    let a = org("a");
    let batch = |n: u8| {
        Batch::new()
            .put_if(Table::Resource, (&a, &[n]), vec![n], Expect::Absent)
            .with_id(CommitId([n; 16]))
    };
    let first = store.commit(batch(1)).await.unwrap();
    let again = store.commit(batch(1)).await.unwrap();
    assert_eq!((first.version, first.repeated), (again.version, false));
    assert!(again.repeated);
    assert!(store.commit(batch(2)).await.unwrap().version > first.version);
    // A refused commit does not use its id up.
    let refused = batch(1).with_id(CommitId([3; 16]));
    assert!(store.commit(refused).await.is_err());
    assert!(!store.commit(Batch::new().with_id(CommitId([3; 16]))).await.unwrap().repeated);
    // After a day it is forgotten.
    clock.set(2 * 24 * 3_600_000);
    store.commit(Batch::new().put(Table::Resource, &a, b"tick", vec![])).await.unwrap();
    assert!(matches!(store.commit(batch(1)).await, Err(StoreError::Conflict { .. })));
    clock.set(1_000);
}

async fn expired_records_are_gone(store: &dyn Store, clock: &TestClock) {
    let a = org("a");
    let expires = Some(Timestamp::from_millis(5_000));
    let short = Op::Put(Put { expires, schema: 7, ..put(b"short", b"1") });
    let batch = Batch::new().with(short).put(Table::Resource, &a, b"stays", b"2".into());
    store.commit(batch).await.unwrap();
    let record = store.get(Table::Resource, &a, b"short").await.unwrap().unwrap();
    assert_eq!((record.expires, record.schema), (expires, 7));
    clock.set(4_999);
    assert_eq!(value(store, b"short").await.unwrap(), b"1");
    clock.set(5_000);
    assert_eq!(value(store, b"short").await, None);
    assert_eq!(store.scan(Scan::all(Table::Resource, &a)).await.unwrap().len(), 1);
    let absent = Batch::new().put_if(Table::Resource, (&a, b"short"), b"3".into(), Expect::Absent);
    store.commit(absent).await.unwrap();
    assert_eq!(value(store, b"short").await.unwrap(), b"3");
    let again =
        Op::Put(Put { expires: Some(Timestamp::from_millis(6_000)), ..put(b"swept", b"4") });
    store.commit(Batch::new().with(again)).await.unwrap();
    clock.set(60_000);
    store.commit(Batch::new().put(Table::Resource, &a, b"tick", vec![])).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert_eq!(verified.faults, Vec::<String>::new());
    assert!(verified.records.contains(&(Table::Resource, 3)), "{verified:?}");
    clock.set(1_000);
}

async fn limits_are_kept(store: &dyn Store) {
    let largest = put(&[7; MAX_KEY], &[1; MAX_VALUE]);
    store.commit(Batch::new().with(Op::Put(largest))).await.unwrap();
    assert_eq!(value(store, &[7; MAX_KEY]).await.unwrap().len(), MAX_VALUE);
    for bad in [put(b"", b"1"), put(&[7; MAX_KEY + 1], b"1"), put(b"x", &[1; MAX_VALUE + 1])] {
        let error = store.commit(Batch::new().with(Op::Put(bad))).await.unwrap_err();
        assert!(matches!(error, StoreError::Size { .. }), "{error}");
    }
    let many = (0..=MAX_OPS).fold(Batch::new(), |batch, _| batch.with(Op::Put(put(b"x", b"1"))));
    assert!(matches!(store.commit(many).await, Err(StoreError::Size { .. })));
    assert_eq!(value(store, b"x").await, None);
}

async fn changes_are_told(store: &dyn Store) {
    let a = org("a");
    store.commit(Batch::new().put(Table::Resource, &a, b"before", vec![])).await.unwrap();
    let mut changes = store.watch();
    let conflict = Batch::new().put_if(Table::Resource, (&a, b"no"), vec![], Expect::Version(9));
    assert!(store.commit(conflict).await.is_err());
    let batch = Batch::new()
        .put(Table::AuditIndex, &a, b"quiet", vec![])
        .delete(Table::Resource, &a, b"none")
        .put(Table::Resource, &a, b"x", vec![])
        .delete(Table::Resource, &a, b"before");
    let version = store.commit(batch).await.unwrap().version;
    let mut next = async || match changes.next().await {
        Some(Event::Changed(change)) => (change.key, change.version),
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, (b"x".to_vec(), Some(version)));
    assert_eq!(next().await, (b"before".to_vec(), None));
    let mut slow = store.watch();
    for n in 0..40_u32 {
        let batch = (0..40_u32).fold(Batch::new(), |batch, m| {
            batch.put(Table::Job, &a, &(n * 40 + m).to_le_bytes(), vec![])
        });
        store.commit(batch).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Event::Missed));
}

async fn many_commit_at_once(store: Arc<dyn Store>) {
    let counters = 8_u8;
    let tasks = (0..64_u8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (a, key) = (org("a"), [n % counters]);
            for _ in 0..5 {
                // Add one, and try again when somebody else was faster.
                loop {
                    let found = store.get(Table::Job, &a, &key).await.unwrap();
                    let (count, expect) = match found {
                        None => (0, Expect::Absent),
                        Some(record) => (record.value[0], Expect::Version(record.version)),
                    };
                    let batch =
                        Batch::new().put_if(Table::Job, (&a, &key), vec![count + 1], expect);
                    match store.commit(batch).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for n in 0..counters {
        let record = store.get(Table::Job, &org("a"), &[n]).await.unwrap().unwrap();
        assert_eq!(record.value, [40]);
    }
    assert_eq!(store.health(), Health::Ready);
}

async fn all_of_it_verifies(store: &dyn Store) {
    let a = org("a");
    for n in 0..50_u8 {
        let batch = Batch::new()
            .put(Table::Resource, &a, &[n % 10], vec![n])
            .put(Table::AuditIndex, &a, &[n], vec![n])
            .delete(Table::Resource, &a, &[(n + 5) % 10]);
        store.commit(batch).await.unwrap();
    }
    let verified = store.verify().await.unwrap();
    assert_eq!(verified.faults, Vec::<String>::new());
    assert!(verified.records.contains(&(Table::AuditIndex, 50)), "{verified:?}");
    assert!(verified.records.contains(&(Table::Resource, 5)), "{verified:?}");
}
