//! Compiled components on disk.
//!
//! An entry is `magic ‖ mac ‖ code`, in a file named after engine and component. The MAC
//! covers engine, component and code (`digests`) with a key that never leaves the gateway,
//! and is checked over the bytes in memory before a single one of them is believed. An entry
//! that does not fit is removed, reported and compiled again. Entries of other engines go
//! when nobody used them for a week, the oldest of all when the folder grows too large. A
//! cache that cannot be written costs time, never correctness.

use std::{
    fmt,
    fs::{self, File},
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tidegate_model::Clock;
use wasmtime::{Engine, component::Component as Compiled};

mod digests;

const MAGIC: &[u8; 8] = b"tgwasm02";
const MAC_LEN: usize = 32;
const HEAD_LEN: usize = MAGIC.len() + MAC_LEN;

/// Bytes of all entries together.
const MOST: u64 = 2 << 30;
/// An entry of another engine that nobody used for so long belongs to no gateway any more.
const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A draft that is older was left behind by a process that ended while it wrote.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The key of the cache's MACs, derived by the key provider for this purpose alone.
#[derive(Clone)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Takes the key over.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where compiled components are kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// A folder of its own; made when it is missing.
    pub folder: PathBuf,
    /// The MAC key.
    pub key: CacheKey,
}

#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: CacheKey,
    engine: [u8; 32],
    clock: Arc<dyn Clock>,
    most: u64,
}

impl Cache {
    /// Opens the folder and clears it of what is old.
    pub(crate) fn open(
        settings: CacheSettings,
        engine: &Engine,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<Self> {
        fs::create_dir_all(&settings.folder)?;
        let mut fingerprint = Fingerprint(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        let engine = fingerprint.0.finalize().into();
        let clock = Arc::clone(clock);
        let cache = Self { folder: settings.folder, key: settings.key, engine, clock, most: MOST };
        cache.sweep();
        Ok(cache)
    }

    /// The compiled form of the component with this hash, if a trustworthy one is there.
    pub(crate) fn get(&self, engine: &Engine, component: &[u8; 32]) -> Option<Compiled> {
        let path = self.path(component);
        let (entry, digests) = match read(&path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the compile cache cannot be read; compiling instead");
                return None;
            }
        };
        let code = self.verified(component, &entry, &digests);
        let compiled = code.and_then(|code| load(engine, code));
        if compiled.is_none() {
            tracing::warn!(
                entry = %path.display(),
                "an entry of the compile cache is damaged or was tampered with; compiling instead"
            );
            discard(&path);
        } else {
            self.used(&path);
        }
        compiled
    }

    /// Keeps the compiled form for the next start.
    pub(crate) fn put(&self, component: &[u8; 32], compiled: &Compiled) {
        if let Err(error) = self.write(component, compiled) {
            tracing::warn!(%error, "the compile cache cannot be written");
        }
    }

    fn write(&self, component: &[u8; 32], compiled: &Compiled) -> io::Result<()> {
        let code = compiled.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        let mac = self.mac(component, &digests::of(&code)).finalize().into_bytes();
        let mut entry = Vec::with_capacity(HEAD_LEN + code.len());
        entry.extend_from_slice(MAGIC);
        entry.extend_from_slice(&mac);
        entry.extend_from_slice(&code);
        let path = self.path(component);
        // Two processes may write the same entry: each writes its own file and renames it.
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&draft, &entry)?;
        self.used(&draft);
        fs::rename(&draft, &path)?;
        self.sweep();
        Ok(())
    }

    fn verified<'a>(
        &self,
        component: &[u8; 32],
        entry: &'a [u8],
        digests: &[u8],
    ) -> Option<&'a [u8]> {
        let rest = entry.strip_prefix(MAGIC)?;
        let (mac, code) = rest.split_at_checked(MAC_LEN)?;
        self.mac(component, digests).verify_slice(mac).ok()?;
        Some(code)
    }

    /// Over the digests of the code's parts, which stand for the code.
    fn mac(&self, component: &[u8; 32], digests: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a key to the block of its hash with zeros; doing so here leaves no error.
        let mut block = [0; 64];
        block.iter_mut().zip(self.key.0).for_each(|(to, from)| *to = from);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(MAGIC);
        mac.update(&self.engine);
        mac.update(component);
        mac.update(digests);
        mac
    }

    /// What is used is not old.
    fn used(&self, path: &Path) {
        let touched = File::options().append(true).open(path);
        if let Err(error) = touched.and_then(|file| file.set_modified(self.now())) {
            tracing::debug!(%error, entry = %path.display(), "the entry's time cannot be set");
        }
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.clock.now().as_millis())
    }

    /// Removes what nobody uses any more, and the oldest entries beyond the bound.
    fn sweep(&self) {
        let entries = match self.entries() {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "the compile cache cannot be cleared of what is old");
                return;
            }
        };
        let now = self.now();
        let ours = self.prefix();
        let (old, mut kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| {
            let age = now.duration_since(entry.used).unwrap_or_default();
            match entry.path.extension().and_then(|extension| extension.to_str()) {
                Some("bin") => age > STALE && !entry.name.starts_with(&ours),
                Some("tmp") => age > ABANDONED,
                _ => false,
            }
        });
        kept.retain(|entry| entry.path.extension().is_some_and(|extension| extension == "bin"));
        kept.sort_by_key(|entry| entry.used);
        let mut bytes: u64 = kept.iter().map(|entry| entry.size).sum();
        let beyond = kept.into_iter().take_while(|entry| {
            let beyond = bytes > self.most;
            bytes = bytes.saturating_sub(entry.size);
            beyond
        });
        for entry in old.into_iter().chain(beyond) {
            discard(&entry.path);
        }
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let entries = fs::read_dir(&self.folder)?.filter_map(|entry| {
            // What another process has removed meanwhile is no entry.
            let entry = entry.ok()?;
            let data = entry.metadata().ok()?;
            let name = entry.file_name().into_string().ok()?;
            let used = data.modified().ok()?;
            data.is_file().then(|| Entry { path: entry.path(), name, used, size: data.len() })
        });
        Ok(entries.collect())
    }

    /// What the names of this engine's entries begin with.
    fn prefix(&self) -> String {
        let (short, _) = self.engine.split_at_checked(8).unwrap_or((&self.engine, &[]));
        format!("{}-", hex(short))
    }

    fn path(&self, component: &[u8; 32]) -> PathBuf {
        let name = Sha256::new().chain_update(self.engine).chain_update(component).finalize();
        self.folder.join(format!("{}{}.bin", self.prefix(), hex(&name)))
    }
}

/// A file in the folder.
struct Entry {
    path: PathBuf,
    name: String,
    used: SystemTime,
    size: u64,
}

/// A whole entry, and the digests of its code.
fn read(path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut entry = vec![0; size];
    let digests = digests::read(&file, &mut entry, HEAD_LEN)?;
    Ok((entry, digests))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn discard(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, entry = %path.display(), "the entry cannot be removed");
        }
        _ => {}
    }
}

#[expect(unsafe_code, reason = "loads compiled code; only ever called with bytes whose MAC holds")]
fn load(engine: &Engine, code: &[u8]) -> Option<Compiled> {
    // SAFETY: `verified` has checked with our own key that these exact bytes, in memory, were
    // made by `Compiled::serialize` of an engine with the same fingerprint.
    unsafe { Compiled::deserialize(engine, code) }.ok()
}

/// Feeds a hash into SHA-256, so that the result is the same in every process.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
