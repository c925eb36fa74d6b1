use serde_json::{Value, json};

use super::*;
use crate::notices::stand::{Scripted, Setup, Stand};

/// A gateway whose one connector has these tools, all of which are published.
fn with_tools(stand: &Stand, setup: &mut Setup, names: &[&str]) {
    let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
    let record = json!({ "tools": names.iter().map(tool).collect::<Vec<_>>() });
    setup.connectors[0].1 = record.to_string();
    stand.revise(setup, &[]);
}

/// The names on the page of two that follows the one of this name, and where to go on.
fn page(stand: &Stand, after: Option<&str>) -> (Vec<String>, Option<String>) {
    let context = stand.context(Some("key"));
    let revision = &context.revision;
    let vmcp = revision.snapshot.vmcp("all").unwrap();
    let visible = Visible::compute(&revision.policies, &context.caller, vmcp, List::Tools, 2);
    let after = after.map(|name| List::Tools.place(vmcp, name).unwrap());
    let page = visible.page_after(vmcp, List::Tools, after);
    let entries: Vec<Value> = serde_json::from_slice(&page.entries).unwrap();
    let name = |entry: &Value| entry["name"].as_str().unwrap().to_owned();
    (entries.iter().map(name).collect(), page.last.map(|last| last.to_string()))
}

/// All names from the page after this one on.
fn rest(stand: &Stand, after: Option<&str>) -> Vec<Vec<String>> {
    let (mut after, mut pages) = (after.map(str::to_owned), Vec::new());
    loop {
        let (names, last) = page(stand, after.as_deref());
        pages.push(names);
        match last {
            None => return pages,
            last => after = last,
        }
    }
}

#[tokio::test]
async fn no_entry_is_missed_when_the_list_changes_between_two_pages() {
    let stand = Stand::new().await;
    let mut setup = Setup {
        connectors: vec![(Scripted::new("crm"), String::new())],
        identity: true,
        ..Setup::default()
    };
    with_tools(&stand, &mut setup, &["b", "c", "d", "e", "f"]);
    assert_eq!(rest(&stand, None), [vec!["b", "c"], vec!["d", "e"], vec!["f"]]);

    with_tools(&stand, &mut setup, &["a", "b", "c", "d", "e", "f"]);
    assert_eq!(rest(&stand, Some("c")), [vec!["d"], vec!["e", "f"]], "the rest of its page first");
    assert_eq!(rest(&stand, Some("f")), [Vec::<&str>::new()]);

    setup.policies = r#"permit (principal, action, resource);
        forbid (principal, action, resource == Tool::"crm/d");"#
        .to_owned();
    with_tools(&stand, &mut setup, &["a", "b", "c", "d", "e", "f"]);
    assert_eq!(rest(&stand, Some("a")), [vec!["b"], vec!["c", "e"], vec!["f"]]);
    assert_eq!(rest(&stand, Some("d")), [vec!["e"], vec!["f"]], "after one that is hidden now");
    assert_eq!(rest(&stand, Some("c")), [vec!["e"], vec!["f"]]);
}
