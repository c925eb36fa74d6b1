//! The developer's commands: what a component is, does in its cases, costs, would have done.
//!
//! Everything runs through the program, over the components that `plugins/` builds. What a
//! case may hold is tested beside the reader of cases.

mod past;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    guests::guest,
    support::{CliOutput, Setup},
};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").canonicalize().unwrap()
}

async fn plugin(args: &[&str]) -> CliOutput {
    let all: Vec<&str> = ["plugin"].into_iter().chain(args.iter().copied()).collect();
    Setup::new().bare_cli(&all).await
}

/// A folder with these cases.
fn cases(all: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, case) in all {
        std::fs::write(dir.path().join(name), case.to_string()).unwrap();
    }
    dir
}

/// Runs one case of a guest; what came of it, and whether it was as expected.
async fn tried(name: &str, case: Value) -> (Value, bool) {
    let dir = cases(&[("case.json", case)]);
    let (file, path) = (guest(name), dir.path().join("case.json"));
    let (file, path) = (file.to_str().unwrap(), path.to_str().unwrap());
    let output = plugin(&["run", file, "--case", path, "--json"]).await;
    let told = serde_json::from_str(&output.stdout);
    (told.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.ok)
}

#[tokio::test]
async fn every_first_party_component_meets_its_cases() {
    let mut seen = 0;
    for entry in std::fs::read_dir(plugins()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The templates have several components for one folder of cases.
        if !path.join("cases").is_dir() || name == "templates" {
            continue;
        }
        let component = guest(&name);
        let (file, folder) = (component.to_str().unwrap(), path.join("cases"));
        let folder = folder.to_str().unwrap();
        let output = plugin(&["test", file, "--cases", folder, "--json"]).await;
        assert!(output.ok, "{name}: {output:?}");
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!((&report["met"], &report["unmet"]), (&json!(files), &json!(0)), "{name}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} components have cases");
}

#[tokio::test]
async fn a_case_that_is_not_met_says_how() {
    let dir = cases(&[
        (
            "a.json",
            json!({
                "name": "masks the number",
                "event": "before-call",
                "context": { "target": "search" },
                "arguments": { "q": "pay 4111 1111 1111 1111", "n": 1 },
                "expect": { "replace": { "q": "pay [masked]", "n": 1 } },
            }),
        ),
        (
            "b.json",
            json!({ "event": "before-call", "arguments": { "q": "x" }, "expect": "proceed" }),
        ),
        (
            "c.json",
            json!({ "event": "before-call", "arguments": {}, "expect": { "refuse": true } }),
        ),
    ]);
    let file = guest("redact");
    let (file, folder) = (file.to_str().unwrap(), dir.path().to_str().unwrap());
    let output = plugin(&["test", file, "--cases", folder]).await;
    assert!(!output.ok, "{output:?}");
    for words in [
        "NOT MET  before-call        masks the number",
        "- /replace/q: \"pay [masked]\"",
        "+ /replace/q: \"pay [card masked]\"",
        "ok       before-call        b",
        "expected {\"refuse\":true}",
        "but it said \"proceed\"",
        "3 cases, 2 not met",
    ] {
        assert!(output.stdout.contains(words), "{words}: {output:?}");
    }
    assert!(!output.stdout.contains("/n"), "what is the same was shown: {output:?}");
}

#[tokio::test]
async fn files_that_are_no_cases_are_named_and_nothing_runs() {
    let good = json!({ "event": "before-call", "arguments": {}, "expect": "proceed" });
    let dir = cases(&[
        ("bad.json", json!({ "event": "before-call", "argumens": {} })),
        ("good.json", good),
        ("mute.json", json!({ "event": "before-call" })),
    ]);
    let file = guest("redact");
    let file = file.to_str().unwrap();
    let output = plugin(&["test", file, "--cases", dir.path().to_str().unwrap()]).await;
    assert!(!output.ok && output.stdout.is_empty(), "{output:?}");
    for words in
        ["bad.json` is no case", "`argumens`", "line 1 column", "mute.json` expects nothing"]
    {
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    for folder in [empty.path(), Path::new("/nonexistent")] {
        let output = plugin(&["test", file, "--cases", folder.to_str().unwrap()]).await;
        assert!(!output.ok && output.stderr.contains("there are no cases in"), "{output:?}");
    }
}

#[tokio::test]
async fn a_folder_in_which_one_was_built_brings_its_cases() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let none = plugin(&["test", folder]).await;
    assert!(!none.ok && none.stderr.contains("there are no cases in"), "{none:?}");
    std::fs::create_dir_all(dir.path().join("cases")).unwrap();
    std::fs::create_dir_all(dir.path().join("target/wasm32-wasip2/release")).unwrap();
    for entry in std::fs::read_dir(plugins().join("retool/cases")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join("cases").join(path.file_name().unwrap())).unwrap();
    }
    let none = plugin(&["test", folder]).await;
    assert!(!none.ok && none.stderr.contains("build it first"), "{none:?}");
    let built = dir.path().join("target/wasm32-wasip2/release/retool.wasm");
    std::fs::copy(guest("retool"), &built).unwrap();
    for at in [folder, built.to_str().unwrap()] {
        let cases = dir.path().join("cases");
        let output = plugin(&["test", at, "--cases", cases.to_str().unwrap()]).await;
        assert!(output.ok && output.stdout.contains("4 cases, all met"), "{output:?}");
    }
    let output = plugin(&["test", folder]).await;
    assert!(output.ok && output.stdout.contains("4 cases, all met"), "{output:?}");
}

#[tokio::test]
async fn doubles_are_what_the_case_says_and_show_what_was_done() {
    let case = |more: Value| {
        let mut case = json!({
            "event": "before-call",
            "context": { "target": "search", "user": "ae@example.com" },
            "config": { "url": "https://decide.example.com/v1", "signing_key": "key" },
            "arguments": { "q": "x" },
            "credentials": { "key": "abc" },
            "now": 1_700_000_000_000_u64,
            "http": [{
                "request": { "method": "POST", "url": "https://decide.example.com/v1" },
                "response": { "body": "{\"decision\": \"proceed\"}" },
            }],
            "expect": "proceed",
        });
        case.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        case
    };
    let asked = json!([{ "method": "POST", "url": "https://decide.example.com/v1" }]);
    let (told, is_met) = tried("webhook", case(json!({ "expect_requests": asked }))).await;
    assert!(is_met, "{told}");
    let request = &told["requests"][0];
    assert_eq!(request["url"], "https://decide.example.com/v1");
    assert!(request["body"].as_str().unwrap().contains("ae@example.com"), "{request}");
    assert!(!request.to_string().contains("abc"), "the key itself was sent: {request}");

    let none = json!({ "expect_requests": [] });
    let (told, is_met) = tried("webhook", case(none)).await;
    assert!(!is_met);
    assert!(told["unmet"][0].as_str().unwrap().contains("it sent 1 requests, expected were 0"));

    let elsewhere = json!({
        "http": [{ "request": { "method": "GET", "url": "https://decide.example.com/v2" } }],
        "expect": { "refuse": true },
    });
    let (told, is_met) = tried("webhook", case(elsewhere)).await;
    assert!(!is_met);
    let words = told["unmet"][0].as_str().unwrap();
    assert!(words.contains("POST https://decide.example.com/v1, which no exchange"), "{told}");

    let broken = json!({
        "http": [{ "request": { "method": "POST", "url": "https://decide.example.com/v1" } }],
        "expect": { "refuse": true },
    });
    let (told, is_met) = tried("webhook", case(broken)).await;
    assert!(is_met, "{told}");
}

/// A case of the guest that does what its configuration says.
fn doing(act: &str, more: &Value) -> Value {
    let mut case = json!({
        "event": "before-call",
        "context": { "target": "t", "user": "ae@example.com" },
        "config": { "do": act },
        "arguments": {},
    });
    case.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    case
}

#[tokio::test]
async fn state_facts_clock_and_log_are_there_before_and_seen_after() {
    for (act, more) in [
        (
            "clock",
            json!({ "now": 1_700_000_000_000_u64, "expect": { "answer": { "now": 1_700_000_000_000_u64 } } }),
        ),
        (
            "state_values",
            json!({
                "values": { "n": 5, "k": "old" },
                "expect_values": { "n": "7", "k": null, "other": null },
            }),
        ),
        (
            "facts",
            json!({
                "facts": ["read:other"],
                "expect": { "answer": { "has": true, "all": ["read:customer-data", "read:other"] } },
                "expect_facts": ["read:other", "read:customer-data"],
            }),
        ),
        ("log", json!({ "expect_lines": ["hello from the guest"] })),
        ("refuse", json!({ "expect": { "refuse": "not for ae@example.com" } })),
        ("state", json!({ "arguments": { "a": 1 }, "expect_state": "{\"a\":1}" })),
        ("loop", json!({ "expect": { "failure": "out_of_time" } })),
        (
            "memory",
            json!({ "limits": { "memory_mib": 4, "time_ms": 5000 }, "expect": { "failure": "out_of_memory" } }),
        ),
        ("trap", json!({ "expect": { "failure": "trapped" } })),
        ("not_json", json!({ "expect": { "failure": "bad_output" } })),
        (
            "loop",
            json!({ "limits": { "time_ms": 10 }, "expect": { "failure": "it used up its time of 10 ms" } }),
        ),
        (
            "ask",
            json!({ "expect": { "ask": { "schema": { "type": "object", "properties": { "why": { "type": "string" } } } } } }),
        ),
        (
            "proceed",
            json!({ "event": "after-call", "answer": { "error": { "code": 1, "message": "x" } }, "expect": "proceed" }),
        ),
        (
            "hide",
            json!({ "event": "shown", "kind": "tools", "items": [{ "name": "a" }, { "name": "b" }], "expect": ["hide", "show"] }),
        ),
        (
            "relabel",
            json!({ "event": "shown", "kind": "prompts", "items": [{ "name": "a" }], "expect": [{ "relabel": { "title": "Kind::Prompts 0" } }] }),
        ),
        (
            "answer",
            json!({ "event": "on-question", "params": {}, "expect": { "answer": { "action": "decline" } } }),
        ),
    ] {
        let mut case = doing(act, &more);
        if case["event"] != "before-call" {
            case.as_object_mut().unwrap().remove("arguments");
        }
        let (told, is_met) = tried("hostile", case).await;
        assert!(is_met, "{act}: {told}");
    }
}

#[tokio::test]
async fn what_was_done_otherwise_is_no_met_case() {
    for (act, more, words) in [
        (
            "state_values",
            json!({ "expect_values": { "n": "1" } }),
            "its value of `n` is \"2\", expected was \"1\"",
        ),
        (
            "facts",
            json!({ "expect_facts": [] }),
            "the session has the facts [\"read:customer-data\"]",
        ),
        ("log", json!({ "expect_lines": ["goodbye"] }), "no line of its log holds \"goodbye\""),
        ("state", json!({ "expect_state": "x" }), "it handed over the state Some(\"{}\")"),
        (
            "loop",
            json!({ "expect": { "failure": "out_of_memory" } }),
            "in its words: it used up its time",
        ),
        ("trap", json!({ "expect": "proceed" }), "but it said nothing: trapped"),
    ] {
        let (told, is_met) = tried("hostile", doing(act, &more)).await;
        assert!(
            !is_met && told["unmet"].to_string().replace("\\\"", "\"").contains(words),
            "{act}: {told}"
        );
    }
}

#[tokio::test]
async fn a_person_replies_in_a_case() {
    let reply = |reply: Value| json!({ "replies": [reply] });
    let (accepted, _) =
        tried("hostile", doing("ask", &reply(json!({ "accept": { "why": "so" } })))).await;
    let (declined, _) = tried("hostile", doing("ask", &reply(json!("decline")))).await;
    assert!(accepted["said"].to_string().contains("so"), "{accepted}");
    assert!(declined["said"].get("refuse").is_some(), "{declined}");
}

#[tokio::test]
async fn grants_and_configuration_are_the_cases_or_ones_own() {
    let case = json!({
        "event": "before-call",
        "context": { "target": "search" },
        "arguments": { "q": "x" },
        "grants": [],
        "expect": { "failure": "not_granted" },
    });
    let (told, is_met) = tried("redact", case.clone()).await;
    let needs = !told["said"].is_string();
    assert_eq!(is_met, needs, "{told}");

    let wrong = json!({
        "event": "before-call",
        "config": { "nonsense": 1 },
        "arguments": {},
        "expect": { "failure": "config" },
    });
    let (told, is_met) = tried("redact", wrong.clone()).await;
    assert!(is_met && told["words"].as_str().unwrap().contains("nonsense"), "{told}");

    let dir = cases(&[("case.json", wrong), ("config.json", json!({}))]);
    std::fs::write(
        dir.path().join("redact.toml"),
        "component = \"x.wasm\"\ngrants = [\"facts\", \"log\", \"credential\"]\n",
    )
    .unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let file = guest("redact");
    for own in ["config.json", "redact.toml"] {
        let (case, own) = (at("case.json"), at(own));
        let mut args = vec!["run", file.to_str().unwrap(), "--case", &case, "--config", &own];
        for capability in ["facts", "log", "credential"] {
            args.extend(["--grant", capability]);
        }
        let output = plugin(&args).await;
        assert!(!output.ok && output.stdout.contains("but it said \"proceed\""), "{output:?}");
    }
}

#[tokio::test]
async fn what_a_component_is_can_be_seen_before_it_is_installed() {
    let file = guest("webhook");
    let output = plugin(&["inspect", file.to_str().unwrap()]).await;
    assert!(output.ok, "{output:?}");
    for words in [
        "contract  0.1.0",
        "fits      interceptor",
        "before-call, after-call",
        "http       sends requests to the hosts of `[http]`",
        "wasi:http/outgoing-handler@0.2",
        "processed-by: wit-bindgen-rust",
        "no signature beside it",
        "\"signing_key\"",
    ] {
        assert!(output.stdout.contains(words), "{words}: {output:?}");
    }
    let file = guest("any-sample");
    let output = plugin(&["inspect", file.to_str().unwrap(), "--json"]).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["contract"], &report["fits"]), (&json!("none"), &json!(["connector"])));
    let tools = report["tools"].as_array().unwrap();
    let slug = tools.iter().find(|tool| tool["name"] == "slug").unwrap();
    assert_eq!(slug["inputSchema"]["properties"]["text"]["type"], "string");
    let reason = &report["refused"]["sample:text/shelf@1.0.0#open"];
    assert!(reason.as_str().unwrap().contains("resource"), "{report}");

    let bad = guest("hostile-import");
    let output = plugin(&["inspect", bad.to_str().unwrap()]).await;
    assert!(!output.ok && output.stderr.contains("imports"), "{output:?}");
}

#[tokio::test]
async fn a_bench_measures_a_hook_beside_a_native_one() {
    let case = plugins().join("redact/cases/masks-in-arguments.json");
    let file = guest("redact");
    let (file, case) = (file.to_str().unwrap(), case.to_str().unwrap());
    let output = plugin(&["bench", file, "--case", case, "--rounds", "50", "--json"]).await;
    assert!(output.ok, "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["rounds"], 50);
    let of = |name: &str| report[name].as_f64().unwrap();
    assert!(of("first") > 0.0 && of("fresh_p50") > 0.0 && of("native_p50") > 0.0, "{report}");
    assert!(of("fresh_p99") >= of("fresh_p50") && of("memory_high_water") >= 65_536.0, "{report}");
    let share = report["instantiate_share"].as_f64();
    assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{report}");

    let dir = cases(&[("bad.json", json!({ "event": "call", "context": { "target": "none" } }))]);
    let bad = dir.path().join("bad.json");
    let crm = guest("crm");
    let output = plugin(&["bench", crm.to_str().unwrap(), "--case", bad.to_str().unwrap()]).await;
    assert!(!output.ok && output.stderr.contains("nothing to measure"), "{output:?}");
}
