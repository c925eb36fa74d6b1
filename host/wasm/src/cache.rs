//! Compiled components on disk.
//!
//! An entry is `magic ‖ mac ‖ sha256 ‖ code`, in a file named after engine and component. The
//! MAC covers all of it, engine and component with a key that never leaves the gateway. It is
//! checked over a copy that nobody can change (`code`) before a single byte is believed, and
//! that copy is what runs. The SHA-256 is the component's, so that it need not be computed
//! again. An entry that does not fit is removed, reported and compiled again. Entries of other engines go
//! when nobody used them for a week, the oldest of all when the folder grows too large. A
//! cache that cannot be written costs time, never correctness.

use std::{
    fmt,
    fs::{self, File},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidegate_model::Clock;
use wasmtime::{Engine, component::Component as Compiled};

use code::Code;

mod code;
mod digests;

const MAGIC: &[u8; 8] = b"tgwasm03";
const HEAD_LEN: usize = MAGIC.len() + 64;
/// Tells this use of the cache's key from any other.
const MAC_KEY: &str = "tidegate 2026 compile cache, entries of the third form";

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

/// What a component is called here: BLAKE3 of its file, which takes a third of the time of
/// its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name([u8; 32]);

impl Name {
    pub(crate) fn of(component: &[u8]) -> Self {
        Self(*blake3::hash(component).as_bytes())
    }
}

#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// Of the MACs.
    key: [u8; 32],
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
        let mut fingerprint = Fingerprint(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        let engine = fingerprint.0.finalize().into();
        let key = blake3::derive_key(MAC_KEY, &settings.key.0);
        let clock = Arc::clone(clock);
        let cache = Self { folder: settings.folder, key, engine, clock, most: MOST };
        cache.sweep();
        Ok(cache)
    }

    /// The compiled form of the component, and its SHA-256, if a trustworthy entry is there.
    pub(crate) fn get(&self, engine: &Engine, component: &Name) -> Option<(Compiled, [u8; 32])> {
        let path = self.path(component);
        let entry = match read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the compile cache cannot be read; compiling instead");
                return None;
            }
        };
        let found = self.load(engine, component, entry);
        if found.is_none() {
            tracing::warn!(
                entry = %path.display(),
                "an entry of the compile cache is damaged or was tampered with; compiling instead"
            );
            discard(&path);
        } else {
            self.used(&path);
        }
        found
    }

    /// Keeps the compiled form for the next start.
    pub(crate) fn put(&self, component: &Name, sha256: &[u8; 32], compiled: &Compiled) {
        if let Err(error) = self.write(component, sha256, compiled) {
            tracing::warn!(%error, "the compile cache cannot be written");
        }
    }

    fn write(&self, component: &Name, sha256: &[u8; 32], compiled: &Compiled) -> io::Result<()> {
        let code = compiled.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        let mac = self.mac(component, sha256, &digests::of(&code)?);
        let path = self.path(component);
        // Two processes may write the same entry: each writes its own file and renames it.
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = File::create(&draft)?;
        for part in [MAGIC.as_slice(), mac.as_bytes(), sha256, &code] {
            file.write_all(part)?;
        }
        drop(file);
        self.used(&draft);
        fs::rename(&draft, &path)?;
        self.sweep();
        Ok(())
    }

    /// What a copy of an entry holds, if its MAC is ours.
    fn load(
        &self,
        engine: &Engine,
        component: &Name,
        (head, code): ([u8; HEAD_LEN], Code),
    ) -> Option<(Compiled, [u8; 32])> {
        let (mac, sha256) = head.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
        let sha256: [u8; 32] = sha256.try_into().ok()?;
        let digests = code.digests().ok()?;
        // In constant time, as this type compares.
        let is_ours = self.mac(component, &sha256, &digests) == *mac;
        is_ours.then(|| deserialize(engine, code)).flatten().map(|compiled| (compiled, sha256))
    }

    /// Over the digests of the code's parts, which stand for the code.
    fn mac(&self, component: &Name, sha256: &[u8; 32], digests: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        for part in [MAGIC.as_slice(), &self.engine, &component.0, sha256, digests] {
            mac.update(part);
        }
        mac.finalize()
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

    fn path(&self, component: &Name) -> PathBuf {
        let name = blake3::Hasher::new().update(&self.engine).update(&component.0).finalize();
        self.folder.join(format!("{}{}.bin", self.prefix(), name.to_hex()))
    }
}

/// A file in the folder.
struct Entry {
    path: PathBuf,
    name: String,
    used: SystemTime,
    size: u64,
}

/// The head of an entry, and a copy of its code.
fn read(path: &Path) -> io::Result<([u8; HEAD_LEN], Code)> {
    let mut file = File::open(path)?;
    let mut head = [0; HEAD_LEN];
    match file.read_exact(&mut head) {
        // What is too short for a head has one that is not ours.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    Ok((head, Code::copy(&file, HEAD_LEN)?))
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

#[expect(unsafe_code, reason = "loads compiled code; only ever called with a copy whose MAC holds")]
fn deserialize(engine: &Engine, code: Code) -> Option<Compiled> {
    // SAFETY: `load` has checked with our own key that these exact bytes were made by
    // `Compiled::serialize` of an engine with the same fingerprint; and they are either in a
    // sealed file, which is held open here until it is mapped, or in memory of ours, so that
    // nobody has changed them since and nobody will.
    unsafe {
        let mapped = code.mappable().map(|name| Compiled::deserialize_file(engine, name));
        match mapped {
            Some(Ok(compiled)) => Some(compiled),
            // Where the name does not lead anywhere.
            _ => Compiled::deserialize(engine, code.bytes().ok()?).ok(),
        }
    }
}

/// Feeds a hash into BLAKE3, so that the result is the same in every process.
struct Fingerprint(blake3::Hasher);

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
