//! Components that commands have compiled, kept for the next command.
//!
//! A component with a JavaScript engine in it takes a quarter of a minute to compile, and a
//! developer looks at one again and again. The folder is the person's own, and so is the key
//! that its entries are held to; a gateway keeps what it compiles elsewhere, with another key.
//! Where the folder cannot be used, commands are slower and otherwise the same.

use std::{
    fs::{self, Metadata},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, bail};
use tidegate_model::{Clock, SystemClock};
use tidegate_wasm::{CacheKey, CacheSettings, Sandbox, Settings};

use crate::config::user;

/// Bytes that the folder may hold before the oldest entries go.
const MOST: u64 = 2 << 30;

/// A sandbox for commands, with what was compiled before where that can be used.
pub(super) fn sandbox() -> anyhow::Result<Sandbox> {
    sandbox_at(Arc::new(SystemClock))
}

/// The same with a clock of the command's own.
pub(super) fn sandbox_at(clock: Arc<dyn Clock>) -> anyhow::Result<Sandbox> {
    let cache = user::cache_folder().and_then(|folder| match open(&folder.join("tidegate")) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::debug!(error = format!("{error:#}"), "commands keep nothing compiled");
            None
        }
    });
    let settings = Settings { cache, clock, ..Settings::default() };
    Sandbox::new(settings).context("the sandbox for components cannot be set up")
}

fn open(folder: &Path) -> anyhow::Result<CacheSettings> {
    let entries = folder.join("components");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&entries)?;
    // Whoever may write here could exchange the key, and with it the code that is run.
    for path in [folder, &entries] {
        check_own(path, &fs::symlink_metadata(path)?, 0o022)?;
    }
    let key = folder.join("key");
    if let Err(error) = make_key(&key)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("cannot make `{}`", key.display()));
    }
    check_own(&key, &fs::symlink_metadata(&key)?, 0o077)?;
    let Ok(bytes) = <[u8; 32]>::try_from(fs::read(&key)?) else {
        bail!("`{}` is no key; remove it", key.display());
    };
    shrink(&entries, MOST)?;
    Ok(CacheSettings { folder: entries, key: CacheKey::new(bytes) })
}

/// Fails where somebody else owns it, or has one of these rights.
fn check_own(path: &Path, about: &Metadata, rights: u32) -> anyhow::Result<()> {
    if about.uid() != rustix::process::geteuid().as_raw() || about.is_symlink() {
        bail!("`{}` belongs to somebody else", path.display());
    }
    if about.mode() & rights != 0 {
        bail!("others have rights on `{}`", path.display());
    }
    Ok(())
}

/// A random key, whole or not at all, unless there is one.
fn make_key(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let draft = path.with_extension(std::process::id().to_string());
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    let made = file.write_all(&bytes).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

/// Removes the entries that were written first, until the others fit.
fn shrink(entries: &Path, most: u64) -> io::Result<()> {
    let mut found: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(entries)? {
        let entry = entry?;
        let about = entry.metadata()?;
        found.push((about.modified()?, about.len(), entry.path()));
    }
    found.sort();
    let mut size: u64 = found.iter().map(|(_, size, _)| size).sum();
    for (_, of_it, path) in found {
        if size <= most {
            break;
        }
        fs::remove_file(path)?;
        size -= of_it;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tidegate");
        open(&folder).unwrap();
        let key = fs::read(folder.join("key")).unwrap();
        assert_eq!(key.len(), 32);
        assert_ne!(key, [0; 32]);
        assert_eq!(fs::metadata(folder.join("key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        open(&folder).unwrap();
        assert_eq!(fs::read(folder.join("key")).unwrap(), key);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "a draft was left");
    }

    #[test]
    fn what_others_can_write_or_read_is_not_used() {
        for (path, mode) in [("", 0o777), ("components", 0o770), ("key", 0o644)] {
            let dir = tempfile::tempdir().unwrap();
            open(dir.path()).unwrap();
            let path = dir.path().join(path);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = open(dir.path()).unwrap_err().to_string();
            assert!(said.contains("others have rights"), "{}: {said}", path.display());
        }
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap();
        fs::write(dir.path().join("key"), "short").unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("is no key"));
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 30), ("newer", 20), ("newest", 10)] {
            let path = dir.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000 - age);
            fs::File::options().write(true).open(&path).unwrap().set_modified(when).unwrap();
        }
        shrink(dir.path(), 300).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        shrink(dir.path(), 250).unwrap();
        assert!(!dir.path().join("old").exists() && dir.path().join("newer").exists());
        shrink(dir.path(), 0).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
