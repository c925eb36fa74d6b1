//! The names of tools: the functions' own, told apart by their interfaces where they must be.
//!
//! A function of the component itself keeps its name, and so does one of an interface as long
//! as no other function has it. Otherwise it is `interface.function`, or, where interfaces of
//! several packages are called the same, the whole of both. The order of exports and the
//! versions of packages make no difference, unless nothing else does.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::cache::hex;

/// Characters of a tool's name.
const LENGTH: usize = 64;
/// Bytes of the hash that ends a name which had to be cut.
const HASH: usize = 4;

/// A function by its interface (empty at the root) and its own name.
pub(super) type Path = (String, String);

/// The tools' names, in the order of `functions`; all different.
pub(super) fn of(functions: &[Path]) -> Vec<String> {
    let plain = count(functions.iter().map(|(_, name)| name.clone()));
    let qualified = count(functions.iter().map(qualify));
    functions
        .iter()
        .map(|path| {
            let (interface, name) = path;
            let chosen = if interface.is_empty() || plain.get(name) == Some(&1) {
                name.clone()
            } else if qualified.get(&qualify(path)) == Some(&1) {
                qualify(path)
            } else {
                format!("{interface}.{name}")
            };
            published(&chosen, path)
        })
        .collect()
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// `interface.function`, without package and version.
fn qualify((interface, name): &Path) -> String {
    format!("{}.{name}", short(interface))
}

/// The interface's name within its package.
pub(super) fn short(interface: &str) -> &str {
    let name = interface.rsplit_once('/').map_or(interface, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// What may stand in a tool's name; one that had to be cut ends in a hash of the whole.
fn published(name: &str, (interface, function): &Path) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    if name.len() <= LENGTH {
        return name;
    }
    let hash = Sha256::digest(format!("{interface}#{function}"));
    let hash = hex(hash.get(..HASH).unwrap_or_default());
    let kept: String = name.chars().take(LENGTH - 1 - hash.len()).collect();
    format!("{kept}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions with their interfaces, and the names that their tools get.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

    fn named(functions: &[(&str, &str)]) -> Vec<String> {
        let paths: Vec<_> =
            functions.iter().map(|(of, name)| ((*of).to_owned(), (*name).to_owned())).collect();
        of(&paths)
    }

    #[test]
    fn names_are_told_apart_only_where_they_must_be() {
        let table: [Row<'_>; 5] = [
            (&[("", "slug"), ("a:b/c@1.0.0", "echo")], &["slug", "echo"]),
            (&[("", "slug"), ("a:b/c@1.0.0", "slug")], &["slug", "c.slug"]),
            (&[("a:b/c", "get"), ("a:b/d", "get")], &["c.get", "d.get"]),
            (
                &[("a:b/c@1.0.0", "get"), ("a:b/c@2.0.0", "get"), ("a:b/d", "get")],
                &["a_b_c_1.0.0.get", "a_b_c_2.0.0.get", "d.get"],
            ),
            (&[("kebab", "get-URL")], &["get-URL"]),
        ];
        for (functions, expected) in table {
            assert_eq!(named(functions), expected);
            let reversed: Vec<_> = functions.iter().copied().rev().collect();
            let mut names = named(&reversed);
            names.reverse();
            assert_eq!(names, expected, "the order makes no difference");
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let (one, two) = ("a".repeat(70), format!("{}b", "a".repeat(69)));
        let names = named(&[("", &one), ("x:y/z", &two)]);
        assert!(names.iter().all(|name| name.len() == LENGTH), "{names:?}");
        assert_ne!(names[0], names[1]);
        assert_eq!(names, named(&[("", &one), ("x:y/z", &two)]));
    }
}
