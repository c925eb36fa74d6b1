//! The examples and the front page: each set-up boots and does what its README says.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{
    guests::guest,
    support::{Browser, Rpc, Setup, eventually},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// An example as it stands, with paths out of it made absolute. `gateway.toml` is the test's.
fn example(name: &str, change: impl Fn(String) -> String) -> Setup {
    let from = root().join("examples").join(name);
    let guests = guest("crm").parent().unwrap().display().to_string();
    let mut setup = Setup::new();
    for folder in std::fs::read_dir(&from).unwrap().flatten().filter(|entry| entry.path().is_dir())
    {
        let folder_name = folder.file_name().into_string().unwrap();
        std::fs::create_dir_all(setup.config().join(&folder_name)).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = change(text.replace("../../../target/guests", &guests));
            let name = format!("{folder_name}/{}", file.file_name().into_string().unwrap());
            setup = setup.file(&name, &text);
        }
    }
    if let Ok(identity) = std::fs::read_to_string(from.join("identity.toml")) {
        setup = setup.file("identity.toml", &identity);
    }
    setup
}

#[tokio::test]
async fn every_example_is_in_order_where_it_stands() {
    for entry in std::fs::read_dir(root().join("examples")).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert!(path.join("README.md").is_file(), "{} has no README.md", path.display());
            let output = Setup::new().bare_cli(&["check", path.to_str().unwrap()]).await;
            assert!(output.ok, "{}: {output:?}", path.display());
        }
    }
}

#[test]
fn every_refusal_code_stands_on_the_architecture_page() {
    let page = std::fs::read_to_string(root().join("host/README.md")).unwrap();
    let (_, codes) = page.split_once("## Refusal codes").unwrap();
    let (codes, _) = codes.split_once("\n## ").unwrap();
    let rows = codes.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: Vec<&str> = rows.collect();
    assert_eq!(listed, tidegate_model::RefusalCode::ALL.map(tidegate_model::RefusalCode::name));
}

fn said(answer: &Rpc) -> String {
    answer.text().to_owned()
}

#[tokio::test]
async fn the_sales_example_is_as_its_readme_says() {
    let gateway = example("sales-intelligence", |text| text)
        .key("ae", &["sales"])
        .key("support", &["support"])
        .start()
        .await;
    let (ae, support) = (gateway.client("ae", "sales"), gateway.client("support", "sales"));
    let tools = ae.tool_names().await;
    assert_eq!(tools.len(), 11, "{tools:?}");
    assert!(!tools.iter().any(|name| name == "delete_contact"), "{tools:?}");
    assert_eq!(support.tool_names().await, ["find_customer"]);

    let many = json!({ "query": "a", "limit": 20 });
    for client in [&ae, &support] {
        let found = said(&client.call("find_customer", json!({ "query": "nordwind" })).await);
        assert!(found.contains("[card masked]") && !found.contains("4111"), "{found}");
    }
    assert!(!ae.call("find_customer", many.clone()).await.is_tool_error());
    let account = said(&ae.call("get_account", json!({ "account_id": "acc-1001" })).await);
    assert!(account.contains("[iban masked]"), "{account}");
    let signed = said(&ae.call("get_contract", json!({ "contract_id": "ctr-501" })).await);
    assert!(signed.contains("[email masked]"), "{signed}");
    let deal = |amount: u32| json!({ "opportunity_id": "opp-3001", "amount_eur": amount });
    let mail = |to: &str| json!({ "to": [to], "subject": "s", "body": "b" });
    let colleague = mail("lena.ortiz@tidegate.example");
    assert!(!ae.call("update_opportunity", deal(90_000)).await.is_tool_error());
    assert!(!ae.call("draft_message", mail("priya@hallamfoods.example")).await.is_tool_error());
    assert!(!ae.call("send_message", colleague).await.is_tool_error());
    for (client, tool, arguments, words) in [
        (&support, "find_customer", many, "ask for at most 5 contacts"),
        (&support, "get_account", json!({}), "unknown tool `get_account`"),
        (&support, "update_opportunity", deal(1), "unknown tool `update_opportunity`"),
        (&ae, "update_opportunity", deal(250_000), "changed by a sales lead"),
        (&ae, "send_message", mail("priya@hallamfoods.example"), "mail to colleagues only"),
        (&ae, "search_contracts", json!({ "query": "a", "status": "draft" }), "`status`"),
        (&ae, "delete_contact", json!({}), "unknown tool `delete_contact`"),
    ] {
        let answer = said(&client.call(tool, arguments).await);
        assert!(answer.contains(words), "{tool}: {answer}");
    }
    let contracts = said(&ae.call("search_contracts", json!({ "query": "agreement" })).await);
    assert!(contracts.contains("ctr-501") && !contracts.contains("ctr-502"), "{contracts}");
    assert!(gateway.cli(&["audit", "verify"]).await.ok);
}

#[tokio::test]
async fn the_example_with_people_is_as_its_readme_says() {
    let gateway = example("people", |text| text).start().await;
    let link = eventually("the owner's link", || async {
        let log = gateway.log();
        log.lines().find(|line| line.contains("/welcome/")).map(|line| line.trim().to_owned())
    })
    .await;
    let owner = Browser::new();
    let page = owner.open(&link).await;
    let form = page.form("Go on").set("email", "boss@example.com");
    let page = owner.submit(&page, &form.set("password", "correct horse battery")).await;
    assert!(page.text().contains("Hello, boss@example.com"), "{}", page.text());
    let run = async |args: &[&str]| {
        let output = gateway.cli(args).await;
        assert!(output.ok, "{args:?}: {output:?}");
        output.stdout
    };
    run(&["user", "add", "ann@example.com", "--group", "sales"]).await;
    run(&["user", "add", "cora@example.com"]).await;
    run(&["user", "add", "mia@example.com"]).await;
    run(&["group", "add", "controlling", "--member", "cora@example.com"]).await;
    let shown = run(&["user", "show", "cora@example.com"]).await;
    assert!(shown.contains("auditor"), "{shown}");
    let mut clients = Vec::new();
    for who in ["ann", "cora", "mia"] {
        let user = format!("{who}@example.com");
        let link = run(&["user", "password-link", &user]).await;
        let browser = Browser::new();
        let page = browser.open(link.trim()).await;
        let form = page.form("Go on").set("password", "correct horse battery");
        assert_eq!(browser.submit(&page, &form).await.status(), 200, "{who}");
        let key = run(&["key", "create", who, "--user", &user, "--vmcp", "customers"]).await;
        clients.push(gateway.anonymous("customers").with_key(key.trim()));
    }
    let [ann, cora, mia] = &clients[..] else { unreachable!() };
    let has = |tools: &[String], name: &str| tools.iter().any(|tool| tool == name);
    let (sales, reading) = (ann.tool_names().await, cora.tool_names().await);
    assert!(has(&sales, "update_opportunity") && !has(&sales, "delete_contact"), "{sales:?}");
    assert!(
        has(&reading, "search_contacts") && !has(&reading, "update_opportunity"),
        "{reading:?}"
    );
    assert_eq!(mia.request("tools/list", json!({})).await.status, 404);
    let found = ann.call("search_contacts", json!({ "query": "nordwind" })).await;
    assert!(!found.is_tool_error(), "{found:?}");
    run(&["user", "deactivate", "ann@example.com"]).await;
    assert_eq!(ann.request("tools/list", json!({})).await.status, 401);
}

/// The filesystem server that `cargo xtask test` installs, in place of npx.
fn installed(text: String) -> String {
    let peers = root().join("target/peers");
    let entry = "npm/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";
    let entry = peers.join(entry);
    assert!(entry.exists(), "{} is missing: run `cargo xtask test`", entry.display());
    let own = peers.join("node/node_modules/node/bin/node");
    let node = if own.exists() { own } else { "node".into() };
    let version = "\"--yes\", \"@modelcontextprotocol/server-filesystem@2026.8.31\"";
    text.replace("\"npx\"", &format!("{:?}", node.display().to_string()))
        .replace(version, &format!("{:?}", entry.display().to_string()))
}

#[tokio::test]
async fn the_filesystem_example_reads_and_does_not_write() {
    let gateway = example("filesystem", installed).key("me", &["staff"]).start().await;
    let client = gateway.client("me", "files");
    let tools = eventually("the server's tools", || async {
        Some(client.tool_names().await).filter(|tools| !tools.is_empty())
    })
    .await;
    for tool in ["read_text_file", "list_directory", "search_files"] {
        assert!(tools.iter().any(|name| name == tool), "{tool}: {tools:?}");
    }
    for tool in ["write_file", "edit_file", "move_file", "create_directory", "read_media_file"] {
        assert!(!tools.iter().any(|name| name == tool), "{tool}: {tools:?}");
        assert_eq!(client.call(tool, json!({})).await.code(), -32602, "{tool}");
    }
    let read = |name: &str| json!({ "path": gateway.config().canonicalize().unwrap().join("files").join(name) });
    let hello = client.call("read_text_file", read("hello.txt")).await;
    assert!(hello.text().contains("Hello from a folder"), "{hello:?}");
    let hidden = client.call("read_text_file", read(".env")).await;
    assert!(hidden.text().contains("names begin with a dot"), "{hidden:?}");
}

/// The files that the front page tells people to write: a line that names one, then its text.
fn files_of_the_readme() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut files = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((name, _)) = line.strip_prefix("`mygate/").and_then(|rest| rest.split_once('`'))
        else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| !line.starts_with("```"))
            .collect();
        files.push((name.to_owned(), block.join("\n")));
    }
    files
}

#[tokio::test]
async fn the_front_page_can_be_followed_literally() {
    let mut setup = Setup::new();
    let files = files_of_the_readme();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["connectors/files.toml", "vmcps/work.toml", "policies/work.cedar"]);
    let served = tempfile::TempDir::with_prefix("tidegate-files-").unwrap();
    let folder = served.path().canonicalize().unwrap();
    std::fs::write(folder.join("note.txt"), "a note").unwrap();
    for (name, text) in files {
        let text = installed(text).replace("\"/tmp\"", &format!("{:?}", folder.to_str().unwrap()));
        setup = setup.file(&name, &text);
    }
    let made = ["key", "new", "--name", "me", "--user", "me@example.com", "--group", "staff"];
    let made = setup.cli(&made).await;
    assert!(made.ok, "{made:?}");
    let checked = setup.bare_cli(&["check", setup.config().to_str().unwrap()]).await;
    assert!(checked.ok, "{checked:?}");
    let gateway = setup.start().await;
    let client = gateway.anonymous("work").with_key(made.stdout.trim());
    eventually("the server's tools", || async {
        (!client.tool_names().await.is_empty()).then_some(())
    })
    .await;
    let read = client.call("read_text_file", json!({ "path": folder.join("note.txt") })).await;
    assert_eq!(read.text(), "a note");
    assert_eq!(client.call("write_file", json!({})).await.code(), -32602);
}
