//! The stdio peer over streams in memory, and with real processes.

mod hostile;
mod listen;
mod questions;

use serde_json::{Value, json};
use tidegate_model::Json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, split},
    sync::mpsc,
};

use super::*;
use crate::{
    client::{Event, Exchange},
    mcp::revision::Revision,
};

/// The server's end of the streams.
struct Server {
    lines: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    out: WriteHalf<DuplexStream>,
}

impl Server {
    async fn next(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    async fn say(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).await.unwrap();
        self.out.write_all(b"\n").await.unwrap();
    }

    async fn answer(&mut self, request: &Value, result: Value) {
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        self.say(&answer.to_string()).await;
    }

    async fn refuse(&mut self, request: &Value) {
        self.refuse_with(request, -32_601).await;
    }

    async fn refuse_with(&mut self, request: &Value, code: i64) {
        let error = json!({"code": code, "message": "no"});
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
        self.say(&answer.to_string()).await;
    }
}

fn settings() -> StdioSettings {
    StdioSettings {
        name: "test".into(),
        era: None,
        probe_timeout: Duration::from_secs(5),
        setup_timeout: Duration::from_secs(5),
        answer_limit: 1 << 20,
    }
}

fn pipes() -> (DuplexStream, Server) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, out) = split(theirs);
    (ours, Server { lines: BufReader::new(reader).lines(), out })
}

fn discovered() -> Value {
    json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})
}

fn initialized() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "m", "version": "1"}})
}

/// A peer with a modern server whose requests are left to the test.
async fn modern() -> (Arc<StdioPeer>, Server) {
    let (ours, mut server) = pipes();
    let (reader, writer) = split(ours);
    let settings = settings();
    let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
        let probe = server.next().await.unwrap();
        assert_eq!(probe["method"], "server/discover");
        server.answer(&probe, discovered()).await;
    });
    (Arc::new(peer.unwrap()), server)
}

fn ask(
    peer: &Arc<StdioPeer>,
    events: Option<mpsc::Sender<Event>>,
) -> tokio::task::JoinHandle<Result<Answer, PeerError>> {
    let peer = Arc::clone(peer);
    tokio::spawn(async move {
        let exchange = Exchange { progress: events.is_some(), events, ..Exchange::default() };
        let outgoing =
            Outgoing { method: "tools/call", exchange: Some(&exchange), ..Outgoing::default() };
        peer.request(&outgoing).await
    })
}

#[tokio::test]
async fn the_era_is_found_out() {
    let (ours, mut server) = pipes();
    let (reader, writer) = split(ours);
    let settings = settings();
    let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
        let probe = server.next().await.unwrap();
        server.refuse(&probe).await;
        let initialize = server.next().await.unwrap();
        assert_eq!(initialize["params"]["protocolVersion"], "2025-11-25");
        server.answer(&initialize, initialized()).await;
    });
    let peer = peer.unwrap();
    assert_eq!(peer.info().unwrap().revision, Revision::V2025_11_25);
    assert_eq!(server.next().await.unwrap()["method"], "notifications/initialized");
}

#[tokio::test]
async fn silence_means_legacy_but_a_late_answer_counts() {
    for late in [false, true] {
        let (ours, mut server) = pipes();
        let (reader, writer) = split(ours);
        let settings = StdioSettings { probe_timeout: Duration::from_millis(20), ..settings() };
        let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
            let probe = server.next().await.unwrap();
            let initialize = server.next().await.unwrap();
            assert_eq!(initialize["method"], "initialize");
            if late {
                server.refuse(&initialize).await;
                server.answer(&probe, discovered()).await;
            } else {
                server.answer(&initialize, initialized()).await;
            }
        });
        let expected = if late { Revision::LATEST } else { Revision::V2025_11_25 };
        assert_eq!(peer.unwrap().info().unwrap().revision, expected);
    }
}

#[tokio::test]
async fn answers_out_of_order_reach_those_who_asked() {
    let (peer, mut server) = modern().await;
    let calls: Vec<_> = (0..20).map(|_| ask(&peer, None)).collect();
    let mut requests = Vec::new();
    for _ in 0..20 {
        requests.push(server.next().await.unwrap());
    }
    server.say(r#"{"jsonrpc":"2.0","id":999999,"result":{}}"#).await;
    for request in requests.iter().rev() {
        server.answer(request, json!({"nonce": request["id"]})).await;
        server.answer(request, json!({"nonce": "twice"})).await;
    }
    let mut nonces = Vec::new();
    for call in calls {
        let Answer::Result(result) = call.await.unwrap().unwrap() else { panic!() };
        nonces.push(result.read::<Value>().unwrap()["nonce"].as_u64().unwrap());
    }
    nonces.sort_unstable();
    let mut ids: Vec<_> = requests.iter().map(|r| r["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(nonces, ids);
}

#[tokio::test]
async fn junk_is_counted_and_passed_over() {
    let (peer, mut server) = modern().await;
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    for junk in [
        "Server running on stdio",
        "{]",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#,
        r#"{"a":1,"a":2}"#,
        "[]",
    ] {
        server.say(junk).await;
    }
    server.say("").await;
    server.answer(&request, json!({})).await;
    call.await.unwrap().unwrap();
    assert_eq!(peer.junk_lines(), 6);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_fails_its_call() {
    let (peer, mut server) = modern().await;
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    server.answer(&request, json!({"a": "x".repeat(2 << 20)})).await;
    assert!(matches!(call.await.unwrap(), Err(PeerError::TooLarge { .. })));
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    server.answer(&request, json!({})).await;
    call.await.unwrap().unwrap();
}

/// A listen request waits for no answer that could be too large.
#[tokio::test]
async fn an_answer_beyond_the_limit_fails_its_call_while_somebody_listens() {
    let (ours, mut server) = pipes();
    let (reader, writer) = split(ours);
    let settings = settings();
    let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
        let probe = server.next().await.unwrap();
        let mut result = discovered();
        result["capabilities"] = json!({"tools": {"listChanged": true}});
        server.answer(&probe, result).await;
    });
    let peer = Arc::new(peer.unwrap());
    let (_wanted, wanted) = watch::channel(Wanted::default());
    let (sink, mut heard) = mpsc::channel(4);
    let listener = Arc::clone(&peer);
    let listening = tokio::spawn(async move { listener.listen(wanted, &sink).await });
    let id = server.next().await.unwrap()["id"].clone();
    let tagged = |method: &str, padding: &str| {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
        let params = json!({"_meta": meta, "padding": padding});
        json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
    };
    server.say(&tagged("notifications/subscriptions/acknowledged", "")).await;
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    server.answer(&request, json!({"a": "x".repeat(2 << 20)})).await;
    assert!(matches!(call.await.unwrap(), Err(PeerError::TooLarge { .. })));
    // Nobody waits for an answer now: a notification beyond the limit ends nothing.
    server.say(&tagged("notifications/tools/list_changed", &"x".repeat(2 << 20))).await;
    server.say(&tagged("notifications/tools/list_changed", "")).await;
    assert_eq!(heard.recv().await.unwrap().method, "notifications/tools/list_changed");
    assert!(!listening.is_finished());
}

#[tokio::test]
async fn progress_goes_to_its_request() {
    let (peer, mut server) = modern().await;
    let (tx, mut rx) = mpsc::channel(4);
    let (first, second) = (ask(&peer, Some(tx)), ask(&peer, None));
    let requests = [server.next().await.unwrap(), server.next().await.unwrap()];
    let wants = |r: &&Value| !r["params"]["_meta"]["progressToken"].is_null();
    let wanting = requests.iter().find(wants).unwrap();
    let other = requests.iter().find(|r| !wants(r)).unwrap();
    for (token, at) in [(&wanting["id"], 1), (&other["id"], 2), (&wanting["id"], 3)] {
        let params = json!({"progressToken": token, "progress": at});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        server.say(&note.to_string()).await;
    }
    for request in &requests {
        server.answer(request, json!({})).await;
    }
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let mut seen = Vec::new();
    while let Some(Event::Notification(note)) = rx.recv().await {
        seen.push(note.params.read::<Value>().unwrap()["progress"].as_u64().unwrap());
    }
    assert_eq!(seen, [1, 3]);
}

#[tokio::test]
async fn questions_changes_and_cancellation() {
    let (peer, mut server) = modern().await;
    let mut changes = peer.changes();
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    server.say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert_eq!(server.next().await.unwrap(), json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    server.say(r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#).await;
    assert_eq!(server.next().await.unwrap()["error"]["code"], -32601);
    server.say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
    changes.changed().await.unwrap();
    call.abort();
    let told = server.next().await.unwrap();
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"]["requestId"], request["id"]);
}

#[tokio::test]
async fn a_server_that_goes_away_fails_everybody_at_once() {
    let (peer, server) = modern().await;
    let calls: Vec<_> = (0..3).map(|_| ask(&peer, None)).collect();
    drop(server);
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(PeerError::Closed)));
    }
    assert!(peer.is_closed());
    assert!(matches!(ask(&peer, None).await.unwrap(), Err(PeerError::Closed)));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (ours, _server) = pipes();
    let (reader, writer) = split(ours);
    let settings = StdioSettings {
        probe_timeout: Duration::from_millis(10),
        setup_timeout: Duration::from_millis(50),
        ..settings()
    };
    let outcome = StdioPeer::over(reader, writer, &settings).await;
    assert!(matches!(outcome, Err(PeerError::Silent(_))));
}

fn shell(script: &str) -> Command {
    Command {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![
            ("PATH".into(), Secret::new("/usr/bin:/bin".into())),
            ("KEY".into(), Secret::new("canary".into())),
        ],
        cwd: Some("/".into()),
    }
}

/// Answers the probe, then whatever `rest` does.
fn modern_shell(rest: &str) -> Command {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
    shell(&format!("read line; echo '{answer}'; {rest}"))
}

#[tokio::test]
async fn a_process_sees_its_own_environment_only() {
    let answer = r#"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"env\":\"$(env | cut -d= -f1 | sort | tr '\n' ' ')\",\"cwd\":\"$(pwd)\"}}"#;
    let command = modern_shell(&format!(r#"read line; echo "{answer}"; read line"#));
    let peer = Arc::new(StdioPeer::spawn(&command, &settings()).await.unwrap());
    let answer = ask(&peer, None).await.unwrap().unwrap();
    let seen: Value = answer.json().read().unwrap();
    let names: Vec<_> = seen["env"].as_str().unwrap().split_whitespace().collect();
    let foreign: Vec<_> = names
        .iter()
        .filter(|n| !["KEY", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(n))
        .collect();
    assert!(names.contains(&"KEY") && foreign.is_empty(), "{names:?}");
    assert_eq!(seen["cwd"], "/");
    assert!(!format!("{command:?}").contains("canary"));
    peer.close().await;
}

#[tokio::test]
async fn arguments_are_handed_over_byte_for_byte() {
    let hostile = ["; touch /tmp/x", "$(id)", "`id`", "--flag", "a\nb", "\"'\\", "ü", ""];
    let script = r#"read line; echo '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}'
        read line; printf '%s\0' "$@" | od -An -v -tx1 | tr -d ' \n' > hex
        echo "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"hex\":\"$(cat hex)\"}}"; read line"#;
    let home = tempfile::tempdir().unwrap();
    let mut command = shell(script);
    command.args.push("sh".into());
    command.args.extend(hostile.map(str::to_owned));
    command.cwd = Some(home.path().to_owned());
    let peer = Arc::new(StdioPeer::spawn(&command, &settings()).await.unwrap());
    let answer = ask(&peer, None).await.unwrap().unwrap();
    let expected: String = hostile
        .iter()
        .flat_map(|arg| arg.bytes().chain([0]))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(answer.json().as_str(), Json::of(&json!({"hex": expected})).unwrap().as_str());
}

#[tokio::test]
async fn the_last_words_of_a_process_are_heard() {
    let command = modern_shell(
        r#"read line; echo '{"jsonrpc":"2.0","id":2,"result":{"bye":1}}'; echo oops >&2; exit 3"#,
    );
    let peer = Arc::new(StdioPeer::spawn(&command, &settings()).await.unwrap());
    assert_eq!(ask(&peer, None).await.unwrap().unwrap().json().as_str(), r#"{"bye":1}"#);
    assert!(matches!(ask(&peer, None).await.unwrap(), Err(PeerError::Closed)));
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_stubborn_process_and_its_children_are_gone_after_closing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = modern_shell(
        "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $$ $! > pids; mv pids done; while :; do sleep 1; done",
    );
    command.cwd = Some(home.path().to_owned());
    let peer = StdioPeer::spawn(&command, &settings()).await.unwrap();
    let file = home.path().join("done");
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    let pids = std::fs::read_to_string(file).unwrap();
    let pids: Vec<_> = pids.split_whitespace().collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| alive(pid)));
    peer.close().await;
    for pid in pids {
        // The kernel needs a moment to bury those whose parent is gone.
        while alive(pid) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    let plain = home.path().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let nowhere = Some(home.path().join("nowhere"));
    for (program, cwd, part) in [
        ("no-such-command-here", None, "`no-such-command-here` was not found"),
        (plain.to_str().unwrap(), None, "may not be run"),
        ("sh", nowhere, "does not exist"),
    ] {
        let command = Command { program: program.into(), args: vec![], cwd, ..shell("") };
        let error = StdioPeer::spawn(&command, &settings()).await.unwrap_err();
        assert!(error.nothing_sent());
        assert!(error.to_string().contains(part), "{error}");
    }
    let quits = StdioPeer::spawn(&shell("exit 1"), &settings()).await.unwrap_err();
    assert!(matches!(quits, PeerError::Closed), "{quits:?}");
}
