//! The plugin files of one organisation, while a command changes them.
//!
//! Owns the lock that keeps two commands apart, the check that comes before every change, and
//! writing whole or not at all. What a command changes is [`Edit`]'s.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use tidegate_model::{OrgId, PluginId};
use tidegate_wasm::Component;
use tidegate_wire::client::egress::Egress;

use super::{Where, edit::Edit, source::COMPONENTS};
use crate::{
    assembly::{
        bindings::{Bindings, components::Pin},
        offline,
    },
    cli::compiled,
    config::{
        Problem, ProcessConfig,
        directory::{self, Draft},
        plugin::VersionConfig,
    },
    signature::Trust,
};

/// The plugins of an organisation; no other command changes them while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    org: OrgId,
    dir: PathBuf,
    /// Whose components run here.
    pub(super) trust: Trust,
    bindings: Bindings,
    /// The way out, as gateway.toml wants it.
    pub(super) egress: Arc<Egress>,
    _lock: File,
}

impl Folder {
    /// Opens an organisation's folder for a change.
    pub(super) fn open(place: &Where) -> anyhow::Result<Self> {
        let dir = place.folder()?;
        let plugins = dir.join("plugins");
        if !plugins.is_dir() {
            fs::create_dir(&plugins)
                .with_context(|| format!("cannot make `{}`", plugins.display()))?;
        }
        let lock =
            File::open(&plugins).with_context(|| format!("cannot open `{}`", plugins.display()))?;
        flock(&lock, FlockOperation::LockExclusive).with_context(|| {
            format!("cannot keep other commands away from `{}`", plugins.display())
        })?;
        let fault = |problem| anyhow::anyhow!("{problem}");
        let config = ProcessConfig::read(&place.config).map_err(fault)?;
        let (trust, egress) = (config.trust(), config.egress.open().map_err(fault)?);
        let bindings = Bindings::new(compiled::sandbox()?).trusting(trust.clone());
        let dir = std::path::absolute(dir)?;
        Ok(Self { org: place.of.id(), dir, trust, bindings, egress, _lock: lock })
    }

    /// The folder with the plugin files.
    pub(super) fn plugins(&self) -> PathBuf {
        self.dir.join("plugins")
    }

    /// A plugin's file, for a change; one that is not there is empty.
    pub(super) fn edit(&self, id: &PluginId) -> anyhow::Result<Edit> {
        Edit::read(id, &self.plugins().join(format!("{id}.toml")))
    }

    /// The same for a plugin that must be there.
    pub(super) fn existing(&self, name: &str) -> anyhow::Result<Edit> {
        let id = PluginId::new(name)?;
        let edit = self.edit(&id)?;
        if edit.is_new() {
            bail!("{}", unknown(&self.dir, &id));
        }
        Ok(edit)
    }

    /// The component of a version, held to its digest and signature.
    pub(super) async fn component(
        &self,
        edit: &Edit,
        version: &VersionConfig,
    ) -> anyhow::Result<Component> {
        let path = self.plugins().join(&version.component);
        let pin = Pin {
            digest: version.digest.as_deref(),
            signed_by: version.signed_by.as_deref(),
            by_anybody: false,
        };
        let loaded = self.bindings.pinned(&path, edit.file(), pin).await;
        loaded.map_err(|problem| anyhow::anyhow!("{problem}"))
    }

    /// Checks the directory as it would be, then writes the file; nothing is changed on any
    /// fault. What is wrong goes to stderr.
    pub(super) async fn save(&self, edit: &Edit) -> anyhow::Result<()> {
        let text = edit.text();
        if let Err(problems) = self.check(edit, &text).await {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            bail!("`{}` is left as it was", edit.file().display());
        }
        write(edit.file(), text.as_bytes())
            .with_context(|| format!("cannot write `{}`", edit.file().display()))?;
        self.let_go(edit);
        Ok(())
    }

    async fn check(&self, edit: &Edit, text: &str) -> Result<(), Vec<Problem>> {
        let draft = Draft { file: edit.file(), text: Some(text) };
        let resources = directory::read_draft(&self.dir, Some(draft))?;
        let ways = (&self.bindings, Arc::clone(&self.egress));
        offline::check_plugin((&self.org, &self.dir), &resources, edit.id(), ways).await
    }

    /// Removes a plugin's file, and its components that no other plugin names.
    pub(super) fn remove(&self, edit: &Edit) -> anyhow::Result<()> {
        let file = edit.file();
        fs::remove_file(file).with_context(|| format!("cannot remove `{}`", file.display()))?;
        sync(&self.plugins())?;
        self.let_go(edit);
        Ok(())
    }

    /// Removes the components that the file named before it was changed and nobody names now;
    /// none while another file cannot be read, since it may name them.
    fn let_go(&self, edit: &Edit) {
        let Ok(named) = self.named_components() else { return };
        for version in edit.versions() {
            let path = self.plugins().join(&version.component);
            // What lies elsewhere was not put there by `install`.
            let is_ours = version.component.parent() == Some(Path::new(COMPONENTS));
            if is_ours && !named.contains(&path) {
                let _ = fs::remove_file(directory::signature(&path));
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// The component files that plugin files name.
    fn named_components(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut named = Vec::new();
        for id in names(&self.dir)? {
            let versions = self.edit(&id)?.versions();
            named.extend(versions.iter().map(|it| self.plugins().join(&it.component)));
        }
        Ok(named)
    }
}

/// The names of all plugins of a directory, sorted.
pub(super) fn names(dir: &Path) -> anyhow::Result<Vec<PluginId>> {
    let folder = dir.join("plugins");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", folder.display()));
        }
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        names.extend(stem.filter(|_| is_toml).and_then(|stem| PluginId::new(stem).ok()));
    }
    names.sort();
    Ok(names)
}

/// That there is no such plugin, and which was meant.
pub(super) fn unknown(dir: &Path, id: &PluginId) -> String {
    let names = names(dir).unwrap_or_default();
    let near = crate::config::problem::nearest(id.as_str(), names.iter().map(AsRef::as_ref));
    match near {
        Some(near) => format!("there is no plugin `{id}`; did you mean `{near}`?"),
        None => format!("there is no plugin `{id}`; `tidegate plugin list` shows those there are"),
    }
}

/// Writes a file whole or not at all, through one beside it, and onto the disk.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = parent.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mode = 0o644;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if let Ok(known) = fs::metadata(path) {
            file.set_permissions(known.permissions())?;
        }
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.and_then(|()| sync(parent))
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
