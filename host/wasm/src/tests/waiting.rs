//! What waits: guests for the host, hooks for a place. Nobody's time is charged to another.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, Verdict};
use tokio::sync::Semaphore;

use super::*;
use crate::{
    GuestConnector,
    capabilities::state::{KeyValue, KeyValueError},
};

/// Values behind a gate: counts who came, and lets through as many as it is told.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) came: AtomicUsize,
    pub(super) open: Semaphore,
    slow: Duration,
}

impl Gate {
    pub(super) fn shut() -> Arc<Self> {
        Arc::new(Self { came: AtomicUsize::new(0), open: Semaphore::new(0), slow: Duration::ZERO })
    }

    /// Open, and each time it takes so long.
    fn slow(slow: Duration) -> Arc<Self> {
        let open = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { came: AtomicUsize::new(0), open, slow })
    }

    pub(super) fn open(&self) {
        self.open.add_permits(1_000);
    }

    async fn pass(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
        self.open.acquire().await.unwrap().forget();
        if !self.slow.is_zero() {
            // The store being slow is what the test is about.
            tokio::time::sleep(self.slow).await;
        }
    }
}

impl KeyValue for Gate {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, KeyValueError>> {
        self.pass().map(|()| Ok(None)).boxed()
    }

    fn set<'a>(
        &'a self,
        _: &'a str,
        _: Bytes,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<(), KeyValueError>> {
        self.pass().map(|()| Ok(())).boxed()
    }

    fn add<'a>(
        &'a self,
        _: &'a str,
        by: i64,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<i64, KeyValueError>> {
        self.pass().map(move |()| Ok(by)).boxed()
    }

    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), KeyValueError>> {
        self.pass().map(|()| Ok(())).boxed()
    }
}

/// A hook that asks the gate several times.
pub(super) fn at_gate(component: &Component, gate: &Arc<Gate>, limits: Limits) -> Interceptor {
    let config = json(r#"{"do":"state_values"}"#);
    let state: Arc<dyn KeyValue> = Arc::clone(gate) as _;
    let reach = Reach { state: Some(state), ..Reach::default() };
    Interceptor::new(&Binding { limits, reach, ..binding(component, &config) }).unwrap()
}

fn usual() -> Limits {
    Limits { spares: Some(0), wall_time: Duration::from_secs(60), ..Limits::INTERCEPTOR }
}

#[tokio::test]
async fn waiting_for_the_host_is_no_guest_time() {
    let component = load("hostile").await;
    // Every answer comes after all of the guest's own time would have passed.
    let limits = Limits { guest_time: Limits::TICK * 4, ..usual() };
    let gate = Gate::slow(Limits::TICK * 5);
    let plugin = at_gate(&component, &gate, limits);
    let said = before(&plugin, &context("search"), &json("{}")).await.unwrap();
    assert!(matches!(said.verdict, Verdict::Answer(_)), "{said:?}");
    let waited = u32::try_from(gate.came.load(Ordering::Relaxed)).unwrap() * Limits::TICK * 5;
    let counts = plugin.counts();
    assert!(waited >= limits.guest_time * 3, "it waited several times");
    assert!(Duration::from_nanos(counts.guest_nanos) < limits.guest_time, "{counts:?}");
    assert!(Duration::from_nanos(counts.nanos) >= waited, "{counts:?}");
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_ends_at_its_bound() {
    let component = load("hostile").await;
    let limits = Limits { wall_time: Duration::from_millis(50), ..usual() };
    let plugin = at_gate(&component, &Gate::shut(), limits);
    let failure = before(&plugin, &context("search"), &json("{}")).await.unwrap_err();
    assert_eq!(failure.name(), "out_of_time", "{failure:?}");

    // Where the call has less time than that, it is not the plugin's fault.
    let plugin = at_gate(&component, &Gate::shut(), usual());
    let late = Call { deadline: Instant::now() + Duration::from_millis(20), ..call("search") };
    let failure = before(&plugin, &context_of(&late), &json("{}")).await.unwrap_err();
    assert_eq!(failure.name(), "deadline", "{failure:?}");
    assert_eq!((plugin.counts().traps, plugin.counts().failures), (0, 1));
}

#[tokio::test]
async fn hooks_beyond_the_bindings_number_wait_for_one_to_end() {
    let component = load("hostile").await;
    let gate = Gate::shut();
    let plugin = at_gate(&component, &gate, Limits { concurrent: 1, ..usual() });
    let (context, arguments) = (context("search"), json("{}"));
    let mut first = Box::pin(before(&plugin, &context, &arguments));
    let mut second = Box::pin(before(&plugin, &context, &arguments));
    // On a busy machine the first gives way before it is at the gate.
    for _ in 0..100_000 {
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        if gate.came.load(Ordering::Relaxed) > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(gate.came.load(Ordering::Relaxed), 1, "only the first runs");
    // Another binding has places of its own.
    let other = hostile(&component, "count", usual());
    assert!(before(&other, &context, &arguments).await.is_ok());
    gate.open();
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn who_waits_too_long_is_told_what_ran_out() {
    let component = load("hostile").await;
    let gate = Gate::shut();
    let short = Duration::from_millis(30);
    let plugin = at_gate(&component, &gate, Limits { concurrent: 1, wall_time: short, ..usual() });
    let (context, arguments) = (context("search"), json("{}"));
    let mut held = Box::pin(before(&plugin, &context, &arguments));
    assert!(held.as_mut().now_or_never().is_none());
    let failure = before(&plugin, &context, &arguments).await.unwrap_err();
    assert_eq!(failure.name(), "busy");
    assert!(failure.to_string().contains("`limits.concurrent`"), "{failure}");

    // The settings of the tests have eight instances for everybody.
    let plugin = at_gate(&component, &gate, usual());
    let mut held: Vec<_> =
        (0..8).map(|_| Box::pin(before(&plugin, &context, &arguments))).collect();
    // The first one of all gave its place back when its time was over.
    for hook in &mut held {
        assert!(hook.as_mut().now_or_never().is_none());
    }
    let other = hostile(&component, "count", Limits { wall_time: short, ..usual() });
    let failure = before(&other, &context, &arguments).await.unwrap_err();
    assert_eq!(failure.name(), "busy");
    assert!(failure.to_string().contains("all instances are taken"), "{failure}");
    assert_eq!(other.counts().ends().collect::<Vec<_>>(), [("busy", 1)]);
    drop(held);
    assert!(before(&other, &context, &arguments).await.is_ok());
}

#[tokio::test]
async fn calls_at_their_connector_hold_no_instance() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "state", usual());
    let (context, arguments) = (context("search"), json(r#"{"k":1}"#));
    // All of them are between their hooks, as if their connector was slow; there are eight
    // instances.
    let mut under_way = Vec::new();
    for _ in 0..500 {
        under_way.push(before(&plugin, &context, &arguments).await.unwrap());
    }
    assert!(before(&plugin, &context, &arguments).now_or_never().unwrap().is_ok());
    let answer = Answer::Result(json("{}"));
    for before in under_way {
        let said = plugin.after(Event::Call, &context, &answer, before.state).await.unwrap();
        assert!(matches!(said, Verdict::Replace(_)));
    }
    assert_eq!(plugin.counts().traps, 0);
}

#[tokio::test]
async fn a_component_with_many_memories_waits_for_as_many_places() {
    // The pool has two memories for each place; one instance takes all of it.
    let text = r#"(component
        (core module $m (memory 1) (func (export "run") (result i32) (local i32)
            (loop
                (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get 0) (i32.const 50000000))))
            (local.get 0)))
        (core instance $i (instantiate $m))
        (core instance (instantiate $m))
        (core instance (instantiate $m))
        (core instance (instantiate $m))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#;
    let allocation = Allocation::Pooling { instances: 2 };
    let sandbox = Sandbox::new(Settings { allocation, cache: None, ..settings() }).unwrap();
    let component = sandbox.load(wat::parse_str(text).unwrap().into()).await.unwrap();
    assert_eq!(component.places(), 2);
    let (config, limits) = (json("{}"), Limits { spares: Some(0), ..Limits::CONNECTOR });
    let connector =
        GuestConnector::new(&Binding { limits, ..binding(&component, &config) }).unwrap();
    let (context, none) = (context("run"), json("{}"));
    let run = || connector.call(&context, &none, None);
    let (first, second, third) = tokio::join!(run(), run(), run());
    for said in [first, second, third] {
        assert!(said.is_ok(), "{said:?}");
    }
}
