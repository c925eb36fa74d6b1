//! Spaces of values over both backends of the store.

mod together;

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use tidegate_model::{ConnectorId, PluginId};
use tidegate_store::{Batch, EmbeddedStore, FixedKeys, SledOptions};
use tidegate_wasm::capabilities::state::{KEY, VALUE};

use super::{
    draft::MOST_KEYS,
    layout::{Keys, Usage},
    *,
};
use crate::notices::stand::Hand;

/// A store, its clock and the spaces in it.
pub(super) struct Bench {
    pub(super) state: PluginState,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<Hand>,
    dir: Option<TempDir>,
}

impl Bench {
    pub(super) fn memory() -> Self {
        let clock = Arc::new(Hand::default());
        clock.set(1_000);
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store = EmbeddedStore::memory(keys, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self::over(Arc::new(store), clock, None)
    }

    pub(super) fn sled() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(Hand::default()));
        clock.set(1_000);
        Self::over(open(dir.path(), &clock), clock, Some(dir))
    }

    fn over(store: Arc<dyn Store>, clock: Arc<Hand>, dir: Option<TempDir>) -> Self {
        let state = PluginState::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
        Self { state, store, clock, dir }
    }

    /// The same directory, opened once more.
    fn again(self) -> Self {
        let Self { state, store, clock, dir } = self;
        drop((state, store));
        let store = open(dir.as_ref().unwrap().path(), &clock);
        Self::over(store, clock, dir)
    }

    /// The space of a plugin with room for everything.
    pub(super) fn space(&self, name: &str) -> Arc<dyn KeyValue> {
        self.state.space(&org(), plugin(name), 1 << 20)
    }

    /// Rows of all spaces.
    async fn rows(&self) -> usize {
        self.store.scan(Scan::all(Table::PluginState, &org())).await.unwrap().len()
    }
}

fn open(dir: &Path, clock: &Arc<Hand>) -> Arc<dyn Store> {
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let options = SledOptions::new(dir.join("store"));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Arc::new(EmbeddedStore::sled(options, keys, clock).unwrap())
}

pub(super) fn org() -> OrgId {
    OrgId::default_org()
}

pub(super) fn plugin(name: &str) -> Owner {
    Owner::Plugin(PluginId::new(name).unwrap())
}

fn bytes(value: &[u8]) -> Bytes {
    Bytes::copy_from_slice(value)
}

#[tokio::test]
async fn values_come_back_as_they_were_set() {
    for bench in [Bench::memory(), Bench::sled()] {
        let space = bench.space("a");
        let keys = ["k", "", "a\0b", "\u{1f980}", &"k".repeat(KEY), "e", "u", "x", "p"];
        let lengths = [0, 1, 16_370, 16_371, 16_372, 32_755, 32_756, VALUE - 1, VALUE];
        for (n, key) in keys.iter().enumerate().filter(|(_, key)| !key.is_empty()) {
            assert_eq!(space.get(key).await, Ok(None));
            // Longer and shorter in turn, so that parts come and go.
            for length in lengths.iter().chain(lengths.iter().rev()) {
                let value = bytes(&vec![u8::try_from(n).unwrap(); *length]);
                space.set(key, value.clone(), None).await.unwrap();
                assert_eq!(space.get(key).await, Ok(Some(value)), "{key:?} {length}");
            }
        }
        for key in keys.iter().filter(|key| !key.is_empty()) {
            space.remove(key).await.unwrap();
            space.remove(key).await.unwrap();
            assert_eq!(space.get(key).await, Ok(None));
        }
        // Nothing is left but what the space takes, which is nothing.
        assert_eq!(bench.rows().await, 1);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let bench = Bench::memory();
    let space = bench.space("a");
    let long = "k".repeat(KEY + 1);
    for key in ["", long.as_str()] {
        assert_eq!(space.get(key).await, Err(KeyValueError::TooLarge));
        assert_eq!(space.set(key, Bytes::new(), None).await, Err(KeyValueError::TooLarge));
        assert_eq!(space.add(key, 1, None).await, Err(KeyValueError::TooLarge));
        assert_eq!(space.remove(key).await, Err(KeyValueError::TooLarge));
    }
    let value = bytes(&vec![1; VALUE + 1]);
    assert_eq!(space.set("k", value, None).await, Err(KeyValueError::TooLarge));
    assert_eq!(bench.rows().await, 0);
}

#[tokio::test]
async fn values_end_by_the_clock() {
    for bench in [Bench::memory(), Bench::sled()] {
        let space = bench.space("a");
        let there = async |key: &str| space.get(key).await.unwrap().is_some();
        space.set("short", bytes(b"1"), Some(10)).await.unwrap();
        space.set("long", bytes(&[1; 40_000]), Some(20)).await.unwrap();
        space.set("stays", bytes(b"1"), None).await.unwrap();
        space.set("never", bytes(b"1"), Some(0)).await.unwrap();
        assert!(!there("never").await);
        bench.clock.set(10_999);
        assert!(there("short").await && there("long").await);
        bench.clock.set(11_000);
        assert!(!there("short").await && there("long").await && there("stays").await);
        // Set anew, it has the time that it was given last.
        space.set("short", bytes(b"2"), Some(5)).await.unwrap();
        space.set("long", bytes(b"2"), None).await.unwrap();
        bench.clock.set(15_999);
        assert!(there("short").await);
        assert_eq!(bench.state.expire(&org(), plugin("a")).await, Ok(0));
        bench.clock.set(16_000);
        assert!(!there("short").await);
        assert_eq!(bench.state.expire(&org(), plugin("a")).await, Ok(1));
        bench.clock.set(u64::MAX);
        assert!(there("long").await && there("stays").await);
        assert_eq!(bench.rows().await, 3);
    }
}

#[tokio::test]
async fn a_window_counts_from_the_first_addition() {
    let bench = Bench::memory();
    let space = bench.space("a");
    assert_eq!(space.add("n", 2, Some(60)).await, Ok(2));
    bench.clock.set(31_000);
    assert_eq!(space.add("n", 3, Some(60)).await, Ok(5));
    bench.clock.set(60_999);
    assert_eq!(space.add("n", -10, Some(60)).await, Ok(-5));
    bench.clock.set(61_000);
    assert_eq!(space.get("n").await, Ok(None));
    assert_eq!(space.add("n", 1, Some(60)).await, Ok(1));
    assert_eq!(space.get("n").await, Ok(Some(bytes(b"1"))));
    // What lasts for no time begins anew each time, and is not kept.
    assert_eq!(space.add("none", 4, Some(0)).await, Ok(4));
    assert_eq!(space.get("none").await, Ok(None));
    // A number that was set is one; anything else is not.
    space.set("set", bytes(b"41"), None).await.unwrap();
    assert_eq!(space.add("set", 1, Some(1)).await, Ok(42));
    for odd in [&b"x"[..], b"", b"1.5", b"99999999999999999999", b"\xff", &[b'1'; 20_000]] {
        space.set("odd", bytes(odd), None).await.unwrap();
        let refused = space.add("odd", 1, None).await;
        assert!(matches!(refused, Err(KeyValueError::Unavailable(_))), "{odd:?}");
        assert_eq!(space.get("odd").await, Ok(Some(bytes(odd))));
    }
    space.set("most", bytes(i64::MAX.to_string().as_bytes()), None).await.unwrap();
    assert!(space.add("most", 1, None).await.is_err());
    assert_eq!(space.add("most", i64::MIN, None).await, Ok(-1));
}

#[tokio::test]
async fn spaces_are_apart() {
    for bench in [Bench::memory(), Bench::sled()] {
        let connector = Owner::Connector(ConnectorId::new("a").unwrap());
        let other = OrgId::new("other").unwrap();
        let owners = [plugin("a"), plugin("ab"), plugin("a-b"), plugin("a0"), connector];
        let mut spaces = Vec::new();
        for owner in &owners {
            spaces.push(bench.state.space(&org(), owner.clone(), 1_000));
        }
        spaces.push(bench.state.space(&other, plugin("a"), 1_000));
        for (n, space) in spaces.iter().enumerate() {
            assert_eq!(space.get("k").await, Ok(None));
            space.set("k", bytes(n.to_string().as_bytes()), Some(60)).await.unwrap();
        }
        let mut expected = owners.to_vec();
        expected.sort();
        let found = bench.state.owners(&org()).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
        bench.state.remove(&org(), plugin("a")).await.unwrap();
        assert_eq!(spaces[0].get("k").await, Ok(None));
        for (n, space) in spaces.iter().enumerate().skip(1) {
            assert_eq!(space.get("k").await, Ok(Some(bytes(n.to_string().as_bytes()))));
        }
        assert_eq!(bench.state.owners(&org()).await.unwrap().len(), 4);
        // Removed, it begins anew.
        assert_eq!(spaces[0].add("k", 5, None).await, Ok(5));
    }
}

#[tokio::test]
async fn a_space_outlives_the_process_and_is_sealed() {
    let bench = Bench::sled();
    let secret = b"a value that nobody may find on the disk";
    bench.space("a").set("k", bytes(secret), None).await.unwrap();
    bench.space("a").set("big", bytes(&secret.repeat(1_000)), Some(60)).await.unwrap();
    let bench = bench.again();
    let space = bench.state.space(&org(), plugin("a"), 40_048 + 10);
    assert_eq!(space.get("k").await, Ok(Some(bytes(secret))));
    assert_eq!(space.get("big").await, Ok(Some(secret.repeat(1_000).into())));
    // What is there counts: 41 and 40,003 bytes; 14 are left.
    assert_eq!(space.set("n", bytes(&[0; 14]), None).await, Err(KeyValueError::Quota));
    space.set("n", bytes(&[0; 13]), None).await.unwrap();
    let mut files = 0;
    let mut folders = vec![bench.dir.as_ref().unwrap().path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                let text = fs::read(&path).unwrap();
                assert!(!text.windows(secret.len()).any(|some| some == secret), "{path:?}");
            }
        }
    }
    assert!(files > 0);
}

#[tokio::test]
async fn there_are_only_so_many_keys() {
    let bench = Bench::memory();
    let space = bench.space("a");
    space.set("one", Bytes::new(), None).await.unwrap();
    let usage = Usage { bytes: 100, keys: MOST_KEYS };
    let row = Keys::new(&plugin("a")).usage();
    let batch = Batch::new().put(Table::PluginState, &org(), &row, usage.written());
    bench.store.commit(batch).await.unwrap();
    assert_eq!(space.set("two", Bytes::new(), None).await, Err(KeyValueError::Quota));
    space.set("one", bytes(b"other"), None).await.unwrap();
    space.remove("one").await.unwrap();
    space.set("two", Bytes::new(), None).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_left_alone() {
    let bench = Bench::memory();
    let (space, keys) = (bench.space("a"), Keys::new(&plugin("a")));
    for value in [&b""[..], b"\x02", b"\x01short", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1]] {
        for row in [keys.first("k"), keys.usage()] {
            let batch = Batch::new().put(Table::PluginState, &org(), &row, value.to_vec());
            bench.store.commit(batch).await.unwrap();
            let unavailable = |error| matches!(error, KeyValueError::Unavailable(_));
            assert!(unavailable(space.add("k", 1, None).await.unwrap_err()));
            assert!(unavailable(space.remove("k").await.unwrap_err()));
            let kept = bench.store.get(Table::PluginState, &org(), &row).await.unwrap();
            assert_eq!(kept.unwrap().value, value);
            let batch = Batch::new().delete(Table::PluginState, &org(), &row);
            bench.store.commit(batch).await.unwrap();
        }
    }
}

/// What a test does to a space.
#[derive(Debug, Clone)]
enum Step {
    Set(usize, usize, Option<u32>),
    Add(usize, i64, Option<u32>),
    Remove(usize),
    Wait(u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let lasts = || prop::option::of(0..4_u32);
    let length = prop_oneof![0..40_usize, 16_360..16_380_usize];
    prop_oneof![
        4 => (0..5_usize, length, lasts()).prop_map(|(key, length, lasts)| Step::Set(key, length, lasts)),
        3 => (0..5_usize, -5..5_i64, lasts()).prop_map(|(key, by, lasts)| Step::Add(key, by, lasts)),
        1 => (0..5_usize).prop_map(Step::Remove),
        2 => (1..2_500_u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
    ]
}

/// What a space must be like: plain and slow.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    values: BTreeMap<String, (Vec<u8>, Option<u64>)>,
}

impl Model {
    fn forget(&mut self) {
        let now = self.now;
        self.values.retain(|_, (_, ends)| ends.is_none_or(|at| at > now));
    }

    fn put(&mut self, key: &str, value: Vec<u8>, ends: Option<u64>, quota: usize) -> bool {
        let cost = |key: &str, value: &[u8]| key.len() + value.len();
        let total: usize = self.values.iter().map(|(key, (value, _))| cost(key, value)).sum();
        let old = self.values.get(key).map_or(0, |(value, _)| cost(key, value));
        let new = cost(key, &value);
        let fits = new <= old || total - old + new <= quota;
        if fits {
            self.values.insert(key.to_owned(), (value, ends));
            self.forget();
        }
        fits
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any steps, against the model: same answers, and never more than the quota.
    #[test]
    fn a_space_does_what_it_should(steps in prop::collection::vec(step(), 1..60)) {
        const QUOTA: usize = 33_000;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::memory();
            let space = bench.state.space(&org(), plugin("a"), QUOTA as u64);
            let mut model = Model { now: 1_000, ..Model::default() };
            let name = |key: usize| "k".repeat(key + 1);
            let end = |now: u64, lasts: Option<u32>| lasts.map(|it| now + u64::from(it) * 1_000);
            for step in steps {
                model.forget();
                match step {
                    Step::Wait(millis) => {
                        model.now += millis;
                        bench.clock.set(model.now);
                    }
                    Step::Expire => drop(bench.state.expire(&org(), plugin("a")).await.unwrap()),
                    Step::Remove(key) => {
                        space.remove(&name(key)).await.unwrap();
                        model.values.remove(&name(key));
                    }
                    Step::Set(key, length, lasts) => {
                        let (key, value) = (name(key), vec![b'v'; length]);
                        let set = space.set(&key, bytes(&value), lasts).await;
                        let fits = if lasts == Some(0) {
                            model.values.remove(&key);
                            true
                        } else {
                            model.put(&key, value, end(model.now, lasts), QUOTA)
                        };
                        assert_eq!(set, if fits { Ok(()) } else { Err(KeyValueError::Quota) });
                    }
                    Step::Add(key, by, lasts) => {
                        let key = name(key);
                        let added = space.add(&key, by, lasts).await;
                        let (before, ends) = match model.values.get(&key) {
                            None => (Some(0), end(model.now, lasts)),
                            Some((value, ends)) => {
                                (std::str::from_utf8(value).unwrap().parse::<i64>().ok(), *ends)
                            }
                        };
                        let Some(sum) = before.map(|before| before + by) else {
                            assert!(matches!(added, Err(KeyValueError::Unavailable(_))));
                            continue;
                        };
                        let fits = ends == Some(model.now)
                            || model.put(&key, sum.to_string().into(), ends, QUOTA);
                        assert_eq!(added, if fits { Ok(sum) } else { Err(KeyValueError::Quota) });
                    }
                }
                model.forget();
                for key in (0..5).map(name) {
                    let expected = model.values.get(&key).map(|(value, _)| bytes(value));
                    assert_eq!(space.get(&key).await, Ok(expected), "{key}");
                }
            }
            // Emptied, nothing is left of it.
            for key in (0..5).map(name) {
                space.remove(&key).await.unwrap();
            }
            bench.clock.set(u64::MAX);
            bench.state.expire(&org(), plugin("a")).await.unwrap();
            assert!(bench.rows().await <= 1);
            let (org, row) = (org(), Keys::new(&plugin("a")).usage());
            if let Some(row) = bench.store.get(Table::PluginState, &org, &row).await.unwrap() {
                assert_eq!(Usage::read(&row.value), Some(Usage::default()));
            }
        });
    }
}
