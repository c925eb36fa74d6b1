//! Nobody but the gateway is listened to, and it only for this machine.

use std::os::unix::fs::PermissionsExt as _;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use std::io::Write as _;
use tidegate_model::{Clock as _, SystemClock, Timestamp};
use tidegate_wire::hosted::{Addressee, HEADER, Head, HostedKey, Minter};

use crate::machine::{Sending, addressee, call, command, delete, get, machine};

fn signed(minter: &Minter, sending: &Sending, at: Timestamp) -> Sending {
    let head = Head { method: sending.method, target: sending.target };
    let token = minter.mint(head, &sending.headers, &sending.body, at);
    let mut signed = sending.clone();
    signed.headers.push((HEADER, token));
    signed
}

#[tokio::test]
async fn every_path_and_verb_wants_a_token() {
    let machine = machine(&["modern"], &[]);
    for sending in [
        call(1, "pid", json!({})),
        get("/mcp"),
        delete("/mcp"),
        get("/healthz"),
        delete("/children"),
        get("/"),
        get("/nothing/here"),
    ] {
        let target = sending.target;
        let reply = machine.send_as_it_is(sending.clone()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{target}");
        assert_eq!(reply.error().await, "the hosted-call token is missing", "{target}");
        let reply = machine.send_as_it_is(sending.with("x-mintmcp-hosted-auth", "a.b.c")).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{target}");
    }
    // None of them has started a child.
    assert_eq!(machine.health().await["starts"], 0);
}

#[tokio::test]
async fn tokens_of_others_and_of_other_times_are_refused() {
    let machine = machine(&["modern"], &[]);
    let now = SystemClock.now();
    let ago = |seconds: u64| Timestamp::from_millis(now.as_millis() - seconds * 1000);
    let of = |change: fn(&mut Addressee), key: &HostedKey| {
        let mut to = addressee();
        change(&mut to);
        Minter::new("gw", &to, key.clone(), HEADER).unwrap()
    };
    let other = HostedKey::generate().unwrap();
    let sending = call(1, "pid", json!({}));
    let cases = [
        ("stale", of(|_| {}, &machine.key), ago(127)),
        (
            "from the future",
            of(|_| {}, &machine.key),
            now.after(std::time::Duration::from_secs(60)),
        ),
        ("of another machine", of(|to| to.machine = "m2".into(), &machine.key), now),
        ("of another connector", of(|to| to.connector = "mail".into(), &machine.key), now),
        ("of another organisation", of(|to| to.org = "other".into(), &machine.key), now),
        ("of another key", of(|_| {}, &other), now),
    ];
    for (what, minter, at) in cases {
        let reply = machine.send_as_it_is(signed(&minter, &sending, at)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    // The same request again is the one that a thief would send.
    let good = signed(&machine.minter, &sending, now);
    assert_eq!(machine.send_as_it_is(good.clone()).await.status, StatusCode::OK);
    let reply = machine.send_as_it_is(good).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.error().await, "the hosted-call token was used before");
    machine.logged(|line| line["why"] == "the hosted-call token was used before").await;
}

#[tokio::test]
async fn nothing_of_a_request_can_be_exchanged_under_its_token() {
    let machine = machine(&["modern"], &[]);
    let now = SystemClock.now();
    let sending = call(1, "echo", json!({"amount": 1})).child("alice", Some(&json!({"KEY": "a"})));
    type Change = fn(&mut Sending);
    let changes: [(&str, Change); 5] = [
        ("the body", |it| {
            let body = String::from_utf8(it.body.to_vec()).unwrap();
            it.body = body.replace("\"amount\":1", "\"amount\":9").into();
        }),
        ("the child", |it| {
            let child = HeaderName::from_static("x-tidegate-child");
            let at = it.headers.iter().position(|(name, _)| *name == child).unwrap();
            it.headers[at].1 = HeaderValue::from_static("bob");
        }),
        ("the environment", |it| it.headers.retain(|(name, _)| name != "x-tidegate-env")),
        ("a header more", |it| *it = it.clone().with("x-forwarded-for", "10.0.0.1")),
        ("the path", |it| it.target = "/mcp?x"),
    ];
    for (what, change) in changes {
        let mut changed = signed(&machine.minter, &sending, now);
        change(&mut changed);
        let reply = machine.send_as_it_is(changed).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let reply = machine.send_as_it_is(signed(&machine.minter, &sending, now)).await;
    assert_eq!(reply.value().await, json!({"amount": 1}));
}

#[tokio::test]
async fn keys_are_exchanged_while_calls_run() {
    let mut machine = machine(&["modern"], &[]);
    let next = HostedKey::generate().unwrap();
    let line = json!({"key": next.write().expose()});
    writeln!(machine.stdin.as_mut().unwrap(), "{line}").unwrap();
    machine.logged(|line| line["key"] == next.id()).await;
    for id in 0..20 {
        if id == 10 {
            machine.minter.use_key(next.clone());
        }
        assert_eq!(machine.called(call(id, "echo", json!({"n": id}))).await, json!({"n": id}));
    }
}

#[tokio::test]
async fn the_key_is_nowhere_but_in_the_bridge() {
    let machine = machine(&["modern"], &[]);
    let secret = machine.key.write();
    let secret = secret.expose().split_once('.').unwrap().1.to_owned();
    let env = machine.called(call(1, "env", json!({}))).await;
    assert_eq!(env, json!({"BASE": "machine", "SHARED": "yes"}), "exactly what was given");
    let pid = machine.called(call(2, "pid", json!({}))).await;
    let bridge = machine.health().await["pid"].clone();
    assert_eq!(pid, bridge);
    for process in [pid.as_u64().unwrap(), u64::from(machine.pid())] {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{process}/{file}")).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(&secret), "{file} of {process}");
        }
    }
    let log = format!("{:?}", machine.stderr.lock().unwrap());
    assert!(!log.contains(&secret));
    let mode = std::fs::metadata(&machine.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_bridge_without_a_good_key_does_not_begin() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    for (line, said) in [("", "no key"), ("{\"key\":\"x\"}\n", "machine key"), ("x\n", "json")] {
        let mut process = command(&socket, &["modern"], &["--key-stdin"]).spawn().unwrap();
        process.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let out = process.wait_with_output().unwrap();
        assert!(!out.status.success() && out.stdout.is_empty());
        let log = String::from_utf8(out.stderr).unwrap();
        assert!(log.contains(said), "{log}");
    }
    let file = dir.path().join("key");
    std::fs::write(&file, HostedKey::generate().unwrap().write().expose()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.to_str().unwrap();
    let out = command(&socket, &["modern"], &["--key-file", path]).output().unwrap();
    assert!(!out.status.success());
    assert!(String::from_utf8(out.stderr).unwrap().contains("0600"));
}
