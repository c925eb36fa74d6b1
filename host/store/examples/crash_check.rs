//! Opens what `crash_writer` left behind and checks every acknowledgement against it.
//!
//! `crash_check DIR < acks`; prints one JSON object and ends with status 0 only if everything
//! opened, every acknowledged thing is there with the right content, and log and store verify.

use std::{
    collections::HashMap,
    error::Error,
    io::{BufRead as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{
    EmbeddedStore, FileKeys, SledOptions, Store, Table,
    blob::{BlobArea, BlobId},
    log::{Log, LogOptions, Recovery, verify},
    payload::{PayloadRef, Payloads},
};

#[path = "crash/shape.rs"]
mod shape;

#[derive(Default)]
struct Outcome {
    checked: u64,
    lost: Vec<String>,
    recovery: Recovery,
    verdict: u8,
    faults: Vec<String>,
}

fn main() -> ExitCode {
    let (outcome, error) = match run() {
        Ok(outcome) => (outcome, String::new()),
        Err(error) => (Outcome::default(), describe(&*error)),
    };
    let ok = error.is_empty()
        && outcome.lost.is_empty()
        && outcome.verdict == 0
        && outcome.faults.is_empty();
    let summary = serde_json::json!({
        "ok": ok,
        "acknowledged": outcome.checked,
        "lost": outcome.lost.len(),
        "first_lost": outcome.lost.first(),
        "records": outcome.recovery.size,
        "torn_bytes": outcome.recovery.torn_bytes,
        "log_verdict": outcome.verdict,
        "faults": outcome.faults,
        "error": error,
    });
    drop(writeln!(std::io::stdout(), "{summary}"));
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn run() -> Result<Outcome, Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("use: crash_check DIR < acks")?;
    let dir = Path::new(&dir);
    let org = OrgId::default_org();
    let keys = Arc::new(FileKeys::open(dir.join("root.key"))?);
    let options = SledOptions::new(dir.join("store"));
    let store = EmbeddedStore::sled(options, keys, Arc::new(SystemClock))?;
    let ring = Arc::clone(store.keyring());
    let log_dir = dir.join("log");
    let options = LogOptions::new(&log_dir, shape::ORIGIN);
    let (log, recovery) = Log::open(options, &ring.log_keys())?;
    let mut found = HashMap::new();
    let mut reader = log.reader();
    while let Some(entry) = reader.next()? {
        let text = String::from_utf8(entry.bytes)?;
        let mut words = text.split(' ');
        let n: u64 = words.next().unwrap_or_default().parse()?;
        found.insert(n, text);
    }
    let payloads = Payloads::open(dir.join("payloads"), Arc::clone(&ring))?;
    let blobs = BlobArea::open(dir.join("blobs"), ring)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut outcome = Outcome { recovery, ..Outcome::default() };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (Some("ack"), Some(kind), Some(n)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let n: u64 = n.parse()?;
        let get = |table| runtime.block_on(store.get(table, &org, &shape::key(n)));
        let holds = match kind {
            "log" => found.get(&n).is_some_and(|text| text.as_bytes() == shape::record(n, None)),
            "payload" => found.get(&n).is_some_and(|text| {
                let payload =
                    text.split(' ').nth(1).and_then(|text| text.parse::<PayloadRef>().ok());
                payload.and_then(|p| payloads.get(&org, &p).ok()) == Some(shape::value(n))
            }),
            "store" => get(Table::Job)?.is_some_and(|record| record.value == shape::value(n)),
            "blob" => get(Table::Blob)?.is_some_and(|record| {
                let id = record.value.try_into().ok().map(BlobId);
                id.and_then(|id| blobs.get(&org, id).ok()) == Some(shape::large(n))
            }),
            _ => false,
        };
        outcome.checked += 1;
        if !holds {
            outcome.lost.push(line);
        }
    }
    log.close()?;
    let report = verify(&log_dir, log.verifier(), None);
    outcome.verdict = report.verdict.exit_code();
    outcome.faults.extend(report.findings.into_iter().map(|finding| finding.what));
    outcome.faults.extend(runtime.block_on(store.verify())?.faults);
    Ok(outcome)
}
