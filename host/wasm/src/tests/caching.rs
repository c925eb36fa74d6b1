//! The compile cache believes nothing but its own MAC.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use super::*;

fn sandbox(folder: &Path, key: u8) -> Sandbox {
    let cache = CacheSettings { folder: folder.to_owned(), key: CacheKey::new([key; 32]) };
    let allocation = Allocation::OnDemand;
    Sandbox::new(Settings { allocation, cache: Some(cache), ..settings() }).unwrap()
}

async fn from_cache(folder: &Path, key: u8) -> bool {
    let component = sandbox(folder, key).load(guest("bench-pass")).await.unwrap();
    let config = json("{}");
    let plugin = Interceptor::new(&binding(&component, &config)).unwrap();
    before(&plugin, &context("search"), &json("{}")).await.unwrap();
    component.from_cache()
}

fn entry(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let entry = entries.next().unwrap();
    assert!(entries.next().is_none());
    entry
}

#[tokio::test]
async fn entries_are_used_again_and_tampered_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(!from_cache(folder, 1).await, "the first load compiles");
    assert!(from_cache(folder, 1).await, "the second does not");
    let hash: [u8; 32] = Sha256::digest(guest("bench-pass")).into();
    let cached = sandbox(folder, 1).load(guest("bench-pass")).await.unwrap();
    assert_eq!((cached.from_cache(), cached.sha256()), (true, &hash));

    let good = fs::read(entry(folder)).unwrap();
    let last = good.len() - 1;
    // Magic, MAC, the component's hash, first byte of the code, somewhere in it, its end; and
    // shorter and longer files.
    for at in [0, 8, 39, 40, 71, 72, good.len() / 2, last] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(entry(folder), &bad).unwrap();
        assert!(!from_cache(folder, 1).await, "byte {at} was changed");
        assert_eq!(fs::read(entry(folder)).unwrap().len(), good.len(), "it was written anew");
        assert!(from_cache(folder, 1).await);
    }
    for bad in [&good[..last], &good[..20], &[], &[good.as_slice(), b"x"].concat()] {
        fs::write(entry(folder), bad).unwrap();
        assert!(!from_cache(folder, 1).await, "{} bytes", bad.len());
    }
    assert!(!from_cache(folder, 2).await, "an entry made with another key");
}

#[tokio::test]
async fn an_entry_of_another_component_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    assert!(!from_cache(folder.path(), 1).await);
    sandbox(other.path(), 1).load(guest("bench-pass-before")).await.unwrap();
    fs::copy(entry(other.path()), entry(folder.path())).unwrap();
    assert!(!from_cache(folder.path(), 1).await);
}
