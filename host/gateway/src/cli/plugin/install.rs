//! `tidegate plugin install`: a component becomes a version of a plugin.
//!
//! The order is what matters: signature before the component is compiled, what it asks for
//! before a person agrees, the check of the whole directory before the file is written. What
//! asks for more than is granted is held, and the version before it stays in force.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use tidegate_model::PluginId;
use tidegate_wasm::{Capability, Component};

use super::{
    Where, about,
    bind::Told,
    confirm,
    edit::Edit,
    folder::{self, Folder},
    registry::Access,
    source::{self, COMPONENTS, Found},
};
use crate::{
    cli::{block_on, say},
    config::{
        directory,
        plugin::{HeldConfig, VersionConfig},
    },
    signature::{PublicKey, Trust},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
    /// A component file, a folder in which one was built, or oci://host/repository with :tag
    /// or @sha256:digest.
    source: String,
    /// Its name among the plugins; by default the file's or the repository's.
    #[arg(long)]
    name: Option<String>,
    /// A capability that it is granted; may be repeated.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<Capability>,
    /// A file with a public key, one of which must have signed it; may be repeated.
    #[arg(long = "key", value_name = "FILE.pub")]
    keys: Vec<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(install: &Install) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&install.place)?;
    block_on(async {
        let found = source::find(&install.source, &install.access, &folder.egress).await?;
        let id = PluginId::new(install.name.as_deref().unwrap_or(&found.name))
            .context("say how it is to be called, with --name")?;
        let mut edit = folder.edit(&id)?;
        // Who signed it is asked for also where there is nothing to install.
        let signed_by = signer(&found, &folder.trust, &install.keys)?;
        if is_there(&edit, &found, install)? {
            return Ok(ExitCode::SUCCESS);
        }
        let placed = Placed::put(&folder.plugins(), &id, &found)?;
        let version = VersionConfig {
            component: placed.relative.clone(),
            digest: Some(found.digest()),
            source: Some(found.source.clone()),
            signed_by,
        };
        let component = folder.component(&edit, &version).await?;
        let missing = show(&edit, &version, &component, install)?;
        if !install.yes && !confirm(&format!("install it as `{id}`?"))? {
            bail!("nothing was installed");
        }
        change(&mut edit, version, &missing, install)?;
        folder.save(&edit).await?;
        placed.keep();
        tell(&edit, &missing);
        Ok(ExitCode::SUCCESS)
    })
}

/// Whether that very component is in force or held already, and nothing more was asked for.
fn is_there(edit: &Edit, found: &Found, install: &Install) -> anyhow::Result<bool> {
    let digest = Some(found.digest());
    let id = edit.id();
    let is_plain = install.grants.is_empty() && install.told.is_empty();
    if edit.in_force().is_some_and(|version| version.digest == digest) {
        if !is_plain {
            bail!(
                "`{id}` runs this very component already; nothing was changed: use `tidegate plugin \
                 grant {id}` for what it may do, and `tidegate plugin bind {id}` for its settings"
            );
        }
        say(&format!("`{id}` runs this very component already; nothing was changed"));
        return Ok(true);
    }
    if edit.held().is_some_and(|version| version.digest == digest) && is_plain {
        say(&format!(
            "`{id}` has this very component on hold already; grant what it needs with \
             `tidegate plugin grant {id} {}`",
            held_needs(edit).join(" ")
        ));
        return Ok(true);
    }
    Ok(false)
}

fn held_needs(edit: &Edit) -> &[String] {
    edit.config().and_then(|config| config.held.as_ref()).map_or(&[], |held| &held.needs)
}

/// The trusted key that signed it, or why it must not be installed.
fn signer(found: &Found, trust: &Trust, files: &[PathBuf]) -> anyhow::Result<Option<String>> {
    let digest = found.digest();
    let signature = found.signature.as_deref();
    let known = signature.and_then(|signature| trust.signer(&digest, signature));
    if !files.is_empty() {
        let Some(signature) = signature else { bail!("it is not signed; nothing was installed") };
        let keys: Vec<PublicKey> = files.iter().map(|file| key(file)).collect::<Result<_, _>>()?;
        if !keys.iter().any(|key| key.verify(&digest, signature).is_ok()) {
            bail!("none of the keys given made its signature; nothing was installed");
        }
    }
    match (signature, known) {
        (_, Some(name)) => say(&format!("signed by `{name}`")),
        (None, _) if trust.is_required() => bail!(
            "it is not signed, and gateway.toml has `plugins.require_signature = true`; have it \
             signed with `tidegate plugin sign`"
        ),
        (Some(_), None) if trust.is_required() => bail!(
            "no key of `[plugins.keys]` in gateway.toml made its signature, and one is required"
        ),
        (None, _) => say("not signed"),
        (Some(_), None) => {
            say("signed, by no key of `[plugins.keys]`: the gateway will not check it");
        }
    }
    Ok(known.map(str::to_owned))
}

fn key(file: &Path) -> anyhow::Result<PublicKey> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the key `{}`", file.display()))?;
    PublicKey::parse(&text).with_context(|| format!("cannot use `{}`", file.display()))
}

/// Shows what would be installed; the capabilities that are missing.
fn show(
    edit: &Edit,
    version: &VersionConfig,
    component: &Component,
    install: &Install,
) -> anyhow::Result<Vec<Capability>> {
    let exports = component.exports();
    if !exports.is_interceptor() && !exports.is_customizer() {
        bail!(
            "the component is a connector, no plugin (it exports {}); name it as `component` in a \
             file in `connectors/`",
            about::exports(exports)
        );
    }
    let needs = component.capabilities();
    if let Some(other) = install.grants.iter().find(|capability| !needs.contains(capability)) {
        bail!("the component does not ask for `{other}`; leave `--grant {other}` out");
    }
    let granted: BTreeSet<Capability> =
        granted(edit).chain(install.grants.iter().copied()).collect();
    let granted: Vec<Capability> = granted.into_iter().collect();
    say(&format!("source    {}", version.source.as_deref().unwrap_or_default()));
    about::lines(component, &granted).iter().for_each(|line| say(line));
    Ok(needs.iter().copied().filter(|capability| !granted.contains(capability)).collect())
}

fn granted(edit: &Edit) -> impl Iterator<Item = Capability> {
    let names = edit.config().map(|config| config.grants.as_slice()).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok())
}

fn change(
    edit: &mut Edit,
    version: VersionConfig,
    missing: &[Capability],
    install: &Install,
) -> anyhow::Result<()> {
    if !install.grants.is_empty() {
        let granted: BTreeSet<Capability> =
            granted(edit).chain(install.grants.iter().copied()).collect();
        edit.set_grants(granted.iter().map(|capability| capability.name()));
    }
    if missing.is_empty() {
        edit.put_in_force(&version);
        // What waited before it is not what is wanted any more.
        edit.unset("held");
    } else {
        edit.hold(&HeldConfig {
            component: version.component,
            digest: version.digest.unwrap_or_default(),
            source: version.source,
            signed_by: version.signed_by,
            needs: missing.iter().map(|capability| capability.name().to_owned()).collect(),
        });
    }
    install.told.change(edit)
}

fn tell(edit: &Edit, missing: &[Capability]) {
    let id = edit.id();
    if missing.is_empty() {
        say(&format!("`{id}` is installed"));
        let is_bound = edit.config().is_some_and(|config| !config.bind.is_empty());
        if !is_bound {
            say(&format!("it runs nowhere yet: `tidegate plugin bind {id} --vmcp …`"));
        }
        return super::written(edit);
    }
    let names: Vec<&str> = missing.iter().map(|capability| capability.name()).collect();
    let what = if edit.in_force().is_some() {
        "the version before stays in force"
    } else {
        "nothing runs"
    };
    say(&format!(
        "`{id}` is on hold, {what}: it needs what was not granted; \
         `tidegate plugin grant {id} {}` puts it in force",
        names.join(" ")
    ));
    super::written(edit);
}

/// A component that was put into the folder; taken out again unless it is to be kept.
#[derive(Debug)]
struct Placed {
    relative: PathBuf,
    made: Vec<PathBuf>,
}

impl Placed {
    fn put(plugins: &Path, id: &PluginId, found: &Found) -> anyhow::Result<Self> {
        let digest = found.digest();
        let short: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
        let relative = Path::new(COMPONENTS).join(format!("{id}-{short}.wasm"));
        let path = plugins.join(&relative);
        let folder = plugins.join(COMPONENTS);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        let mut placed = Self { relative, made: Vec::new() };
        let mut put = |path: PathBuf, bytes: &[u8]| {
            let is_new = !path.exists();
            folder::write(&path, bytes)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            placed.made.extend(is_new.then_some(path));
            anyhow::Ok(())
        };
        if let Some(signature) = &found.signature {
            put(directory::signature(&path), format!("{signature}\n").as_bytes())?;
        }
        put(path, &found.bytes)?;
        Ok(placed)
    }

    fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        for path in &self.made {
            let _ = fs::remove_file(path);
        }
    }
}
