//! `tidegate plugin list` and `show`: what the directory says, and what a running gateway
//! counted.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use http::Method;
use serde::Serialize;
use tidegate_model::PluginId;
use tidegate_wasm::Capability;

use super::{
    Where, about,
    edit::Edit,
    folder::{self, Folder},
};
use crate::{
    cli::{
        block_on, say,
        socket::{self, Door},
    },
    config::{
        ProcessConfig,
        plugin::{BindConfig, FailSetting, PluginConfig, VersionConfig},
    },
    figures::Reading,
    http::admin::{SOCKET, Status},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The plugin.
    name: String,
    #[command(flatten)]
    place: Where,
}

/// One plugin, as `list --json` tells it.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    /// `enforce`, `observe`, `disabled` or `held`; `broken` where the file cannot be read.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    grants: Vec<String>,
    bind: Vec<BindConfig>,
    previous: usize,
    /// What a version on hold needs; missing where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Vec<String>>,
    /// What the versions did; empty without a running gateway.
    versions: Vec<Reading>,
}

pub(super) fn list(list: &List) -> anyhow::Result<ExitCode> {
    let dir = &list.place.folder()?;
    let plugins = dir.join("plugins");
    let mut figures = figures(&list.place)?;
    let mut lines = Vec::new();
    let mut broken = Vec::new();
    for id in folder::names(dir)? {
        match Edit::read(&id, &plugins.join(format!("{id}.toml"))) {
            Ok(edit) => lines.push(line(&edit, figures.remove(id.as_str()).unwrap_or_default())),
            Err(error) => broken.push(error),
        }
    }
    if list.json {
        say(&serde_json::to_string_pretty(&lines)?);
    } else if lines.is_empty() && broken.is_empty() {
        say("no plugins; `tidegate plugin install` adds one");
    } else {
        lines.iter().for_each(short);
    }
    broken.iter().for_each(|error| eprintln!("{error:#}"));
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(edit: &Edit, versions: Vec<Reading>) -> Line {
    let config = edit.config();
    let list = |of: fn(&PluginConfig) -> &[String]| config.map(of).unwrap_or_default().to_vec();
    Line {
        name: edit.id().to_string(),
        state: config.map_or("broken", PluginConfig::state),
        digest: config.and_then(|config| config.digest.clone()),
        source: config.and_then(|config| config.source.clone()),
        signed_by: config.and_then(|config| config.signed_by.clone()),
        grants: list(|config| &config.grants),
        bind: config.map(|config| config.bind.clone()).unwrap_or_default(),
        previous: config.map_or(0, |config| config.previous.len()),
        needs: config.and_then(|config| config.held.as_ref()).map(|held| held.needs.clone()),
        versions,
    }
}

fn short(line: &Line) {
    let version = line.digest.as_deref().map_or("unpinned", shortened);
    let version = if line.state == "held" { "none" } else { version };
    say(&format!("{:<20} {:<9} {version:<13} {}", line.name, line.state, places(&line.bind)));
    if let Some(needs) = &line.needs {
        say(&format!("{:<20} on hold: a version that needs {}", "", needs.join(", ")));
    }
    for reading in &line.versions {
        say(&format!("{:<20} {}", "", told(reading)));
    }
}

/// A version's figures in a line.
pub(crate) fn told(reading: &Reading) -> String {
    let ended: Vec<String> =
        reading.ended.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let now = if reading.bound { "" } else { ", no longer bound" };
    format!(
        "{} {} hooks ({}), mean {} µs, longest {} µs, memory {}{now}",
        reading.version,
        reading.calls,
        ended.join(", "),
        reading.mean_micros,
        reading.max_micros,
        about::size(usize::try_from(reading.memory_high_water).unwrap_or(usize::MAX)),
    )
}

fn shortened(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|digits| digits.get(..12)).unwrap_or(digest)
}

fn places(binds: &[BindConfig]) -> String {
    if binds.is_empty() {
        return "not bound".to_owned();
    }
    let place = |bind: &BindConfig| {
        let narrowed = [("vmcp", &bind.vmcp), ("connector", &bind.connector), ("tool", &bind.tool)];
        let words: Vec<String> = narrowed
            .into_iter()
            .filter_map(|(word, name)| Some(format!("{word} {}", name.as_ref()?)))
            .collect();
        let order =
            if bind.order == 0 { String::new() } else { format!(" (order {})", bind.order) };
        if words.is_empty() { format!("everywhere{order}") } else { words.join(" ") + &order }
    };
    binds.iter().map(place).collect::<Vec<_>>().join("; ")
}

/// The figures of a gateway that runs on this directory, for the organisation; none where none
/// runs.
fn figures(place: &Where) -> anyhow::Result<BTreeMap<String, Vec<Reading>>> {
    let config = ProcessConfig::read(&place.config);
    let data = config.map_err(|problem| anyhow::anyhow!("{problem}"))?.data;
    if !data.join(SOCKET).exists() {
        return Ok(BTreeMap::new());
    }
    let door = Door { data, org: place.of.id() };
    let asked = block_on(socket::ask::<Status>(&door, Method::GET, "/api/v1/status", Vec::new()));
    match asked {
        Ok(status) => {
            Ok(status.plugins.into_iter().map(|plugin| (plugin.id, plugin.versions)).collect())
        }
        Err(error) => {
            eprintln!("without figures: {error:#}");
            Ok(BTreeMap::new())
        }
    }
}

pub(super) fn show(show: &Show) -> anyhow::Result<ExitCode> {
    let id = PluginId::new(&show.name)?;
    let versions = figures(&show.place)?.remove(id.as_str()).unwrap_or_default();
    let folder = Folder::open(&show.place)?;
    let edit = folder.existing(&show.name)?;
    let Some(config) = edit.config() else { return Ok(ExitCode::FAILURE) };
    let granted: Vec<Capability> =
        config.grants.iter().filter_map(|name| name.parse().ok()).collect();
    say(&format!("{id} ({})", config.state()));
    block_on(async {
        if let Some(version) = edit.in_force() {
            tell_version("in force", &version);
            tell_component(&folder, &edit, &version, &granted).await;
        }
        if let Some(version) = edit.held() {
            tell_version("on hold", &version);
            tell_component(&folder, &edit, &version, &granted).await;
        }
        Ok(())
    })?;
    for version in &config.previous {
        tell_version("before", version);
    }
    let fail = match config.fail {
        FailSetting::Closed => "the call is refused",
        FailSetting::Open => "the call goes on",
    };
    say(&format!("\nwhen it fails {fail}"));
    say(&format!("bound     {}", places(&config.bind)));
    for reading in &versions {
        say(&format!("did       {}", told(reading)));
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_version(what: &str, version: &VersionConfig) {
    say(&format!("\n{what}: {}", version.component.display()));
    if let Some(source) = &version.source {
        say(&format!("source    {source}"));
    }
    if let Some(name) = &version.signed_by {
        say(&format!("signed    by `{name}`"));
    }
}

async fn tell_component(
    folder: &Folder,
    edit: &Edit,
    version: &VersionConfig,
    granted: &[Capability],
) {
    match folder.component(edit, version).await {
        Ok(component) => about::lines(&component, granted).iter().for_each(|line| say(line)),
        Err(error) => say(&format!("cannot run: {error:#}")),
    }
}
