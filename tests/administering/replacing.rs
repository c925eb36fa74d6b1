//! Versions exchanged under load: at 500 calls per second none is lost, and each row names the
//! version that ran.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{digest, done_at, echo, short, version};
use crate::support::{Client, Rpc, Setup, TestGateway, eventually};

/// Between two calls: 500 in a second.
const PACE: Duration = Duration::from_millis(2);
/// Calls that are offered at least: five seconds of them.
const OFFERED: usize = 2_500;
/// Calls under way at a time; a machine that is slower than the pace is not flooded.
const UNDER_WAY: usize = 200;
const EXCHANGES: u8 = 10;
/// Calls that each version serves at least.
const CALLS: usize = 50;

/// Calls at a steady pace, each with a trace id of its own, until `stop` and no fewer than
/// [`OFFERED`]; each must be answered as if there was no plugin. Returns the trace ids, and the
/// answers that were others.
async fn offer(
    client: Client,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> (BTreeSet<String>, Vec<Rpc>) {
    let mut pace = interval(PACE);
    // What is late is made up for, so that as many are offered.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let (mut offered, mut calls) = (BTreeSet::new(), JoinSet::new());
    while offered.len() < OFFERED || !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let trace = format!("{:032x}", offered.len() + 1);
        offered.insert(trace.clone());
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        calls.spawn(async move {
            let meta = json!({ "traceparent": format!("00-{trace}-00000000000000aa-01") });
            let arguments = json!({ "message": trace });
            let call = json!({ "name": "echo", "arguments": arguments, "_meta": meta });
            let answer = client.request("tools/call", call).await;
            answered.fetch_add(1, Ordering::Relaxed);
            drop(place);
            let said = arguments.to_string();
            let is_echo = !answer.is_tool_error() && answer.text() == said;
            (!is_echo).then_some(answer)
        });
    }
    let others = calls.join_all().await.into_iter().flatten().collect();
    (offered, others)
}

async fn figures(gateway: &TestGateway) -> Vec<Value> {
    let list = done_at(gateway, &["list", "--json"]).await.stdout;
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    list[0]["versions"].as_array().unwrap().clone()
}

/// Waits until a call of the load has run through this version. The last rows tell: all of them
/// would take longer to read than the exchange.
async fn until_runs(gateway: &TestGateway, hash: &str) {
    eventually(&format!("a call through {hash}"), || async {
        let output = gateway.cli(&["audit", "tail", "--json", "-n", "20"]).await;
        assert!(output.ok, "{output:?}");
        let mut rows =
            output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.any(|row| row["plugins"][0]["hash"] == hash).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_are_exchanged_and_rolled_back_without_losing_a_call() {
    let mock = echo().await;
    let builds = tempfile::tempdir().unwrap();
    let first = version(builds.path(), "bench-pass", 0);
    // As many calls as are under way may be at the connector.
    let room = format!("[limits]\nconcurrency = {UNDER_WAY}");
    let setup = Setup::simple(&mock).remote("up", &mock, &room);
    let source = first.to_str().unwrap();
    super::done(&setup, &["install", source, "--name", "p", "--yes"]).await;
    // Nobody's call is to fail for want of a processor.
    let limits = ["--limit", "time_ms=10000", "--limit", "wait_ms=60000"];
    super::done(&setup, &[&["bind", "p", "--vmcp", "main"][..], &limits].concat()).await;
    let gateway = setup.start().await;
    let mut hashes = BTreeSet::from([short(&digest(&first)).to_owned()]);

    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = gateway.client("alice", "main");
    let load = tokio::spawn(offer(client, Arc::clone(&stop), Arc::clone(&calls)));
    let some_calls = async || {
        let before = calls.load(Ordering::Relaxed);
        eventually("some calls", || async {
            (calls.load(Ordering::Relaxed) >= before + CALLS).then_some(())
        })
        .await;
    };
    for number in 1..=EXCHANGES {
        some_calls().await;
        let path = version(builds.path(), "bench-pass", number);
        let hash = short(&digest(&path)).to_owned();
        let install = ["install", path.to_str().unwrap(), "--name", "p", "--yes"];
        done_at(&gateway, &install).await;
        until_runs(&gateway, &hash).await;
        hashes.insert(hash);
        if number % 5 == 0 {
            done_at(&gateway, &["rollback", "p"]).await;
            let before = version(builds.path(), "bench-pass", number - 1);
            let before = short(&digest(&before)).to_owned();
            until_runs(&gateway, &before).await;
            done_at(&gateway, &["rollback", "p"]).await;
        }
    }
    some_calls().await;
    stop.store(true, Ordering::Relaxed);
    let (offered, others) = load.await.unwrap();

    let rows = gateway.audit().await;
    let rows: Vec<&Value> = rows.iter().filter(|row| row["method"] == "tools/call").collect();
    let mut traces: BTreeMap<&str, usize> = BTreeMap::new();
    for trace in rows.iter().filter_map(|row| row["trace"].as_str()) {
        *traces.entry(trace).or_default() += 1;
    }
    // Every call that was offered has its row, just one, and there are no others.
    assert_eq!(rows.len(), offered.len());
    for trace in &offered {
        assert_eq!(traces.get(trace.as_str()), Some(&1), "{trace}");
    }
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
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(calls.load(Ordering::Relaxed), offered.len());

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
