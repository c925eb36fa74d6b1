//! What is swept, and what stays.

use std::collections::BTreeSet;

use tidegate_model::Timestamp;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
struct Today;

impl Clock for Today {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

fn cache(folder: &Path, engine: u8, most: u64) -> Cache {
    Cache {
        folder: folder.to_owned(),
        key: [7; 32],
        engine: [engine; 32],
        clock: Arc::new(Today),
        most,
    }
}

fn put(folder: &Path, name: &str, size: usize, age: Duration) {
    let path = folder.join(name);
    fs::write(&path, vec![0; size]).unwrap();
    let used = UNIX_EPOCH + Duration::from_millis(Today.now().as_millis()) - age;
    File::options().append(true).open(path).unwrap().set_modified(used).unwrap();
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_belongs_to_nobody_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cache = cache(folder, 1, MOST);
    let ours = cache.prefix();
    let table = [
        (format!("{ours}aa.bin"), DAY * 400, true),
        ("0202020202020202-aa.bin".to_owned(), DAY * 6, true),
        ("0202020202020202-bb.bin".to_owned(), DAY * 8, false),
        // As entries were called by the first version.
        (format!("{}.bin", "a".repeat(64)), DAY * 8, false),
        (format!("{ours}cc.99.tmp"), Duration::from_secs(60), true),
        (format!("{ours}dd.99.tmp"), DAY, false),
        ("somebody's notes.txt".to_owned(), DAY * 400, true),
    ];
    for (name, age, _) in &table {
        put(folder, name, 10, *age);
    }
    cache.sweep();
    let kept = table.into_iter().filter(|(_, _, stays)| *stays).map(|(name, ..)| name);
    assert_eq!(names(folder), kept.collect());
}

#[test]
fn the_oldest_go_when_there_are_too_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cache = cache(folder, 1, 250);
    let ours = cache.prefix();
    for (name, age) in [("a", DAY * 3), ("b", DAY), ("c", DAY * 2), ("d", DAY * 4)] {
        put(folder, &format!("{ours}{name}.bin"), 100, age);
    }
    cache.used(&folder.join(format!("{ours}d.bin")));
    cache.sweep();
    assert_eq!(names(folder), ["b", "d"].map(|name| format!("{ours}{name}.bin")).into());
    cache.sweep();
    assert_eq!(names(folder).len(), 2, "nothing more goes");
}

#[test]
fn two_engines_never_share_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [1, 2].map(|engine| cache(folder.path(), engine, MOST).path(&Name([5; 32])));
    assert_ne!(paths[0].file_name(), paths[1].file_name());
}

#[test]
fn code_is_loaded_from_either_copy() {
    let engine = crate::engine::engine(crate::Allocation::OnDemand).unwrap();
    let bytes = wat::parse_str("(component (core module (func (export \"a\"))))").unwrap();
    let code = Compiled::from_binary(&engine, &bytes).unwrap().serialize().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&code).unwrap();
    assert!(deserialize(&engine, Code::copy(&file, 0).unwrap()).is_some());
    assert!(deserialize(&engine, Code::Held(code)).is_some());
    assert!(deserialize(&engine, Code::Held(b"no code".to_vec())).is_none());
}
