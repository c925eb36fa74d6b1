//! The keys that everything in the data directory is sealed with: where they come from, how they
//! are replaced while calls go on, and what ends when somebody else may know them.
//!
//! Owns looking into a store that no gateway has open. What the store does row by row is tested
//! beside it; here it is the program, its command line and its files.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tidegate_model::{Clock, OrgId, SystemClock, Timestamp};
use tidegate_store::{Batch, EmbeddedStore, FileKeys, SledOptions, Store, Table};

use crate::support::{Client, Era, Mock, MockTool, Setup, TestGateway, eventually};

mod crash;
mod sources;

/// What stands in every row that a test writes, and never on the disk.
const CANARY: &str = "canary-4c1d-vault";

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

/// The store of a set-up whose gateway does not run.
fn opened(setup: &Setup) -> EmbeddedStore {
    opened_at(setup, Arc::new(SystemClock))
}

/// The same at another time.
fn opened_at(setup: &Setup, clock: Arc<dyn Clock>) -> EmbeddedStore {
    std::fs::create_dir_all(setup.data()).unwrap();
    let keys = Arc::new(FileKeys::open(setup.data().join("root.key")).unwrap());
    let options = SledOptions::new(setup.data().join("store"));
    EmbeddedStore::sled(options, keys, clock).unwrap()
}

fn key(n: u16) -> Vec<u8> {
    format!("c\0up\0test\0{n}").into_bytes()
}

fn value(n: u16) -> Vec<u8> {
    format!("{n} {CANARY} {}", "s".repeat(400)).into_bytes()
}

/// Writes rows such as credentials are.
async fn fill(store: &EmbeddedStore, rows: u16) {
    let org = OrgId::default_org();
    for first in (0..rows).step_by(100) {
        let batch = (first..rows.min(first + 100))
            .fold(Batch::new(), |batch, n| batch.put(Table::Credential, &org, &key(n), value(n)));
        store.commit(batch).await.unwrap();
    }
}

/// A command about keys that must succeed; what it answered.
async fn rotated(gateway: &TestGateway, args: &[&str]) -> Value {
    let mut all = vec!["key", "rotate", "--json"];
    all.extend(args);
    let output = gateway.cli(&all).await;
    assert!(output.ok, "{args:?}: {output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

/// Calls from several sides until it is told to stop; every call must succeed.
async fn calling<T>(client: &Client, work: impl Future<Output = T>) -> (T, usize) {
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let (client, stop, calls) = (client.clone(), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let words = format!("caller {n}");
                    let answer = client.call("echo", json!({ "message": words })).await;
                    assert!(answer.text().contains(&words), "{answer:?}");
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    eventually("calls", || async { (calls.load(Ordering::SeqCst) > 4).then_some(()) }).await;
    let done = work.await;
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    (done, calls.load(Ordering::SeqCst))
}

fn holds(dir: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap() {
            meta if meta.is_dir() => holds(&path, wanted),
            meta if meta.is_file() => {
                std::fs::read(&path).unwrap().windows(wanted.len()).any(|part| part == wanted)
            }
            _ => false,
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_replaced_while_calls_go_on_and_nothing_is_lost() {
    const ROWS: u16 = 2_000;
    let mock = echo().await;
    let setup = Setup::simple(&mock);
    fill(&opened(&setup), ROWS).await;
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    let before = rotated(&gateway, &["--status"]).await;
    let old = before["root"]["current"].as_str().unwrap().to_owned();
    assert_eq!(before["organisations"][0]["version"], 1);

    let (after, calls) = calling(&client, rotated(&gateway, &["--wait"])).await;
    assert!(calls > 0);
    let new = after["root"].as_str().unwrap().to_owned();
    assert!(new != old && after["wrapped"] == 2, "{after}");
    assert_eq!(after["organisations"][0]["version"], 2);
    let status = rotated(&gateway, &["--status"]).await;
    let resealing = &status["organisations"][0]["resealing"];
    let (resealed, of) = (resealing["resealed"].as_u64().unwrap(), resealing["of"].as_u64());
    assert!(resealed >= u64::from(ROWS) && of.unwrap() >= u64::from(ROWS), "{resealing}");
    assert!(resealing["closed"] == 0 && resealing["ended"].is_string(), "{resealing}");
    assert_eq!(
        status["root"]["keys"],
        json!([{ "id": old, "wraps": 0 }, { "id": new, "wraps": 3 }])
    );

    // The one in use stays; the old one goes, and nobody misses it.
    let refused = gateway.cli(&["key", "rotate", "--retire", &new]).await;
    assert!(!refused.ok && refused.stderr.contains("wraps new keys"), "{refused:?}");
    let refused = gateway.cli(&["key", "rotate", "--retire", "xyz"]).await;
    assert!(!refused.ok && refused.stderr.contains("16 hexadecimal digits"), "{refused:?}");
    assert_eq!(rotated(&gateway, &["--retire", &old]).await, json!({ "id": old }));
    let people = gateway.cli(&["key", "rotate", "--status"]).await.stdout;
    assert!(people.contains(&new) && !people.contains(&old), "{people}");
    client.call("echo", json!({ "message": "still" })).await.result();

    let rows = gateway.audit().await;
    let noted = rows.iter().find(|row| row["method"] == "admin:encryption_rotate").unwrap();
    let note = noted["note"].as_str().unwrap();
    assert!(note.contains(&new) && note.contains("key 2 of organisation default"), "{note}");
    let metrics = gateway.ops("/metrics").send(hyper::Method::GET, &[], "").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("tidegate_key_version{org=\"default\"} 2"), "{text}");
    assert!(text.contains("tidegate_rows_under_old_keys{org=\"default\"} 0"), "{text}");

    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    let store = opened(&setup);
    let org = OrgId::default_org();
    let versions: Vec<u32> = store.rows_by_key(&org).unwrap().into_keys().collect();
    assert_eq!(versions, [2]);
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
    for n in 0..ROWS {
        let found = store.get(Table::Credential, &org, &key(n)).await.unwrap().unwrap();
        assert_eq!(found.value, value(n));
    }
    drop(store);
    assert!(!holds(&setup.data(), CANARY.as_bytes()));
    let gateway = setup.start().await;
    gateway.client("alice", "main").call("echo", json!({ "message": "x" })).await.result();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_resealed_when_the_process_died_is_finished_by_the_next() {
    let mock = echo().await;
    let setup = Setup::simple(&mock);
    fill(&opened(&setup), 3_000).await;
    let gateway = setup.start().await;
    let done = rotated(&gateway, &[]).await;
    assert_eq!(done["organisations"][0]["version"], 2);
    let setup = gateway.kill().await;
    let gateway = setup.start().await;
    let status = eventually("the end of resealing", || async {
        let status = rotated(&gateway, &["--status"]).await;
        status["organisations"][0]["resealing"]["ended"].is_string().then_some(status)
    })
    .await;
    assert_eq!(status["organisations"][0]["version"], 2, "{status}");
    let (_, setup) = gateway.stop().await;
    let store = opened(&setup);
    let by_key = store.rows_by_key(&OrgId::default_org()).unwrap();
    assert_eq!(by_key.into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(store.verify().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_a_key_of_its_own_and_root_keys_are_the_owners() {
    let mock = echo().await;
    let setup = Setup::simple(&mock).organisation("sales", |org| {
        org.vmcp("main", &[]).policy("all", "permit (principal, action, resource);")
    });
    let gateway = setup.start().await;
    let done = rotated(&gateway, &["--org", "sales", "--wait"]).await;
    assert!(done.get("root").is_none(), "{done}");
    let sales = json!([{ "org": "sales", "version": 2, "sessions": 0, "grants": 0 }]);
    assert_eq!(done["organisations"], sales);
    let all = rotated(&gateway, &["--status"]).await;
    let versions = all["organisations"].as_array().unwrap().iter();
    let versions: Vec<_> =
        versions.map(|it| (it["org"].as_str().unwrap(), &it["version"])).collect();
    assert_eq!(versions, [("default", &json!(1)), ("sales", &json!(2))]);
    let own = rotated(&gateway, &["--org", "sales", "--status"]).await;
    assert!(own.get("root").is_none() && own["organisations"].as_array().unwrap().len() == 1);
    let refused = gateway.cli(&["key", "rotate", "--root", "--org", "sales"]).await;
    assert!(!refused.ok && refused.stderr.contains("without --org"), "{refused:?}");
    let only_root = rotated(&gateway, &["--root"]).await;
    assert!(only_root["organisations"].as_array().unwrap().is_empty() && only_root["wrapped"] == 4);
    // Somebody who may do everything, but is not on the machine.
    let body = json!({ "root": true });
    let away = Client::new(gateway.address, "/api/v1/encryption/rotate");
    let away = away.with_key(gateway.key("alice"));
    let refused = away.send(hyper::Method::POST, &[], body.to_string()).await;
    assert_eq!(refused.status, 403, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_compromise_everything_is_resealed_and_credentials_count_no_more() {
    let mock = echo().await;
    let setup = Setup::simple(&mock);
    fill(&opened(&setup), 10_000).await;
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    let jwks = async || {
        let url = Client::new(gateway.address, "/oauth/jwks");
        url.send(hyper::Method::GET, &[], "").await.json()["keys"].clone()
    };
    let signed_by = jwks().await;
    let (done, _) = calling(&client, rotated(&gateway, &["--revoke", "--wait"])).await;
    assert_eq!(done["organisations"][0]["version"], 2, "{done}");
    let keys = jwks().await;
    let ids = |keys: &Value| -> Vec<String> {
        keys.as_array().unwrap().iter().map(|key| key["kid"].to_string()).collect()
    };
    assert_eq!(ids(&keys).len(), 1, "the keys of before verify nothing any more: {keys}");
    assert_ne!(ids(&keys), ids(&signed_by));
    let status = rotated(&gateway, &["--status"]).await;
    assert!(status["organisations"][0]["credentials_since"].is_string(), "{status}");
    let rows = gateway.audit().await;
    let noted = rows.iter().find(|row| row["method"] == "admin:encryption_rotate").unwrap();
    assert!(noted["note"].as_str().unwrap().contains("to be brought anew"), "{noted}");
    let verified = gateway.cli(&["audit", "verify"]).await;
    assert!(verified.ok, "{verified:?}");
    let (_, setup) = gateway.stop().await;
    let store = opened(&setup);
    let org = OrgId::default_org();
    assert_eq!(store.rows_by_key(&org).unwrap().into_keys().collect::<Vec<_>>(), [2]);
    let generation = tidegate_store::generation(&store, &org).await.unwrap().unwrap();
    assert_eq!(generation.number, 1);
}

/// A clock that is a hundred days behind.
#[derive(Debug)]
struct Behind;

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        let hundred_days = 100 * 86_400_000;
        Timestamp::from_millis(SystemClock.now().as_millis() - hundred_days)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_old_is_replaced_by_itself_and_that_is_on_record() {
    let setup = Setup::simple(&echo().await);
    fill(&opened_at(&setup, Arc::new(Behind)), 50).await;
    let gateway = setup.start().await;
    let status = eventually("a new key", || async {
        let status = rotated(&gateway, &["--status"]).await;
        status["organisations"][0]["resealing"]["ended"].is_string().then_some(status)
    })
    .await;
    let key = &status["organisations"][0];
    assert_eq!((&key["version"], &key["resealing"]["closed"]), (&json!(2), &json!(0)), "{key}");
    let rows = gateway.audit().await;
    let noted = rows.iter().find(|row| row["method"] == "job:key_rotate").unwrap();
    assert!(noted["note"].as_str().unwrap().contains("the one before was due"), "{noted}");
    // The new one is young.
    let again = rotated(&gateway, &["--status"]).await;
    assert_eq!(again["organisations"][0]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_leaves_no_core_file() {
    let gateway = Setup::simple(&echo().await).start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<_> = core.split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
}
