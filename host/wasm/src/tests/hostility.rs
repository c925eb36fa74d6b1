//! Components written to do harm, in the text format: each is stopped within its bounds, says
//! by name why, and leaves the next call alone.

use super::{
    anything::{bound, tools},
    *,
};
use crate::{
    CallError, GuestConnector, LoadError,
    nesting::{DEEPEST, tests::nested},
};

/// A component that knows nothing of Tidegate, in an on-demand sandbox without a cache.
pub(super) async fn component(text: &str) -> Result<Component, LoadError> {
    let bytes = wat::parse_str(text).unwrap();
    let allocation = Allocation::OnDemand;
    let sandbox = Sandbox::new(Settings { allocation, cache: None, ..settings() }).unwrap();
    sandbox.load(bytes.into()).await
}

/// One core module, lifted: `run` takes nothing and returns what `result` says.
pub(super) fn lifted(core: &str, result: &str, options: &str) -> String {
    format!(
        r#"(component
            (core module $m {core})
            (core instance $i (instantiate $m))
            (func (export "run") (result {result}) (canon lift (core func $i "run") {options})))"#
    )
}

const MEMORY: &str = r#"(memory (core memory $i "memory"))"#;

fn limits() -> Limits {
    Limits { wall_time: Duration::from_secs(10), handles: 100, spares: Some(0), ..tight() }
}

fn limited(component: &Component, limits: Limits) -> GuestConnector {
    let config = json("{}");
    let binding = Binding { limits, grants: Grants::NONE, ..binding(component, &config) };
    GuestConnector::new(&binding).unwrap()
}

async fn run(connector: &GuestConnector) -> Result<Json, CallError> {
    connector.call(&context("run"), &json("{}"), None).await
}

/// What a core module does, what it returns, with which options, and the name of its end.
const TABLE: [(&str, &str, &str, &str, &str); 18] = [
    (
        "an endless loop",
        r#"(func (export "run") (result i32) (loop (br 0)) unreachable)"#,
        "u32",
        "",
        "out_of_time",
    ),
    (
        "an endless start",
        r#"(func $s (loop (br 0))) (start $s) (func (export "run") (result i32) i32.const 1)"#,
        "u32",
        "",
        "out_of_time",
    ),
    (
        "memory, a page at a time",
        r#"(memory 1) (func (export "run") (result i32) (loop (drop (memory.grow (i32.const 1))) (br 0)) unreachable)"#,
        "u32",
        "",
        "out_of_memory",
    ),
    (
        "memory, all of it at once",
        r#"(memory 1) (func (export "run") (result i32) (memory.grow (i32.const 65535)))"#,
        "u32",
        "",
        "out_of_memory",
    ),
    (
        "a table, an entry at a time",
        r#"(table 1 funcref) (func (export "run") (result i32) (loop (drop (table.grow (ref.null func) (i32.const 100))) (br 0)) unreachable)"#,
        "u32",
        "",
        "out_of_memory",
    ),
    (
        "a table of four billion entries",
        r#"(table 1 funcref) (func (export "run") (result i32) (table.grow (ref.null func) (i32.const -2)))"#,
        "u32",
        "",
        "out_of_memory",
    ),
    (
        "recursion",
        r#"(func $r (result i32) (call $r) (i32.const 1) i32.add) (func (export "run") (result i32) (call $r))"#,
        "u32",
        "",
        "out_of_stack",
    ),
    (
        "recursion when it starts",
        r#"(func $r (call $r) (call $r)) (start $r) (func (export "run") (result i32) i32.const 1)"#,
        "u32",
        "",
        "out_of_stack",
    ),
    ("a trap", r#"(func (export "run") (result i32) unreachable)"#, "u32", "", "trapped"),
    (
        "a division by zero",
        r#"(func (export "run") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))"#,
        "u32",
        "",
        "trapped",
    ),
    (
        "an access beyond its memory",
        r#"(memory 1) (func (export "run") (result i32) (i32.load (i32.const 65536)))"#,
        "u32",
        "",
        "trapped",
    ),
    (
        "text that ends beyond its memory",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\f0\ff\00\00\00\01\00\00")
           (func (export "run") (result i32) i32.const 0)"#,
        "string",
        MEMORY,
        "bad_output",
    ),
    (
        "text of two gigabytes",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\ff\ff\ff\7f")
           (func (export "run") (result i32) i32.const 0)"#,
        "string",
        MEMORY,
        "bad_output",
    ),
    (
        "text that is no UTF-8",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\04\00\00\00\ff\fe\80\c0")
           (func (export "run") (result i32) i32.const 0)"#,
        "string",
        MEMORY,
        "bad_output",
    ),
    (
        "half a pair of UTF-16",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\01\00\00\00\00\d8")
           (func (export "run") (result i32) i32.const 0)"#,
        "string",
        r#"(memory (core memory $i "memory")) string-encoding=utf16"#,
        "bad_output",
    ),
    (
        "a list at an address that does not fit its items",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\01\00\00\00\02\00\00\00")
           (func (export "run") (result i32) i32.const 0)"#,
        "(list u32)",
        MEMORY,
        "bad_output",
    ),
    (
        "a list of four billion items",
        r#"(memory (export "memory") 1) (data (i32.const 0) "\00\00\00\00\ff\ff\ff\ff")
           (func (export "run") (result i32) i32.const 0)"#,
        "(list u64)",
        MEMORY,
        "bad_output",
    ),
    (
        "a letter that there is not",
        r#"(func (export "run") (result i32) i32.const 0xd800)"#,
        "char",
        "",
        "bad_output",
    ),
];

#[tokio::test]
async fn each_harm_ends_by_its_name_and_harms_nobody_else() {
    for (what, core, result, options, name) in TABLE {
        let harmful = match component(&lifted(core, result, options)).await {
            Ok(component) => component,
            Err(error) => panic!("{what}: {error}"),
        };
        // Only those whose time is the point run out of it, however busy the machine is.
        let guest_time = Duration::from_millis(if name == "out_of_time" { 100 } else { 10_000 });
        let connector = limited(&harmful, Limits { guest_time, ..limits() });
        match run(&connector).await {
            Err(CallError::Failure(failure)) => {
                assert_eq!(failure.name(), name, "{what}: {failure:?}");
                assert!(matches!(failure, Failure::Trap { .. }), "{what}: {failure:?}");
            }
            other => panic!("{what}: {other:?}"),
        }
        let counts = connector.counts();
        assert_eq!(counts.ends().collect::<Vec<_>>(), [(name, 1)], "{what}");
        assert!(counts.memory_high_water <= (16 << 20), "{what}");
    }
}

#[tokio::test]
async fn large_output_is_stopped_where_the_binding_says() {
    // A megabyte and a little, all of it there.
    let core = r#"(memory (export "memory") 20) (data (i32.const 0) "\08\00\00\00\00\00\12\00")
        (func (export "run") (result i32) i32.const 0)"#;
    let component = component(&lifted(core, "string", MEMORY)).await.unwrap();
    let connector = limited(&component, limits());
    let Err(CallError::Failure(failure)) = run(&connector).await else { panic!() };
    assert_eq!(failure.name(), "output_too_large", "{failure:?}");
    // As JSON each of its zero bytes takes six, and they are said twice.
    let wide = Limits { output: 64 << 20, ..limits() };
    assert!(run(&limited(&component, wide)).await.is_ok());
}

#[tokio::test]
async fn handles_without_end_are_stopped() {
    let text = r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (func (export "run") (result i32) (loop (drop (call $new (i32.const 1))) (br 0)) unreachable))
        (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#;
    let connector = limited(&component(text).await.unwrap(), limits());
    let Err(CallError::Failure(failure)) = run(&connector).await else { panic!() };
    assert_eq!(failure.name(), "too_many_handles", "{failure:?}");
}

#[tokio::test]
async fn parts_without_end_are_stopped() {
    let modules = |count: usize| {
        let one = "(core instance (instantiate $m))".repeat(count);
        format!(
            r#"(component (core module $m (memory 1) (func (export "run") (result i32) i32.const 1))
                {one} (core instance $i (instantiate $m))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
        )
    };
    let connector = limited(&component(&modules(3)).await.unwrap(), limits());
    assert!(run(&connector).await.is_ok());
    let few = limited(&component(&modules(3)).await.unwrap(), Limits { instances: 3, ..limits() });
    let Err(CallError::Failure(failure)) = run(&few).await else { panic!() };
    assert_eq!(failure.name(), "too_many_instances", "{failure:?}");
    // More than any binding can allow.
    let many = limited(&component(&modules(500)).await.unwrap(), limits());
    let Err(CallError::Failure(failure)) = run(&many).await else { panic!() };
    assert_eq!(failure.name(), "too_many_instances", "{failure:?}");
}

#[tokio::test]
async fn components_within_components_are_refused_not_followed() {
    let sandbox = Sandbox::new(Settings { cache: None, ..settings() }).unwrap();
    let few = sandbox.load(nested(DEEPEST).into()).await;
    assert!(matches!(few, Err(LoadError::NothingExported)), "{few:?}");
    // The compiler would take all memory there is.
    let many = sandbox.load(nested(100_000).into()).await.unwrap_err();
    assert!(matches!(&many, LoadError::Invalid(why) if why.contains("deep")), "{many}");
    // What needs more than a slot of the pool has is refused when it is loaded.
    let large = r#"(memory 65536) (func (export "run") (result i32) i32.const 1)"#;
    let wide = r#"(table 4294967295 funcref) (func (export "run") (result i32) i32.const 1)"#;
    for core in [large, wide] {
        let bytes = wat::parse_str(lifted(core, "u32", "")).unwrap();
        assert!(sandbox.load(bytes.into()).await.is_err(), "{core}");
    }
    assert!(sandbox.load(guest("bench-pass")).await.is_ok());
}

#[tokio::test]
async fn nothing_of_a_call_is_left_in_memory() {
    // Returns what stands at the end of its memory, then writes there.
    let core = r#"(memory 2) (func (export "run") (result i32)
        (i32.load (i32.const 131068)) (i32.store (i32.const 131068) (i32.const 7)))"#;
    for allocation in [Allocation::OnDemand, Allocation::Pooling { instances: 1 }] {
        let sandbox = Sandbox::new(Settings { allocation, cache: None, ..settings() }).unwrap();
        let bytes = wat::parse_str(lifted(core, "u32", "")).unwrap();
        let component = sandbox.load(bytes.into()).await.unwrap();
        let connector = bound(&component);
        assert_eq!(tools(&connector).await.len(), 1);
        for _ in 0..50 {
            let said: serde_json::Value = run(&connector).await.unwrap().read().unwrap();
            assert_eq!(said["structuredContent"]["result"], 0, "{allocation:?}");
        }
    }
}
