//! What a component says of its own functions, where the toolchain left it in the file.
//!
//! The custom section `package-docs` holds one version byte and JSON: comments of the WIT
//! package by world and interface. A file without the section, or with one that cannot be
//! read, has no comments; nothing depends on them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::names::short;

const SECTION: &[u8] = b"package-docs";
/// Versions of the section that are written alike.
const VERSIONS: [u8; 2] = [0, 1];
/// Characters of one comment.
const LENGTH: usize = 2_000;

/// The comments of a component's functions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Docs {
    worlds: BTreeMap<String, World>,
    interfaces: BTreeMap<String, Interface>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct World {
    funcs: BTreeMap<String, Function>,
    func_exports: BTreeMap<String, Function>,
    interfaces: BTreeMap<String, Interface>,
    interface_exports: BTreeMap<String, Interface>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    funcs: BTreeMap<String, Function>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Function {
    Plain(String),
    More {
        #[serde(default)]
        docs: Option<String>,
    },
}

impl Docs {
    /// The comments in a component's file.
    pub(super) fn read(file: &[u8]) -> Self {
        let Some([version, json @ ..]) = section(file, SECTION) else { return Self::default() };
        if !VERSIONS.contains(version) {
            return Self::default();
        }
        serde_json::from_slice(json).unwrap_or_default()
    }

    /// What is said of a function; `interface` is empty for one of the component itself.
    pub(super) fn of(&self, interface: &str, function: &str) -> Option<String> {
        let found = if interface.is_empty() {
            let mut worlds = self.worlds.values();
            worlds.find_map(|it| it.func_exports.get(function).or_else(|| it.funcs.get(function)))
        } else {
            self.interface(interface).and_then(|it| it.funcs.get(function))
        };
        let text = match found? {
            Function::Plain(text) => text,
            Function::More { docs } => docs.as_ref()?,
        };
        let text: String = text.trim().chars().take(LENGTH).collect();
        (!text.is_empty()).then_some(text)
    }

    fn interface(&self, name: &str) -> Option<&Interface> {
        if name.contains('/') {
            return self.interfaces.get(short(name));
        }
        let mut worlds = self.worlds.values();
        worlds.find_map(|it| it.interface_exports.get(name).or_else(|| it.interfaces.get(name)))
    }
}

/// The first custom section of this name in the component itself, not in what it holds.
fn section<'f>(file: &'f [u8], name: &[u8]) -> Option<&'f [u8]> {
    let mut rest = file.get(8..)?;
    loop {
        let (id, after) = rest.split_first()?;
        let (size, after) = leb(after)?;
        let body = after.get(..size)?;
        rest = after.get(size..)?;
        if *id == 0 {
            let (length, named) = leb(body)?;
            if named.get(..length)? == name {
                return named.get(length..);
            }
        }
    }
}

/// An unsigned LEB128 number of 32 bits, and what follows.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut file = b"\0asm\x0d\0\x01\0".to_vec();
        for (id, body) in sections {
            file.push(*id);
            let size = u8::try_from(body.len() & 0x7f).unwrap() | 0x80;
            file.extend([size, u8::try_from(body.len() >> 7).unwrap()]);
            file.extend(*body);
        }
        file
    }

    fn custom(name: &str, body: &[u8]) -> Vec<u8> {
        let mut section = vec![u8::try_from(name.len()).unwrap()];
        section.extend(name.bytes());
        section.extend(body);
        section
    }

    #[test]
    fn comments_are_found_by_interface_and_world() {
        let json = br#"{"docs":"all","worlds":{"w":{"funcs":{"slug":"Makes a slug."},
            "interface_exports":{"inner":{"funcs":{"go":{"docs":" Goes. \n"}}}}}},
            "interfaces":{"shelf":{"docs":"x","funcs":{"open":{"docs":"Opens.","stability":{}},
            "shut":{"stability":{}}},"types":{"t":{}}}}}"#;
        for version in VERSIONS {
            let section = custom("package-docs", &[&[version], &json[..]].concat());
            let docs = Docs::read(&file(&[(0, &custom("other", b"{}")), (1, b"m"), (0, &section)]));
            assert_eq!(docs.of("", "slug").as_deref(), Some("Makes a slug."));
            assert_eq!(docs.of("sample:text/shelf@1.0.0", "open").as_deref(), Some("Opens."));
            assert_eq!(docs.of("inner", "go").as_deref(), Some("Goes."));
            assert_eq!(docs.of("sample:text/shelf@1.0.0", "shut"), None);
            assert_eq!(docs.of("sample:text/other", "open"), None);
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let unknown = custom("package-docs", b"\x02{}");
        let broken = custom("package-docs", b"\x01{\"worlds\":7}");
        let mut cut = file(&[(0, &custom("package-docs", b"\x01{}"))]);
        cut.truncate(cut.len() - 2);
        for file in [file(&[(0, &unknown)]), file(&[(0, &broken)]), cut, vec![0; 9], Vec::new()] {
            assert_eq!(Docs::read(&file).of("", "slug"), None);
        }
        assert!(Docs::read(b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff\xff").worlds.is_empty());
    }
}
