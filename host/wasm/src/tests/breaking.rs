//! A plugin that fails again and again is left alone, and comes back by itself.

use std::cell::Cell;

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{
    hostility::{component, lifted},
    logging::Lines,
    *,
};
use crate::{
    Asker, CallError, GuestConnector,
    capabilities::facts::{Facts, FactsError},
};

thread_local! {
    /// How far the tests' moment is ahead; every test has a thread of its own.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn moment() -> Instant {
    Instant::now() + AHEAD.get()
}

fn later(seconds: u64) {
    AHEAD.set(AHEAD.get() + Duration::from_secs(seconds));
}

async fn names(plugin: &Interceptor, hooks: usize) -> Vec<&'static str> {
    let mut names = Vec::new();
    for _ in 0..hooks {
        let said = before(plugin, &context("search"), &json("{}")).await;
        names.push(said.as_ref().map_or_else(Failure::name, |_| "well"));
    }
    names
}

#[tokio::test]
async fn a_storm_of_traps_costs_five() {
    let sandbox = Sandbox::new(Settings { moment, ..settings() }).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let limits = Limits { spares: Some(0), ..tight() };
    let lines = Lines::default();
    let _guard = lines.collect();

    let plugin = hostile(&component, "trap", limits);
    let mut expected = vec!["trapped"; 5];
    expected.resize(100, "breaker_open");
    assert_eq!(names(&plugin, 100).await, expected);
    let counts = plugin.counts();
    assert_eq!(counts.ends().collect::<Vec<_>>(), [("trapped", 5), ("breaker_open", 95)]);
    assert_eq!((counts.calls, counts.traps, counts.failures), (100, 5, 95));

    // A new revision of the configuration has the same breaker, a changed plugin has its own.
    assert_eq!(names(&hostile(&component, "trap", limits), 1).await, ["breaker_open"]);
    assert_eq!(names(&hostile(&component, "count", limits), 1).await, ["well"]);

    later(31);
    assert_eq!(names(&plugin, 3).await, ["trapped", "breaker_open", "breaker_open"]);
    let warnings = lines.matching("is left alone");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains("hostile"), "{warnings:?}");
}

#[tokio::test]
async fn what_is_not_the_guests_fault_opens_nothing() {
    let sandbox = Sandbox::new(Settings { moment, ..settings() }).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let looping = hostile(&component, "loop", Limits { spares: Some(0), ..tight() });
    for _ in 0..6 {
        let late = Call { deadline: Instant::now(), ..call("search") };
        let failure = before(&looping, &context_of(&late), &json("{}")).await.unwrap_err();
        assert_eq!(failure.name(), "deadline");
    }
    // What a guest says badly is its fault.
    let plugin = hostile(&component, "not_json", Limits { spares: Some(0), ..tight() });
    assert_eq!(names(&plugin, 6).await[4..], ["bad_output", "breaker_open"]);
}

#[tokio::test]
async fn a_trial_that_goes_well_closes_it() {
    let core = r#"(func (export "run") (param i32) (result i32)
        (if (local.get 0) (then unreachable)) i32.const 1)"#;
    let text =
        lifted(core, "u32", "").replace("(result u32)", r#"(param "bad" bool) (result u32)"#);
    let bytes = wat::parse_str(&text).unwrap();
    assert!(component(&text).await.is_ok());
    let sandbox = Sandbox::new(Settings { moment, cache: None, ..settings() }).unwrap();
    let component = sandbox.load(bytes.into()).await.unwrap();
    let config = json("{}");
    let limits = Limits { spares: Some(0), ..Limits::CONNECTOR };
    let connector =
        GuestConnector::new(&Binding { limits, ..binding(&component, &config) }).unwrap();
    let lines = Lines::default();
    let _guard = lines.collect();
    let run = async |bad: bool| {
        let arguments = json(&format!(r#"{{"bad":{bad}}}"#));
        match connector.call(&context("run"), &arguments, None).await {
            Ok(_) => "well",
            Err(CallError::Failure(failure)) => failure.name(),
            Err(other) => panic!("{other:?}"),
        }
    };
    for _ in 0..5 {
        assert_eq!(run(true).await, "trapped");
    }
    assert_eq!(run(false).await, "breaker_open");
    later(31);
    assert_eq!(run(false).await, "well");
    assert_eq!(run(false).await, "well");
    assert_eq!(run(true).await, "trapped");
    assert_eq!(run(false).await, "well");
    assert_eq!(lines.matching("runs again").len(), 1);
}

/// A session that has as many facts as it can.
#[derive(Debug)]
struct Full;

impl Facts for Full {
    fn add<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), FactsError>> {
        ready(Err(FactsError::TooMany)).boxed()
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn all(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_full_session_does_not_take_the_plugin_from_others() {
    let sandbox = Sandbox::new(Settings { moment, ..settings() }).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let limits = Limits { spares: Some(0), ..Limits::INTERCEPTOR };
    let call = call("search");
    let user = UserId::new("ae@example.com").unwrap();
    let asker =
        Asker { user: &user, groups: Arc::from([]), client: None, facts: Some(Arc::new(Full)) };
    let context = CallContext::of(&call, asker);
    let mut ends = Vec::new();
    for act in ["facts", "bad_fact"] {
        let plugin = hostile(&component, act, limits);
        for _ in 0..6 {
            ends.push(before(&plugin, &context, &json("{}")).await.unwrap_err().name());
        }
    }
    let mut expected = vec!["bad_host_call"; 11];
    expected.push("breaker_open");
    assert_eq!(ends, expected, "no fact, on the other hand, is the guest's fault alone");
}
