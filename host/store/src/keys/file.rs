//! Root keys in a file that only its owner may read.
//!
//! One key a line: `tidegate-key-1` and 64 hexadecimal digits; the last line is the current
//! key, the ones before it only unwrap. Empty lines and lines that begin with `#` are passed
//! over. The file is made on first start, whole or not at all.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{KeyError, KeyProvider, Ring};
use crate::{
    disk,
    envelope::{KeyName, Place},
    log::hex,
    seal::{self, Key},
};

const WORD: &str = "tidegate-key-1";

/// The file provider.
pub struct FileKeys {
    path: PathBuf,
    ring: Ring,
}

impl FileKeys {
    /// Reads the file, or makes it with one new key if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let failed = |doing| {
            let path = path.clone();
            move |source| KeyError::Io { doing, path, source }
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&path)?;
                File::open(&path).map_err(failed("open"))?
            }
            other => other.map_err(failed("open"))?,
        };
        check_access(&path, &file.metadata().map_err(failed("read"))?)?;
        let mut text = Zeroizing::new(String::new());
        file.take(1 << 16).read_to_string(&mut text).map_err(failed("read"))?;
        let keys = parse(&path, &text)?;
        Ok(Self { ring: Ring::new(keys), path })
    }
}

impl KeyProvider for FileKeys {
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        self.ring.wrap(key, place)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        self.ring.unwrap(wrapped, place)
    }

    fn current_id(&self) -> KeyName {
        self.ring.current_id()
    }

    fn ids(&self) -> Vec<KeyName> {
        self.ring.ids()
    }
}

impl std::fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileKeys").field("path", &self.path).field("ids", &self.ids()).finish()
    }
}

/// Makes the file beside its place and links it there, which fails if another start was faster.
fn make(path: &Path) -> Result<(), KeyError> {
    let key = Key::new(seal::random()?);
    let line = Zeroizing::new(format!("{WORD} {}\n", *Zeroizing::new(hex(key.as_slice()))));
    let suffix: [u8; 8] = seal::random()?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", hex(&suffix)));
    let beside = path.with_file_name(name);
    let made = || -> io::Result<()> {
        let mut file = disk::private().write(true).create_new(true).open(&beside)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        match std::fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        std::fs::remove_file(&beside)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        disk::sync_dir(parent.unwrap_or(Path::new(".")))
    };
    made().map_err(|source| {
        drop(std::fs::remove_file(&beside));
        KeyError::Io { doing: "make the root key file", path: path.to_owned(), source }
    })
}

fn check_access(path: &Path, meta: &std::fs::Metadata) -> Result<(), KeyError> {
    let exposed = |fault, remedy| Err(KeyError::Exposed { path: path.to_owned(), fault, remedy });
    let mode = meta.mode() & 0o7777;
    let us = rustix::process::geteuid().as_raw();
    if !meta.is_file() {
        return exposed("is no regular file".to_owned(), format!("ls -l {}", path.display()));
    }
    if meta.uid() != us && meta.uid() != 0 {
        let fault = format!("belongs to the user {}, not to {us} or root", meta.uid());
        return exposed(fault, format!("chown {us} {}", path.display()));
    }
    if mode & 0o077 != 0 {
        let fault = format!("has mode {mode:04o}, so that others can use it");
        return exposed(fault, format!("chmod 600 {}", path.display()));
    }
    Ok(())
}

fn parse(path: &Path, text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    let bad = |line, fault| KeyError::BadFile { path: path.to_owned(), line, fault };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let digits = line.strip_prefix(WORD).map(str::trim).unwrap_or_default();
        let key = parse_hex(digits).ok_or_else(|| bad(number, "this is no key"))?;
        let first = key.first().copied().unwrap_or_default();
        if key.iter().all(|byte| *byte == first) {
            return Err(bad(number, "this key is a placeholder"));
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(bad(1, "there is no key")) } else { Ok(keys) }
}

fn parse_hex(digits: &str) -> Option<Key> {
    let mut key = Key::new([0; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PLACE: Place<'_> = Place {
        kind: "key",
        org: "acme",
        connector: "",
        origin: "",
        owner: "",
        key: b"",
        version: 1,
        expires: 0,
        schema: 0,
    };

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_file_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let first = FileKeys::open(&path).unwrap();
        let wrapped = first.wrap(&[9; 32], &PLACE).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let source = format!("file:{}", path.display());
        let second = super::super::provider(&source).unwrap();
        assert_eq!(second.current_id(), first.current_id());
        assert_eq!(*second.unwrap(&wrapped, &PLACE).unwrap(), [9; 32]);
        assert!(second.unwrap(&wrapped, &Place { org: "other", ..PLACE }).is_err());
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let open = || FileKeys::open(&path).unwrap().current_id();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let good = format!("{WORD} {}\n", "0123456789abcdef".repeat(4));
        let table: &[(&str, u32, &str)] = &[
            (&good, 0o640, "has mode 0640"),
            (&good, 0o604, "chmod 600"),
            ("", 0o600, "there is no key"),
            ("# only a note\n", 0o600, "there is no key"),
            ("secret\n", 0o600, "line 1: this is no key"),
            (&good[..40], 0o600, "this is no key"),
            (
                &format!("{good}{WORD} {}", "0".repeat(64)),
                0o600,
                "line 2: this key is a placeholder",
            ),
        ];
        for (text, mode, wanted) in table {
            write(&path, text, *mode);
            let error = FileKeys::open(&path).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert!(!error.contains("abcdef"), "{error}");
        }
        write(&path, &good, 0o400);
        assert!(FileKeys::open(&path).is_ok());
        for bad in ["", "file:", "env:KEY", "x"] {
            assert!(super::super::provider(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_older_key_unwraps_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let old = FileKeys::open(&path).unwrap();
        let wrapped = old.wrap(&[9; 32], &PLACE).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        let newer = format!("{WORD} {}\n", "0123456789abcdef".repeat(4));
        text.push_str(&newer);
        write(&path, &text, 0o600);
        let both = FileKeys::open(&path).unwrap();
        assert_eq!(both.ids().len(), 2);
        assert_ne!(both.current_id(), old.current_id());
        assert_eq!(*both.unwrap(&wrapped, &PLACE).unwrap(), [9; 32]);
        write(&path, &newer, 0o600);
        let only_new = FileKeys::open(&path).unwrap();
        let error = only_new.unwrap(&wrapped, &PLACE).unwrap_err().to_string();
        assert!(error.contains(&old.current_id().to_string()), "{error}");
        assert!(error.contains(&only_new.current_id().to_string()), "{error}");
    }
}
