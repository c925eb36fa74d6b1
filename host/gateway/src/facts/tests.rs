//! What is known of sessions: kept, forgotten, bounded.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use tidegate_store::{
    Batch, BoxFuture, Changes, Committed, EmbeddedStore, FixedKeys, Health, Keyring, Record, Row,
    Scan, StoreError, Table, Verified,
};
use tidegate_wasm::capabilities::facts::{FACT, FACTS, Facts};

use super::*;
use crate::notices::stand::{Hand, Setup, Stand};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// A store that counts, and fails when it is told to.
#[derive(Debug)]
struct Counting {
    store: EmbeddedStore,
    reads: AtomicUsize,
    commits: AtomicUsize,
    is_broken: AtomicBool,
}

impl Counting {
    fn broken(&self) -> Result<(), StoreError> {
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        if is_broken { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn counts(&self) -> (usize, usize) {
        (self.reads.load(Ordering::SeqCst), self.commits.load(Ordering::SeqCst))
    }
}

impl Store for Counting {
    fn get<'a>(
        &'a self,
        table: Table,
        org: &'a OrgId,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            self.broken()?;
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.store.get(table, org, key).await
        })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        self.store.scan(scan)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(async move {
            self.broken()?;
            let done = self.store.commit(batch).await;
            self.commits.fetch_add(usize::from(done.is_ok()), Ordering::SeqCst);
            done
        })
    }

    fn ensure_org<'a>(&'a self, org: &'a OrgId) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.ensure_org(org)
    }

    fn watch(&self) -> Changes {
        self.store.watch()
    }

    fn health(&self) -> Health {
        self.store.health()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, StoreError>> {
        self.store.verify()
    }

    fn keyring(&self) -> &Arc<Keyring> {
        self.store.keyring()
    }
}

struct Bench {
    store: Arc<Counting>,
    clock: Arc<Hand>,
    book: FactBook,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(Hand::default());
        clock.set(HOUR);
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store = EmbeddedStore::memory(keys, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let store = Arc::new(Counting {
            store,
            reads: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
        });
        let book = Self::book(&store, &clock);
        Self { store, clock, book }
    }

    fn book(store: &Arc<Counting>, clock: &Arc<Hand>) -> FactBook {
        FactBook::new(Arc::clone(store) as Arc<dyn Store>, Arc::clone(clock) as Arc<dyn Clock>)
    }

    /// The same store, as a new process finds it.
    fn again(&mut self) {
        self.book = Self::book(&self.store, &self.clock);
    }

    async fn of(&self, user: &str) -> Arc<SessionFacts> {
        self.at(user, "sales").await
    }

    async fn at(&self, user: &str, vmcp: &str) -> Arc<SessionFacts> {
        let (user, vmcp) = (UserId::new(user).unwrap(), VmcpId::new(vmcp).unwrap());
        self.book.of(&OrgId::default_org(), &user, &vmcp).await.unwrap()
    }

    async fn rows(&self) -> usize {
        let scan = Scan::all(Table::Session, &OrgId::default_org());
        self.store.scan(scan).await.unwrap().len()
    }

    /// Waits until so many commits went through.
    async fn commits(&self, count: usize) {
        while self.store.counts().1 < count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_is_added_is_there_for_everybody_and_after_a_restart() {
    let mut bench = Bench::new();
    let (one, other) = (bench.of("ann").await, bench.of("ann").await);
    assert_eq!(one.all(), [""; 0]);
    for fact in ["b:2", "a:1", "b:2", "c"] {
        one.add(fact).await.unwrap();
    }
    assert_eq!(other.all(), ["a:1", "b:2", "c"]);
    assert!(other.has("b:2") && !other.has("b") && !other.has("b:22"));
    bench.again();
    assert_eq!(bench.of("ann").await.all(), ["a:1", "b:2", "c"]);
    bench.of("ann").await.add("d").await.unwrap();
    bench.again();
    assert_eq!(bench.of("ann").await.all(), ["a:1", "b:2", "c", "d"]);
}

#[tokio::test]
async fn sessions_are_apart() {
    let bench = Bench::new();
    let long = "\u{e9}".repeat(256);
    let longer = format!("{}x", "\u{e9}".repeat(255));
    bench.of("ann").await.add("x").await.unwrap();
    bench.of(&long).await.add("y").await.unwrap();
    assert_eq!(bench.at("ann", "support").await.all(), [""; 0]);
    assert_eq!(bench.of("bob").await.all(), [""; 0]);
    assert_eq!(bench.of(&longer).await.all(), [""; 0]);
    let (org, user) = (OrgId::new("other").unwrap(), UserId::new("ann").unwrap());
    let elsewhere = bench.book.of(&org, &user, &VmcpId::new("sales").unwrap()).await.unwrap();
    assert_eq!(elsewhere.all(), [""; 0]);
    assert_eq!(bench.of(&long).await.all(), ["y"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_are_at_most_so_many_however_they_come() {
    let mut bench = Bench::new();
    let session = bench.of("ann").await;
    let longest = "x".repeat(FACT);
    session.add(&longest).await.unwrap();
    for bad in ["", "a b", "a\n", "\u{e9}", &"x".repeat(FACT + 1)] {
        assert_eq!(session.add(bad).await, Err(FactsError::Malformed), "{bad:?}");
    }
    let tasks = (0..2 * FACTS).map(|n| {
        let session = Arc::clone(&session);
        tokio::spawn(async move { session.add(&format!("fact-{n}")).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let added = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(added, FACTS - 1);
    assert!(
        answers.iter().all(|it| matches!(it, Ok(()) | Err(FactsError::TooMany))),
        "{answers:?}"
    );
    // One that is there is fine, and whoever was told that it is added finds it on disk.
    session.add(&longest).await.unwrap();
    let all = session.all();
    assert_eq!(all.len(), FACTS);
    bench.again();
    assert_eq!(bench.of("ann").await.all(), all);
}

#[tokio::test]
async fn a_quiet_session_is_forgotten_by_the_clock() {
    let mut bench = Bench::new();
    let first = bench.of("ann").await;
    first.add("x").await.unwrap();
    bench.clock.set(HOUR + 12 * HOUR - 1);
    assert_eq!(first.all(), ["x"]);
    // In use: the twelve hours begin anew.
    assert_eq!(bench.of("ann").await.all(), ["x"]);
    bench.clock.set(HOUR + 24 * HOUR - 2);
    assert_eq!(first.all(), ["x"]);
    bench.clock.set(HOUR + 24 * HOUR - 1);
    assert_eq!(first.all(), [""; 0]);
    assert!(!first.has("x"));
    // Added without another use, as by a call that has taken that long.
    first.add("y").await.unwrap();
    assert_eq!(bench.of("ann").await.all(), ["y"]);
    bench.again();
    assert_eq!(bench.of("ann").await.all(), ["y"]);
    // Forgotten on use, it is forgotten on disk.
    bench.clock.set(HOUR + 48 * HOUR);
    assert_eq!(bench.of("ann").await.all(), [""; 0]);
    bench.again();
    assert_eq!(bench.of("ann").await.all(), [""; 0]);
    assert_eq!(bench.rows().await, 0);
}

#[tokio::test]
async fn use_outlives_the_process_and_is_written_now_and_then() {
    let mut bench = Bench::new();
    let session = bench.of("ann").await;
    session.add("x").await.unwrap();
    assert_eq!(bench.store.counts(), (1, 1));
    for second in 0..599 {
        bench.clock.set(HOUR + second * 1_000);
        bench.of("ann").await;
    }
    assert_eq!(bench.store.counts(), (1, 1));
    // Ten minutes on it is written, once.
    bench.clock.set(HOUR + 10 * MINUTE);
    bench.of("ann").await;
    bench.of("ann").await;
    bench.commits(2).await;
    bench.clock.set(HOUR + 19 * MINUTE);
    bench.of("ann").await;
    assert_eq!(bench.store.counts(), (1, 2));
    // A new process knows it for twelve hours after that use, and not for much longer.
    bench.clock.set(HOUR + 19 * MINUTE + 12 * HOUR - 1);
    bench.again();
    assert_eq!(bench.of("ann").await.all(), ["x"]);
    bench.commits(3).await;
    bench.clock.set(HOUR + 19 * MINUTE + 24 * HOUR + 20 * MINUTE);
    bench.again();
    assert_eq!(bench.of("ann").await.all(), [""; 0]);
}

#[tokio::test]
async fn a_decision_reads_no_store() {
    let bench = Bench::new();
    for _ in 0..100 {
        assert_eq!(bench.of("ann").await.held().len(), 0);
    }
    assert_eq!(bench.store.counts(), (1, 0));
    let session = bench.of("ann").await;
    let (one, other) = (session.held(), bench.of("ann").await.held());
    assert!(Arc::ptr_eq(&one, &other));
    session.add("x").await.unwrap();
    assert!(one.is_empty());
    assert!(Arc::ptr_eq(&session.held(), &bench.of("ann").await.held()));
}

#[tokio::test]
async fn memory_holds_what_is_in_use_and_what_costs_to_forget() {
    let bench = Bench::new();
    bench.of("with").await.add("x").await.unwrap();
    let held = bench.of("held").await;
    drop(bench.of("without").await);
    assert_eq!(bench.book.count(), 3);
    bench.clock.set(HOUR + 10 * MINUTE);
    bench.book.sweep().await;
    assert_eq!(bench.book.count(), 2);
    // Held, it is the one that others find.
    held.add("y").await.unwrap();
    assert_eq!(bench.of("held").await.all(), ["y"]);
    drop(held);
    // Twelve hours on there is nothing left, in memory or on disk.
    bench.clock.set(HOUR + 10 * MINUTE + 12 * HOUR);
    bench.book.sweep().await;
    assert_eq!(bench.rows().await, 0);
    bench.clock.set(HOUR + 20 * MINUTE + 12 * HOUR);
    bench.book.sweep().await;
    assert_eq!(bench.book.count(), 0);
}

#[tokio::test]
async fn memory_is_bounded_and_nothing_is_lost_by_it() {
    let bench = Bench::new();
    let user = |n: usize| format!("user-{n}");
    let most = OF_SHARD * SHARDS;
    let first = bench.of("first").await;
    first.add("kept").await.unwrap();
    drop(first);
    let held = bench.of("held").await;
    for n in 0..2 * most {
        drop(bench.of(&user(n)).await);
    }
    assert!(bench.book.count() <= most);
    held.add("x").await.unwrap();
    assert_eq!(bench.of("held").await.all(), ["x"]);
    assert_eq!(bench.of("first").await.all(), ["kept"]);
}

#[tokio::test]
async fn a_full_shard_gives_up_who_was_quiet_for_longest() {
    let bench = Bench::new();
    let mut map = HashMap::new();
    for (n, name) in ["oldest", "older", "young"].into_iter().enumerate() {
        bench.clock.set(HOUR + n as u64);
        bench.of(name).await.add("x").await.unwrap();
    }
    for shard in &bench.book.shards {
        map.extend(shard.lock().unwrap().drain());
    }
    let name = |name: &str| Who {
        org: OrgId::default_org(),
        user: UserId::new(name).unwrap(),
        vmcp: VmcpId::new("sales").unwrap(),
    };
    // In use, the oldest stays; what is not on disk stays, too.
    let held = Arc::clone(&map[&name("oldest")]);
    make_room(&mut map, Timestamp::from_millis(HOUR));
    assert_eq!(map.len(), 2);
    assert!(!map.contains_key(&name("older")));
    bench.store.is_broken.store(true, Ordering::SeqCst);
    assert!(map[&name("young")].add("unsaved").await.is_err());
    make_room(&mut map, Timestamp::from_millis(HOUR));
    assert_eq!(map.len(), 2);
    drop(held);
    make_room(&mut map, Timestamp::from_millis(HOUR));
    assert_eq!(map.keys().map(|who| who.user.as_str()).collect::<Vec<_>>(), ["young"]);
}

#[tokio::test]
async fn a_store_that_fails_is_said_and_no_fact_is_lost_in_memory() {
    let mut bench = Bench::new();
    let session = bench.of("ann").await;
    bench.store.is_broken.store(true, Ordering::SeqCst);
    assert!(matches!(session.add("x").await, Err(FactsError::Unavailable(_))));
    // Policies see it all the same; whoever adds it again is told that it is not kept.
    assert_eq!(session.held().to_vec(), ["x"]);
    assert!(matches!(session.add("x").await, Err(FactsError::Unavailable(_))));
    // A session that cannot be read is none without facts.
    let (user, vmcp) = (UserId::new("bob").unwrap(), VmcpId::new("sales").unwrap());
    let unread = bench.book.of(&OrgId::default_org(), &user, &vmcp).await;
    assert!(matches!(unread, Err(FactsError::Unavailable(_))));
    bench.book.sweep().await;
    bench.store.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(bench.of("bob").await.all(), [""; 0]);
    // The next round writes what is not on disk.
    bench.book.sweep().await;
    bench.again();
    assert_eq!(bench.of("ann").await.all(), ["x"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_session_without_facts() {
    let bench = Bench::new();
    let org = OrgId::default_org();
    let (user, vmcp) = (UserId::new("ann").unwrap(), VmcpId::new("sales").unwrap());
    let who = Who { org: org.clone(), user: user.clone(), vmcp: vmcp.clone() };
    for value in [&b""[..], b"\x02", b"\x01\0\0\0\0\0\0\0\0a b\n", b"\x01\0\0\0\0\0\0\0\0\xff\n"] {
        let batch = Batch::new().put(Table::Session, &org, &row::key(&who), value.to_vec());
        bench.store.commit(batch).await.unwrap();
        let found = bench.book.of(&org, &user, &vmcp).await;
        assert!(matches!(found, Err(FactsError::Unavailable(_))), "{value:?}");
    }
}

/// From a fact that a plugin notes to a policy that refuses.
#[tokio::test]
async fn a_policy_sees_what_was_noted_from_the_next_decision_on() {
    let stand = Stand::new().await;
    let policies = "permit (principal, action, resource);
        @id(\"leaves\") forbid (principal, action == Action::\"connect\", resource)
        when { context.facts.contains(\"read:customer-data\") };";
    stand.revise(&Setup { policies: policies.to_owned(), ..Setup::default() }, &[]);
    let mut context = stand.context(Some("key"));
    let vmcp = VmcpId::new("all").unwrap();
    let (org, user) = (context.caller.org().clone(), context.caller.user().clone());
    let facts = stand.gateway.facts.of(&org, &user, &vmcp).await.unwrap();
    let connect = |context: &crate::call::Context| {
        let policies = &context.revision.policies;
        let decision = policies.authorize_connect(&context.caller, &vmcp, &context.circumstances());
        decision.map(drop).map_err(|denial| denial.policies.clone())
    };
    // Not read, they refuse; read and empty, they do not.
    assert_eq!(connect(&context), Err(vec!["leaves".to_owned()]));
    context.facts = Some(Arc::clone(&facts));
    assert_eq!(connect(&context), Ok(()));
    let noted: Arc<dyn Facts> = facts;
    noted.add("read:customer-data").await.unwrap();
    assert_eq!(connect(&context), Err(vec!["leaves".to_owned()]));
}
