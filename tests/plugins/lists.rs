//! What `shown` does to lists that have pages, and what its failure does.

use serde_json::{Value, json};

use super::{GRANTS, caller::Caller};
use crate::{
    guests::guest,
    support::{Era, Mock, MockTool, Setup, TestGateway},
};

/// Five tools, two on a page, and a plugin bound so.
async fn gateway(mock: &Mock, act: &str, scope: &str, settings: &str) -> TestGateway {
    let plugin = format!(
        "component = {:?}\nbind = [{{ {scope} }}]\n{GRANTS}\n{settings}\n[config]\n\
         calls_only = true\ndo = \"{act}\"\n",
        guest("hostile")
    );
    let setup = Setup::simple(mock).settings("[limits]\npage = 2");
    setup.file("plugins/p.toml", &plugin).start().await
}

async fn mock() -> Mock {
    let tools = ["a", "b", "c", "d", "e"].map(MockTool::echo);
    Mock::start(Era::Modern, tools.into()).await
}

/// The pages of `tools/list`: the title of each entry, or its name where it has none.
async fn pages(caller: &Caller) -> Vec<Vec<String>> {
    let (mut pages, mut params) = (Vec::new(), json!({}));
    loop {
        let ended = caller.request("tools/list", params, &Value::Null).await;
        let result = &ended.message["result"];
        let tools = result["tools"].as_array().unwrap_or_else(|| panic!("no list: {ended:?}"));
        let label =
            |tool: &Value| tool["title"].as_str().or(tool["name"].as_str()).map(str::to_owned);
        pages.push(tools.iter().filter_map(label).collect());
        match result.get("nextCursor") {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_are_cut_from_what_is_shown() {
    let mock = mock().await;
    let everything = r#"vmcp = "main""#;
    let one_tool = r#"tool = "up/c""#;
    for (act, scope, settings, expected) in [
        ("withhold_not", everything, "", vec![vec!["a", "b"], vec!["c", "d"], vec!["e"]]),
        ("hide", everything, "", vec![vec!["b", "c"], vec!["d", "e"]]),
        ("hide", one_tool, "", vec![vec!["a", "b"], vec!["d", "e"]]),
        (
            "relabel",
            everything,
            "",
            vec![
                vec!["Kind::Tools 0", "Kind::Tools 1"],
                vec!["Kind::Tools 2", "Kind::Tools 3"],
                vec!["Kind::Tools 4"],
            ],
        ),
        // Another member than those that may differ.
        ("bad_result", everything, "", vec![vec![]]),
        ("bad_result", one_tool, "", vec![vec!["a", "b"], vec!["d", "e"]]),
        (
            "bad_result",
            everything,
            "fail = \"open\"",
            vec![vec!["a", "b"], vec!["c", "d"], vec!["e"]],
        ),
        ("hide", everything, "mode = \"observe\"", vec![vec!["a", "b"], vec!["c", "d"], vec!["e"]]),
    ] {
        let gateway = gateway(&mock, act, scope, settings).await;
        for (who, caller) in Caller::both(&gateway, "main").await {
            assert_eq!(pages(&caller).await, expected, "{act}, {scope}, {settings}: {who}");
        }
    }
}

/// What a list does not show can be called: rights are for policies and `before-call`.
#[tokio::test]
async fn what_is_hidden_can_be_called_by_name() {
    let mock = mock().await;
    let gateway = gateway(&mock, "hide", r#"vmcp = "main""#, "").await;
    for (who, caller) in Caller::both(&gateway, "main").await {
        let params = json!({ "name": "a", "arguments": { "message": "hi" } });
        let ended = caller.request("tools/call", params, &Value::Null).await;
        assert_eq!(ended.code(), "none", "{who}: {ended:?}");
    }
}

/// A fact that a plugin notes is there for policies before the next operation is judged.
#[tokio::test]
async fn what_a_plugin_notes_counts_from_the_next_operation_on() {
    let mock = mock().await;
    let plugin = format!(
        "component = {:?}\nbind = [{{ tool = \"up/a\" }}]\n{GRANTS}\n[config]\n\
         calls_only = true\ndo = \"fact\"\n",
        guest("hostile")
    );
    let policy = r#"
        permit (principal, action, resource);
        forbid (principal, action == Action::"up/b", resource) when { context.facts.contains("seen") };
    "#;
    let gateway =
        Setup::simple(&mock).policy("all", policy).file("plugins/p.toml", &plugin).start().await;
    let [(_, caller), _] = Caller::both(&gateway, "main").await;
    for (tool, expected) in [("b", "none"), ("a", "none"), ("b", "policy_denied")] {
        let params = json!({ "name": tool, "arguments": { "message": "hi" } });
        let ended = caller.request("tools/call", params, &Value::Null).await;
        assert_eq!(ended.code(), expected, "{tool}: {ended:?}");
    }
}
