//! Calls of WASI count like those of any capability: a guest that asks without end is stopped.

use super::{hostility::component, *};
use crate::{CallError, GuestConnector, Trap};

/// A component that calls `import` again and again, `rounds` times.
fn asking(import: &str, rounds: u32) -> String {
    format!(
        r#"(component
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $error))
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $error (type $e)) (export "error" (type $err (eq $e)))
            (type $end (variant (case "last-operation-failed" (own $err)) (case "closed")))
            (export "stream-error" (type $failure (eq $end)))
            (export "input-stream" (type $in (sub resource)))
            (export "output-stream" (type $out (sub resource)))
            (export "[method]input-stream.skip" (func (param "self" (borrow $in)) (param "len" u64)
                (result (result u64 (error $failure)))))
            (export "[method]output-stream.check-write" (func (param "self" (borrow $out))
                (result (result u64 (error $failure)))))))
        (alias export $streams "input-stream" (type $input))
        (alias export $streams "output-stream" (type $output))
        (import "wasi:cli/stdin@0.2.0" (instance $stdin
            (alias outer 1 $input (type $i)) (export "input-stream" (type $in (eq $i)))
            (export "get-stdin" (func (result (own $in))))))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $output (type $o)) (export "output-stream" (type $out (eq $o)))
            (export "get-stdout" (func (result (own $out))))))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $q)) (export "pollable" (type $p (eq $q)))
            (export "now" (func (result u64)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-u64" (func (result u64)))))
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (core func $ready (canon lower (func $poll "[method]pollable.ready")))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $skip (canon lower (func $streams "[method]input-stream.skip")
            (memory (core memory $memory "memory"))))
        (core func $check (canon lower (func $streams "[method]output-stream.check-write")
            (memory (core memory $memory "memory"))))
        (core func $stdin (canon lower (func $stdin "get-stdin")))
        (core func $stdout (canon lower (func $stdout "get-stdout")))
        (core func $now (canon lower (func $clock "now")))
        (core func $at (canon lower (func $clock "subscribe-duration")))
        (core func $random (canon lower (func $random "get-random-u64")))
        (core module $m
            (import "" "ready" (func $ready (param i32) (result i32)))
            (import "" "block" (func $block (param i32)))
            (import "" "skip" (func $skip (param i32 i64 i32)))
            (import "" "check" (func $check (param i32 i32)))
            (import "" "stdin" (func $stdin (result i32)))
            (import "" "stdout" (func $stdout (result i32)))
            (import "" "now" (func $now (result i64)))
            (import "" "at" (func $at (param i64) (result i32)))
            (import "" "random" (func $random (result i64)))
            (global $n (mut i32) (i32.const 0))
            (func (export "run") (result i32) (local $it i32)
                (local.set $it {import}
                (global.set $n (i32.add (global.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (global.get $n) (i32.const {rounds}))))
                (global.get $n)))
        (core instance $i (instantiate $m (with "" (instance
            (export "ready" (func $ready)) (export "block" (func $block))
            (export "skip" (func $skip)) (export "check" (func $check))
            (export "stdin" (func $stdin)) (export "stdout" (func $stdout))
            (export "now" (func $now)) (export "at" (func $at))
            (export "random" (func $random))))))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

/// What is got first, and what is then done with it in a loop.
const TABLE: [(&str, &str); 6] = [
    ("a poll", "(call $at (i64.const 0))) (loop (drop (call $ready (local.get $it)))"),
    ("a wait", "(call $at (i64.const 0))) (loop (call $block (local.get $it))"),
    ("a read", "(call $stdin)) (loop (call $skip (local.get $it) (i64.const 1) (i32.const 8))"),
    ("a write", "(call $stdout)) (loop (call $check (local.get $it) (i32.const 8))"),
    ("the clock", "(i32.const 0)) (loop (drop (call $now))"),
    ("random bytes", "(i32.const 0)) (loop (drop (call $random))"),
];

async fn run(text: &str, host_calls: u32) -> Result<Json, CallError> {
    let component = component(text).await.unwrap();
    let config = json("{}");
    let guest_time = Duration::from_secs(10);
    let limits = Limits { host_calls, guest_time, spares: Some(0), ..Limits::CONNECTOR };
    let connector = GuestConnector::new(&Binding { limits, ..binding(&component, &config) });
    connector.unwrap().call(&context("run"), &config, None).await
}

#[tokio::test]
async fn calls_of_wasi_count() {
    for (what, import) in TABLE {
        // A few calls beyond the loop's own: what is got first, and what is dropped.
        let said = run(&asking(import, 100), 110).await;
        let said: serde_json::Value =
            said.unwrap_or_else(|e| panic!("{what}: {e:?}")).read().unwrap();
        assert_eq!(said["structuredContent"]["result"], 100, "{what}");
        // Too often and without end, and too often by one, when it is over before a tick.
        for rounds in [u32::MAX, 101] {
            match run(&asking(import, rounds), 100).await {
                Err(CallError::Failure(Failure::Trap { trap, .. })) => {
                    assert_eq!(trap, Trap::TooManyHostCalls(100), "{what}");
                }
                other => panic!("{what}, {rounds} times: {other:?}"),
            }
        }
    }
}
