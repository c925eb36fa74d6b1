//! Root keys in a file that only its owner may read, or in a credential of systemd.
//!
//! What stands in it is in `text`. A file is made on first start, whole or not at all, and
//! rewritten so when a key is added or removed; a credential is systemd's, which is why it may
//! also be readable by a group (that is how its access list shows) and is never written.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use zeroize::Zeroizing;

use super::{KeyError, KeyProvider, Ring, name_of, text};
use crate::{
    disk,
    envelope::{KeyName, Place},
    log::hex,
    seal::{self, Key},
};

/// The longest file: some hundred keys and notes.
const MOST: u64 = 1 << 16;

/// The file provider.
pub struct FileKeys {
    path: PathBuf,
    is_ours: bool,
    ring: RwLock<Arc<Ring>>,
}

impl FileKeys {
    /// Reads the file, or makes it with one new key if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let text = match read(&path, true) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(&path)?;
                read(&path, true)?
            }
            other => other?,
        };
        let ring = RwLock::new(Arc::new(parse(&path, &text)?));
        Ok(Self { path, is_ours: true, ring })
    }

    /// Reads a credential of the service, by name; `dir` is where systemd says they are.
    pub fn credential(name: &str, dir: Option<String>) -> Result<Self, KeyError> {
        let dir = dir.filter(|dir| !dir.is_empty()).ok_or_else(|| {
            let (what, place) = ("reading a root key", format!("the credential `{name}`"));
            let remedy = "start it as a systemd service with `LoadCredential=` or \
                          `LoadCredentialEncrypted=`, or use `file:PATH`";
            KeyError::Elsewhere { what, place, remedy: remedy.to_owned() }
        })?;
        if name.contains('/') || name.starts_with('.') {
            return Err(KeyError::BadSource(format!("credential:{}", name.escape_default())));
        }
        let path = Path::new(&dir).join(name);
        let ring = RwLock::new(Arc::new(parse(&path, &read(&path, false)?)?));
        Ok(Self { path, is_ours: false, ring })
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what the file holds now.
    fn take(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// Puts another text in place of the file's, and takes over what it holds.
    fn write(&self, text: &str) -> Result<(), KeyError> {
        let ring = parse(&self.path, text)?;
        disk::write_whole(&self.path, text.as_bytes()).map_err(|source| KeyError::Io {
            doing: "rewrite the root key file",
            path: self.path.clone(),
            source,
        })?;
        self.take(ring);
        Ok(())
    }

    /// Refuses to write what is not ours to write.
    fn check_ours(&self, what: &'static str, remedy: &str) -> Result<(), KeyError> {
        // A rename would put a file where the link was, and leave what it points to.
        let is_link = self.path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        if self.is_ours && !is_link {
            return Ok(());
        }
        let place = format!("in `{}`, which others look after", self.path.display());
        Err(KeyError::Elsewhere { what, place, remedy: remedy.to_owned() })
    }
}

impl KeyProvider for FileKeys {
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        self.ring().wrap(key, place)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        self.ring().unwrap(wrapped, place)
    }

    fn current_id(&self) -> KeyName {
        self.ring().current_id()
    }

    fn ids(&self) -> Vec<KeyName> {
        self.ring().ids()
    }

    fn renew(&self) -> Result<KeyName, KeyError> {
        let mut text = read(&self.path, self.is_ours)?;
        let found = parse(&self.path, &text)?;
        let had = self.ring();
        if found.current_id() != had.current_id() {
            // Nothing is lost while the file is edited: what was there is still known.
            found.check_holds(&had)?;
            self.take(found);
            return Ok(self.current_id());
        }
        self.check_ours(
            "making a root key",
            "add a line with a new key after the old one, and do this again",
        )?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&text::new_line()?);
        self.write(&text)?;
        Ok(self.current_id())
    }

    fn retire(&self, id: KeyName) -> Result<(), KeyError> {
        let text = read(&self.path, self.is_ours)?;
        let found = parse(&self.path, &text)?;
        if found.current_id() == id || self.current_id() == id {
            let fault = "is the one that wraps new keys: rotate first".to_owned();
            return Err(KeyError::InUse { id, fault });
        }
        if !found.ids().contains(&id) {
            // Somebody has taken it out already.
            self.take(found);
            return Ok(());
        }
        self.check_ours("removing a root key", "take its line out, and do this again")?;
        self.write(&text::without(&text, |key| name_of(key) == id))
    }
}

impl std::fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileKeys").field("path", &self.path).field("ids", &self.ids()).finish()
    }
}

/// The text of the file, after a look at who may read it.
fn read(path: &Path, is_ours: bool) -> Result<text::Text, KeyError> {
    let failed = |doing| move |source| KeyError::Io { doing, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    check_access(path, &file.metadata().map_err(failed("read"))?, is_ours)?;
    // Of one size from the start: a text that grows leaves pieces of itself behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MOST + 256).unwrap_or(0)));
    file.take(MOST).read_to_string(&mut text).map_err(failed("read"))?;
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Ring, KeyError> {
    let keys = text::read(text).map_err(|text::Fault { line, what }| {
        let path = path.to_owned();
        KeyError::BadFile { path, line, fault: what }
    })?;
    Ok(Ring::new(keys))
}

/// Makes the file beside its place and links it there, which fails if another start was faster.
fn make(path: &Path) -> Result<(), KeyError> {
    let line = text::new_line()?;
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

fn check_access(path: &Path, meta: &std::fs::Metadata, is_ours: bool) -> Result<(), KeyError> {
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
    if mode & if is_ours { 0o077 } else { 0o037 } != 0 {
        let fault = format!("has mode {mode:04o}, so that others can use it");
        return exposed(fault, format!("chmod 600 {}", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const WORD: &str = "tidegate-key-1";

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
        for bad in ["", "file:", "env:KEY", "credential:x", "credential:", "exec: ", "x"] {
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

    #[test]
    fn a_key_is_added_and_an_old_one_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let keys = FileKeys::open(&path).unwrap();
        let first = keys.current_id();
        let wrapped = keys.wrap(&[9; 32], &PLACE).unwrap();
        let noted = format!("# from the safe\n{}", std::fs::read_to_string(&path).unwrap());
        write(&path, noted.trim_end(), 0o600);
        let second = keys.renew().unwrap();
        assert_eq!(keys.ids(), [first, second]);
        assert_eq!(*keys.unwrap(&wrapped, &PLACE).unwrap(), [9; 32]);
        assert_eq!(FileKeys::open(&path).unwrap().ids(), [first, second]);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let refused = keys.retire(second).unwrap_err().to_string();
        assert!(refused.contains("wraps new keys"), "{refused}");
        keys.retire(first).unwrap();
        keys.retire(first).unwrap();
        assert_eq!(keys.ids(), [second]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# from the safe\n") && text.lines().count() == 2, "{text}");
        assert!(keys.unwrap(&wrapped, &PLACE).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_somebody_added_is_taken_instead_of_making_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let keys = FileKeys::open(&path).unwrap();
        let first = keys.current_id();
        let by_hand = format!("{WORD} {}\n", "0123456789abcdef".repeat(4));
        let text = std::fs::read_to_string(&path).unwrap();
        write(&path, &by_hand, 0o600);
        assert!(keys.renew().is_err(), "what is wrapped under the first could not be opened");
        assert_eq!(keys.ids(), [first]);
        write(&path, &format!("{text}{by_hand}"), 0o600);
        let second = keys.renew().unwrap();
        assert_eq!(keys.ids(), [first, second]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{text}{by_hand}"));
        // A link points to what others look after.
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let linked = FileKeys::open(&link).unwrap();
        assert!(matches!(linked.renew(), Err(KeyError::Elsewhere { .. })));
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn a_credential_of_systemd_is_read_and_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let line = format!("{WORD} {}\n", "0123456789abcdef".repeat(4));
        let open = || FileKeys::credential("root", Some(dir.path().display().to_string()));
        assert!(open().is_err() && !path.exists());
        for (mode, is_taken) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false)] {
            drop(std::fs::remove_file(&path));
            write(&path, &line, mode);
            assert_eq!(open().is_ok(), is_taken, "{mode:o}");
        }
        drop(std::fs::remove_file(&path));
        write(&path, &line, 0o400);
        assert!(matches!(open().unwrap().renew(), Err(KeyError::Elsewhere { .. })));
        for name in ["../root", ".hidden", "a/b"] {
            let refused = FileKeys::credential(name, Some("/".to_owned()));
            assert!(matches!(refused, Err(KeyError::BadSource(_))), "{name}");
        }
        assert!(FileKeys::credential("root", None).unwrap_err().to_string().contains("systemd"));
    }
}
