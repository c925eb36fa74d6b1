//! The blob area: sealed values too large for a row, named by the SHA-256 of what they say.
//!
//! A blob is durable and has been read back before its name is given out; a record refers to
//! it only afterwards. What no record refers to is collected in two steps, so that a blob put
//! meanwhile stays. Knows neither the records nor what a blob is. Files:
//! `DIR/ORG/XX/HASH`, sealed as kind `blob` under the hash.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use tidegate_model::OrgId;
use zeroize::Zeroizing;

use crate::{
    disk,
    envelope::{HEADER, Header, Place},
    keyring::{Keyring, KeyringError},
    log::hex,
};

/// The largest blob.
pub const MAX_BLOB: usize = 64 << 20;

/// The name of a blob: SHA-256 of its plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl BlobId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for BlobId {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Self, BlobError> {
        let bad = || BlobError::BadName(text.chars().take(80).collect());
        let mut id = [0; 32];
        if text.len() != 64 || text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad());
        }
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(id))
    }
}

/// Why a blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Text that names no blob.
    #[error("`{0}` names no blob: expected 64 hexadecimal digits")]
    BadName(String),
    /// Larger than a blob may be.
    #[error("{0} bytes are too many for a blob: the limit is {MAX_BLOB}")]
    TooLarge(usize),
    /// There is none of this name.
    #[error("there is no blob `{0}`")]
    Missing(BlobId),
    /// What is there is not what its name says.
    #[error("the blob `{0}` is damaged: put it again or restore it from a copy")]
    Damaged(BlobId),
    /// No room.
    #[error("no space left for a blob in `{0}`: free some and try again")]
    Full(PathBuf),
    /// The disk refused.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be sealed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    move |source| {
        let path = path.to_owned();
        if disk::is_full(&source) {
            BlobError::Full(path)
        } else {
            BlobError::Io { doing, path, source }
        }
    }
}

/// The blobs of a data directory.
#[derive(Debug)]
pub struct BlobArea {
    dir: PathBuf,
    ring: Arc<Keyring>,
    /// Blobs of a collection under way that nobody has put again since it began.
    doomed: Mutex<HashSet<(OrgId, BlobId)>>,
}

impl BlobArea {
    /// Opens or creates the area.
    pub fn open(dir: impl Into<PathBuf>, ring: Arc<Keyring>) -> Result<Self, BlobError> {
        let dir = dir.into();
        disk::make_dir(&dir).map_err(failed("make the directory", &dir))?;
        Ok(Self { dir, ring, doomed: Mutex::default() })
    }

    fn path(&self, org: &OrgId, id: BlobId) -> PathBuf {
        let name = id.to_string();
        let shelf = name.get(..2).unwrap_or_default();
        self.dir.join(org.as_str()).join(shelf).join(&name)
    }

    fn place(id: &BlobId) -> Place<'_> {
        Place { kind: "blob", key: &id.0, ..Place::default() }
    }

    /// Keeps `bytes`; durable and read back when it returns. Blocks.
    pub fn put(&self, org: &OrgId, bytes: &[u8]) -> Result<BlobId, BlobError> {
        if bytes.len() > MAX_BLOB {
            return Err(BlobError::TooLarge(bytes.len()));
        }
        let id = BlobId::of(bytes);
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        doomed.remove(&(org.clone(), id));
        drop(doomed);
        if self.get(org, id).is_ok() {
            return Ok(id);
        }
        let path = self.path(org, id);
        let sealed = self.ring.seal(org, Self::place(&id), bytes)?;
        for dir in path.ancestors().skip(1).take(2).collect::<Vec<_>>().into_iter().rev() {
            disk::make_dir(dir).map_err(failed("make the directory", dir))?;
        }
        disk::write_whole(&path, &sealed).map_err(failed("write", &path))?;
        self.get(org, id)?;
        Ok(id)
    }

    /// The bytes of a blob, checked against its name. Blocks.
    pub fn get(&self, org: &OrgId, id: BlobId) -> Result<Vec<u8>, BlobError> {
        let path = self.path(org, id);
        let sealed = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::Missing(id));
            }
            other => other.map_err(failed("read", &path))?,
        };
        let plain = match self.ring.open(org, Self::place(&id), &sealed) {
            Err(KeyringError::Envelope(_)) => return Err(BlobError::Damaged(id)),
            other => other?,
        };
        if BlobId::of(&plain) == id { Ok(plain) } else { Err(BlobError::Damaged(id)) }
    }

    /// Seals a blob under the organisation's present key, if it is sealed under another version.
    /// Whether it was. Blocks.
    pub fn reseal(&self, org: &OrgId, id: BlobId) -> Result<bool, BlobError> {
        let path = self.path(org, id);
        let mut head = [0; HEADER];
        let opened = File::open(&path).and_then(|mut file| file.read_exact(&mut head));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // Too short for a sealed value; reading it says so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => other.map_err(failed("read", &path))?,
        }
        if Header::read_start(&head).ok().map(|head| head.tenant_key)
            == self.ring.current_version(org)
        {
            return Ok(false);
        }
        let plain = Zeroizing::new(self.get(org, id)?);
        let sealed = self.ring.seal(org, Self::place(&id), &plain)?;
        // Not beside a collection, which may be about to remove it.
        let doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.try_exists().map_err(failed("read", &path))? {
            return Ok(false);
        }
        disk::write_whole(&path, &sealed).map_err(failed("write", &path))?;
        drop(doomed);
        self.get(org, id)?;
        Ok(true)
    }

    /// All blobs of an organisation.
    pub fn list(&self, org: &OrgId) -> Result<Vec<BlobId>, BlobError> {
        let dir = self.dir.join(org.as_str());
        let mut found = Vec::new();
        for shelf in entries(&dir)? {
            for path in entries(&shelf)? {
                let name = path.file_name().and_then(|name| name.to_str());
                found.extend(name.and_then(|name| name.parse::<BlobId>().ok()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Begins a collection: from here on the caller gathers all references to blobs.
    pub fn begin_collection(&self, org: &OrgId) -> Result<(), BlobError> {
        let all = self.list(org)?.into_iter().map(|id| (org.clone(), id));
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
        Ok(())
    }

    /// Ends it: removes what was there at its beginning, is not in `referenced` and was not put
    /// since. Gives the number removed.
    pub fn end_collection(
        &self,
        org: &OrgId,
        referenced: &HashSet<BlobId>,
    ) -> Result<usize, BlobError> {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, others) = doomed.drain().partition(|(of, _)| of == org);
        *doomed = others;
        let mut removed = 0;
        let ours: HashSet<(OrgId, BlobId)> = ours;
        // The lock is held, so that nobody relies on a blob while it goes.
        for (_, id) in ours.iter().filter(|(_, id)| !referenced.contains(id)) {
            let path = self.path(org, *id);
            std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            removed += 1;
        }
        Ok(removed)
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("read", dir))?,
    };
    let paths: Result<Vec<_>, _> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.map_err(failed("read", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keyring::Usage, keys::FixedKeys};

    fn ring(orgs: &[&OrgId]) -> Arc<Keyring> {
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        for org in orgs {
            let wrapped = ring.new_tenant(org, 1).unwrap();
            ring.add_tenant(org, 1, &wrapped, Usage::default()).unwrap();
        }
        Arc::new(ring)
    }

    #[test]
    fn blobs_are_kept_by_content_per_organisation_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (OrgId::new("a").unwrap(), OrgId::new("b").unwrap());
        let area = BlobArea::open(dir.path().join("blobs"), ring(&[&a, &b])).unwrap();
        let large = b"canary-bytes".repeat(40_000);
        let id = area.put(&a, &large).unwrap();
        assert_eq!(area.put(&a, &large).unwrap(), id);
        assert_eq!(id.to_string().parse::<BlobId>().unwrap(), id);
        assert_eq!(area.get(&a, id).unwrap(), large);
        assert!(matches!(area.get(&b, id), Err(BlobError::Missing(_))));
        let path = area.path(&a, id);
        let sealed = std::fs::read(&path).unwrap();
        assert!(!sealed.windows(12).any(|part| part == b"canary-bytes"));
        for at in [0, 20, 100, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(matches!(area.get(&a, id), Err(BlobError::Damaged(_))), "byte {at}");
        }
        // Another organisation's file under the same name does not open.
        area.put(&b, &large).unwrap();
        std::fs::copy(area.path(&b, id), &path).unwrap();
        assert!(matches!(area.get(&a, id), Err(BlobError::Damaged(_))));
        // Putting it again mends it.
        area.put(&a, &large).unwrap();
        assert_eq!(area.get(&a, id).unwrap(), large);
        for bad in ["", "xyz", &"A".repeat(64), &"é".repeat(32)] {
            assert!(bad.parse::<BlobId>().is_err());
        }
    }

    #[test]
    fn a_collection_spares_what_is_referenced_or_put_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (OrgId::new("a").unwrap(), OrgId::new("b").unwrap());
        let area = BlobArea::open(dir.path(), ring(&[&a, &b])).unwrap();
        let [kept, gone, again] =
            [b"kept", b"gone", b"agai"].map(|text| area.put(&a, text).unwrap());
        let theirs = area.put(&b, b"gone").unwrap();
        area.begin_collection(&a).unwrap();
        area.put(&a, b"agai").unwrap();
        let new = area.put(&a, b"new").unwrap();
        assert_eq!(area.end_collection(&a, &HashSet::from([kept])).unwrap(), 1);
        let mut wanted = vec![kept, again, new];
        wanted.sort();
        assert_eq!(area.list(&a).unwrap(), wanted);
        assert!(matches!(area.get(&a, gone), Err(BlobError::Missing(_))));
        assert_eq!(area.get(&b, theirs).unwrap(), b"gone");
    }

    #[test]
    fn blobs_are_resealed_under_a_new_key_and_collected_ones_stay_away() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (OrgId::new("a").unwrap(), OrgId::new("b").unwrap());
        let ring = ring(&[&a, &b]);
        let area = BlobArea::open(dir.path(), Arc::clone(&ring)).unwrap();
        let [kept, gone, damaged] =
            [b"kept", b"gone", b"dama"].map(|text| area.put(&a, text).unwrap());
        assert!(!area.reseal(&a, kept).unwrap(), "it is sealed under the present key");
        let second = ring.new_tenant(&a, 2).unwrap();
        ring.add_tenant(&a, 2, &second, Usage::default()).unwrap();
        let before = std::fs::read(area.path(&a, kept)).unwrap();
        assert!(area.reseal(&a, kept).unwrap());
        assert!(!area.reseal(&a, kept).unwrap());
        let after = std::fs::read(area.path(&a, kept)).unwrap();
        let version = |sealed: &[u8]| Header::read(sealed).unwrap().tenant_key;
        assert_eq!((version(&before), version(&after)), (1, 2));
        assert_eq!(area.get(&a, kept).unwrap(), b"kept");
        std::fs::remove_file(area.path(&a, gone)).unwrap();
        assert!(!area.reseal(&a, gone).unwrap() && !area.path(&a, gone).exists());
        for bytes in [&b"CR"[..], &before[..before.len() - 1]] {
            std::fs::write(area.path(&a, damaged), bytes).unwrap();
            assert!(matches!(area.reseal(&a, damaged), Err(BlobError::Damaged(_))));
        }
    }
}
