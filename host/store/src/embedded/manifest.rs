//! The sealed count and set hash of every table: a row that silently vanished, came back or
//! became older is noticed.
//!
//! The hash of a row is HMAC-SHA256(manifest key, key length u32 ‖ key ‖ row); a table's hash is
//! the sum of its rows' hashes modulo 2^256. The row in the store is `commits u64 ‖ envelope` over
//! `commits u64`, then for each table `number u8 ‖ count u64 ‖ sum [32]`.

use std::collections::BTreeMap;

use crate::{
    envelope::Place,
    keyring::{Keyring, KeyringError, Purpose},
    log::{hash_at, u64_at},
    mac::hmac,
    seal::Key,
    store::Table,
};

/// A sum modulo 2^256, little endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum([u8; 32]);

impl Sum {
    fn add(&mut self, other: &[u8; 32]) {
        let mut carry = 0_u16;
        for (digit, more) in self.0.iter_mut().zip(other) {
            let sum = u16::from(*digit) + u16::from(*more) + carry;
            *digit = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
    }

    fn subtract(&mut self, other: &[u8; 32]) {
        // Adds the two's complement.
        let mut negated = other.map(|byte| !byte);
        for byte in &mut negated {
            let (next, carried) = byte.overflowing_add(1);
            *byte = next;
            if !carried {
                break;
            }
        }
        self.add(&negated);
    }
}

/// Number of rows and their hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    sum: Sum,
}

/// The state of all tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Number of the last commit.
    pub(crate) commits: u64,
    tables: BTreeMap<Table, Tally>,
}

/// Hashes rows.
pub(crate) struct Hasher(Key);

impl Hasher {
    pub(crate) fn new(ring: &Keyring) -> Self {
        Self(ring.derive(Purpose::Manifest))
    }

    fn hash(&self, key: &[u8], row: &[u8]) -> [u8; 32] {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
        hmac(&self.0, &[&length, key, row])
    }
}

impl Manifest {
    pub(crate) fn of(&self, table: Table) -> Tally {
        self.tables.get(&table).copied().unwrap_or_default()
    }

    pub(crate) fn forget(&mut self, table: Table) {
        self.tables.remove(&table);
    }

    pub(crate) fn add(&mut self, hasher: &Hasher, table: Table, key: &[u8], row: &[u8]) {
        let tally = self.tables.entry(table).or_default();
        tally.count += 1;
        tally.sum.add(&hasher.hash(key, row));
    }

    pub(crate) fn remove(&mut self, hasher: &Hasher, table: Table, key: &[u8], row: &[u8]) {
        let tally = self.tables.entry(table).or_default();
        tally.count = tally.count.saturating_sub(1);
        tally.sum.subtract(&hasher.hash(key, row));
    }

    fn place(commits: u64) -> Place<'static> {
        Place { kind: "manifest", version: commits, ..Place::default() }
    }

    pub(crate) fn seal(&self, ring: &Keyring) -> Result<Vec<u8>, KeyringError> {
        let mut plain = self.commits.to_le_bytes().to_vec();
        for (table, tally) in &self.tables {
            plain.push(*table as u8);
            plain.extend_from_slice(&tally.count.to_le_bytes());
            plain.extend_from_slice(&tally.sum.0);
        }
        let sealed = ring.seal_own(Purpose::Manifest, &Self::place(self.commits), &plain)?;
        Ok([&self.commits.to_le_bytes()[..], &sealed].concat())
    }

    /// Reads a manifest row; `None` when it is none.
    pub(crate) fn open(ring: &Keyring, row: &[u8]) -> Option<Self> {
        let commits = u64_at(row, 0)?;
        let sealed = row.get(8..)?;
        let plain = ring.open_own(Purpose::Manifest, &Self::place(commits), sealed).ok()?;
        let (head, rest) = plain.split_first_chunk::<8>()?;
        let mut manifest = Self { commits, tables: BTreeMap::new() };
        if u64::from_le_bytes(*head) != commits || rest.len() % 41 != 0 {
            return None;
        }
        for entry in rest.chunks_exact(41) {
            let table = Table::of(*entry.first()?)?;
            let tally = Tally { count: u64_at(entry, 1)?, sum: Sum(hash_at(entry, 9)?) };
            manifest.tables.insert(table, tally);
        }
        Some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keys::FixedKeys;

    #[test]
    fn the_order_does_not_count_and_every_row_does() {
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        let hasher = Hasher::new(&ring);
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            (0..50_u8).map(|n| (vec![n], vec![n; usize::from(n)])).collect();
        let (mut forth, mut back) = (Manifest::default(), Manifest::default());
        rows.iter().for_each(|(key, row)| forth.add(&hasher, Table::Job, key, row));
        rows.iter().rev().for_each(|(key, row)| back.add(&hasher, Table::Job, key, row));
        assert_eq!(forth, back);
        let sealed = forth.seal(&ring).unwrap();
        assert_eq!(Manifest::open(&ring, &sealed).unwrap(), forth);
        for (key, row) in &rows {
            let mut without = forth.clone();
            without.remove(&hasher, Table::Job, key, row);
            assert_ne!(without, forth);
            without.add(&hasher, Table::Job, key, row);
            assert_eq!(without, forth);
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(Manifest::open(&ring, &changed), None);
        }
    }
}
