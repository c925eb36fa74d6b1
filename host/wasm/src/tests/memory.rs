//! The memory of all instances together: held, refused, given back.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::{
    hostility::lifted,
    waiting::{Gate, at_gate},
    *,
};
use crate::{CallError, GuestConnector};

/// Instances that any of these sandboxes has room for: memory runs out first.
const ROOM: u32 = 64;
/// More hooks than any test needs until the background task had its turns.
const ENOUGH: usize = 20_000;

fn sandbox(allocation: Allocation, memory: usize) -> Sandbox {
    Sandbox::new(Settings { allocation, memory, ..settings() }).unwrap()
}

fn patient() -> Limits {
    Limits { wall_time: Duration::from_secs(60), spares: Some(0), ..Limits::INTERCEPTOR }
}

#[tokio::test]
async fn all_instances_together_have_a_bound() {
    let most = 2 << 20;
    for allocation in [Allocation::Pooling { instances: ROOM }, Allocation::OnDemand] {
        let sandbox = sandbox(allocation, most);
        let component = sandbox.load(guest("hostile")).await.unwrap();
        assert_eq!(sandbox.memory(), 0, "{allocation:?}: nothing runs");
        let (context, arguments) = (context("search"), json("{}"));
        let gate = Gate::shut();
        let plugin = at_gate(&component, &gate, patient());
        let mut held = Vec::new();
        let failure = loop {
            let mut hook = Box::pin(before(&plugin, &context, &arguments));
            match hook.as_mut().now_or_never() {
                None => held.push(hook),
                Some(ended) => break ended.unwrap_err(),
            }
        };
        assert_eq!(failure.name(), "memory_full", "{allocation:?}: {failure:?}");
        assert!(failure.to_string().contains("`plugins.memory_mib`"), "{failure}");
        // On a busy machine some give way before they are at the gate.
        while gate.came.load(Ordering::Relaxed) < held.len() {
            for hook in &mut held {
                assert!(hook.as_mut().now_or_never().is_none());
            }
            tokio::task::yield_now().await;
        }
        assert!(held.len() > 4 && sandbox.memory() <= most, "{} {}", held.len(), sandbox.memory());
        let full = sandbox.memory();

        // It is nobody's fault: no breaker opens, however often.
        for _ in 0..10 {
            let failure = before(&plugin, &context, &arguments).await.unwrap_err();
            assert_eq!(failure.name(), "memory_full");
        }
        assert_eq!(sandbox.memory(), full, "who was refused keeps nothing");
        assert_eq!((plugin.counts().traps, plugin.counts().failures), (0, 11));

        // Growth is refused like the start, by the bound that comes first.
        drop(held.split_off(held.len() / 2));
        let room = most - sandbox.memory();
        for (memory, name) in [(room / 2, "out_of_memory"), (most, "memory_full")] {
            let limits = Limits { memory, guest_time: Duration::from_secs(10), ..patient() };
            let greedy = hostile(&component, "memory", limits);
            let failure = before(&greedy, &context, &arguments).await.unwrap_err();
            assert_eq!(failure.name(), name, "{allocation:?}: {failure:?}");
        }

        gate.open();
        for hook in held {
            hook.await.unwrap();
        }
        assert_eq!(sandbox.memory(), 0, "{allocation:?}: all of it came back");
        assert!(before(&plugin, &context, &arguments).await.is_ok());
    }
}

#[tokio::test]
async fn growth_that_comes_to_nothing_takes_nothing() {
    // Its memory may have one page more, and it asks for two, a hundred times.
    let core = r#"(memory 1 2) (global $n (mut i32) (i32.const 0))
        (func (export "run") (result i32)
            (loop (drop (memory.grow (i32.const 2)))
                (global.set $n (i32.add (global.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (global.get $n) (i32.const 100))))
            (memory.grow (i32.const 1)))"#;
    for allocation in [Allocation::Pooling { instances: 1 }, Allocation::OnDemand] {
        let page = 64 << 10;
        let sandbox = sandbox(allocation, 3 * page);
        let bytes = wat::parse_str(lifted(core, "u32", "")).unwrap();
        let component = sandbox.load(bytes.into()).await.unwrap();
        let config = json("{}");
        let binding = Binding { limits: patient(), ..binding(&component, &config) };
        let connector = GuestConnector::new(&binding).unwrap();
        let said = connector.call(&context("run"), &config, None).await.unwrap();
        let said: serde_json::Value = said.read().unwrap();
        assert_eq!(said["structuredContent"]["result"], 1, "{allocation:?}");
        let high = u64::try_from(2 * page).unwrap();
        assert_eq!((connector.counts().memory_high_water, sandbox.memory()), (high, 0));
    }
}

#[tokio::test]
async fn instances_made_ahead_go_before_anybody_is_refused() {
    let allocation = Allocation::Pooling { instances: ROOM };
    let sandbox = sandbox(allocation, 2 << 20);
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let spared = hostile(&component, "count", Limits { spares: Some(64), ..Limits::INTERCEPTOR });
    let (context, arguments) = (context("search"), json("{}"));
    while spared.counts().spares < 3 {
        before(&spared, &context, &arguments).await.unwrap();
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ahead = sandbox.memory();
    assert!(ahead > 1 << 19 && ahead < 3 << 19, "half stays free, but for the last one: {ahead}");
    // Nearly all that there is, for one instance: those made ahead are in the way.
    let core = r#"(memory 28) (func (export "run") (result i32) i32.const 7)"#;
    let bytes = wat::parse_str(lifted(core, "u32", "")).unwrap();
    let large = sandbox.load(bytes.into()).await.unwrap();
    let config = json("{}");
    let binding = Binding { limits: patient(), ..binding(&large, &config) };
    let connector = GuestConnector::new(&binding).unwrap();
    for _ in 0..ENOUGH {
        match connector.call(&super::context("run"), &config, None).await {
            Ok(said) => {
                let said: serde_json::Value = said.read().unwrap();
                assert_eq!(said["structuredContent"]["result"], 7);
                return;
            }
            // One is being made right now.
            Err(CallError::Failure(Failure::MemoryFull { .. })) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("{ahead} bytes were held by instances that nobody needs");
}

#[test]
fn as_many_instances_as_may_be_configured_can_be_set_up() {
    for instances in [8, 4_096] {
        let allocation = Allocation::Pooling { instances };
        let sandbox = Sandbox::new(Settings { allocation, ..settings() });
        assert!(sandbox.is_ok(), "{instances}: {sandbox:?}");
    }
}
