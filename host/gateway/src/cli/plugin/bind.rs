//! `tidegate plugin bind` and `unbind`: where a plugin runs, and how it is set up there.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use toml_edit::{DocumentMut, Table, Value};

use super::{Where, edit::Edit, folder::Folder};
use crate::{
    cli::{block_on, say},
    config::plugin::BindConfig,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Bind {
    /// The plugin.
    name: String,
    #[command(flatten)]
    scope: Scope,
    /// At every call of every virtual MCP.
    #[arg(long, conflicts_with_all = ["vmcp", "connector", "tool"])]
    everywhere: bool,
    /// Lower numbers run first on the way in; 0 where nothing is said.
    #[arg(long, allow_negative_numbers = true)]
    order: Option<i32>,
    /// What becomes of a call when the plugin fails.
    #[arg(long, value_enum)]
    fail: Option<Fail>,
    /// A limit, such as time_ms=20; may be repeated.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unbind {
    /// The plugin.
    name: String,
    #[command(flatten)]
    scope: Scope,
    /// From every place.
    #[arg(long, conflicts_with_all = ["vmcp", "connector", "tool"])]
    all: bool,
    #[command(flatten)]
    place: Where,
}

/// A place where a plugin runs.
#[derive(Debug, Args)]
struct Scope {
    /// Only calls through this virtual MCP.
    #[arg(long)]
    vmcp: Option<String>,
    /// Only calls to this connector.
    #[arg(long)]
    connector: Option<String>,
    /// Only calls of this tool.
    #[arg(long, value_name = "CONNECTOR/TOOL")]
    tool: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fail {
    /// It is refused.
    Closed,
    /// It goes on.
    Open,
}

/// What a plugin is told: its own configuration.
#[derive(Debug, Args)]
pub(super) struct Told {
    /// A setting of its configuration, such as mode=mask or limits.rows=5; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "config_file")]
    set: Vec<String>,
    /// A JSON or TOML file with its whole configuration.
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
}

impl Told {
    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.config_file.is_none()
    }

    /// Writes it into the plugin's file.
    pub(super) fn change(&self, edit: &mut Edit) -> anyhow::Result<()> {
        for setting in &self.set {
            let (key, value) = pair(setting)?;
            edit.set_in("config", key, read_value(value))?;
        }
        if let Some(file) = &self.config_file {
            edit.set_table("config", whole(file)?);
        }
        Ok(())
    }
}

impl Scope {
    fn is_narrow(&self) -> bool {
        self.vmcp.is_some() || self.connector.is_some() || self.tool.is_some()
    }

    fn place(&self) -> BindConfig {
        BindConfig {
            vmcp: self.vmcp.clone(),
            connector: self.connector.clone(),
            tool: self.tool.clone(),
            order: 0,
        }
    }
}

pub(super) fn bind(bind: &Bind) -> anyhow::Result<ExitCode> {
    let is_placed = bind.scope.is_narrow() || bind.everywhere;
    if !is_placed && bind.told.is_empty() && bind.fail.is_none() && bind.limits.is_empty() {
        bail!("say where it runs: --vmcp, --connector, --tool or --everywhere");
    }
    if bind.order.is_some() && !is_placed {
        bail!("--order is of a place: say --vmcp, --connector, --tool or --everywhere as well");
    }
    let folder = Folder::open(&bind.place)?;
    let mut edit = folder.existing(&bind.name)?;
    if is_placed {
        edit.bind(&bind.scope.place(), bind.order);
    }
    if let Some(fail) = bind.fail {
        let word = match fail {
            Fail::Closed => "closed",
            Fail::Open => "open",
        };
        edit.set("fail", word);
    }
    for limit in &bind.limits {
        let (name, number) = pair(limit)?;
        let number: i64 = number.parse().with_context(|| format!("`{limit}` has no number"))?;
        edit.set_in("limits", name, number.into())?;
    }
    bind.told.change(&mut edit)?;
    block_on(folder.save(&edit))?;
    say(&if is_placed {
        format!("`{}` is bound", edit.id())
    } else {
        format!("`{}` is set up", edit.id())
    });
    super::written(&edit);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unbind(unbind: &Unbind) -> anyhow::Result<ExitCode> {
    if !unbind.scope.is_narrow() && !unbind.all {
        bail!("say from where: --vmcp, --connector, --tool or --all");
    }
    let folder = Folder::open(&unbind.place)?;
    let mut edit = folder.existing(&unbind.name)?;
    let wanted = unbind.scope.place();
    let gone = edit.unbind(|bind| {
        unbind.all
            || (&bind.vmcp, &bind.connector, &bind.tool)
                == (&wanted.vmcp, &wanted.connector, &wanted.tool)
    });
    if gone == 0 {
        bail!("`{}` is not bound there; `tidegate plugin show {0}` says where it is", edit.id());
    }
    block_on(folder.save(&edit))?;
    say(&format!("`{}` is no longer bound there", edit.id()));
    super::written(&edit);
    Ok(ExitCode::SUCCESS)
}

fn pair(text: &str) -> anyhow::Result<(&str, &str)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim(), value.trim())),
        _ => bail!("`{text}` is not of the form NAME=VALUE"),
    }
}

/// A TOML value, or a text where it is none.
fn read_value(text: &str) -> Value {
    let mut value = text.parse::<Value>().unwrap_or_else(|_| Value::from(text));
    value.decor_mut().clear();
    value
}

/// The table in a JSON or TOML file.
fn whole(file: &std::path::Path) -> anyhow::Result<Table> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let text = if is_json {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
            .with_context(|| format!("`{}` holds no JSON object", file.display()))?;
        toml::to_string(&value).with_context(|| {
            format!("`{}` holds what TOML cannot say, such as null", file.display())
        })?
    } else {
        text
    };
    let document: DocumentMut =
        text.parse().with_context(|| format!("`{}` holds no TOML", file.display()))?;
    let mut table = document.as_table().clone();
    unplace(&mut table);
    Ok(table)
}

/// Forgets where tables stood in the file they came from.
fn unplace(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        match item {
            toml_edit::Item::Table(inner) => unplace(inner),
            toml_edit::Item::ArrayOfTables(inner) => inner.iter_mut().for_each(unplace),
            _ => {}
        }
    }
}
