//! Opens what `rotate_writer` left behind, finishes what it began, and checks that nothing it
//! acknowledged is lost and nothing is under an old key.
//!
//! `rotate_check DIR < acks`; ends with status 0 only if all of that holds, else says what not.

use std::{collections::BTreeMap, error::Error, io::BufRead as _, path::Path, sync::Arc};

use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{EmbeddedStore, FileKeys, SledOptions, Store, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("use: rotate_check DIR < acks")?;
    let dir = Path::new(&dir);
    let mut promised = BTreeMap::<u32, u64>::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ').skip(1);
        let (Some(n), Some(count)) = (words.next(), words.next()) else { continue };
        let kept = promised.entry(n.parse()?).or_default();
        *kept = (*kept).max(count.parse()?);
    }
    let keys = Arc::new(FileKeys::open(dir.join("root.key"))?);
    let options = SledOptions::new(dir.join("store"));
    let store = EmbeddedStore::sled(options, keys, Arc::new(SystemClock))?;
    tokio::runtime::Builder::new_current_thread().build()?.block_on(check(&store, promised))
}

async fn check(store: &EmbeddedStore, promised: BTreeMap<u32, u64>) -> Result<(), Box<dyn Error>> {
    let org = OrgId::default_org();
    store.rewrap().await?;
    let mut from = Vec::new();
    loop {
        let piece = store.reseal(&org, &from, 1_000).await?;
        if piece.closed > 0 {
            return Err(format!("{} rows do not open", piece.closed).into());
        }
        match piece.next {
            Some(next) => from = next,
            None => break,
        }
    }
    for (n, count) in promised {
        let record = store.get(Table::Credential, &org, &n.to_be_bytes()).await?;
        let text = record.map(|row| String::from_utf8_lossy(&row.value).into_owned());
        let found: u64 = text.unwrap_or_default().split(' ').next().unwrap_or("").parse()?;
        if found < count {
            return Err(format!("record {n} was written {count} times and holds {found}").into());
        }
    }
    let (by_key, roots) = (store.rows_by_key(&org)?, store.root_keys().await?);
    if by_key.len() > 1 {
        return Err(format!("rows are under several keys: {by_key:?}").into());
    }
    if roots.users.iter().any(|(id, users)| *id != roots.current && *users > 0) {
        return Err(format!("keys are wrapped under an old one: {roots:?}").into());
    }
    let faults = store.verify().await?.faults;
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ").into()) }
}
