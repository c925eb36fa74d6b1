//! The shape of the tree, held by a check.
//!
//! Owns the table of edges between crates, which crate may know which library, and the rules
//! on sizes, names and module comments that clippy cannot see. Reads files and compiles
//! nothing, so that `cargo xtask tidy` can run it on its own. Sizes of functions are clippy's.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which crate may depend on which of our own: the table of `host/README.md`.
const EDGES: [(&str, &[&str]); 8] = [
    ("gateway", &["governance", "identity", "model", "store", "upstream", "wasm", "wire"]),
    ("governance", &["identity", "model", "store", "wire"]),
    ("identity", &["model", "store", "wire"]),
    ("model", &[]),
    ("store", &["model"]),
    ("upstream", &["governance", "model", "store", "wasm", "wire"]),
    ("wasm", &["model", "wire"]),
    ("wire", &["model"]),
];

/// Libraries that only one crate may know.
const ONLY_IN: [(&str, &str); 7] = [
    ("axum", "gateway"),
    ("cedar-policy", "governance"),
    ("cedar-policy-core", "governance"),
    ("sled", "store"),
    ("wasmtime", "wasm"),
    ("wasmtime-wasi", "wasm"),
    ("wasmtime-wasi-http", "wasm"),
];

/// HTTP clients that are not the egress module of `wire`.
const FORBIDDEN: [&str; 8] =
    ["attohttpc", "curl", "hyper-rustls", "isahc", "minreq", "reqwest", "surf", "ureq"];

/// Words in source text that open a connection, allowed in `wire` only.
const DIALS: [&str; 3] = ["hyper_util::client::legacy", "TcpSocket::", "TcpStream::connect("];

/// Names that say nothing about what a module is.
const EMPTY_NAMES: [&str; 9] =
    ["common", "helper", "helpers", "manager", "misc", "service", "services", "util", "utils"];

const FOLDERS: [&str; 8] =
    ["examples", "fuzz", "host", "plugins", "policies", "tests", "wit", "xtask"];
const FILES: [&str; 3] = ["CHANGELOG.md", "LICENSE", "README.md"];
const SOURCES: [&str; 5] = ["fuzz", "host", "plugins", "tests", "xtask"];

const MAX_LINES: usize = 600;
const MAX_MODULE_COMMENT: usize = 12;

/// Every place where the tree is not as it should be, one sentence each.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    check_edges(root, &mut problems);
    check_folders(root, &mut problems);
    let mut sources = Vec::new();
    for folder in SOURCES {
        collect(&root.join(folder), &mut sources);
    }
    sources.sort();
    for path in sources {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => check_source(&shown, &text, &mut problems),
            Err(error) => problems.push(format!("{shown} cannot be read: {error}")),
        }
    }
    problems
}

fn check_edges(root: &Path, problems: &mut Vec<String>) {
    let mut crates: Vec<String> = folders(&root.join("host"));
    crates.sort();
    if crates != EDGES.map(|(name, _)| name) {
        problems.push(format!("host/ has the crates {crates:?}, the table has others"));
    }
    for (name, allowed) in EDGES {
        let manifest = format!("host/{name}/Cargo.toml");
        match fs::read_to_string(root.join(&manifest)) {
            Ok(text) => check_manifest(name, allowed, &manifest, &text, problems),
            Err(error) => problems.push(format!("{manifest} cannot be read: {error}")),
        }
    }
}

fn check_manifest(
    name: &str,
    allowed: &[&str],
    manifest: &str,
    text: &str,
    problems: &mut Vec<String>,
) {
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => return problems.push(format!("{manifest} is no TOML: {error}")),
    };
    let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
    for dependency in dependencies.into_iter().flat_map(|table| table.keys()) {
        if let Some(other) = dependency.strip_prefix("tidegate-")
            && !allowed.contains(&other)
        {
            problems.push(format!("{manifest}: `{name}` may not know `{other}`"));
        }
        for (library, home) in ONLY_IN {
            if dependency == library && name != home {
                problems.push(format!("{manifest}: only `{home}` may know `{library}`"));
            }
        }
        if FORBIDDEN.contains(&dependency.as_str()) {
            problems.push(format!("{manifest}: `{dependency}` would bypass the egress module"));
        }
    }
}

fn check_folders(root: &Path, problems: &mut Vec<String>) {
    for folder in FOLDERS {
        if !root.join(folder).join("README.md").is_file() {
            problems.push(format!("{folder}/README.md is missing"));
        }
    }
    for file in FILES {
        if !root.join(file).is_file() {
            problems.push(format!("{file} is missing"));
        }
    }
    for example in folders(&root.join("examples")) {
        if !root.join("examples").join(&example).join("README.md").is_file() {
            problems.push(format!("examples/{example}/README.md is missing"));
        }
    }
}

fn check_source(shown: &str, text: &str, problems: &mut Vec<String>) {
    let stem = Path::new(shown).file_stem().unwrap_or_default().to_string_lossy();
    if stem == "mod" {
        problems.push(format!("{shown}: a module is `foo.rs` beside `foo/`, never `mod.rs`"));
    }
    if stem.split('_').any(|word| EMPTY_NAMES.contains(&word)) {
        problems.push(format!("{shown}: name it for what it is"));
    }
    // Tests that moved to a file of their own are described by the module they test.
    if stem == "tests" && !shown.starts_with("tests/") {
        return;
    }
    let comment = text.lines().filter(|line| line.starts_with("//!")).count();
    if comment == 0 {
        problems.push(format!("{shown}: begin with `//!`: what it owns, what it does not know"));
    }
    if comment > MAX_MODULE_COMMENT {
        problems.push(format!("{shown}: {comment} lines of `//!`, {MAX_MODULE_COMMENT} at most"));
    }
    let code = without_tests(text);
    let lines = code.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{shown}: {lines} lines without tests, {MAX_LINES} at most"));
    }
    if shown.starts_with("host/") && !shown.starts_with("host/wire/") {
        for dial in DIALS.into_iter().filter(|dial| code.contains(dial)) {
            problems.push(format!("{shown}: `{dial}` would bypass the egress module in `wire`"));
        }
    }
}

/// The text up to the module of inline tests.
fn without_tests(text: &str) -> &str {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(at) => text.get(..at).unwrap_or(text),
        None => text,
    }
}

/// Every Rust source below `folder`, leaving out what is built.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn folders(parent: &Path) -> Vec<String> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let problems = problems(&root.canonicalize().unwrap());
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn an_untidy_source_is_noticed() {
        let long = format!("//! A module.\n{}", "fn f() {}\n".repeat(MAX_LINES));
        let cases = [
            ("host/wire/src/mod.rs", "//! A module.\n", "never `mod.rs`"),
            ("host/wire/src/url_utils.rs", "//! A module.\n", "name it"),
            ("host/wire/src/url.rs", "fn f() {}\n", "begin with `//!`"),
            ("host/wire/src/url.rs", &"//! A line.\n".repeat(13), "13 lines of `//!`"),
            ("host/wire/src/url.rs", &long, "601 lines"),
            ("host/store/src/a.rs", "//! A.\nTcpStream::connect(at)", "bypass the egress"),
        ];
        for (shown, text, expected) in cases {
            let mut problems = Vec::new();
            check_source(shown, text, &mut problems);
            assert!(problems.iter().any(|p| p.contains(expected)), "{shown}: {problems:?}");
        }
        let tested = format!("{long}#[cfg(test)]\nmod tests {{\n").replacen("fn f() {}\n", "", 1);
        let mut problems = Vec::new();
        check_source("host/wire/src/url.rs", &tested, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_noticed() {
        let cases = [
            ("tidegate-gateway.workspace = true", "may not know `gateway`"),
            ("sled.workspace = true", "only `store` may know `sled`"),
            ("reqwest = \"1\"", "bypass the egress"),
        ];
        for (line, expected) in cases {
            let mut problems = Vec::new();
            let text = format!("[dependencies]\n{line}\n");
            check_manifest("wire", &["model"], "host/wire/Cargo.toml", &text, &mut problems);
            assert!(problems.iter().any(|p| p.contains(expected)), "{line}: {problems:?}");
        }
        let mut problems = Vec::new();
        let fine =
            "[dependencies]\ntidegate-model.workspace = true\n[dev-dependencies]\nsled = \"1\"";
        check_manifest("wire", &["model"], "host/wire/Cargo.toml", fine, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
    }
}
