//! Instances made ahead: each serves one hook, and they are in nobody's way.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tidegate_model::Verdict;

use super::{
    hostility::lifted,
    waiting::{Gate, at_gate},
    *,
};
use crate::GuestConnector;

/// More hooks than any test needs until the background task had its turns.
const ENOUGH: usize = 20_000;

#[tokio::test]
async fn a_spare_serves_one_hook() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "count", Limits { spares: Some(2), ..Limits::INTERCEPTOR });
    for _ in 0..ENOUGH {
        let said = before(&plugin, &context("search"), &json("{}")).await.unwrap();
        // A global of the guest counts its calls.
        assert_eq!(said.verdict, Verdict::Answer(json(r#"{"count":1}"#)));
        if plugin.counts().spares >= 50 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?}", plugin.counts());
}

#[tokio::test]
async fn a_spare_has_all_of_the_bindings_limits() {
    let component = load("hostile").await;
    let long = Duration::from_secs(10);
    let table = [
        ("loop", Duration::from_millis(100), "out_of_time"),
        ("memory", long, "out_of_memory"),
        ("flood", long, "too_many_host_calls"),
    ];
    for (act, guest_time, name) in table {
        let limits = Limits { spares: Some(1), host_calls: 1_000, guest_time, ..tight() };
        let limits = Limits { wall_time: long, ..limits };
        // The storm of failures that this is would open the breaker.
        let mut spared = 0;
        for round in 0..ENOUGH {
            let config = json(&format!(r#"{{"do":"{act}"}}"#));
            let named = format!("{act} {round}");
            let plugin =
                Interceptor::new(&Binding { name: &named, limits, ..binding(&component, &config) });
            let plugin = plugin.unwrap();
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let failure = before(&plugin, &context("search"), &json("{}")).await.unwrap_err();
            assert_eq!(failure.name(), name, "{failure:?}");
            spared += plugin.counts().spares;
            if spared >= 2 {
                break;
            }
        }
        assert!(spared >= 2, "{act}");
    }
}

#[tokio::test]
async fn its_lines_are_those_of_the_call_it_serves() {
    let component = load("wasi-sample").await;
    let config = json("{}");
    let limits = Limits { spares: Some(1), ..Limits::CONNECTOR };
    let connector =
        GuestConnector::new(&Binding { limits, ..binding(&component, &config) }).unwrap();
    for _ in 0..ENOUGH {
        connector.call(&context("print"), &json(r#"{"text":"x"}"#), None).await.unwrap();
        if connector.counts().spares >= 3 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(connector.counts().spares >= 3);
    let id = call("print").id.to_string();
    for line in connector.lines(0) {
        assert_eq!((line.call.as_deref(), &*line.text), (Some(&*id), "x"));
    }
}

#[tokio::test]
async fn who_is_slow_to_start_gets_them_unasked() {
    let core = r#"(global $n (mut i32) (i32.const 0))
        (func $s (loop (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (global.get $n) (i32.const 5000000)))))
        (start $s)
        (func (export "run") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"#;
    let bytes = wat::parse_str(lifted(core, "u32", "")).unwrap();
    let component = Sandbox::new(Settings { cache: None, ..settings() }).unwrap();
    let component = component.load(bytes.into()).await.unwrap();
    let config = json("{}");
    let binding = Binding { limits: Limits::CONNECTOR, ..binding(&component, &config) };
    let connector = GuestConnector::new(&binding).unwrap();
    for _ in 0..ENOUGH {
        let said = connector.call(&context("run"), &json("{}"), None).await.unwrap();
        let said: serde_json::Value = said.read().unwrap();
        assert_eq!(said["structuredContent"]["result"], 5_000_001);
        if connector.counts().spares >= 10 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?}", connector.counts());
}

#[tokio::test]
async fn what_one_took_is_back_when_its_hook_ends() {
    let allocation = Allocation::Pooling { instances: 4 };
    let sandbox = Sandbox::new(Settings { allocation, ..settings() }).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let plugin = hostile(&component, "count", Limits { spares: Some(1), ..Limits::INTERCEPTOR });
    let (context, arguments) = (context("search"), json("{}"));
    let mut spared = 0;
    for _ in 0..ENOUGH {
        before(&plugin, &context, &arguments).await.unwrap();
        // It is not gone yet: that is a task of its own, and nobody gave way here. Only where
        // a tick came between is the next one there already.
        if plugin.counts().spares > spared && sandbox.memory() == 0 {
            return;
        }
        spared = plugin.counts().spares;
        tokio::task::yield_now().await;
    }
    panic!("{spared} hooks, and {} bytes are taken", sandbox.memory());
}

#[tokio::test]
async fn they_give_way_when_room_is_short() {
    let allocation = Allocation::Pooling { instances: 4 };
    let sandbox = Sandbox::new(Settings { allocation, ..settings() }).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let spared = hostile(&component, "count", Limits { spares: Some(8), ..Limits::INTERCEPTOR });
    let (context, arguments) = (context("search"), json("{}"));
    // While there are some, half of the pool stays free for whoever comes.
    while spared.counts().spares == 0 {
        before(&spared, &context, &arguments).await.unwrap();
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let gate = Gate::shut();
    let usual =
        Limits { wall_time: Duration::from_secs(60), spares: Some(0), ..Limits::INTERCEPTOR };
    let plugin = at_gate(&component, &gate, usual);
    let mut held: Vec<_> =
        (0..4).map(|_| Box::pin(before(&plugin, &context, &arguments))).collect();
    // One that is being made right now gives way as soon as it is there.
    for _ in 0..ENOUGH {
        for hook in &mut held {
            assert!(hook.as_mut().now_or_never().is_none());
        }
        if gate.came.load(Ordering::Relaxed) == 4 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} of 4 places of the pool were to be had", gate.came.load(Ordering::Relaxed));
}
