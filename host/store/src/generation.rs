//! From when on credentials count.
//!
//! When the keys that sealed them may be known to somebody else, what connectors keep for people
//! has to be brought anew. A row of table `meta` under the key `credential-generation` says since
//! when: `number u64 ‖ since u64`, in milliseconds since 1970. Whoever hands out a credential that
//! was brought before that moment hands out what may be in other hands. Knows no credential.

use tidegate_model::{OrgId, Timestamp};

use crate::{
    log::u64_at,
    store::{Batch, Expect, Store, StoreError, Table},
};

const KEY: &[u8] = b"credential-generation";

/// The credentials that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Grows with each time that all had to be brought anew.
    pub number: u64,
    /// What was brought before this counts no more.
    pub since: Timestamp,
}

/// The generation of an organisation's credentials; `None` where all of them count.
pub async fn generation(store: &dyn Store, org: &OrgId) -> Result<Option<Generation>, StoreError> {
    let found = store.get(Table::Meta, org, KEY).await?;
    Ok(found.map(|record| read(&record.value)))
}

/// Begins a new one at this moment.
pub async fn begin_generation(
    store: &dyn Store,
    org: &OrgId,
    now: Timestamp,
) -> Result<Generation, StoreError> {
    loop {
        let found = store.get(Table::Meta, org, KEY).await?;
        let expect = found.as_ref().map_or(Expect::Absent, |row| Expect::Version(row.version));
        let number = found.map_or(0, |row| read(&row.value).number).saturating_add(1);
        let value = [number.to_le_bytes(), now.as_millis().to_le_bytes()].concat();
        let batch = Batch::new().put_if(Table::Meta, (org, KEY), value, expect);
        match store.commit(batch).await {
            Ok(_) => return Ok(Generation { number, since: now }),
            // Somebody else began one at the same moment: this one comes after it.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A value that is too short says that nothing counts, which is the safe reading.
fn read(value: &[u8]) -> Generation {
    let since = u64_at(value, 8).unwrap_or(u64::MAX);
    Generation { number: u64_at(value, 0).unwrap_or(0), since: Timestamp::from_millis(since) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EmbeddedStore, FixedKeys, conformance::TestClock};

    #[tokio::test]
    async fn each_generation_comes_after_the_one_before() {
        let (keys, clock) = (Arc::new(FixedKeys::new([[1; 32]])), Arc::new(TestClock::default()));
        let store = EmbeddedStore::memory(keys, clock).unwrap();
        let [a, b] = ["a", "b"].map(|name| OrgId::new(name).unwrap());
        assert_eq!(generation(&store, &a).await.unwrap(), None);
        let at = Timestamp::from_millis;
        begin_generation(&store, &a, at(5)).await.unwrap();
        let second = begin_generation(&store, &a, at(9)).await.unwrap();
        assert_eq!(second, Generation { number: 2, since: at(9) });
        assert_eq!(generation(&store, &a).await.unwrap(), Some(second));
        assert_eq!(generation(&store, &b).await.unwrap(), None);
        let (one, two) =
            tokio::join!(begin_generation(&store, &b, at(1)), begin_generation(&store, &b, at(1)));
        assert_eq!(one.unwrap().number + two.unwrap().number, 3);
    }
}
