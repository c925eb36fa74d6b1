//! Organisations in one process: nothing of one is seen, reached or disturbed by another.
//!
//! All of them have connectors, virtual MCPs, plugins, keys and people of the same names, so
//! that whatever is keyed by a name alone would show.

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    guests::guest,
    support::{
        CliOutput, Client, Era, EventStream, Mock, MockTool, Reply, Rpc, Setup, TestGateway,
        eventually, modern_params,
    },
};

const ORGS: [&str; 3] = ["", "acme", "beta"];
const ALL: &str = "permit (principal, action, resource);";

/// An upstream that answers with its own name, takes tasks and echoes.
async fn upstream(name: &'static str) -> Mock {
    let result = json!({ "resultType": "complete", "content": [{ "type": "text", "text": name }] });
    let task = json!({
        "resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": null,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z",
    });
    let tools = vec![
        MockTool::echo("echo"),
        MockTool::answering("long", Reply::Result(task)),
        MockTool::answering("who", Reply::Result(result)),
    ];
    let mock = Mock::start(Era::Modern, tools).await;
    mock.set_tasks();
    mock.set_resources(&["doc://a"]);
    mock
}

/// The hostile guest as a plugin that answers `echo` with what it finds.
fn plugin(act: &str, vmcp: &str) -> String {
    format!(
        "component = {:?}\nbind = [{{ vmcp = \"{vmcp}\", tool = \"up/echo\" }}]\n\
         grants = [\"clock\", \"facts\", \"log\", \"random\", \"state\"]\n\
         [config]\ncalls_only = true\ndo = \"{act}\"\n",
        guest("hostile")
    )
}

/// One organisation as all of them are; what its plugin `noter` does tells them apart.
fn fill(setup: Setup, mock: &Mock, noter: &str) -> Setup {
    setup
        .remote("up", mock, "")
        .vmcp("main", &["up"])
        .vmcp("notes", &["up"])
        .vmcp("spoken", &["up"])
        .key("alice", &["staff"])
        .policy("all", ALL)
        .file("plugins/counter.toml", &plugin("state_values", "main"))
        .file("plugins/noter.toml", &plugin(noter, "notes"))
        .file("plugins/talker.toml", &plugin("log", "spoken"))
}

struct Stand {
    gateway: TestGateway,
    mocks: [Mock; 3],
}

impl Stand {
    /// `default` and two others, all alike.
    async fn new() -> Self {
        let mocks = [upstream("default").await, upstream("acme").await, upstream("beta").await];
        let [top, acme, beta] = &mocks;
        let setup = fill(Setup::new(), top, "facts_all").settings("[limits]\npage = 1");
        let setup = setup.organisation("acme", |setup| fill(setup, acme, "facts"));
        let setup = setup.organisation("beta", |setup| fill(setup, beta, "facts_all"));
        Self { gateway: setup.start().await, mocks }
    }

    /// Alice of an organisation, at one of its virtual MCPs.
    fn alice(&self, org: &str, vmcp: &str) -> Client {
        match org {
            "" => self.gateway.client("alice", vmcp),
            org => self.gateway.client_of(org, "alice", vmcp),
        }
    }

    /// A command about an organisation.
    async fn cli(&self, org: &str, args: &[&str]) -> CliOutput {
        cli(&self.gateway, org, args).await
    }
}

async fn cli(gateway: &TestGateway, org: &str, args: &[&str]) -> CliOutput {
    let mut args = args.to_vec();
    if !org.is_empty() {
        args.extend(["--org", org]);
    }
    gateway.cli(&args).await
}

async fn status(gateway: &TestGateway, org: &str) -> Value {
    let output = cli(gateway, org, &["status", "--json"]).await;
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What the plugin of a tool says of what it finds.
async fn echoed(client: &Client) -> Value {
    client.call("echo", json!({})).await.result().clone()
}

/// Waits until the upstream of an organisation can be called through it.
async fn until_served(client: &Client) {
    eventually("the organisation to serve", || async {
        let answer = client.call("who", json!({})).await;
        answer.message.pointer("/result/content/0/text").map(|_| ())
    })
    .await;
}

fn able(mut params: Value) -> Value {
    let can = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": can });
    params
}

/// The status and words of a request, as somebody sees them who tries paths.
async fn seen(client: &Client) -> (u16, String) {
    let answer = client.send(Method::POST, &[], r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let answer = answer.await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

async fn listen(client: &Client) -> EventStream {
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let method = "subscriptions/listen";
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let headers = Client::modern_headers(method, &params);
    let mut stream = client.stream(Method::POST, &headers, body.to_string()).await;
    let first = stream.next().await.expect("an acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    stream
}

#[tokio::test]
async fn calls_reach_the_upstream_of_their_own_organisation() {
    let stand = Stand::new().await;
    for org in ORGS {
        let answer = stand.alice(org, "main").call("who", json!({})).await;
        assert_eq!(answer.text(), if org.is_empty() { "default" } else { org });
    }
    for mock in &stand.mocks {
        assert_eq!(mock.calls("who").len(), 1);
    }
    // What one upstream offers now is in the lists of one organisation.
    stand.mocks[1].set_tools(vec![MockTool::echo("acme-only")]);
    stand.mocks[1].tell("notifications/tools/list_changed", json!({}));
    let first = async |org: &str| {
        let list = stand.alice(org, "main").request("tools/list", json!({})).await;
        list.result()["tools"][0]["name"].clone()
    };
    eventually("the changed list", || async { (first("acme").await == "acme-only").then_some(()) })
        .await;
    for org in ["", "beta"] {
        assert_eq!(stand.alice(org, "main").tool_names().await, ["echo", "long", "who"], "{org}");
    }
    let hidden = stand.alice("beta", "main").call("acme-only", json!({})).await;
    assert_eq!(hidden.code(), -32602, "{hidden:?}");
}

#[tokio::test]
async fn a_key_is_good_in_its_own_organisation_alone() {
    let stand = Stand::new().await;
    for of in ORGS {
        let key = stand.alice(of, "main").key.unwrap();
        for at in ORGS {
            let client = match at {
                "" => stand.gateway.anonymous("main").with_key(&key),
                at => stand.gateway.anonymous_of(at, "main").with_key(&key),
            };
            let answer = client.send(Method::POST, &[], "{}").await;
            let is_refused = answer.status == 401;
            assert_eq!(is_refused, of != at, "a key of `{of}` at `{at}`: {answer:?}");
        }
        let nowhere = stand.gateway.anonymous_of("nobody", "main").with_key(&key);
        assert_eq!(nowhere.send(Method::POST, &[], "{}").await.status, 401);
    }
}

#[tokio::test]
async fn what_clients_hold_of_one_organisation_opens_nothing_in_another() {
    let stand = Stand::new().await;
    let (acme, beta) = (stand.alice("acme", "main"), stand.alice("beta", "main"));
    let refused = |answer: Rpc, what: &str| {
        assert_eq!(answer.code(), -32602, "{what}: {answer:?}");
    };

    let first = acme.request("tools/list", json!({})).await;
    let cursor = json!({ "cursor": first.result()["nextCursor"] });
    assert!(acme.request("tools/list", cursor.clone()).await.message.get("result").is_some());
    refused(beta.request("tools/list", cursor).await, "a cursor");

    let begin = able(json!({ "name": "long", "arguments": {} }));
    let begun = acme.request("tools/call", begin.clone()).await;
    let task = begun.result()["taskId"].as_str().unwrap().to_owned();
    let own = beta.request("tools/call", begin).await.result()["taskId"].clone();
    assert_ne!(own, json!(task), "the same task id upstream is another here");
    refused(beta.request("tasks/get", able(json!({ "taskId": task }))).await, "a task");
    assert!(stand.mocks[2].received().iter().all(|one| one.method() != "tasks/get"));

    let session = acme.session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let at = async |client: &Client| {
        client.send(Method::POST, &[("mcp-session-id", &id)], ping).await.status.as_u16()
    };
    assert_eq!((at(&acme).await, at(&beta).await), (200, 404));
    let delete = beta.send(Method::DELETE, &[("mcp-session-id", &id)], "").await;
    assert_eq!(delete.status, 404);
    assert_eq!(at(&acme).await, 200, "nobody else ends it");
    let sessions = async |org: &str| status(&stand.gateway, org).await["sessions"].clone();
    assert_eq!((sessions("acme").await, sessions("beta").await), (json!(1), json!(0)));
}

#[tokio::test]
async fn what_plugins_keep_and_note_is_their_organisations_own() {
    let stand = Stand::new().await;
    let count = async |org: &str| echoed(&stand.alice(org, "main")).await["count"].clone();
    assert_eq!((count("acme").await, count("acme").await), (json!(2), json!(4)));
    assert_eq!((count("beta").await, count("").await), (json!(2), json!(2)));

    let noted = echoed(&stand.alice("acme", "notes")).await;
    assert_eq!(noted["all"], json!(["read:customer-data"]));
    for org in ["beta", ""] {
        assert_eq!(echoed(&stand.alice(org, "notes")).await["all"], json!([]), "{org}");
    }

    // A plugin that has spoken in one organisation is silent in the others.
    echoed(&stand.alice("acme", "spoken")).await;
    let lines = async |org: &str| stand.cli(org, &["plugin", "logs", "talker", "--json"]).await;
    let spoken = lines("acme").await;
    assert!(spoken.ok && spoken.stdout.contains("from the guest"), "{spoken:?}");
    for org in ["beta", ""] {
        let silent = lines(org).await;
        assert!(silent.ok && silent.stdout.is_empty(), "{org}: {silent:?}");
    }

    // And counted apart, for people and for machines.
    let calls = |status: &Value, plugin: &str| -> u64 {
        let plugins = status["plugins"].as_array().unwrap();
        let found = plugins.iter().find(|one| one["id"] == plugin).unwrap();
        found["versions"][0]["calls"].as_u64().unwrap_or_default()
    };
    for (org, counted, talked) in [("acme", 2, 1), ("beta", 1, 0), ("", 1, 0)] {
        let status = status(&stand.gateway, org).await;
        assert_eq!((calls(&status, "counter"), calls(&status, "talker")), (counted, talked));
    }
    let metrics = stand.gateway.ops("/metrics").send(Method::GET, &[], "").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let hooks = |org: &str, plugin: &str| {
        let begins = format!("tidegate_plugin_hooks_total{{org=\"{org}\",plugin=\"{plugin}\"");
        let line = text.lines().find(|line| line.starts_with(&begins)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!((hooks("acme", "counter"), hooks("beta", "counter")), (Some(2), Some(1)));
    assert_eq!((hooks("acme", "talker"), hooks("beta", "talker")), (Some(1), None));
}

#[tokio::test]
async fn the_audit_log_is_searched_within_one_organisation() {
    let stand = Stand::new().await;
    for org in ORGS {
        stand.alice(org, "main").call("who", json!({ "for": org })).await.result();
    }
    let rows = async |org: &str, args: &[&str]| -> Vec<Value> {
        let mut all = vec!["audit", "find", "--json"];
        all.extend(args);
        let found = stand.cli(org, &all).await;
        assert!(found.ok, "{found:?}");
        found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut calls = Vec::new();
    for org in ORGS {
        let found = rows(org, &["--tool", "up/who"]).await;
        let name = if org.is_empty() { "default" } else { org };
        assert!(found.iter().all(|row| row["org"] == name), "{found:?}");
        calls.push(found.last().unwrap()["id"].as_str().unwrap().to_owned());
        let of_alice = rows(org, &["--user", "alice@example.com"]).await;
        assert!(of_alice.iter().all(|row| row["org"] == name), "{of_alice:?}");
        assert!(!of_alice.is_empty());
    }
    for (org, call) in ORGS.iter().zip(&calls) {
        for at in ORGS {
            let found = rows(at, &["--call", call]).await;
            assert_eq!(!found.is_empty(), *org == at, "a call of `{org}` at `{at}`");
        }
    }
    let tail = stand.gateway.cli(&["audit", "tail", "--json", "-n", "1000", "--org", "beta"]).await;
    assert!(tail.stdout.lines().count() > 0);
    assert!(tail.stdout.lines().all(|line| line.contains(r#""org":"beta""#)), "{tail:?}");
}

#[tokio::test]
async fn status_and_configuration_are_of_one_organisation() {
    let stand = Stand::new().await;
    let of_acme = status(&stand.gateway, "acme").await;
    assert_eq!(of_acme["org"], "acme");
    assert_eq!(of_acme.get("organisations"), None, "one is told nothing of the others");
    let urls: Vec<&str> = of_acme["vmcps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["url"].as_str().unwrap())
        .collect();
    assert!(urls.iter().all(|url| url.contains("/o/acme/mcp/")), "{urls:?}");
    let top = status(&stand.gateway, "").await;
    let others: Vec<_> = top["organisations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(others, [("acme", "serving"), ("beta", "serving")]);

    // What is applied to one is in one, under a name that all of them have free.
    let dir = tempfile::tempdir().unwrap();
    for folder in ["vmcps", "connectors"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let url = stand.mocks[2].url();
    let remote = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    std::fs::write(dir.path().join("connectors/more.toml"), remote).unwrap();
    std::fs::write(
        dir.path().join("vmcps/applied.toml"),
        "title = \"A\"\nconnectors = [\"more\"]\n",
    )
    .unwrap();
    let applied = stand.cli("beta", &["apply", dir.path().to_str().unwrap()]).await;
    assert!(applied.ok && applied.stdout.contains("+ vmcp applied"), "{applied:?}");
    for org in ORGS {
        let list = stand.alice(org, "applied").request("tools/list", json!({})).await;
        assert_eq!(list.status == 200, org == "beta", "{org}: {list:?}");
    }
    let nobody = stand.cli("nobody", &["status"]).await;
    assert!(!nobody.ok && nobody.stderr.contains("no organisation `nobody`"), "{nobody:?}");
}

#[tokio::test]
async fn a_broken_organisation_is_out_of_service_alone_and_comes_up_when_it_is_mended() {
    let (acme, beta) = (upstream("acme").await, upstream("beta").await);
    let broken = "title = \"Main\"\nconnectors = [\"upp\"]\n";
    let gateway = Setup::simple(&beta)
        .organisation("acme", |setup| fill(setup, &acme, "facts").file("vmcps/main.toml", broken))
        .organisation("beta", |setup| fill(setup, &beta, "facts"))
        .file("orgs/README.md", "who is who")
        .start()
        .await;
    let who =
        async |org: &str| gateway.client_of(org, "alice", "main").call("who", json!({})).await;
    assert_eq!(who("beta").await.text(), "beta");
    let unknown = seen(&gateway.anonymous_of("nobody", "main")).await;
    assert_eq!(seen(&gateway.anonymous_of("acme", "main")).await.0, unknown.0);
    let answer = gateway.client_of("acme", "alice", "main").send(Method::POST, &[], "{}").await;
    assert_eq!(answer.status, 401);

    let top = status(&gateway, "").await;
    let told = &top["organisations"][0];
    assert_eq!((&told["id"], &told["state"]), (&json!("acme"), &json!("out of service")));
    assert!(told["problems"].to_string().contains("did you mean `up`?"), "{told}");
    assert_eq!(top["problems"], json!([]), "it is no problem of another");
    let shown = gateway.cli(&["status"]).await;
    assert!(!shown.ok && shown.stdout.contains("out of service"), "{shown:?}");
    let asked = cli(&gateway, "acme", &["status"]).await;
    assert!(!asked.ok && asked.stderr.contains("did you mean `up`?"), "{asked:?}");

    let file = "orgs/acme/vmcps/main.toml";
    let good = "title = \"Main\"\nconnectors = [\"up\"]\n";
    gateway.write(file, good);
    until_served(&gateway.client_of("acme", "alice", "main")).await;
    assert_eq!(who("acme").await.text(), "acme");

    // Broken again it serves on, and the other changes meanwhile.
    gateway.write(file, broken);
    eventually("the problem of acme", || async {
        let top = status(&gateway, "").await;
        let told = &top["organisations"][0];
        (told["state"] == "serving" && !told["problems"].as_array()?.is_empty()).then_some(())
    })
    .await;
    assert_eq!(who("acme").await.text(), "acme");
    gateway.write(
        "orgs/beta/policies/all.cedar",
        "permit (principal, action == Action::\"up/who\", resource);",
    );
    eventually("the changed policy of beta", || async {
        let names = gateway.client_of("beta", "alice", "main").tool_names().await;
        (names == ["who"]).then_some(())
    })
    .await;
    assert_eq!(gateway.client("alice", "main").tool_names().await, ["echo", "long", "who"]);
}

#[tokio::test]
async fn a_broken_top_keeps_the_process_from_starting_as_ever() {
    let mock = upstream("acme").await;
    let refused = Setup::new()
        .file("vmcps/main.toml", "title = 1\n")
        .organisation("acme", |setup| fill(setup, &mock, "facts"))
        .start_refused()
        .await;
    assert!(refused.contains("main.toml"), "{refused}");
}

#[tokio::test]
async fn an_organisation_comes_and_goes_while_the_gateway_serves() {
    let (top, acme) = (upstream("default").await, upstream("acme").await);
    let setup = Setup::simple(&top).organisation("acme", |setup| fill(setup, &acme, "facts"));
    let (folder, aside) = (setup.config().join("orgs/acme"), setup.data().with_file_name("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    let gateway = setup.start().await;
    let never = seen(&gateway.anonymous_of("acme", "main")).await;
    let comes = async || until_served(&gateway.client_of("acme", "alice", "main")).await;
    std::fs::rename(&aside, &folder).unwrap();
    comes().await;
    let client = gateway.client_of("acme", "alice", "main");
    assert_eq!(client.call("who", json!({})).await.text(), "acme");
    assert_eq!(echoed(&client).await["count"], 2);

    let mut heard = listen(&client).await;
    let mut of_top = listen(&gateway.client("alice", "main")).await;
    let session = client.session("2025-11-25").await;
    let mut own = session.listen(None).await;
    own.next_event().await.expect("a priming event");
    let asked_before = top.received().len();
    std::fs::rename(&folder, &aside).unwrap();
    let end = heard.next().await.expect("a result at the end");
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(7), &json!("complete")));
    assert_eq!(heard.next().await, None);
    while own.next_event().await.is_some() {}
    assert_eq!(seen(&gateway.anonymous_of("acme", "main")).await, never);
    let answer = client.send(Method::POST, &[], "{}").await;
    assert_eq!(answer.status, 401, "its keys are no keys");
    assert_eq!(status(&gateway, "").await.get("organisations"), None);
    let gone = cli(&gateway, "acme", &["status"]).await;
    assert!(gone.stderr.contains("no organisation `acme`"), "{gone:?}");
    eventually("the upstream to be let go", || async {
        let listeners = acme.tell("notifications/tools/list_changed", json!({}));
        (listeners == 0).then_some(())
    })
    .await;

    // The others did not notice.
    assert_eq!(gateway.client("alice", "main").call("who", json!({})).await.text(), "default");
    assert!(top.received().len() > asked_before);
    top.set_tools(vec![MockTool::echo("other")]);
    top.tell("notifications/tools/list_changed", json!({}));
    let told = of_top.next().await.expect("word of the change");
    assert_eq!(told["method"], "notifications/tools/list_changed");

    // What it had in the store was kept for it; its sessions were not.
    std::fs::rename(&aside, &folder).unwrap();
    comes().await;
    assert_eq!(echoed(&client).await["count"], 4);
    let id = session.id.clone().unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let late = client.send(Method::POST, &[("mcp-session-id", &id)], ping).await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn a_folder_that_is_exchanged_whole_is_followed() {
    let (top, acme) = (upstream("default").await, upstream("acme").await);
    let gateway =
        Setup::simple(&top).organisation("acme", |setup| fill(setup, &acme, "facts")).start().await;
    let config = gateway.config();
    let (folder, new) = (config.join("orgs/acme"), gateway.data().with_file_name("new"));
    let copied = std::process::Command::new("cp").arg("-r").args([&folder, &new]).status();
    assert!(copied.unwrap().success());
    std::fs::rename(&folder, gateway.data().with_file_name("old")).unwrap();
    std::fs::rename(&new, &folder).unwrap();
    let tools = async |policy: &str, names: &[&str]| {
        gateway.write("orgs/acme/policies/all.cedar", policy);
        eventually(&format!("{names:?}"), || async {
            let client = gateway.client_of("acme", "alice", "main");
            let list = client.request("tools/list", json!({})).await;
            if list.status != 200 {
                return None;
            }
            (client.tool_names().await == names).then_some(())
        })
        .await;
    };
    tools("permit (principal, action == Action::\"up/who\", resource);", &["who"]).await;
    tools(ALL, &["echo", "long", "who"]).await;
}

#[tokio::test]
async fn the_command_line_knows_organisations() {
    let mock = upstream("acme").await;
    let setup = Setup::simple(&mock)
        .organisation("acme", |setup| fill(setup, &mock, "facts"))
        .organisation("beta", |setup| setup.file("vmcps/b.toml", "title = 1\n"));
    let config = setup.config();
    let dir = config.to_str().unwrap();
    let made = setup
        .cli(&["key", "new", "--name", "bob", "--user", "bob@example.com", "--org", "acme"])
        .await;
    assert!(made.ok, "{made:?}");
    assert!(config.join("orgs/acme/keys/bob.toml").is_file());
    assert!(!config.join("keys/bob.toml").exists());
    let nowhere = setup
        .cli(&["key", "new", "--name", "bob", "--user", "bob@example.com", "--org", "nobody"])
        .await;
    assert!(!nowhere.ok && nowhere.stderr.contains("no organisation `nobody`"), "{nowhere:?}");

    let checked = setup.bare_cli(&["check", dir]).await;
    assert!(!checked.ok && checked.stderr.contains("orgs/beta/vmcps/b.toml"), "{checked:?}");
    let one = setup.bare_cli(&["check", dir, "--org", "acme"]).await;
    assert!(one.ok && one.stdout.contains("organisation acme: 1 connectors"), "{one:?}");

    std::fs::remove_dir_all(config.join("orgs/beta")).unwrap();
    for (folder, says) in [
        ("orgs/default", "the organisation `default` is the top"),
        ("orgs/Not A Name", "rename the folder"),
        ("orgs/acme/orgs", "holds no organisations"),
    ] {
        std::fs::create_dir_all(config.join(folder)).unwrap();
        let checked = setup.bare_cli(&["check", dir]).await;
        assert!(!checked.ok && checked.stderr.contains(says), "{folder}: {checked:?}");
        std::fs::remove_dir_all(config.join(folder)).unwrap();
    }
    let checked = setup.bare_cli(&["check", dir]).await;
    assert!(checked.ok, "{checked:?}");

    let observed = setup.cli(&["plugin", "observe", "noter", "--org", "acme"]).await;
    assert!(observed.ok, "{observed:?}");
    let text = std::fs::read_to_string(config.join("orgs/acme/plugins/noter.toml")).unwrap();
    assert!(text.contains("observe"), "{text}");
    let listed = setup.cli(&["plugin", "list", "--org", "acme"]).await;
    assert!(listed.ok && listed.stdout.contains("noter"), "{listed:?}");
    let listed = setup.cli(&["plugin", "list"]).await;
    assert!(listed.ok && !listed.stdout.contains("noter"), "{listed:?}");
}

#[tokio::test]
async fn a_directory_with_organisations_is_applied_whole_or_not_at_all() {
    let mock = upstream("acme").await;
    let gateway = Setup::simple(&mock)
        .organisation("acme", |setup| setup)
        .organisation("beta", |setup| setup)
        .start()
        .await;
    let from = fill(Setup::new(), &mock, "facts")
        .organisation("acme", |setup| fill(setup, &mock, "facts"));
    let dir = from.config();
    for shared in ["connectors/up.toml", "vmcps/main.toml", "keys/alice.toml", "policies/all.cedar"]
    {
        std::fs::remove_file(dir.join(shared)).unwrap();
    }
    for plugin in ["counter", "noter", "talker"] {
        std::fs::remove_file(dir.join(format!("plugins/{plugin}.toml"))).unwrap();
    }
    for vmcp in ["notes", "spoken"] {
        std::fs::write(dir.join(format!("vmcps/{vmcp}.toml")), "title = \"x\"\nconnectors = []\n")
            .unwrap();
    }
    let gone = dir.join("orgs/gamma");
    std::fs::create_dir_all(&gone).unwrap();
    let refused = gateway.cli(&["apply", dir.to_str().unwrap()]).await;
    assert!(!refused.ok && refused.stderr.contains("no organisation `gamma`"), "{refused:?}");
    assert_eq!(status(&gateway, "acme").await["vmcps"], json!([]), "nothing was changed");
    std::fs::remove_dir(&gone).unwrap();
    let applied = gateway.cli(&["apply", dir.to_str().unwrap()]).await;
    assert!(applied.ok && applied.stdout.contains("organisation acme"), "{applied:?}");
    let count = async |org: &str| status(&gateway, org).await["vmcps"].as_array().unwrap().len();
    assert_eq!((count("").await, count("acme").await, count("beta").await), (3, 3, 0));
}
