//! The tables of `wit/README.md` about events, each row held to what the gateway does.
//!
//! A row that nobody knows how to try fails, and so does one that is not there any more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{GRANTS, caller::Caller};
use crate::{
    conformance::Fixture,
    guests::guest,
    support::{Setup, TestGateway, eventually},
};

/// The rows of the table below a heading whose head begins with these cells, without ticks.
fn table(heading: &str, head: &str) -> Vec<Vec<String>> {
    let text = include_str!("../../wit/README.md");
    let (_, text) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    let text = text.split("\n## ").next().unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("| {head}")));
    assert!(lines.next().is_some(), "no table {head} below {heading}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

/// What is asked for so that a hook runs.
fn occasion(hook: &str) -> (&'static str, Value) {
    let of = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    match hook {
        "before-call" | "after-call" => {
            ("tools/call", json!({ "name": "greet", "arguments": { "name": "Ada" } }))
        }
        "before-prompt" | "after-prompt" => (
            "prompts/get",
            json!({ "name": "test_prompt_with_arguments",
                "arguments": { "arg1": "Ada", "arg2": "b" } }),
        ),
        "before-read" | "after-read" => {
            ("resources/read", json!({ "uri": "test://template/pa/data" }))
        }
        "before-completion" | "after-completion" => (
            "completion/complete",
            json!({ "ref": of, "argument": { "name": "arg1", "value": "Ada" } }),
        ),
        "on-question" => {
            ("tools/call", json!({ "name": "test_elicitation", "arguments": { "message": "Ada" } }))
        }
        "shown" => ("tools/list", json!({})),
        other => panic!("nobody knows how to try {other}"),
    }
}

/// What the hostile guest does to say this at that hook.
fn act(hook: &str, verdict: &str) -> &'static str {
    match (hook, verdict) {
        ("before-read", "replace") => "replace",
        ("on-question", "replace") => "ask_otherwise",
        ("on-question", "refuse") => "do_not_ask",
        ("on-question", "answer") => "answer_for_them",
        ("shown", "replace") => "relabel",
        (hook, "refuse") if hook.starts_with("after-") => "withhold",
        (_, "replace") => "swap",
        (_, "refuse") => "refuse_all",
        (_, "answer") => "answer_all",
        (_, "ask") => "confirm",
        other => panic!("nobody knows how to try {other:?}"),
    }
}

/// Gateways over the legacy fixture whose plugins each do one thing, one virtual MCP each.
struct Stage {
    _fixture: Fixture,
    gateway: TestGateway,
}

/// A plugin file: what it does, and settings before its configuration.
type Plugin = (String, String);

impl Stage {
    /// `plugins` by virtual MCP: all of them run there, in the order of their names.
    async fn new(plugins: &BTreeMap<String, Vec<Plugin>>) -> Self {
        let fixture = Fixture::start("legacy").await;
        let url = &fixture.url;
        let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
        let mut setup = Setup::new()
            .file("connectors/up.toml", &connector)
            .key("alice", &[])
            .policy("all", "permit (principal, action, resource);")
            .vmcp("plain", &["up"]);
        for (vmcp, bound) in plugins {
            setup = setup.vmcp(vmcp, &["up"]);
            for (number, (act, settings)) in bound.iter().enumerate() {
                let order = if settings.contains("# last") { 9 } else { 1 };
                let text = format!(
                    "component = {:?}\nbind = [{{ vmcp = \"{vmcp}\", order = {order} }}]\n{GRANTS}\n{settings}\n\
                     [config]\ncalls_only = true\ndo = \"{act}\"\nin = [\"Ada\", \"pa\"]\n\
                     out = [\"pa\", \"Mia\"]\n",
                    guest("hostile")
                );
                setup = setup.file(&format!("plugins/{vmcp}-{number}.toml"), &text);
            }
        }
        let gateway = setup.start().await;
        eventually("what the connector offers", || async {
            let client = gateway.client("alice", "plain");
            let prompts = client.request("prompts/list", json!({})).await;
            prompts.message["result"]["prompts"].is_array().then_some(())
        })
        .await;
        Self { _fixture: fixture, gateway }
    }

    /// Asks for something at a virtual MCP; the answer, and the notes of its row as
    /// `event verdict`.
    async fn notes(&self, vmcp: &str, (method, params): (&str, Value)) -> (Value, Vec<String>) {
        let [_, (_, caller)] = Caller::both(&self.gateway, vmcp).await;
        let reply = json!({ "action": "accept", "content": {} });
        let ended = caller.request(method, params, &reply).await;
        let rows = self.gateway.audit().await;
        let of_it = |row: &&Value| row["vmcp"] == vmcp && row["method"] == method;
        let row = rows.iter().rfind(of_it).unwrap_or_else(|| panic!("no row: {rows:?}"));
        let notes = row["plugins"].as_array().cloned().unwrap_or_default();
        let text = |note: &Value| {
            format!("{} {}", note["event"].as_str().unwrap(), note["verdict"].as_str().unwrap())
        };
        (
            json!({ "message": ended.message, "code": ended.code() }),
            notes.iter().map(text).collect(),
        )
    }
}

#[tokio::test]
async fn each_event_lets_a_plugin_change_what_its_row_says() {
    let verdicts = ["replace", "refuse", "answer", "ask"];
    let rows = table("What a plugin may change", "hook | replace");
    assert_eq!(rows.len(), 10, "{rows:?}");
    let mut plugins = BTreeMap::new();
    let mut cases = Vec::new();
    for row in &rows {
        for (verdict, cell) in verdicts.iter().zip(&row[1..]) {
            if cell != "–" {
                let vmcp = format!("{}-{verdict}", row[0]);
                plugins
                    .insert(vmcp.clone(), vec![(act(&row[0], verdict).to_owned(), String::new())]);
                cases.push((vmcp, row[0].clone(), *verdict, cell.clone()));
            }
        }
    }
    let stage = Stage::new(&plugins).await;
    for (vmcp, hook, verdict, cell) in cases {
        let (answer, notes) = stage.notes(&vmcp, occasion(&hook)).await;
        let event = hook.replace('-', "_");
        let expected = match (cell.as_str(), verdict) {
            ("yes", "ask") => format!("{event} ask:accept"),
            ("yes", verdict) => format!("{event} {verdict}"),
            ("refused", _) => format!("{event} not_allowed"),
            other => panic!("what does {other:?} mean?"),
        };
        assert!(notes.contains(&expected), "{hook} {verdict}: {notes:?}, {answer}");
        let failed = answer["code"] == "plugin_failed";
        assert_eq!(failed, cell == "refused", "{hook} {verdict}: {answer}");
    }
}

#[tokio::test]
async fn what_else_is_refused_is_what_the_table_says() {
    let error = ("prompts/get", json!({ "name": "test_prompt_with_arguments", "arguments": {} }));
    let acts = BTreeMap::from([
        ("an answer that asks for input itself", "answer_asking"),
        ("a question whose schema is not flat", "ask_badly"),
        ("an answer without messages", "answer_nothing"),
        ("an answer without contents", "answer_nothing"),
        ("an answer without completion", "answer_nothing"),
        ("a result that asks for input itself", "back_asking"),
        ("an error that is no error object", "back_bad_error"),
        ("a result without messages", "bad_result"),
        ("a result without contents", "bad_result"),
        ("an argument of another name", "bad_result"),
        ("a result without completion", "bad_back"),
        ("another member than title, description and icons", "bad_result"),
        ("a text that is no string, or icons without src", "bad_label"),
        ("another schema, mode or URL of an elicitation", "bad_question"),
    ]);
    let rows = table("What a plugin may change", "hook | what");
    assert_eq!(rows.len(), 14, "{rows:?}");
    let act = |what: &str| *acts.get(what).unwrap_or_else(|| panic!("nobody can try: {what}"));
    let vmcps: Vec<_> = (0..rows.len()).map(|number| format!("row-{number}")).collect();
    let plugins = rows
        .iter()
        .zip(&vmcps)
        .map(|(row, vmcp)| (vmcp.clone(), vec![(act(&row[1]).to_owned(), String::new())]));
    let stage = Stage::new(&plugins.collect()).await;
    for (row, vmcp) in rows.iter().zip(&vmcps) {
        let (hook, what) = (row[0].as_str(), row[1].as_str());
        let is_error = what == "an error that is no error object";
        let wanted = if is_error { error.clone() } else { occasion(hook) };
        let (answer, notes) = stage.notes(vmcp, wanted).await;
        let expected = format!("{} not_allowed", hook.replace('-', "_"));
        assert!(notes.contains(&expected), "{hook}, {what}: {notes:?}, {answer}");
        if hook == "shown" {
            assert_eq!(answer["message"]["result"]["tools"], json!([]), "{what}");
        } else {
            assert_eq!(answer["code"], "plugin_failed", "{hook}, {what}: {answer}");
        }
    }
}

/// What a row of the draft's table comes to: at which occasion, with which plugins, which
/// notes and which code.
type Mapped = (&'static str, Vec<(&'static str, &'static str)>, Vec<&'static str>, &'static str);

fn mapped(row: &str) -> Mapped {
    let one = |act, settings| vec![(act, settings)];
    match row {
        "validation, valid" | "mutation, not modified" => (
            "before-call",
            one("withhold_not", ""),
            vec!["before_call proceed", "after_call proceed"],
            "none",
        ),
        "validation, not valid" => {
            ("before-call", one("refuse_all", ""), vec!["before_call refuse"], "plugin_refused")
        }
        "mutation, modified" | "phase: both" | "event tools/call" | "mode: enforce" => {
            let settings = if row == "mode: enforce" { "mode = \"enforce\"" } else { "" };
            (
                "before-call",
                one("swap", settings),
                vec!["before_call replace", "after_call replace"],
                "none",
            )
        }
        "mode: audit" => (
            "before-call",
            one("refuse_all", "mode = \"observe\""),
            vec!["before_call observed:refuse", "after_call observed:proceed"],
            "none",
        ),
        "failOpen: false" => (
            "before-call",
            one("trap", "fail = \"closed\""),
            vec!["before_call trapped"],
            "plugin_failed",
        ),
        "failOpen: true" => (
            "before-call",
            one("trap", "fail = \"open\""),
            vec!["before_call trapped", "after_call trapped"],
            "none",
        ),
        // The later one of the way in is the first one of the way back.
        "priority" => (
            "before-call",
            vec![("withhold_not", "# last"), ("swap", "")],
            vec![
                "before_call replace",
                "before_call proceed",
                "after_call proceed",
                "after_call replace",
            ],
            "none",
        ),
        "phase: request" => {
            ("before-call", one("refuse_all", ""), vec!["before_call refuse"], "plugin_refused")
        }
        "phase: response" => (
            "before-call",
            one("withhold", ""),
            vec!["before_call proceed", "after_call refuse"],
            "plugin_refused",
        ),
        "event prompts/get" => (
            "before-prompt",
            one("swap", ""),
            vec!["before_prompt replace", "after_prompt replace"],
            "none",
        ),
        "event resources/read" => (
            "before-read",
            one("swap", ""),
            vec!["before_read proceed", "after_read replace"],
            "none",
        ),
        "event completion/complete" => (
            "before-completion",
            one("swap", ""),
            vec!["before_completion replace", "after_completion replace"],
            "none",
        ),
        "events tools/list, prompts/list, resources/list" => {
            ("shown", one("hide", ""), vec!["shown replace"], "none")
        }
        "events elicitation/create, sampling/createMessage" => (
            "on-question",
            one("ask_otherwise", ""),
            vec!["before_call proceed", "on_question replace", "after_call proceed"],
            "none",
        ),
        other => panic!("nobody knows how to try the row {other}"),
    }
}

#[tokio::test]
async fn each_row_of_the_drafts_table_holds() {
    let rows = table("Interceptors of MCP (SEP-2624)", "SEP-2624");
    assert_eq!(rows.len(), 18, "{rows:?}");
    let vmcps: Vec<_> = (0..rows.len()).map(|number| format!("row-{number}")).collect();
    let plugins = rows.iter().zip(&vmcps).map(|(row, vmcp)| {
        let (_, bound, ..) = mapped(&row[0]);
        let bound = bound.into_iter().map(|(act, settings)| (act.into(), settings.into()));
        (vmcp.clone(), bound.collect())
    });
    let stage = Stage::new(&plugins.collect()).await;
    for (row, vmcp) in rows.iter().zip(&vmcps) {
        let (hook, _, expected, code) = mapped(&row[0]);
        let (answer, notes) = stage.notes(vmcp, occasion(hook)).await;
        assert_eq!(notes, expected, "{row:?}: {answer}");
        assert_eq!(answer["code"], code, "{row:?}: {answer}");
        // The hooks that ran are those that the row names.
        let named: Vec<&str> = row[1]
            .split(", ")
            .filter(|name| name.starts_with("before-") || name.starts_with("after-"))
            .collect();
        for name in named {
            let event = name.replace('-', "_");
            let is_hook = !name.ends_with("hook") && !name.contains('…');
            assert!(
                !is_hook || notes.iter().any(|note| note.starts_with(&event)),
                "{row:?}: {notes:?}"
            );
        }
    }
}
