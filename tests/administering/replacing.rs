//! Versions exchanged under load: no call is lost, and each row names the version that ran.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use super::{digest, done_at, echo, short, until_note, version};
use crate::support::{Setup, TestGateway, eventually};

const WORKERS: usize = 8;
const EXCHANGES: u8 = 10;
/// Calls that each exchange waits for.
const CALLS: usize = 150;

async fn figures(gateway: &TestGateway) -> Vec<Value> {
    let list = done_at(gateway, &["list", "--json"]).await.stdout;
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    list[0]["versions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_are_exchanged_and_rolled_back_without_losing_a_call() {
    let mock = echo().await;
    let builds = tempfile::tempdir().unwrap();
    let first = version(builds.path(), "bench-pass", 0);
    let setup = Setup::simple(&mock);
    let source = first.to_str().unwrap();
    super::done(&setup, &["install", source, "--name", "p", "--yes"]).await;
    super::done(&setup, &["bind", "p", "--vmcp", "main"]).await;
    let gateway = setup.start().await;
    let mut hashes = BTreeSet::from([short(&digest(&first)).to_owned()]);

    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (client, stop) = (gateway.client("alice", "main"), Arc::clone(&stop));
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.call("echo", json!({ "message": "hi" })).await;
                    assert!(!answer.is_tool_error(), "{answer:?}");
                    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let some_calls = async || {
        let before = calls.load(Ordering::Relaxed);
        eventually("some calls", || async {
            (calls.load(Ordering::Relaxed) >= before + CALLS).then_some(())
        })
        .await;
    };
    let client = gateway.client("alice", "main");
    for number in 1..=EXCHANGES {
        some_calls().await;
        let path = version(builds.path(), "bench-pass", number);
        let hash = short(&digest(&path)).to_owned();
        let install = ["install", path.to_str().unwrap(), "--name", "p", "--yes"];
        done_at(&gateway, &install).await;
        until_note(&gateway, &client, Some((&hash, "proceed"))).await;
        hashes.insert(hash);
        if number % 3 == 0 {
            done_at(&gateway, &["rollback", "p"]).await;
            let before = version(builds.path(), "bench-pass", number - 1);
            let before = short(&digest(&before)).to_owned();
            until_note(&gateway, &client, Some((&before, "proceed"))).await;
            done_at(&gateway, &["rollback", "p"]).await;
        }
    }
    some_calls().await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }

    let rows = gateway.audit().await;
    let rows: Vec<&Value> = rows.iter().filter(|row| row["method"] == "tools/call").collect();
    assert!(rows.len() >= calls.load(Ordering::Relaxed));
    let mut seen = BTreeSet::new();
    for row in &rows {
        let notes = row["plugins"].as_array().unwrap();
        let said: Vec<_> = notes.iter().map(|note| note["verdict"].as_str().unwrap()).collect();
        assert_eq!(said, ["proceed", "proceed"], "{row}");
        let of_call: BTreeSet<_> =
            notes.iter().map(|note| note["hash"].as_str().unwrap()).collect();
        // One call runs through one version, on both ways.
        assert_eq!(of_call.len(), 1, "{row}");
        assert!(notes.iter().all(|note| note["plugin"] == "p"), "{row}");
        seen.extend(of_call.into_iter().map(str::to_owned));
    }
    assert_eq!(seen, hashes);

    check_figures(&gateway, &rows, &hashes).await;
}

/// The figures are by version, survive the exchanges, and are bounded.
async fn check_figures(gateway: &TestGateway, rows: &[&Value], hashes: &BTreeSet<String>) {
    let versions = figures(gateway).await;
    assert_eq!(versions.len(), 8, "{versions:?}");
    let last = versions.last().unwrap();
    assert!(hashes.contains(last["version"].as_str().unwrap()));
    let hooks = |hash: &Value| {
        let with = rows.iter().filter(|row| row["plugins"][0]["hash"] == *hash);
        with.count() as u64 * 2
    };
    for version in &versions {
        assert_eq!(version["calls"], hooks(&version["version"]), "{version}");
        assert_eq!(version["ended"], json!({ "proceed": version["calls"] }));
        assert!(version["memory_high_water"].as_u64().unwrap() >= 65_536, "{version}");
    }
    assert_eq!(versions.iter().filter(|version| version["bound"] == true).count(), 1);
    let metrics = gateway.ops("/metrics").send(hyper::Method::GET, &[], "").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let line = format!(
        "tidegate_plugin_hooks_total{{org=\"default\",plugin=\"p\",version=\"{}\",end=\"proceed\"}} {}",
        last["version"].as_str().unwrap(),
        last["calls"]
    );
    assert!(metrics.contains(&line), "{line}\n{metrics}");
    let series = [
        "hook_duration_seconds_bucket{le=\"+Inf\",",
        "hook_duration_seconds_count{",
        "memory_bytes{",
        "guest_ticks_total{",
    ];
    for name in series {
        let line = format!("tidegate_plugin_{name}org=\"default\",plugin=\"p\"");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    let status = gateway.cli(&["status"]).await.stdout;
    assert!(status.contains(last["version"].as_str().unwrap()), "{status}");
}
