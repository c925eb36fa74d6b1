//! Writes records and replaces all keys again and again until it is killed, and says on stdout
//! what it was promised is durable: `ack N COUNT`, one line each.
//!
//! `rotate_writer DIR RECORDS`; each record holds how often it was written. A record is written
//! only by expecting the version that was read, so that a resealing which lost a write, or
//! looked like one, ends the program.

use std::{error::Error, io::Write as _, path::Path, sync::Arc};

use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{
    Batch, EmbeddedStore, Expect, FileKeys, SledOptions, Store, StoreError, Table,
};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, records] = arguments.as_slice() else {
        return Err("use: rotate_writer DIR RECORDS".into());
    };
    let (dir, records) = (Path::new(dir), records.parse::<u32>()?);
    let keys = Arc::new(FileKeys::open(dir.join("root.key"))?);
    let options = SledOptions::new(dir.join("store"));
    let store = Arc::new(EmbeddedStore::sled(options, keys, Arc::new(SystemClock))?);
    let ended = std::thread::scope(|scope| {
        let threads = [0, 1].map(|part| {
            let store = Arc::clone(&store);
            scope.spawn(move || block_on(write(&store, part, records)))
        });
        let rotating = block_on(rotate(&store));
        threads.into_iter().filter_map(|thread| thread.join().ok()).fold(rotating, Result::and)
    });
    if let Err(error) = &ended {
        // The parent looks for this line.
        drop(writeln!(std::io::stdout().lock(), "failed {error}"));
    }
    ended
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(work)
}

/// Writes every second record, over and over.
async fn write(store: &EmbeddedStore, part: u32, records: u32) -> Result<(), Failure> {
    let org = OrgId::default_org();
    for n in (0..).map(|n| (2 * n + part) % records) {
        let key = n.to_be_bytes();
        let found = store.get(Table::Credential, &org, &key).await?;
        let expect = found.as_ref().map_or(Expect::Absent, |row| Expect::Version(row.version));
        let count = found.map_or(0, |row| count(&row.value)).saturating_add(1);
        let value = format!("{count} {}", "x".repeat(300)).into_bytes();
        let batch = Batch::new().put_if(Table::Credential, (&org, &key), value, expect);
        store.commit(batch).await?;
        writeln!(std::io::stdout().lock(), "ack {n} {count}")?;
    }
    Ok(())
}

fn count(value: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(value);
    text.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Replaces both keys, reseals, and gives up the old root key, over and over.
async fn rotate(store: &EmbeddedStore) -> Result<(), Failure> {
    let org = OrgId::default_org();
    store.ensure_org(&org).await?;
    loop {
        store.rotate_root().await?;
        store.rotate_org(&org).await?;
        let mut from = Vec::new();
        loop {
            let piece = store.reseal(&org, &from, 64).await?;
            if piece.closed > 0 {
                return Err("a row does not open".into());
            }
            match piece.next {
                Some(next) => from = next,
                None => break,
            }
        }
        let known = store.root_keys().await?;
        for (id, _) in known.users.iter().filter(|(id, _)| *id != known.current) {
            match store.retire_root(*id).await {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
