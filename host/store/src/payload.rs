//! Captured payloads of audit rows: sealed, beside the log, erasable.
//!
//! A row holds a [`PayloadRef`]: where the sealed bytes lie and their SHA-256. Since the hash is
//! over sealed bytes it tells nothing about the content, and the row's proof still holds after
//! the bytes are overwritten. As a [`Companion`] of the log, payloads are durable before the
//! rows that refer to them. Files: `payload-NNNNNNNN` of up to 64 MiB, sealed values one after
//! another, each bound to its place.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use tidegate_model::OrgId;

use crate::{
    disk,
    envelope::{OVERHEAD, Place},
    keyring::{Keyring, KeyringError},
    log::Companion,
};

/// The largest payload; longer ones are cut by who captures them.
pub const MAX_PAYLOAD: usize = 1 << 20;
const FILE_BYTES: u64 = 64 << 20;

/// Where a payload lies and what it must be; its text stands in audit rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadRef {
    file: u32,
    offset: u64,
    len: u32,
    hash: [u8; 32],
}

impl std::fmt::Display for PayloadRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hash = URL_SAFE_NO_PAD.encode(self.hash);
        write!(f, "p1:{}:{}:{}:{hash}", self.file, self.offset, self.len)
    }
}

impl FromStr for PayloadRef {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, PayloadError> {
        let read = || {
            let mut parts = text.split(':');
            let ("p1", file, offset, len, hash) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
            else {
                return None;
            };
            let hash = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
            let (file, offset) = (file.parse().ok()?, offset.parse().ok()?);
            Some(Self { file, offset, len: len.parse().ok()?, hash })
        };
        let read = read().filter(|read| read.to_string() == text);
        read.ok_or_else(|| PayloadError::BadRef(text.chars().take(100).collect()))
    }
}

/// Why a payload cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Text that refers to no payload.
    #[error("`{0}` refers to no payload")]
    BadRef(String),
    /// Longer than a payload may be.
    #[error("{0} bytes are too many for a payload: the limit is {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// It was erased.
    #[error("the payload was erased")]
    Erased,
    /// What is there is not what the row refers to.
    #[error("the payload is damaged or gone")]
    Damaged,
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

/// The payloads beside a log.
#[derive(Debug)]
pub struct Payloads {
    dir: PathBuf,
    ring: Arc<Keyring>,
    end: Mutex<End>,
}

/// Where the next payload goes, and what is not synced yet.
#[derive(Debug)]
struct End {
    number: u32,
    offset: u64,
    file: Option<Arc<File>>,
    unsynced: BTreeMap<u32, Arc<File>>,
    new_name: bool,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PayloadError {
    move |source| PayloadError::Io { doing, path: path.to_owned(), source }
}

impl Payloads {
    /// Opens or creates the payloads of a directory. Each opening begins a new file.
    pub fn open(dir: impl Into<PathBuf>, ring: Arc<Keyring>) -> Result<Self, PayloadError> {
        let dir = dir.into();
        disk::make_dir(&dir).map_err(failed("make the directory", &dir))?;
        let mut number = 0;
        for entry in std::fs::read_dir(&dir).map_err(failed("read", &dir))? {
            let name = entry.map_err(failed("read", &dir))?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix("payload-"));
            number = number.max(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0));
        }
        let end = End { number, offset: 0, file: None, unsynced: BTreeMap::new(), new_name: false };
        Ok(Self { dir, ring, end: Mutex::new(end) })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("payload-{number:08}"))
    }

    /// Seals and writes a payload; durable together with the next flush of the log.
    pub fn put(&self, org: &OrgId, bytes: &[u8]) -> Result<PayloadRef, PayloadError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(PayloadError::TooLarge(bytes.len()));
        }
        let len = u32::try_from(bytes.len() + OVERHEAD).unwrap_or(u32::MAX);
        let (file, number, offset) = self.reserve(u64::from(len))?;
        let key = place_key(number, offset);
        let sealed = self.ring.seal(org, place(&key), bytes)?;
        disk::write_at(&file, &sealed, offset).map_err(failed("write", &self.path(number)))?;
        // Marked only now, so that a flush that began before does not count it as synced.
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.unsynced.insert(number, file);
        Ok(PayloadRef { file: number, offset, len, hash: Sha256::digest(&sealed).into() })
    }

    fn reserve(&self, len: u64) -> Result<(Arc<File>, u32, u64), PayloadError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &end.file {
            Some(file) if end.offset + len <= FILE_BYTES => Arc::clone(file),
            _ => {
                let path = self.path(end.number + 1);
                let file = disk::private().read(true).write(true).create_new(true).open(&path);
                let file = Arc::new(file.map_err(failed("make", &path))?);
                end.number += 1;
                end.offset = 0;
                end.new_name = true;
                end.file = Some(Arc::clone(&file));
                file
            }
        };
        let offset = end.offset;
        end.offset += len;
        Ok((file, end.number, offset))
    }

    /// The sealed bytes of a payload, checked against the reference.
    fn sealed(&self, payload: &PayloadRef) -> Result<(File, Vec<u8>), PayloadError> {
        let path = self.path(payload.file);
        let file = match disk::private().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PayloadError::Damaged);
            }
            other => other.map_err(failed("open", &path))?,
        };
        let most = MAX_PAYLOAD + OVERHEAD;
        let len = usize::try_from(payload.len).unwrap_or(usize::MAX).min(most);
        let mut sealed = vec![0; len];
        let read =
            disk::read_at(&file, &mut sealed, payload.offset).map_err(failed("read", &path))?;
        if read == len && !sealed.is_empty() && sealed.iter().all(|byte| *byte == 0) {
            return Err(PayloadError::Erased);
        }
        let hash: [u8; 32] = Sha256::digest(&sealed).into();
        if hash == payload.hash { Ok((file, sealed)) } else { Err(PayloadError::Damaged) }
    }

    /// The payload that a row refers to.
    pub fn get(&self, org: &OrgId, payload: &PayloadRef) -> Result<Vec<u8>, PayloadError> {
        let (_, sealed) = self.sealed(payload)?;
        let key = place_key(payload.file, payload.offset);
        Ok(self.ring.open(org, place(&key), &sealed)?)
    }

    /// Overwrites a payload for good; durable when it returns. One that is erased stays so.
    pub fn erase(&self, payload: &PayloadRef) -> Result<(), PayloadError> {
        let file = match self.sealed(payload) {
            Err(PayloadError::Erased) => return Ok(()),
            other => other?.0,
        };
        let end = payload.offset + u64::from(payload.len);
        let erased = disk::zero(&file, payload.offset, end).and_then(|()| file.sync_all());
        erased.map_err(failed("erase in", &self.path(payload.file)))
    }
}

fn place_key(file: u32, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let bytes = file.to_le_bytes().into_iter().chain(offset.to_le_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

fn place(key: &[u8; 12]) -> Place<'_> {
    Place { kind: "payload", key, ..Place::default() }
}

impl Companion for Payloads {
    fn sync(&self) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let files = std::mem::take(&mut end.unsynced);
        let new_name = std::mem::take(&mut end.new_name);
        drop(end);
        files.values().try_for_each(|file| file.sync_data())?;
        if new_name { disk::sync_dir(&self.dir) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keyring::Usage,
        keys::FixedKeys,
        log::{Log, LogKeys, LogOptions, Verdict, verify},
    };

    #[test]
    fn an_erased_payload_leaves_the_proof_valid() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        let [a, b] = ["a", "b"].map(|name| OrgId::new(name).unwrap());
        for org in [&a, &b] {
            let wrapped = ring.new_tenant(org, 1).unwrap();
            ring.add_tenant(org, 1, &wrapped, Usage::default()).unwrap();
        }
        let ring = Arc::new(ring);
        let payloads = dir.path().join("payloads");
        let store = Arc::new(Payloads::open(&payloads, Arc::clone(&ring)).unwrap());
        let keys = LogKeys { signing: [1; 32], tip: [2; 32] };
        let log_dir = dir.path().join("log");
        let (log, _) = Log::open(LogOptions::new(&log_dir, "t/a"), &keys).unwrap();
        log.accompany(Arc::clone(&store) as Arc<dyn Companion>);
        let refs: Vec<PayloadRef> = (0..20)
            .map(|n| {
                let payload = store.put(&a, format!("canary {n}").as_bytes()).unwrap();
                log.append(payload.to_string().as_bytes()).unwrap();
                payload
            })
            .collect();
        log.close().unwrap();
        drop(store);
        let store = Payloads::open(&payloads, ring).unwrap();
        store.erase(&refs[7]).unwrap();
        store.erase(&refs[7]).unwrap();
        for (n, payload) in refs.iter().enumerate() {
            let text = payload.to_string();
            assert_eq!(text.parse::<PayloadRef>().unwrap(), *payload);
            match store.get(&a, payload) {
                Ok(plain) => assert_eq!(plain, format!("canary {n}").as_bytes()),
                Err(error) => assert!(n == 7 && matches!(error, PayloadError::Erased), "{error}"),
            }
            assert!(store.get(&b, payload).is_err());
        }
        let report = verify(&log_dir, log.verifier(), None);
        assert_eq!((report.verdict, report.size), (Verdict::Ok, 20));
        let bytes = std::fs::read(payloads.join("payload-00000001")).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
    }

    #[test]
    fn moved_changed_and_oversized_payloads_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        let org = OrgId::default_org();
        let wrapped = ring.new_tenant(&org, 1).unwrap();
        ring.add_tenant(&org, 1, &wrapped, Usage::default()).unwrap();
        let store = Payloads::open(dir.path(), Arc::new(ring)).unwrap();
        let first = store.put(&org, b"first").unwrap();
        let second = store.put(&org, b"other").unwrap();
        assert!(matches!(
            store.put(&org, &vec![0; MAX_PAYLOAD + 1]),
            Err(PayloadError::TooLarge(_))
        ));
        let path = store.path(1);
        let bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        std::fs::write(&path, [&bytes[half..], &bytes[..half]].concat()).unwrap();
        // The place is right and the hash is not, then the hash is right and the place is not.
        assert!(matches!(store.get(&org, &first), Err(PayloadError::Damaged)));
        let moved = PayloadRef { offset: second.offset, ..first };
        assert!(matches!(store.get(&org, &moved), Err(PayloadError::Keyring(_))));
        for bad in ["", "p1", "p2:1:0:10:AAAA", "p1:1:0:10:AAAA", "p1:01:0:10:AAAA"] {
            assert!(bad.parse::<PayloadRef>().is_err(), "{bad}");
        }
    }
}
