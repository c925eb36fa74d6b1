//! Reading a configuration directory.
//!
//! Every file is read and checked on its own, and all faults come back together, so that a
//! person mends a directory in one go.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::de::DeserializeOwned;
use tidegate_model::{KeyId, OrgId, VmcpId};

use super::{
    Problem, Resources, connector::ConnectorConfig, key::KeyConfig, plugin::PluginConfig,
    problem::nearest, vmcp,
};

/// The folders that a configuration directory may have.
const FOLDERS: [&str; 5] = ["connectors", "vmcps", "plugins", "keys", "policies"];

/// Files of one folder, by resource name.
type Files<K, V> = BTreeMap<K, V>;

/// Reads and checks all resources in `dir`.
pub fn read(dir: &Path) -> Result<Resources, Vec<Problem>> {
    if !dir.is_dir() {
        return Err(vec![
            Problem::of(dir, "is no directory").with_help("name a configuration directory"),
        ]);
    }
    let mut problems = Vec::new();
    unknown_entries(dir, &mut problems);
    let mut resources = Resources {
        connectors: folder(dir, "connectors", &mut problems),
        vmcps: folder(dir, "vmcps", &mut problems),
        plugins: folder(dir, "plugins", &mut problems),
        keys: folder(dir, "keys", &mut problems),
        policies: policies(dir, &mut problems),
    };
    root_paths(dir, &mut resources);
    problems.extend(check(dir, &resources));
    if problems.is_empty() { Ok(resources) } else { Err(problems) }
}

/// The files and folders that decide what [`read`] returns, for a watcher; component files
/// and secret files included.
pub fn watched(dir: &Path, resources: &Resources) -> Vec<PathBuf> {
    let mut paths = vec![dir.to_owned()];
    paths.extend(FOLDERS.iter().map(|folder| dir.join(folder)));
    let components = resources.plugins.values().map(|plugin| &plugin.component);
    let hosted = resources.connectors.values().filter_map(|connector| connector.component.as_ref());
    for component in components.chain(hosted) {
        if let Some(parent) = component.parent() {
            paths.push(parent.to_owned());
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// A file with its size and time of change; `None` where it cannot be looked at.
pub type Stamp = (PathBuf, Option<(u64, std::time::SystemTime)>);

/// The files outside the directory's own that decide what its resources mean: components and
/// secrets.
pub fn stamps(resources: &Resources) -> Vec<Stamp> {
    let components = resources.plugins.values().map(|plugin| &plugin.component);
    let hosted = resources.connectors.values().filter_map(|connector| connector.component.as_ref());
    let secrets = resources
        .connectors
        .values()
        .filter_map(|connector| connector.auth.as_ref()?.secret.file());
    let stamp = |path: &PathBuf| {
        let known = std::fs::metadata(path).and_then(|about| Ok((about.len(), about.modified()?)));
        (path.clone(), known.ok())
    };
    components.chain(hosted).chain(secrets).map(stamp).collect()
}

/// What is wrong within and between resources, wherever they came from. File names are those
/// under `dir`.
pub fn check(dir: &Path, resources: &Resources) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, connector) in &resources.connectors {
        if let Some((message, help)) = connector.fault() {
            problems.push(Problem::of(&path(dir, "connectors", name), message).with_help(help));
        }
        problems.extend(missing_component(
            &path(dir, "connectors", name),
            connector.component.as_deref(),
        ));
    }
    for (name, config) in &resources.vmcps {
        let file = path(dir, "vmcps", name);
        match config.to_model(OrgId::default_org(), name.clone()) {
            Err(message) => problems.push(Problem::of(&file, message)),
            Ok(model) => {
                let known = || resources.connectors.keys().map(AsRef::as_ref);
                for missing in model.connectors.iter().filter(|name| {
                    let read = resources.connectors.contains_key(*name);
                    !exists(dir, "connectors", name.as_str(), read)
                }) {
                    let problem =
                        Problem::of(&file, format!("connector `{missing}` does not exist"));
                    problems.push(hinted(problem, missing.as_str(), known()));
                }
            }
        }
    }
    for (name, plugin) in &resources.plugins {
        let file = path(dir, "plugins", name);
        problems.extend(missing_component(&file, Some(&plugin.component)));
        problems.extend(bind_faults(dir, &file, plugin, resources));
    }
    problems.extend(key_faults(dir, resources));
    problems
}

/// Whether there is such a resource. One whose file could not be read counts: that is a problem
/// of its own, and what refers to it is in order.
fn exists(dir: &Path, folder: &str, name: &str, read: bool) -> bool {
    read || path(dir, folder, &name).is_file()
}

fn bind_faults(
    dir: &Path,
    file: &Path,
    plugin: &PluginConfig,
    resources: &Resources,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let limits = &plugin.limits;
    if limits.time_ms == 0
        || limits.time_ms > 1_000
        || limits.memory_mib == 0
        || limits.output_kib == 0
    {
        let problem = Problem::of(file, "a value in `[limits]` is out of range");
        problems.push(problem.with_help("`time_ms` is 1 to 1000, the others are at least 1"));
    }
    for bind in &plugin.bind {
        let missing =
            |name: &&str| !exists(dir, "vmcps", name, resources.vmcps.contains_key(*name));
        if let Some(name) = bind.vmcp.as_deref().filter(missing) {
            let problem = Problem::of(
                file,
                format!("is bound to virtual MCP `{name}`, which does not exist"),
            );
            problems.push(hinted(problem, name, resources.vmcps.keys().map(AsRef::as_ref)));
        }
        let of_tool = bind.tool.as_deref().map(vmcp::tool_ref);
        let connector = match &of_tool {
            Some(Err(message)) => {
                problems.push(Problem::of(file, message.clone()));
                None
            }
            Some(Ok((connector, _))) => Some(connector.as_str()),
            None => bind.connector.as_deref(),
        };
        let missing = |name: &&str| {
            !exists(dir, "connectors", name, resources.connectors.contains_key(*name))
        };
        if let Some(name) = connector.filter(missing) {
            let problem =
                Problem::of(file, format!("is bound to connector `{name}`, which does not exist"));
            problems.push(hinted(problem, name, resources.connectors.keys().map(AsRef::as_ref)));
        }
    }
    problems
}

fn key_faults(dir: &Path, resources: &Resources) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut hashes: BTreeMap<&str, &KeyId> = BTreeMap::new();
    for (name, key) in &resources.keys {
        let file = path(dir, "keys", name);
        if let Err(message) = key.to_record(OrgId::default_org(), name.clone()) {
            problems.push(Problem::of(&file, message));
        }
        if let Some(other) = hashes.insert(&key.hash, name) {
            problems.push(
                Problem::of(&file, format!("has the same hash as key `{other}`"))
                    .with_help("make a key of its own with `tidegate key new`"),
            );
        }
        for vmcp in key.vmcps.iter().filter_map(|name| VmcpId::new(name).ok()) {
            if !exists(dir, "vmcps", vmcp.as_str(), resources.vmcps.contains_key(&vmcp)) {
                let problem = Problem::of(&file, format!("virtual MCP `{vmcp}` does not exist"));
                problems.push(hinted(
                    problem,
                    vmcp.as_str(),
                    resources.vmcps.keys().map(AsRef::as_ref),
                ));
            }
        }
    }
    problems
}

fn hinted<'a>(problem: Problem, word: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    match nearest(word, known) {
        Some(nearest) => problem.with_help(format!("did you mean `{nearest}`?")),
        None => problem,
    }
}

fn path(dir: &Path, folder: &str, name: &impl Display) -> PathBuf {
    dir.join(folder).join(format!("{name}.toml"))
}

fn missing_component(file: &Path, component: Option<&Path>) -> Option<Problem> {
    let component = component?;
    (!component.is_file()).then(|| {
        Problem::of(file, format!("component `{}` does not exist", component.display()))
            .with_help("build it, or correct the path (it is relative to this file)")
    })
}

fn unknown_entries(dir: &Path, problems: &mut Vec<Problem>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_folder = entry.path().is_dir();
        if is_folder
            && !FOLDERS.contains(&name)
            && let Some(meant) = nearest(name, FOLDERS)
        {
            let problem = Problem::of(&entry.path(), "is no folder of a configuration directory");
            problems.push(problem.with_help(format!("did you mean `{meant}`?")));
        }
    }
}

/// Reads `dir/folder/*.toml`.
fn folder<K, V>(dir: &Path, folder: &str, problems: &mut Vec<Problem>) -> Files<K, V>
where
    K: FromStr<Err: Display> + Ord,
    V: DeserializeOwned,
{
    let mut found = BTreeMap::new();
    for (file, stem, text) in files(&dir.join(folder), "toml", problems) {
        let name = match stem.parse::<K>() {
            Ok(name) => name,
            Err(bad) => {
                problems.push(Problem::of(&file, bad.to_string()).with_help("rename the file"));
                continue;
            }
        };
        match toml::from_str::<V>(&text) {
            Ok(value) => {
                found.insert(name, value);
            }
            Err(error) => problems.push(Problem::toml(&file, &text, &error)),
        }
    }
    found
}

fn policies(dir: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let files = files(&dir.join("policies"), "cedar", problems);
    files.into_iter().map(|(_, stem, text)| (format!("{stem}.cedar"), text)).collect()
}

/// The files of a folder with this extension: path, stem, text; hidden files are left out.
fn files(
    folder: &Path,
    extension: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(PathBuf, String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let file = entry.path();
        let stem = file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let fits = file.extension().is_some_and(|have| have == extension);
        let Some(stem) = stem.filter(|stem| fits && !stem.starts_with('.')) else { continue };
        match std::fs::read_to_string(&file) {
            Ok(text) => found.push((file, stem, text)),
            Err(error) => problems.push(Problem::of(&file, format!("cannot be read: {error}"))),
        }
    }
    found.sort();
    found
}

/// Makes relative paths absolute, each relative to the file it stands in.
fn root_paths(dir: &Path, resources: &mut Resources) {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let (connectors, plugins) = (dir.join("connectors"), dir.join("plugins"));
    for connector in resources.connectors.values_mut() {
        root_connector(&connectors, connector);
    }
    for plugin in resources.plugins.values_mut() {
        plugin.component = plugins.join(&plugin.component);
    }
}

fn root_connector(base: &Path, connector: &mut ConnectorConfig) {
    if let Some(component) = &mut connector.component {
        *component = base.join(&*component);
    }
    if let Some(cwd) = &mut connector.cwd {
        *cwd = base.join(&*cwd);
    }
    if let Some(auth) = &mut connector.auth {
        auth.secret.rooted(base);
    }
}

/// The key files' own type, so that `tidegate key new` writes what [`read`] reads.
pub fn key_file(
    dir: &Path,
    id: &KeyId,
    key: &KeyConfig,
) -> Result<(PathBuf, String), toml::ser::Error> {
    Ok((path(dir, "keys", id), toml::to_string(key)?))
}
