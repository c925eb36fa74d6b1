//! Compiled components on disk.
//!
//! An entry is `magic ‖ mac ‖ code`, in a file named after the hash of component and engine.
//! The MAC covers engine, component and code with a key that never leaves the gateway, and
//! is checked over the bytes in memory before a single one of them is believed. An entry
//! that does not fit is removed, reported and compiled again. A cache that cannot be
//! written costs time, never correctness.

use std::{
    fmt, fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component as Compiled};

const MAGIC: &[u8; 8] = b"tgwasm01";
const MAC_LEN: usize = 32;

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
}

impl Cache {
    pub(crate) fn open(settings: CacheSettings, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(&settings.folder)?;
        let mut fingerprint = Fingerprint(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        let engine = fingerprint.0.finalize().into();
        Ok(Self { folder: settings.folder, key: settings.key, engine })
    }

    /// The compiled form of the component with this hash, if a trustworthy one is there.
    pub(crate) fn get(&self, engine: &Engine, component: &[u8; 32]) -> Option<Compiled> {
        let path = self.path(component);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the compile cache cannot be read; compiling instead");
                return None;
            }
        };
        let compiled = self.verified(component, &entry).and_then(|code| load(engine, code));
        if compiled.is_none() {
            tracing::warn!(
                entry = %path.display(),
                "an entry of the compile cache is damaged or was tampered with; compiling instead"
            );
            discard(&path);
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
        let mac = self.mac(component, &code).finalize().into_bytes();
        let mut entry = Vec::with_capacity(MAGIC.len() + MAC_LEN + code.len());
        entry.extend_from_slice(MAGIC);
        entry.extend_from_slice(&mac);
        entry.extend_from_slice(&code);
        let path = self.path(component);
        // Two processes may write the same entry: each writes its own file and renames it.
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&draft, &entry)?;
        fs::rename(&draft, &path)
    }

    fn verified<'a>(&self, component: &[u8; 32], entry: &'a [u8]) -> Option<&'a [u8]> {
        let rest = entry.strip_prefix(MAGIC)?;
        let (mac, code) = rest.split_at_checked(MAC_LEN)?;
        self.mac(component, code).verify_slice(mac).ok()?;
        Some(code)
    }

    fn mac(&self, component: &[u8; 32], code: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a key to the block of its hash with zeros; doing so here leaves no error.
        let mut block = [0; 64];
        block.iter_mut().zip(self.key.0).for_each(|(to, from)| *to = from);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(MAGIC);
        mac.update(&self.engine);
        mac.update(component);
        mac.update(code);
        mac
    }

    fn path(&self, component: &[u8; 32]) -> PathBuf {
        let name = Sha256::new().chain_update(self.engine).chain_update(component).finalize();
        self.folder.join(format!("{}.bin", hex(&name)))
    }
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
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, entry = %path.display(), "the damaged entry cannot be removed");
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
