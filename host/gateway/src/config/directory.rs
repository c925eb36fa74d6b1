//! Reading a configuration directory.
//!
//! Every file is read and checked on its own, and all faults come back together, so that a
//! person mends a directory in one go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::de::DeserializeOwned;
use tidegate_model::{KeyId, OrgId, VmcpId};

use super::{
    Problem, Resources,
    connector::ConnectorConfig,
    identity::{self, IdentityConfig},
    key::KeyConfig,
    plugin::PluginConfig,
    problem::nearest,
    vmcp,
};

/// The folders that a configuration directory may have.
const FOLDERS: [&str; 5] = ["connectors", "vmcps", "plugins", "keys", "policies"];

/// Files of one folder, by resource name.
type Files<K, V> = BTreeMap<K, V>;

/// A file as it would be: its path, and its text unless it would be gone.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The file.
    pub file: &'a Path,
    /// What it would hold.
    pub text: Option<&'a str>,
}

/// Reads and checks all resources in `dir`.
pub fn read(dir: &Path) -> Result<Resources, Vec<Problem>> {
    read_draft(dir, None)
}

/// The same, as it would be with one plugin's file changed.
pub fn read_draft(dir: &Path, draft: Option<Draft<'_>>) -> Result<Resources, Vec<Problem>> {
    if !dir.is_dir() {
        return Err(vec![
            Problem::of(dir, "is no directory").with_help("name a configuration directory"),
        ]);
    }
    let mut problems = Vec::new();
    unknown_entries(dir, &mut problems);
    let mut resources = Resources {
        connectors: folder(dir, "connectors", None, &mut problems),
        vmcps: folder(dir, "vmcps", None, &mut problems),
        plugins: folder(dir, "plugins", draft, &mut problems),
        keys: folder(dir, "keys", None, &mut problems),
        policies: policies(dir, &mut problems),
        identity: identity_file(dir, &mut problems),
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
    let components = resources.plugins.values().filter_map(PluginConfig::in_force);
    let hosted =
        resources.connectors.values().filter_map(|connector| connector.component.as_deref());
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

/// The files outside the directory's own that decide what its resources mean: components,
/// their signatures, and secrets.
pub fn stamps(resources: &Resources) -> Vec<Stamp> {
    let components = resources.plugins.values().filter_map(PluginConfig::in_force);
    let hosted =
        resources.connectors.values().filter_map(|connector| connector.component.as_deref());
    let signed = resources.plugins.values().filter(|plugin| plugin.signed_by.is_some());
    let signatures = signed.filter_map(PluginConfig::in_force).map(signature);
    let secrets = resources
        .connectors
        .values()
        .filter_map(|connector| connector.auth.as_ref()?.reference()?.file().cloned());
    let running = resources.plugins.values().filter(|plugin| plugin.in_force().is_some());
    let of_components = running
        .flat_map(|plugin| plugin.credentials.values())
        .chain(resources.connectors.values().flat_map(|connector| connector.credentials.values()))
        .filter_map(|credential| credential.file.clone());
    let files = components.chain(hosted).map(Path::to_owned);
    let of_identity = resources.identity.iter().flat_map(IdentityConfig::files);
    let files: BTreeSet<PathBuf> =
        files.chain(signatures).chain(secrets).chain(of_components).chain(of_identity).collect();
    let stamp = |path: PathBuf| {
        let known = std::fs::metadata(&path).and_then(|about| Ok((about.len(), about.modified()?)));
        (path, known.ok())
    };
    files.into_iter().map(stamp).collect()
}

/// Where the detached signature of a component is.
pub fn signature(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
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
        problems.extend(missing_component(&file, plugin.in_force()));
        let within = plugin.faults().into_iter();
        problems.extend(within.map(|(fault, help)| Problem::of(&file, fault).with_help(help)));
        problems.extend(bind_faults(dir, &file, plugin, resources));
    }
    problems.extend(key_faults(dir, resources));
    problems.extend(identity_faults(dir, resources));
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

fn identity_faults(dir: &Path, resources: &Resources) -> Vec<Problem> {
    let Some(config) = &resources.identity else { return Vec::new() };
    let file = dir.join(identity::FILE);
    let faults = config.faults().into_iter();
    let mut problems: Vec<Problem> =
        faults.map(|(fault, help)| Problem::of(&file, fault).with_help(help)).collect();
    for (id, client) in &config.clients {
        let missing = |name: &&String| {
            let is_read = VmcpId::new(name).is_ok_and(|id| resources.vmcps.contains_key(&id));
            !exists(dir, "vmcps", name, is_read)
        };
        for name in client.vmcps.iter().filter(missing) {
            let words = format!("`clients.{id}`: virtual MCP `{name}` does not exist");
            let known = resources.vmcps.keys().map(AsRef::as_ref);
            problems.push(hinted(Problem::of(&file, words), name, known));
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

/// Reads `dir/folder/*.toml`, one of them as `draft` has it.
fn folder<K, V>(
    dir: &Path,
    folder: &str,
    draft: Option<Draft<'_>>,
    problems: &mut Vec<Problem>,
) -> Files<K, V>
where
    K: FromStr<Err: Display> + Ord,
    V: DeserializeOwned,
{
    let mut texts = files(&dir.join(folder), "toml", problems);
    if let Some(Draft { file, text }) = draft {
        texts.retain(|(known, ..)| known != file);
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        texts.extend(text.map(|text| (file.to_owned(), stem, text.to_owned())));
    }
    let mut found = BTreeMap::new();
    for (file, stem, text) in texts {
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

fn identity_file(dir: &Path, problems: &mut Vec<Problem>) -> Option<IdentityConfig> {
    let file = dir.join(identity::FILE);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            problems.push(Problem::of(&file, format!("cannot be read: {error}")));
            return None;
        }
    };
    match toml::from_str(&text) {
        Ok(config) => Some(config),
        Err(error) => {
            problems.push(Problem::toml(&file, &text, &error));
            None
        }
    }
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
        plugin.rooted(&plugins);
    }
    if let Some(identity) = &mut resources.identity {
        identity.rooted(&dir);
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
        auth.rooted(base);
    }
    connector.credentials.values_mut().for_each(|credential| credential.rooted(base));
}

/// The key files' own type, so that `tidegate key new` writes what [`read`] reads.
pub fn key_file(
    dir: &Path,
    id: &KeyId,
    key: &KeyConfig,
) -> Result<(PathBuf, String), toml::ser::Error> {
    Ok((path(dir, "keys", id), toml::to_string(key)?))
}
