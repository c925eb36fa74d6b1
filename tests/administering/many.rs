//! Very many bindings of one component: read once, compiled once, and still themselves.

use std::{fmt::Write, time::Instant};

use serde_json::json;

use super::{echo, until_note};
use crate::{
    guests::guest,
    support::{Setup, eventually},
};

/// Bindings, unless `TIDEGATE_BINDINGS` says otherwise.
const BINDINGS: usize = 1_000;
/// Virtual MCPs that they are spread over.
const VMCPS: usize = 20;

/// Resident memory of a process in MiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[expect(clippy::disallowed_methods, reason = "the soak asks for more this way")]
fn wanted() -> usize {
    std::env::var("TIDEGATE_BINDINGS").map_or(BINDINGS, |text| text.parse().unwrap())
}

#[tokio::test]
async fn very_many_bindings_load_and_are_kept_apart() {
    let count = wanted();
    let mock = echo().await;
    let mut setup = Setup::simple(&mock);
    let component = guest("bench-pass");
    let file = |number: usize, more: &str| {
        let mut text = format!("component = {component:?}\n{more}");
        let _ = write!(text, "[limits]\ntime_ms = {}\n", 1 + number % 1_000);
        text
    };
    // Spread over virtual MCPs, but for the last, which is bound where it is called.
    for number in 0..VMCPS {
        setup = setup.vmcp(&format!("v{number}"), &["up"]);
    }
    for number in 0..count - 1 {
        let bind = format!("bind = [{{ vmcp = \"v{}\" }}]\n", number % VMCPS);
        setup = setup.file(&format!("plugins/p{number}.toml"), &file(number, &bind));
    }
    setup = setup.file("plugins/last.toml", &file(500, "bind = [{ vmcp = \"main\" }]\n"));
    let began = Instant::now();
    let gateway = setup.start().await;
    let started = began.elapsed();
    let client = gateway.client("alice", "main");
    let answer = client.call("echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
    let rows = gateway.audit().await;
    let notes = rows.last().unwrap()["plugins"].as_array().unwrap().clone();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note["plugin"] == "last"), "{notes:?}");
    let hash = notes[0]["hash"].as_str().unwrap().to_owned();
    let memory = resident(gateway.id());

    // One of very many changes; the others are kept.
    let began = Instant::now();
    gateway.write(
        "plugins/last.toml",
        &file(500, "mode = \"observe\"\nbind = [{ vmcp = \"main\" }]\n"),
    );
    until_note(&gateway, &client, Some((&hash, "observed:proceed"))).await;
    let changed = began.elapsed();
    eventually("no problems", || async {
        let status = gateway.cli(&["status", "--json"]).await.stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["problems"] == json!([]) && status["plugins"].as_array().unwrap().len() == count)
            .then_some(())
    })
    .await;
    println!("{count} bindings: ready after {started:?}, {memory} MiB, one changed in {changed:?}");
}
