//! Verdicts, and every way in which a hook ends without one.

use tidegate_model::{Answer, Verdict};

use super::*;
use crate::{Failure, Trap};

#[tokio::test]
async fn verdicts_arrive_as_they_were_given() {
    let component = load("hostile").await;
    let arguments = json(r#"{"a": 1.0}"#);
    let table = [
        ("proceed", Verdict::Proceed),
        ("replace", Verdict::Replace(json(r#"{"was":{"a": 1.0}}"#))),
        ("refuse", Verdict::Refuse("not for ae@example.com".into())),
        ("answer", Verdict::Answer(json(r#"{"count":1}"#))),
        ("clock", Verdict::Answer(json(r#"{"now":43200000}"#))),
        ("random", Verdict::Answer(json(r#"{"bytes":32}"#))),
        ("log", Verdict::Answer(json("{}"))),
    ];
    for (act, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        let said = before(&plugin, &context("search"), &arguments).await.unwrap();
        assert_eq!((said.verdict, said.state), (expected, None), "{act}");
        assert_eq!(plugin.counts().calls, 1, "{act}");
        assert!(plugin.counts().nanos > 0, "{act}");
    }
    let answer = Answer::Result(json(r#"{"content":[]}"#));
    let table = [
        ("proceed", Verdict::Proceed),
        ("replace", Verdict::Replace(json(r#"{"was":{"content":[]}}"#))),
        ("refuse", Verdict::Refuse("withheld".into())),
    ];
    for (act, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        let said = plugin.after(Event::Call, &context("search"), &answer, None).await.unwrap();
        assert_eq!(said, expected, "{act}");
    }
}

#[tokio::test]
async fn the_context_is_told_in_full() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "context", Limits::default());
    let call = call("search");
    let said = before(&plugin, &context_of(&call), &json("{}")).await.unwrap();
    let Verdict::Answer(told) = said.verdict else { panic!("{said:?}") };
    let told: serde_json::Value = told.read().unwrap();
    let expected = serde_json::json!({
        "call_id": call.id.to_string(), "org": "default", "vmcp": "sales", "connector": "crm",
        "tool": "search", "method": "tools/call", "user": "ae@example.com",
        "groups": ["sales"], "client": "claude", "trace_parent": null,
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn state_travels_from_before_to_after() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "state", Limits::default());
    let context = context("search");
    let before = before(&plugin, &context, &json(r#"{"k":1}"#)).await.unwrap();
    assert_eq!(before.state.as_deref(), Some(br#"{"k":1}"#.as_slice()));
    let answer = Answer::Result(json("{}"));
    let after = plugin.after(Event::Call, &context, &answer, before.state).await.unwrap();
    assert_eq!(after, Verdict::Replace(json(r#"{"state":{"k":1}}"#)));
}

#[tokio::test]
async fn every_hook_runs_in_a_fresh_instance() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "count", Limits::default());
    for _ in 0..20 {
        let said = before(&plugin, &context("search"), &json("{}")).await.unwrap();
        assert_eq!(said.verdict, Verdict::Answer(json(r#"{"count":1}"#)));
    }
}

#[tokio::test]
async fn overruns_end_closed_and_leave_nothing_behind() {
    let component = load("hostile").await;
    let well = hostile(&component, "count", tight());
    let limits = tight();
    let few = Limits { host_calls: 100, ..limits };
    type Expected = fn(&Trap) -> bool;
    let table: [(&str, Limits, Expected); 12] = [
        ("loop", limits, |trap| matches!(trap, Trap::OutOfTime(_))),
        ("memory", limits, |trap| matches!(trap, Trap::OutOfMemory(_))),
        ("trap", limits, |trap| matches!(trap, Trap::Trapped(_))),
        // Guests of ours keep their own small stack, which may end before the engine's does.
        ("recursion", limits, |trap| matches!(trap, Trap::OutOfStack | Trap::Trapped(_))),
        ("huge", limits, |trap| matches!(trap, Trap::OutputTooLarge(_))),
        ("huge_state", limits, |trap| matches!(trap, Trap::OutputTooLarge(_))),
        ("not_json", limits, |trap| matches!(trap, Trap::BadOutput(_))),
        ("duplicate_key", limits, |trap| matches!(trap, Trap::BadOutput(_))),
        ("not_an_object", limits, |trap| matches!(trap, Trap::BadOutput(_))),
        ("flood", few, |trap| matches!(trap, Trap::TooManyHostCalls(_))),
        ("too_much_random", limits, |trap| matches!(trap, Trap::BadHostCall(_))),
        ("wait", limits, |trap| matches!(trap, Trap::OutOfTime(_) | Trap::TooManyHostCalls(_))),
    ];
    for (act, limits, expected) in table {
        let plugin = hostile(&component, act, limits);
        let failure = before(&plugin, &context("search"), &json("{}")).await.unwrap_err();
        match &failure {
            Failure::Trap { plugin, trap } if expected(trap) => assert_eq!(&**plugin, "hostile"),
            other => panic!("{act}: {other:?}"),
        }
        let next = before(&well, &context("search"), &json("{}")).await.unwrap();
        assert_eq!(next.verdict, Verdict::Answer(json(r#"{"count":1}"#)), "after {act}");
    }
    assert_eq!(well.counts().traps, 0);
}

#[tokio::test]
async fn a_looping_guest_does_not_hold_the_thread() {
    let component = load("hostile").await;
    let looping = hostile(&component, "loop", Limits::default());
    let well = hostile(&component, "count", Limits::default());
    // One thread serves both: the second hook only gets its turn if the first yields.
    let (context, arguments) = (context("search"), json("{}"));
    let first = before(&looping, &context, &arguments);
    let second = before(&well, &context, &arguments);
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let winner = tokio::select! {
        biased;
        _ = &mut first => "loop",
        said = &mut second => { said.unwrap(); "well" }
    };
    assert_eq!(winner, "well");
    assert!(first.await.is_err());
}

#[tokio::test]
async fn the_deadline_and_cancellation_of_the_call_are_no_fault_of_the_guest() {
    let component = load("hostile").await;
    let limits = Limits { guest_time: Duration::from_secs(20), ..Limits::CONNECTOR };
    let looping = hostile(&component, "loop", limits);

    let late = Call { deadline: Instant::now(), ..call("search") };
    let failure = before(&looping, &context_of(&late), &json("{}")).await.unwrap_err();
    assert!(matches!(failure, Failure::Deadline { .. }), "{failure:?}");

    let cancelled = context("search");
    cancelled.cancel();
    assert!(cancelled.is_cancelled());
    let failure = before(&looping, &cancelled, &json("{}")).await.unwrap_err();
    assert!(matches!(failure, Failure::Cancelled { .. }), "{failure:?}");

    let counts = looping.counts();
    assert_eq!((counts.calls, counts.traps, counts.failures), (2, 0, 2));
}

#[tokio::test]
async fn a_guest_that_asks_may_end_by_itself() {
    let component = load("hostile").await;
    let waiting = hostile(&component, "wait", Limits::default());
    let cancelled = context("search");
    cancelled.cancel();
    let said = before(&waiting, &cancelled, &json("{}")).await.unwrap();
    assert_eq!(said.verdict, Verdict::Answer(json(r#"{"cancelled":true}"#)));
}

#[tokio::test]
async fn dropping_a_hook_frees_its_place() {
    let component = load("hostile").await;
    let limits = Limits { guest_time: Duration::from_secs(20), ..Limits::CONNECTOR };
    let looping = hostile(&component, "loop", limits);
    let (context, arguments) = (context("search"), json("{}"));
    // More than there are instances: each has to give its place back.
    for _ in 0..20 {
        let mut hook = Box::pin(before(&looping, &context, &arguments));
        let first = std::future::poll_fn(|task| {
            std::task::Poll::Ready(hook.as_mut().poll(task).is_pending())
        });
        assert!(first.await, "the guest yields at its first tick");
    }
    assert_eq!(looping.counts().failures, 20);
    let well = hostile(&component, "count", Limits::default());
    assert!(before(&well, &context, &arguments).await.is_ok());
}

#[tokio::test]
async fn hooks_that_are_not_exported_cost_nothing() {
    let component = load("bench-pass-before").await;
    let config = json("{}");
    let plugin = Interceptor::new(&binding(&component, &config)).unwrap();
    assert!(plugin.has(Interface::BeforeCall) && !plugin.has(Interface::AfterCall));
    let answer = Answer::Result(json("{}"));
    let said = plugin.after(Event::Call, &context("search"), &answer, None).await.unwrap();
    assert_eq!((said, plugin.counts().calls), (Verdict::Proceed, 0));
}

#[tokio::test]
async fn redact_masks_on_both_ways() {
    let component = load("redact").await;
    let config = json(r#"{"mask":["card","email"],"replacement":"<{kind}>"}"#);
    let plugin =
        Interceptor::new(&Binding { name: "redact", ..binding(&component, &config) }).unwrap();
    let context = context("search");
    let said = before(&plugin, &context, &json(r#"{"q": "a@b.de",  "n":1}"#)).await.unwrap();
    assert_eq!(said.verdict, Verdict::Replace(json(r#"{"q": "<email>",  "n":1}"#)));
    let untouched = before(&plugin, &context, &json(r#"{"q":"nothing"}"#)).await.unwrap();
    assert_eq!(untouched.verdict, Verdict::Proceed);
    let answer = Answer::Result(json(r#"{"structuredContent":{"card":"4111 1111 1111 1111"}}"#));
    let said = plugin.after(Event::Call, &context, &answer, None).await.unwrap();
    assert_eq!(said, Verdict::Replace(json(r#"{"structuredContent":{"card":"<card>"}}"#)));
}
