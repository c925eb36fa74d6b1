//! The interop matrix: clients of the official SDKs in both eras, through the gateway, to
//! servers of the official SDKs in both eras, with every feature of the protocol.
//!
//! Owns what each cell must report. Every client makes the same walk through `offer.json`
//! and writes the same report, so that a cell differs from another only in what is said here.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    installed, node, root,
    rust_sdk::{OFFER, Target, serve, walk},
};
use crate::support::{Setup, TestGateway, eventually, patiently};

/// The page size of the gateway; not that of the servers.
const PAGE: u64 = 4;
const KEY: &str = "alice";

/// An era of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    /// 2025-11-25 and before.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// A client of an SDK.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// A script and the name it has for the mode.
    Script(&'static str, &'static str, Era),
    /// The Rust SDK, in this process.
    Rust(Era),
}

const PYTHON: [Client; 2] = [
    Client::Script("walk.py", "legacy", Era::Legacy),
    Client::Script("walk.py", "modern", Era::Modern),
];
const TYPESCRIPT: [Client; 3] = [
    Client::Script("walk.mjs", "v1", Era::Legacy),
    Client::Script("walk.mjs", "legacy", Era::Legacy),
    Client::Script("walk.mjs", "modern", Era::Modern),
];
const RUST: [Client; 2] = [Client::Rust(Era::Legacy), Client::Rust(Era::Modern)];

/// The servers, each of which speaks both eras at one URL.
#[derive(Debug)]
struct Servers {
    /// The SDK and the URL.
    at: Vec<(&'static str, String)>,
    _processes: Vec<Child>,
}

impl Era {
    const ALL: [Self; 2] = [Self::Legacy, Self::Modern];

    fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }

    fn revision(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

impl Client {
    fn era(self) -> Era {
        match self {
            Self::Script(_, _, era) | Self::Rust(era) => era,
        }
    }

    /// One report for each target.
    async fn walk(self, key: Option<&str>, targets: &[Target]) -> Vec<Value> {
        let (name, mode) = match self {
            Self::Script(name, mode, _) => (name, mode),
            Self::Rust(era) => {
                let mut reports = Vec::new();
                for target in targets {
                    reports.push(walk(target, key, era == Era::Modern).await);
                }
                return reports;
            }
        };
        let mut command = script(name);
        command.args([key.unwrap_or_default(), mode]);
        command.args(targets.iter().map(|one| json!([one.url, one.name, one.uri]).to_string()));
        let output = patiently(name, command.output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {mode}: {said}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name} {mode}: {error}: {said}"))
    }
}

/// A script of `tests/peers` and the program that runs it, ready for its arguments.
fn script(name: &str) -> Command {
    let path = root().join("tests/peers").join(name);
    let mut command = if name.ends_with(".py") {
        Command::new(installed("py/bin/python"))
    } else {
        Command::new(node())
    };
    command.arg(path).stdin(Stdio::null()).kill_on_drop(true);
    if name.ends_with(".mjs") {
        command.arg(installed("npm"));
    }
    command
}

/// Starts a server's script: the process and its URL.
async fn start(name: &str) -> (Child, String) {
    let mut child = script(name).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    patiently(name, stdout.read_line(&mut line)).await.unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{name}: {line}"));
    (child, ready["url"].as_str().unwrap().to_owned())
}

impl Servers {
    async fn start() -> Self {
        let (python, typescript) = tokio::join!(start("server.py"), start("server.mjs"));
        let at = vec![("python", python.1), ("typescript", typescript.1), ("rust", serve().await)];
        Self { at, _processes: vec![python.0, typescript.0] }
    }

    /// A gateway with a connector and a virtual MCP for each server in each era, named
    /// `python-legacy` and so on, and everything permitted.
    async fn gateway(&self) -> TestGateway {
        let mut setup = Setup::new()
            .settings(&format!("[limits]\npage = {PAGE}"))
            .key(KEY, &["staff"])
            .policy("all", "permit (principal, action, resource);");
        for (sdk, url) in &self.at {
            for era in Era::ALL {
                let name = format!("{sdk}-{}", era.name());
                setup = setup
                    .file(&format!("connectors/{name}.toml"), &connector(url, era.name()))
                    .vmcp(&name, &[&name]);
            }
        }
        let gateway = setup.start().await;
        for (name, _) in self.cells() {
            offers(&gateway, &name).await;
        }
        gateway
    }

    /// The connectors by name, each with the era that it speaks.
    fn cells(&self) -> Vec<(String, Era)> {
        let cell = |sdk: &str, era: Era| (format!("{sdk}-{}", era.name()), era);
        self.at.iter().flat_map(|(sdk, _)| Era::ALL.map(|era| cell(sdk, era))).collect()
    }
}

fn connector(url: &str, era: &str) -> String {
    format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\nera = \"{era}\"\n")
}

/// Waits until a virtual MCP has tools.
async fn offers(gateway: &TestGateway, vmcp: &str) {
    let client = gateway.client(KEY, vmcp);
    eventually(&format!("the tools of {vmcp}"), || async {
        (!client.tool_names().await.is_empty()).then_some(())
    })
    .await;
}

fn names(kind: &str, field: &str) -> Vec<Value> {
    OFFER[kind].as_array().unwrap().iter().map(|entry| entry[field].clone()).collect()
}

/// What a walk must report that makes `pages` pages of the tools.
fn expected(client: Era, server: Era, pages: u64) -> Value {
    json!({
        "revision": client.revision(),
        "server": server.name(),
        "capabilities": [
            "completions", "logging", "prompts", "prompts.listChanged", "resources",
            "resources.listChanged", "resources.subscribe", "tools", "tools.listChanged",
        ],
        "tools": names("tools", "name"),
        "prompts": names("prompts", "name"),
        "resources": names("resources", "uri"),
        "templates": names("templates", "uriTemplate"),
        "pages": pages,
        "echo": "grüße",
        "structured": { "city": "Oslo", "degrees": 21.5 },
        "failed": [true, "no such customer"],
        "stepped": "all three",
        "steps": [[1, 3, "step 1"], [2, 3, "step 2"], [3, 3, "step 3"]],
        "cancelled": true,
        "linked": ["test://note", "test://note"],
        "followed": "a note",
        "plain": "Hello",
        "greeting": "Hello, Ada",
        "about": "test://note",
        "personal": "Hello, Ada",
        "text": "a note",
        "uri": "test://note",
        "blob": "AAEC",
        "item": "item 7",
        "names": ["Ada", "Alan"],
        "ids": ["41", "42", "43"],
        "no_tool": -32602,
        "no_prompt": -32602,
        "no_resource": -32602,
        "sample": "serendipity",
        "ask": "accept Ada",
        "visit": "accept",
        "roots": "file:///walk",
        "both": "serendipity, accept Ada",
        "heard": ["prompts", "resources", "test://watched", "tools"],
        "logged": [["info", "started"], ["warning", "careful"]],
    })
}

/// The pages that the tools make.
fn pages(size: u64) -> u64 {
    u64::try_from(names("tools", "name").len()).unwrap().div_ceil(size)
}

/// What is different, feature by feature.
fn differences(report: &Value, expected: &Value) -> Vec<String> {
    let (report, expected) = (report.as_object().unwrap(), expected.as_object().unwrap());
    let features: std::collections::BTreeSet<_> = report.keys().chain(expected.keys()).collect();
    let differing = features.into_iter().filter(|one| report.get(*one) != expected.get(*one));
    let said = |one: &String| format!("{one}: {:?}, not {:?}", report.get(one), expected.get(one));
    differing.map(said).collect()
}

/// One client to every server in every era, through one gateway.
async fn check(clients: &[Client]) {
    let servers = Servers::start().await;
    let gateway = servers.gateway().await;
    let cells = servers.cells();
    let target = |(name, _): &(String, Era)| Target { url: gateway.url(name), ..Target::default() };
    let targets: Vec<_> = cells.iter().map(target).collect();
    let mut wrong = Vec::new();
    for client in clients {
        let reports = client.walk(Some(gateway.key(KEY)), &targets).await;
        assert_eq!(reports.len(), cells.len(), "{client:?}");
        for ((name, era), report) in cells.iter().zip(&reports) {
            let expected = expected(client.era(), *era, pages(PAGE));
            let differing = differences(report, &expected);
            wrong.extend(differing.into_iter().map(|one| format!("{client:?} {name} {one}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_python_sdk_works_in_both_eras() {
    check(&PYTHON).await;
}

#[tokio::test]
async fn the_typescript_sdk_works_in_both_eras() {
    check(&TYPESCRIPT).await;
}

#[tokio::test]
async fn the_rust_sdk_works_in_both_eras() {
    check(&RUST).await;
}

/// The walks themselves, with no gateway in between: what fails here is a walk or a server.
#[tokio::test]
async fn the_walks_report_what_the_servers_do() {
    let servers = Servers::start().await;
    let target = |(_, url): &(&str, String)| Target { url: url.clone(), ..Target::default() };
    let targets: Vec<_> = servers.at.iter().map(target).collect();
    let mut wrong = Vec::new();
    for client in PYTHON.iter().chain(&TYPESCRIPT).chain(&RUST) {
        let era = client.era();
        let expected = expected(era, era, pages(OFFER["page"].as_u64().unwrap()));
        for ((sdk, _), report) in servers.at.iter().zip(client.walk(None, &targets).await) {
            let differing = differences(&report, &expected);
            wrong.extend(differing.into_iter().map(|one| format!("{client:?} {sdk} {one}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One virtual MCP over a modern, a legacy and an undecided server: every connector keeps
/// its own names, URIs and features, and no client gets less because of another's era.
#[tokio::test]
async fn three_servers_of_different_eras_are_one_virtual_mcp() {
    let servers = Servers::start().await;
    let mut setup = Setup::new()
        .settings(&format!("[limits]\npage = {PAGE}"))
        .key(KEY, &["staff"])
        .policy("all", "permit (principal, action, resource);");
    for ((sdk, url), era) in servers.at.iter().zip(["modern", "legacy", "auto"]) {
        setup = setup.file(&format!("connectors/{sdk}.toml"), &connector(url, era));
    }
    let gateway = setup.vmcp("main", &["python", "typescript", "rust"]).start().await;
    let all = 3 * names("tools", "name").len();
    let client = gateway.client(KEY, "main");
    eventually("the tools of all three", || async {
        (client.tool_names().await.len() == all).then_some(())
    })
    .await;
    let target = |sdk: &str| Target {
        url: gateway.url("main"),
        name: format!("{sdk}__"),
        uri: format!("mcp+{sdk}:"),
    };
    let eras = [("python", Era::Modern), ("typescript", Era::Legacy), ("rust", Era::Modern)];
    let targets = eras.map(|(sdk, _)| target(sdk));
    let mut wrong = Vec::new();
    for client in [PYTHON[0], TYPESCRIPT[2], RUST[1]] {
        let reports = client.walk(Some(gateway.key(KEY)), &targets).await;
        for ((sdk, era), report) in eras.iter().zip(&reports) {
            let expected = expected(client.era(), *era, 3 * pages(PAGE));
            let differing = differences(report, &expected);
            wrong.extend(differing.into_iter().map(|one| format!("{client:?} {sdk} {one}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
