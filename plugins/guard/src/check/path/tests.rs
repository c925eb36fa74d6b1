//! What stays below, and every known way out.

use proptest::prelude::*;

use super::*;

fn stays(path: &str, folder: &str) -> bool {
    below(path, &[folder.to_owned()]).is_ok()
}

#[test]
fn what_is_below() {
    let table = [
        ("/srv/data", "/srv/data"),
        ("/srv/data/a.txt", "/srv/data"),
        ("/srv/data/a/../b", "/srv/data/"),
        ("/srv//data/./a", "/srv/data"),
        ("/srv/data/100%", "/srv/data"),
        ("/srv/data/a%20b", "/srv/data"),
        ("/srv/data/...hidden", "/srv/data"),
        ("/srv/data/caf\u{e9}", "/srv/data"),
        ("file:///srv/data/a", "/srv/data"),
        ("FILE://localhost/srv/data/a", "/srv/data"),
        ("C:\\data\\a", "c:/data"),
        ("a/b", "."),
        ("./a/../b", "."),
        ("docs/a", "docs"),
        ("/etc/passwd", "/"),
    ];
    for (path, folder) in table {
        assert!(stays(path, folder), "{path} below {folder}");
    }
}

#[test]
fn what_gets_out() {
    let table = [
        ("/srv/data/../secret", "/srv/data"),
        ("/srv/database", "/srv/data"),
        ("/srv", "/srv/data"),
        ("/srv/data/..\\..\\etc", "/srv/data"),
        ("/srv/data/%2e%2e/%2e%2e/etc", "/srv/data"),
        ("/srv/data/%252e%252e/secret", "/srv/data"),
        ("/srv/data/%25252525252e%2e/", "/srv/data"),
        ("/srv/data/%2e%2e%2fsecret", "/srv/data"),
        ("/srv/data/..%5csecret", "/srv/data"),
        ("/srv/data/%c0%ae%c0%ae/x", "/srv/data"),
        ("/srv/data/\u{ff0e}\u{ff0e}/x", "/srv/data"),
        ("/srv/data/a\0.txt", "/srv/data"),
        ("/srv/data/%00", "/srv/data"),
        ("/srv/data/.. /x", "/srv/data"),
        ("/srv/data/.../x", "/srv/data"),
        ("//server/srv/data", "/srv/data"),
        ("\\\\server\\share", "/"),
        ("file://server/srv/data/a", "/srv/data"),
        ("https://example.com/srv/data", "."),
        ("~/a", "."),
        ("../a", "."),
        ("a/../../b", "."),
        ("/a", "."),
        ("a", "/srv"),
        ("C:secret", "c:/"),
        ("D:/data/a", "c:/data"),
        ("", "."),
    ];
    for (path, folder) in table {
        assert!(!stays(path, folder), "{path} below {folder}");
    }
    assert!(!stays("/a", "\0"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_standard_library(parts in prop::collection::vec("(a|data|\\.|\\.\\.||srv)", 0..8)) {
        use std::path::{Component, Path};
        let path = format!("/srv/data/{}", parts.join("/"));
        let mut depth: Vec<&std::ffi::OsStr> = Vec::new();
        let mut climbed = false;
        for component in Path::new(&path).components() {
            match component {
                Component::Normal(part) => depth.push(part),
                Component::ParentDir => climbed |= depth.pop().is_none(),
                _ => {}
            }
        }
        let inside = !climbed && depth.starts_with(&["srv".as_ref(), "data".as_ref()]);
        prop_assert_eq!(stays(&path, "/srv/data"), inside, "{}", path);
    }

    #[test]
    fn no_text_makes_it_panic(path in any::<String>()) {
        let _ = below(&path, &["/srv".to_owned(), ".".to_owned()]);
    }
}
