//! What plugins ask people, and what they make of what connectors ask.
//!
//! Owns the four pairs of eras for questions of connectors, and everything about `ask` that
//! is not the same for every event.

use serde_json::{Value, json};

use super::{GRANTS, caller::Caller};
use crate::{
    conformance::Fixture,
    guests::guest,
    support::{Era, Mock, MockTool, Reply, Setup, TestGateway, eventually},
};

/// A gateway over the fixture of an era, with one plugin that does this.
async fn over(era: &str, act: &str, more: &str) -> (Fixture, TestGateway) {
    let fixture = Fixture::start(era).await;
    let connector =
        format!("kind = \"remote\"\nurl = \"{}\"\nallow = [\"loopback\"]\n", fixture.url);
    let gateway = Setup::new()
        .file("connectors/up.toml", &connector)
        .vmcp("main", &["up"])
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .file("plugins/p.toml", &plugin(act, more))
        .start()
        .await;
    eventually("the fixture's tools", || async {
        (!gateway.client("alice", "main").tool_names().await.is_empty()).then_some(())
    })
    .await;
    (fixture, gateway)
}

fn plugin(act: &str, more: &str) -> String {
    format!(
        "component = {:?}\nbind = [{{ vmcp = \"main\" }}]\n{GRANTS}\n{more}\n[config]\ncalls_only = true\n\
         do = \"{act}\"\nin = [\"Who are you?\", \"May we know?\"]\nout = [\"x\", \"y\"]\n",
        guest("hostile")
    )
}

const ELICIT: &str = "test_elicitation";
const SAMPLE: &str = "test_sampling";
const BOTH: [&str; 2] = ["modern", "legacy"];

fn call(tool: &str) -> Value {
    let argument = if tool == ELICIT { "message" } else { "prompt" };
    json!({ "name": tool, "arguments": { argument: "Who are you?" } })
}

fn person() -> Value {
    json!({ "action": "accept", "content": { "username": "ada", "email": "a@example.com" } })
}

fn model() -> Value {
    json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "from a model" } })
}

/// The notes of one plugin hook in the newest row of a method.
async fn verdicts(gateway: &TestGateway, method: &str) -> Vec<String> {
    let rows = gateway.audit().await;
    let with_notes = |row: &&Value| row["method"] == method && row["plugins"].is_array();
    let row = rows.iter().rfind(with_notes).unwrap_or_else(|| panic!("no {method}: {rows:?}"));
    let notes = row["plugins"].as_array().unwrap();
    let text = |note: &Value| {
        format!("{} {}", note["event"].as_str().unwrap(), note["verdict"].as_str().unwrap())
    };
    notes.iter().map(text).collect()
}

#[tokio::test]
async fn a_question_of_a_connector_is_asked_otherwise() {
    for era in BOTH {
        let (_fixture, gateway) = over(era, "ask_otherwise", "").await;
        for (who, caller) in Caller::both(&gateway, "main").await {
            for (tool, reply) in [(ELICIT, person()), (SAMPLE, model())] {
                let ended = caller.request("tools/call", call(tool), &reply).await;
                assert_eq!(ended.asked.len(), 1, "{era} to {who}: {ended:?}");
                let asked = ended.asked[0]["params"].to_string();
                assert!(asked.contains("May we know?"), "{era} to {who}: {asked}");
                assert!(!asked.contains("Who are you?"), "{era} to {who}: {asked}");
                let said = if tool == ELICIT { "a@example.com" } else { "from a model" };
                assert!(ended.text().contains(said), "{era} to {who}: {ended:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_question_that_a_plugin_refuses_reaches_nobody() {
    for era in BOTH {
        let (_fixture, gateway) = over(era, "do_not_ask", "").await;
        for (who, caller) in Caller::both(&gateway, "main").await {
            let ended = caller.request("tools/call", call(ELICIT), &person()).await;
            assert!(ended.asked.is_empty(), "{era} to {who}: {ended:?}");
            // The connector goes on, and was told that the person declined.
            assert!(ended.text().contains("decline"), "{era} to {who}: {ended:?}");
            assert_eq!(ended.code(), "none", "{era} to {who}: {ended:?}");

            let ended = caller.request("tools/call", call(SAMPLE), &model()).await;
            assert!(ended.asked.is_empty(), "{era} to {who}: {ended:?}");
            assert!(!ended.text().contains("from a model"), "{era} to {who}: {ended:?}");
        }
        let rows = gateway.audit().await;
        let noted = rows.iter().filter(|row| {
            row["note"].as_str().is_some_and(|note| note.contains("nobody is to be asked"))
        });
        assert!(noted.count() >= 4, "{era}: {rows:?}");
        let asked = rows.iter().any(|row| {
            row["method"] == "elicitation/create" || row["method"] == "sampling/createMessage"
        });
        assert!(!asked, "{era}: {rows:?}");
    }
}

#[tokio::test]
async fn a_question_that_a_plugin_answers_reaches_nobody_and_the_call_goes_on() {
    for era in BOTH {
        let (_fixture, gateway) = over(era, "answer_for_them", "").await;
        for (who, caller) in Caller::both(&gateway, "main").await {
            for tool in [ELICIT, SAMPLE] {
                let ended = caller.request("tools/call", call(tool), &person()).await;
                assert!(ended.asked.is_empty(), "{era} to {who}: {ended:?}");
                assert!(ended.text().contains("the plugin"), "{era} to {who}: {ended:?}");
            }
        }
    }
}

/// Of three questions at once a plugin answers two; the third is the client's, and the
/// connector gets all three answers.
#[tokio::test]
async fn answers_of_a_plugin_and_of_the_client_come_together() {
    let tool = "test_input_required_result_multiple_inputs";
    for era in BOTH {
        let (_fixture, gateway) = over(era, "answer_for_them", "").await;
        let roots = json!({ "roots": [{ "uri": "file:///work", "name": "the client's" }] });
        for (who, caller) in Caller::both(&gateway, "main").await {
            let params = json!({ "name": tool, "arguments": {} });
            let ended = caller.request("tools/call", params, &roots).await;
            let asked: Vec<_> = ended.asked.iter().map(|one| one["method"].clone()).collect();
            assert_eq!(asked, ["roots/list"], "{era} to {who}: {ended:?}");
            assert_eq!(ended.code(), "none", "{era} to {who}: {ended:?}");
            assert!(ended.text().contains("Thank you, the plugin."), "{era} to {who}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_plugin_that_fails_over_a_question_fails_the_call_closed() {
    for era in BOTH {
        for (settings, open) in
            [("", false), ("fail = \"open\"", true), ("mode = \"observe\"", true)]
        {
            let (_fixture, gateway) = over(era, "fail_to_ask", settings).await;
            for (who, caller) in Caller::both(&gateway, "main").await {
                let ended = caller.request("tools/call", call(ELICIT), &person()).await;
                let what = format!("{era} to {who}, {settings}: {ended:?}");
                assert_eq!(ended.asked.len(), usize::from(open), "{what}");
                assert_eq!(ended.code(), if open { "none" } else { "plugin_failed" }, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_person_who_says_no_and_a_client_that_cannot_ask() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).file("plugins/p.toml", &plugin("confirm", "")).start().await;
    let params = json!({ "name": "echo", "arguments": { "message": "hi" } });
    let words = "Are you sure?";
    for (who, caller) in Caller::both(&gateway, "main").await {
        for (reply, expected, word) in [
            (json!({ "action": "decline" }), "plugin_refused", "before_call ask:decline"),
            (json!({ "action": "cancel" }), "plugin_refused", "before_call ask:cancel"),
            (
                json!({ "action": "accept", "content": { "why": 7 } }),
                "invalid_arguments",
                "before_call ask",
            ),
        ] {
            let ended = caller.request("tools/call", params.clone(), &reply).await;
            assert_eq!(ended.code(), expected, "{who}, {reply}: {ended:?}");
            assert_eq!(verdicts(&gateway, "tools/call").await[0], word, "{who}");
        }
    }
    assert!(mock.calls("echo").is_empty(), "a call went upstream before it was confirmed");
    for (who, caller) in Caller::both_as(&gateway, "main", json!({ "sampling": {} })).await {
        let ended = caller.request("tools/call", params.clone(), &Value::Null).await;
        assert_eq!(ended.code(), "plugin_refused", "{who}: {ended:?}");
        let text = ended.text();
        assert!(text.contains(words) && text.contains("cannot ask"), "{who}: {text}");
    }
    assert!(mock.calls("echo").is_empty());
    let accept = json!({ "action": "accept" });
    for (who, caller) in Caller::both(&gateway, "main").await {
        let ended = caller.request("tools/call", params.clone(), &accept).await;
        assert!(ended.text().contains("hi"), "{who}: {ended:?}");
        let notes = verdicts(&gateway, "tools/call").await;
        assert_eq!(
            notes,
            ["before_call ask:accept", "before_call proceed", "after_call proceed"],
            "{who}"
        );
    }
    assert_eq!(mock.calls("echo").len(), 2);
    // Its own row says that it was the plugin who asked, and not the connector.
    let rows = gateway.audit().await;
    let asked: Vec<_> = rows.iter().filter(|row| row["method"] == "elicitation/create").collect();
    assert_eq!(asked.len(), 8, "{rows:?}");
    assert!(asked.iter().all(|row| row["note"] == "asked by plugin `p`"), "{asked:?}");
    assert!(asked.iter().all(|row| row.get("connector").is_none()), "{asked:?}");
}

#[tokio::test]
async fn who_only_observes_asks_nobody() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let file = plugin("confirm", "mode = \"observe\"");
    let gateway = Setup::simple(&mock).file("plugins/p.toml", &file).start().await;
    let params = json!({ "name": "echo", "arguments": { "message": "hi" } });
    for (who, caller) in Caller::both(&gateway, "main").await {
        let ended = caller.request("tools/call", params.clone(), &Value::Null).await;
        assert!(ended.asked.is_empty() && ended.text().contains("hi"), "{who}: {ended:?}");
        let notes = verdicts(&gateway, "tools/call").await;
        assert_eq!(notes, ["before_call observed:ask", "after_call observed:proceed"], "{who}");
    }
}

/// A tool that asks this much in each of its answers.
async fn asking(questions: usize) -> Mock {
    let schema = json!({ "type": "object", "properties": {} });
    let one = json!({ "method": "elicitation/create",
        "params": { "mode": "form", "message": "Who are you?", "requestedSchema": schema } });
    let requests: serde_json::Map<String, Value> =
        (0..questions).map(|number| (format!("q{number}"), one.clone())).collect();
    let result = json!({ "resultType": "input_required", "inputRequests": requests,
        "requestState": "s" });
    Mock::start(Era::Modern, vec![MockTool::answering("echo", Reply::Result(result))]).await
}

/// What a connector asks costs hooks, and how much that is must not be the connector's to say.
#[tokio::test]
async fn so_many_questions_are_judged_and_no_more() {
    for (questions, notes, more, words) in [
        // Too many at once: no plugin sees one of them.
        (65, 1, Value::Null, "not valid"),
        // Too many in turn: the plugin answers all of them, until it is too much.
        (60, 256, json!(1), "more questions than"),
    ] {
        let mock = asking(questions).await;
        let file = plugin("answer_for_them", "");
        let gateway = Setup::simple(&mock).file("plugins/p.toml", &file).start().await;
        let [(_, caller), _] = Caller::both(&gateway, "main").await;
        let params = json!({ "name": "echo", "arguments": { "message": "hi" } });
        let ended = caller.request("tools/call", params, &Value::Null).await;
        assert_eq!(ended.code(), "connector_protocol", "{questions}: {ended:?}");
        assert!(ended.text().contains(words), "{questions}: {ended:?}");
        assert_eq!(verdicts(&gateway, "tools/call").await.len(), notes, "{questions}");
        let rows = gateway.audit().await;
        let row = rows.iter().rfind(|row| row["method"] == "tools/call").unwrap();
        assert_eq!(row["more_plugins"], more, "{questions}");
    }
}

#[tokio::test]
async fn who_said_no_is_not_overruled_by_a_plugin_that_fails() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let file = plugin("trap_at_no", "fail = \"open\"");
    let gateway = Setup::simple(&mock).file("plugins/p.toml", &file).start().await;
    let params = json!({ "name": "echo", "arguments": { "message": "hi" } });
    for (who, caller) in Caller::both(&gateway, "main").await {
        for action in ["decline", "cancel"] {
            let reply = json!({ "action": action });
            let ended = caller.request("tools/call", params.clone(), &reply).await;
            assert_eq!(ended.code(), "plugin_failed", "{who}, {action}: {ended:?}");
        }
    }
    assert!(mock.calls("echo").is_empty());
}
