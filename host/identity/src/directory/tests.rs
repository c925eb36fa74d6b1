//! Who there is: kept, found, changed, bounded.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use model::{Clock, OrgId, Timestamp};
use tidegate_model as model;
use tidegate_store::{Batch, EmbeddedStore, Expect, FixedKeys, Op, Scan, Store, Table};
use tidegate_wire::client::egress::{Egress, Resolver};

use super::*;
use crate::Issuer;

mod groups;
mod sign_in;
mod size;

/// A clock that a test sets.
#[derive(Debug)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn at(millis: u64) -> Self {
        Self(AtomicU64::new(millis))
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An organisation on a store in memory.
pub(crate) struct Bench {
    pub(crate) clock: Arc<Hand>,
    pub(crate) ground: Ground,
    pub(crate) directory: Arc<Directory>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store = EmbeddedStore::memory(keys, clock.clone() as Arc<dyn Clock>).unwrap();
        Self::on(Arc::new(store), clock, "default").await
    }

    pub(crate) async fn on(store: Arc<dyn Store>, clock: Arc<Hand>, org: &str) -> Self {
        let org = OrgId::new(org).unwrap();
        store.ensure_org(&org).await.unwrap();
        let issuer = Issuer::new("https://mcp.example.com", org).unwrap();
        let egress = Egress::new(Resolver::System, None).unwrap();
        let ground = Ground { issuer, store, clock: clock.clone() as Arc<dyn Clock>, egress };
        let directory = Directory::open(&ground, &Settings::default()).await.unwrap();
        Self { clock, ground, directory }
    }

    /// The directory as another process finds it, or this one after a restart.
    pub(crate) async fn again(&self) -> Arc<Directory> {
        Directory::open(&self.ground, &Settings::default()).await.unwrap()
    }

    pub(crate) fn user(&self, name: &str) -> User {
        User::new(id(name), Kind::Person, self.ground.clock.now())
    }

    pub(crate) async fn add(&self, name: &str) -> Arc<Person> {
        self.directory.add(self.user(name)).await.unwrap()
    }

    async fn rows(&self) -> usize {
        let scan = Scan::all(Table::User, self.ground.issuer.org());
        self.ground.store.scan(scan).await.unwrap().len()
    }
}

pub(crate) fn id(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn link(provider: &str, subject: &str) -> Link {
    let issuer = format!("https://{provider}.test");
    Link { provider: provider.into(), issuer, subject: subject.into() }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Waits until something holds that another task brings about.
async fn eventually(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_is_added_is_found_by_whatever_names_them() {
    let bench = Bench::new().await;
    let mut user = bench.user("AE@Example.com");
    user.email = Some(" Ae@Example.COM".into());
    user.links = vec![link("okta", "00u1")];
    user.external_id = Some("ext-1".into());
    user.groups = texts(&["sales", "all", "sales"]);
    let added = bench.directory.add(user).await.unwrap();
    assert_eq!(added.user.id.as_str(), "ae@example.com");
    for directory in [bench.directory.clone(), bench.again().await] {
        let found = [
            directory.user(&id("ae@example.com")),
            directory.by_email("AE@example.com"),
            directory.linked(&link("okta", "00u1")),
            directory.by_external_id("ext-1"),
        ];
        for one in found {
            assert_eq!(one.as_deref(), Some(&*added));
        }
        assert!(directory.linked(&link("google", "00u1")).is_none());
        assert!(directory.user(&id("AE@Example.com")).is_none());
    }
    assert_eq!(*added.groups, texts(&["all", "sales"]));
    assert_eq!(*added.roles, texts(&["member"]));
}

#[tokio::test]
async fn what_only_one_may_have_nobody_else_gets() {
    let bench = Bench::new().await;
    let mut ann = bench.user("ann");
    ann.email = Some("ann@example.com".into());
    ann.links = vec![link("okta", "1")];
    ann.external_id = Some("x".into());
    bench.directory.add(ann).await.unwrap();
    // Another process, whose memory does not know of Ann.
    let other = bench.again().await;
    bench.directory.remove(&id("ann")).await.unwrap();
    let mut ann = bench.user("ann2");
    ann.email = Some("ann@example.com".into());
    ann.links = vec![link("okta", "1")];
    ann.external_id = Some("x".into());
    bench.directory.add(ann).await.unwrap();
    let bob = other.add(bench.user("bob")).await.unwrap().user.id.clone();
    type Edit = fn(&mut User);
    let cases: [(&str, Edit); 3] = [
        ("e-mail address", |user| user.email = Some("ann@example.com".into())),
        ("link", |user| user.links = vec![link("okta", "1")]),
        ("external id", |user| user.external_id = Some("x".into())),
    ];
    for (what, edit) in cases {
        let changed = other.change(&bob, |user| {
            edit(user);
            Ok(())
        });
        let refused = changed.await.unwrap_err();
        assert!(matches!(refused, DirectoryError::Taken { what: w, .. } if w == what), "{refused}");
        let mut eve = bench.user("eve");
        edit(&mut eve);
        let refused = other.add(eve).await.unwrap_err();
        assert!(matches!(refused, DirectoryError::Taken { what: w, .. } if w == what), "{refused}");
    }
    let refused = other.add(bench.user("ann2")).await.unwrap_err();
    assert!(matches!(refused, DirectoryError::Taken { what: "user name", .. }), "{refused}");
    // What is given up can be taken.
    let ann = id("ann2");
    let free = bench.directory.change(&ann, |user| {
        user.email = None;
        user.links.clear();
        user.external_id = None;
        Ok(())
    });
    free.await.unwrap();
    for (_, edit) in cases {
        let taken = other.change(&bob, |user| {
            edit(user);
            Ok(())
        });
        taken.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_left_of_whoever_is_removed() {
    let bench = Bench::new().await;
    let before = bench.rows().await;
    let mut user = bench.user("ann");
    user.email = Some("ann@example.com".into());
    user.links = vec![link("okta", "1"), link("google", "1")];
    user.claimed_groups = (0..2_000).map(|n| format!("group-{n:032}")).collect();
    bench.directory.add(user).await.unwrap();
    let group = bench.directory.add_group("g", None, BTreeSet::from([id("ann")])).await.unwrap();
    bench.directory.remove(&id("ann")).await.unwrap();
    bench.directory.remove_group(&group.id).await.unwrap();
    assert_eq!(bench.rows().await, before);
    assert!(bench.directory.is_empty() && bench.again().await.is_empty());
    let gone = bench.directory.remove(&id("ann")).await.unwrap_err();
    assert!(matches!(gone, DirectoryError::NoUser(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_once_lose_nothing() {
    let bench = Bench::new().await;
    bench.add("ann").await;
    let other = bench.again().await;
    let followed = tokio::spawn(other.clone().follow());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let directory = if n % 2 == 0 { bench.directory.clone() } else { other.clone() };
        tasks.spawn(async move {
            let ann = UserId::new("ann").unwrap();
            let change = || {
                directory.change(&ann, |user| {
                    user.groups.push(format!("group-{n}"));
                    Ok(())
                })
            };
            // Refused politely when too many are at it; then it is the caller's to repeat.
            while let Err(error) = change().await {
                assert!(matches!(error, DirectoryError::Busy(_)), "{error}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let expected: BTreeSet<String> = (0..40).map(|n| format!("group-{n}")).collect();
    let again = bench.again().await.user(&id("ann")).unwrap();
    assert_eq!(again.user.groups.iter().cloned().collect::<BTreeSet<_>>(), expected);
    eventually(|| other.user(&id("ann")).is_some_and(|ann| *ann == *again)).await;
    followed.abort();
}

#[tokio::test]
async fn another_process_sees_every_change() {
    let bench = Bench::new().await;
    let other = bench.again().await;
    let followed = tokio::spawn(other.clone().follow());
    bench.add("ann").await;
    eventually(|| other.user(&id("ann")).is_some()).await;
    let members = BTreeSet::from([id("ann")]);
    let group = bench.directory.add_group("sales", None, members).await.unwrap();
    let in_sales = || other.user(&id("ann")).is_some_and(|ann| *ann.groups == texts(&["sales"]));
    eventually(in_sales).await;
    bench.directory.deactivate(&id("ann")).await.unwrap();
    eventually(|| other.user(&id("ann")).is_some_and(|ann| !ann.user.active)).await;
    bench.directory.remove_group(&group.id).await.unwrap();
    eventually(|| other.group(&group.id).is_none()).await;
    bench.directory.remove(&id("ann")).await.unwrap();
    eventually(|| other.user(&id("ann")).is_none()).await;
    // More than the feed holds.
    for n in 0..1_500 {
        bench.add(&format!("user-{n}")).await;
    }
    bench.directory.remove(&id("user-0")).await.unwrap();
    eventually(|| other.len() == 1_499 && other.user(&id("user-0")).is_none()).await;
    followed.abort();
}

#[tokio::test]
async fn equal_names_of_two_organisations_never_meet() {
    let bench = Bench::new().await;
    let acme = Bench::on(bench.ground.store.clone(), bench.clock.clone(), "acme").await;
    let followed = tokio::spawn(acme.directory.clone().follow());
    let of = |bench: &Bench, group: &str| {
        let mut user = bench.user("ann@example.com");
        user.email = Some("ann@example.com".into());
        user.links = vec![link("okta", "1")];
        user.groups = texts(&[group]);
        user
    };
    bench.directory.add(of(&bench, "here")).await.unwrap();
    assert!(acme.directory.by_email("ann@example.com").is_none());
    acme.directory.add(of(&acme, "there")).await.unwrap();
    bench.directory.deactivate(&id("ann@example.com")).await.unwrap();
    acme.add("last").await;
    for directory in [acme.directory.clone(), acme.again().await] {
        let ann = directory.linked(&link("okta", "1")).unwrap();
        assert!(ann.user.active);
        assert_eq!(*ann.groups, texts(&["there"]));
    }
    assert!(!bench.again().await.user(&id("ann@example.com")).unwrap().user.active);
    followed.abort();
}

#[tokio::test]
async fn somebody_is_always_owner() {
    let bench = Bench::new().await;
    let owner = |name: &str| {
        let mut user = bench.user(name);
        user.roles = texts(&["owner"]);
        user
    };
    let mut bot = owner("bot");
    bot.kind = Kind::Agent;
    bench.directory.add(bot).await.unwrap();
    bench.directory.add(owner("ann")).await.unwrap();
    let last = |error: DirectoryError| matches!(error, DirectoryError::LastOwner(_));
    let demote = |user: &mut User| {
        user.roles.clear();
        Ok(())
    };
    let ann = id("ann");
    assert!(last(bench.directory.change(&ann, demote).await.unwrap_err()));
    assert!(last(bench.directory.deactivate(&ann).await.unwrap_err()));
    assert!(last(bench.directory.remove(&ann).await.unwrap_err()));
    assert!(bench.directory.user(&ann).unwrap().has_role("owner"));
    bench.directory.sign_out_everywhere(&ann).await.unwrap();
    // Both of two at once: one stays.
    bench.directory.add(owner("bob")).await.unwrap();
    let bob = id("bob");
    let (one, other) =
        tokio::join!(bench.directory.change(&ann, demote), bench.directory.deactivate(&bob));
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(bench.directory.owners().len(), 1);
}

#[tokio::test]
async fn who_is_not_active_is_nobody_in_policies() {
    let bench = Bench::new().await;
    let mut user = bench.user("ann");
    (user.groups, user.roles) = (texts(&["sales"]), texts(&["auditor"]));
    bench.directory.add(user).await.unwrap();
    bench.clock.pass(5_000);
    let gone = bench.directory.deactivate(&id("ann")).await.unwrap();
    assert!(gone.groups.is_empty() && gone.roles.is_empty());
    assert_eq!(gone.user.not_before, Timestamp::from_millis(1_005_000));
    bench.clock.set(1);
    let back = bench.directory.change(&gone.user.id, |user| {
        user.active = true;
        Ok(())
    });
    let back = back.await.unwrap();
    assert_eq!(*back.roles, texts(&["auditor", "member"]));
    // What was ended stays ended, also by a clock that went back.
    assert_eq!(back.user.not_before, Timestamp::from_millis(1_005_000));
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    let bench = Bench::new().await;
    let cases: [fn(&mut User); 10] = [
        |user| user.id = id("owner"),
        |user| user.id = id("Anonymous"),
        |user| user.id = id(&"é".repeat(200)),
        |user| user.email = Some("no address".into()),
        |user| user.email = Some("@example.com".into()),
        |user| user.groups = vec![" ".into()],
        |user| user.roles = vec!["a\nb".into()],
        |user| user.links = vec![link("", "1")],
        |user| user.name = Some("x".repeat(600)),
        |user| user.groups = (0..2_000).map(|n| format!("assigned-{n:032}")).collect(),
    ];
    for edit in cases {
        let mut user = bench.user("ann");
        edit(&mut user);
        let refused = bench.directory.add(user).await.unwrap_err();
        assert!(matches!(refused, DirectoryError::Bad(_)), "{refused}");
    }
    assert_eq!(bench.rows().await, 0);
}

#[tokio::test]
async fn a_damaged_record_is_nobody_and_a_newer_one_stops() {
    let bench = Bench::new().await;
    bench.add("ann").await;
    let org = OrgId::default_org();
    let put = |name: &str, schema| {
        Op::Put(tidegate_store::Put {
            table: Table::User,
            org: org.clone(),
            key: row::user_key(&id(name)),
            value: b"{".to_vec(),
            schema,
            expires: None,
            expect: Expect::Any,
        })
    };
    bench.ground.store.commit(Batch::new().with(put("bad", 1))).await.unwrap();
    let again = bench.again().await;
    assert!(again.user(&id("bad")).is_none() && again.user(&id("ann")).is_some());
    let refused = again.add(bench.user("bad")).await.unwrap_err();
    assert!(matches!(refused, DirectoryError::Bad(_)), "{refused}");
    bench.ground.store.commit(Batch::new().with(put("new", 2))).await.unwrap();
    let newer = Directory::open(&bench.ground, &Settings::default()).await.unwrap_err();
    assert!(matches!(newer, DirectoryError::Newer(_)), "{newer}");
}
