//! How records lie in rows.
//!
//! Row key: `table u8 ‖ org length u8 ‖ org ‖ key`. Row value: `version u64 ‖ expires u64 ‖ schema u32 ‖
//! envelope`, little endian, expires in milliseconds since 1970 or 0. Rows of our own have first
//! bytes above every table's: wrapped keys `F0 ‖ "root"` and `F0 ‖ "t" ‖ version u32 ‖ org`, how much
//! one was used `F0 ‖ "n" ‖ version u32 ‖ org`, the manifest `F1`, the format `F2`, commit ids `F3 ‖ id [16]` with `time u64 ‖ version u64`.

use tidegate_model::{OrgId, Timestamp};

use zeroize::Zeroizing;

use crate::{
    envelope::{Header, Place},
    keyring::{Keyring, KeyringError},
    log::u64_at,
    store::{CommitId, Put, Record, Table},
};

/// Rows from here on are our own.
pub(crate) const KEYS: u8 = 0xf0;
pub(crate) const MANIFEST: &[u8] = &[0xf1];
pub(crate) const FORMAT: &[u8] = &[0xf2];
pub(crate) const COMMITS: u8 = 0xf3;
/// A backup's note of the audit checkpoint; never in a store.
pub(crate) const NOTE: &[u8] = &[0xf4];

/// The version of all this.
pub(crate) const FORMAT_VERSION: u32 = 1;

const HEAD: usize = 20;

pub(crate) fn root_key() -> Vec<u8> {
    [&[KEYS][..], b"root"].concat()
}

pub(crate) fn tenant_prefix() -> Vec<u8> {
    vec![KEYS, b't']
}

pub(crate) fn tenant_key(org: &OrgId, version: u32) -> Vec<u8> {
    [&tenant_prefix(), &version.to_be_bytes()[..], org.as_str().as_bytes()].concat()
}

/// How much a tenant key was used.
pub(crate) fn use_key(org: &OrgId, version: u32) -> Vec<u8> {
    [&[KEYS, b'n'][..], &version.to_be_bytes(), org.as_str().as_bytes()].concat()
}

/// The organisation and version of a wrapped tenant key, or of its use.
pub(crate) fn read_tenant_key(row: &[u8]) -> Option<(OrgId, u32)> {
    let (version, org) = row.get(2..)?.split_first_chunk::<4>()?;
    let org = OrgId::new(std::str::from_utf8(org).ok()?).ok()?;
    Some((org, u32::from_be_bytes(*version)))
}

pub(crate) fn commit_key(id: CommitId) -> Vec<u8> {
    [&[COMMITS][..], &id.0].concat()
}

pub(crate) fn row_prefix(table: Table, org: &OrgId) -> Vec<u8> {
    let org = org.as_str().as_bytes();
    let length = u8::try_from(org.len()).unwrap_or(u8::MAX);
    [&[table as u8, length][..], org].concat()
}

pub(crate) fn row_key(table: Table, org: &OrgId, key: &[u8]) -> Vec<u8> {
    [&row_prefix(table, org), key].concat()
}

/// Table, organisation and key of a row; `None` for our own.
pub(crate) fn read_row_key(row: &[u8]) -> Option<(Table, OrgId, &[u8])> {
    let (head, rest) = row.split_first_chunk::<2>()?;
    let [table, length] = *head;
    let (org, key) = rest.split_at_checked(usize::from(length))?;
    let org = OrgId::new(std::str::from_utf8(org).ok()?).ok()?;
    Some((Table::of(table)?, org, key))
}

/// What stands before the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) expires: u64,
    pub(crate) schema: u32,
}

impl Head {
    pub(crate) fn read(row: &[u8]) -> Option<(Self, &[u8])> {
        let schema = row.get(16..HEAD)?.try_into().ok().map(u32::from_le_bytes)?;
        let head = Self { version: u64_at(row, 0)?, expires: u64_at(row, 8)?, schema };
        Some((head, row.get(HEAD..)?))
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires != 0 && self.expires <= now.as_millis()
    }

    /// The row of a record with this head.
    fn row(
        &self,
        ring: &Keyring,
        (table, org, key): (Table, &OrgId, &[u8]),
        value: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let sealed = ring.seal(org, self.place(table, key), value)?;
        let mut row = Vec::with_capacity(HEAD + sealed.len());
        row.extend_from_slice(&self.version.to_le_bytes());
        row.extend_from_slice(&self.expires.to_le_bytes());
        row.extend_from_slice(&self.schema.to_le_bytes());
        row.extend_from_slice(&sealed);
        Ok(row)
    }

    fn place<'a>(&self, table: Table, key: &'a [u8]) -> Place<'a> {
        Place {
            kind: table.name(),
            key,
            version: self.version,
            expires: self.expires,
            schema: self.schema,
            ..Place::default()
        }
    }
}

/// The row of a record.
pub(crate) fn seal_row(ring: &Keyring, put: &Put, version: u64) -> Result<Vec<u8>, KeyringError> {
    // A record that expires at 0 would be one that never does.
    let expires = put.expires.map_or(0, |at| at.as_millis().max(1));
    let head = Head { version, expires, schema: put.schema };
    head.row(ring, (put.table, &put.org, &put.key), &put.value)
}

/// The same record sealed under the organisation's present key: nothing that a reader sees is
/// different. `None` when it is so already, or when the row is none.
pub(crate) fn reseal_row(
    ring: &Keyring,
    (table, org, key): (Table, &OrgId, &[u8]),
    row: &[u8],
) -> Option<Result<Vec<u8>, KeyringError>> {
    let (head, sealed) = Head::read(row)?;
    if Header::read(sealed).ok().map(|header| header.tenant_key) == ring.current_version(org) {
        return None;
    }
    let opened = ring.open(org, head.place(table, key), sealed).map(Zeroizing::new);
    Some(opened.and_then(|value| head.row(ring, (table, org, key), &value)))
}

/// The version of the organisation's key that a row is sealed under.
pub(crate) fn sealed_under(row: &[u8]) -> Option<u32> {
    let (_, sealed) = Head::read(row)?;
    Header::read(sealed).ok().map(|header| header.tenant_key)
}

/// The record in a row; `None` when the row is none.
pub(crate) fn open_row(
    ring: &Keyring,
    (table, org, key): (Table, &OrgId, &[u8]),
    row: &[u8],
) -> Option<Result<Record, KeyringError>> {
    let (head, sealed) = Head::read(row)?;
    let opened = ring.open(org, head.place(table, key), sealed);
    Some(opened.map(|value| Record {
        version: head.version,
        schema: head.schema,
        expires: (head.expires != 0).then(|| Timestamp::from_millis(head.expires)),
        value,
    }))
}
