//! `kill -9` of the gateway itself, under load: every answer that a caller got has its row.
//!
//! Kills after a number of answers, so that the others are at any stage. Directories live
//! for a few rounds, since what one start has mended the next must find whole.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SEED, harness::replay::Dice, rounds};
use crate::support::{Era, Load, Mock, MockTool, Setup, TestGateway};

/// Rounds on one data directory.
const LIFE: u32 = 5;
const CALLERS: u32 = 16;

/// One tool that is read-only and one that is not, and so has intent rows.
async fn upstream() -> Mock {
    let definition = serde_json::json!({
        "name": "write",
        "inputSchema": { "type": "object" },
        "annotations": { "readOnlyHint": false },
    });
    let write = MockTool::new(definition, |received| {
        crate::support::Reply::Text(received.message["params"]["arguments"].to_string())
    });
    Mock::start(Era::Modern, vec![MockTool::echo("read"), write]).await
}

fn traces(rows: &[Value], phase: &str) -> BTreeSet<String> {
    let of_phase = rows.iter().filter(|row| row["phase"] == phase);
    of_phase.filter_map(|row| row["trace"].as_str()).map(str::to_owned).collect()
}

/// Everything acknowledged so far is there, once, and the log is sound.
async fn check(round: u32, gateway: &TestGateway, acknowledged: &BTreeSet<String>) {
    let rows = gateway.audit().await;
    let recorded = traces(&rows, "outcome");
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "round {round}: {} of {} rows lost", lost.len(), acknowledged.len());
    let calls = rows.iter().filter(|row| row["phase"] == "outcome" && row["trace"].is_string());
    assert_eq!(calls.count(), recorded.len(), "round {round}: a row stands twice");
    let intended = traces(&rows, "intent");
    for row in &rows {
        let trace = row["trace"].as_str().unwrap_or_default();
        let wrote = row["tool"] == "write" && row["status"] == "ok";
        assert!(!wrote || intended.contains(trace), "round {round}: no intent of {row}");
    }
    let verified = gateway.cli(&["audit", "verify"]).await;
    assert!(verified.ok, "round {round}: {verified:?}");
}

#[tokio::test]
async fn a_crash_of_the_gateway_loses_no_answered_call() {
    let rounds = rounds("TIDEGATE_KILL_ROUNDS", 20);
    let mock = upstream().await;
    let mut dice = Dice(SEED);
    let mut total = 0;
    let mut life: Option<(Setup, BTreeSet<String>)> = None;
    for round in 0..rounds {
        let durability = if (round / LIFE).is_multiple_of(2) { "process" } else { "disk" };
        let (setup, mut acknowledged) = match life.take().filter(|_| round % LIFE != 0) {
            Some(going_on) => going_on,
            None => (Setup::simple(&mock).durability(durability), BTreeSet::new()),
        };
        let gateway = setup.start().await;
        check(round, &gateway, &acknowledged).await;
        let client = gateway.client("alice", "main");
        let mut load = Load::start(&client, &["read", "write"], CALLERS, round);
        let count = usize::try_from(1 + dice.below(120)).unwrap();
        acknowledged.extend(load.answers(count).await);
        let setup = gateway.kill().await;
        acknowledged.extend(load.rest().await);
        total += count;
        if round % LIFE == LIFE - 1 || round + 1 == rounds {
            let gateway = setup.start().await;
            check(round, &gateway, &acknowledged).await;
            let (ended, setup) = gateway.stop().await;
            assert!(ended, "round {round}");
            let verified = setup.cli(&["audit", "verify"]).await;
            assert!(verified.stdout.starts_with("sound"), "round {round}: {verified:?}");
        } else {
            life = Some((setup, acknowledged));
        }
    }
    assert!(total > 0 || rounds == 0);
}
