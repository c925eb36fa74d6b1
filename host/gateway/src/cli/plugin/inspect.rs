//! `tidegate plugin inspect`: what a component is, before anybody installs it.
//!
//! Says what the gateway found when it read the component, in the words that an
//! administrator decides by, and what the file says of itself.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_wasm::{Binding, Component, Grants, GuestConnector, Limits, ListKind, Reach};
use wit_component::DecodedWasm;

use super::{about, producers, producers::Producers, source::Found, subject::Subject};
use crate::cli::{block_on, say};

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// A component file, a folder in which one was built, or oci://host/repository.
    file: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What there is to say.
#[derive(Debug, Serialize)]
struct Report {
    hash: String,
    size: usize,
    /// Version of the contract; `none` for a component that knows nothing of it.
    contract: &'static str,
    /// What it can be bound as.
    fits: Vec<&'static str>,
    exports: Vec<&'static str>,
    /// Capabilities, each with what granting it means.
    needs: BTreeMap<&'static str, &'static str>,
    /// Interfaces of WASI that it imports; all but `wasi:http` are there and empty.
    wasi: Vec<String>,
    /// The JSON Schema of its configuration.
    config: Option<Value>,
    /// The tools of a component that knows nothing of the contract.
    tools: Vec<Value>,
    /// Its functions that are no tools, with the reason.
    refused: BTreeMap<String, String>,
    made_with: Producers,
    /// Whether a signature lies beside it; `install` checks it.
    signed: bool,
}

pub(super) fn run(inspect: &Inspect) -> anyhow::Result<ExitCode> {
    let report = block_on(async {
        let Subject { found, component, .. } = Subject::load(&inspect.file).await?;
        report(&found, &component).await
    })?;
    if inspect.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        lines(&report).iter().for_each(|line| say(line));
    }
    Ok(ExitCode::SUCCESS)
}

async fn report(found: &Found, component: &Component) -> anyhow::Result<Report> {
    let exports = component.exports();
    let kinds = [
        ("interceptor", exports.is_interceptor()),
        ("customizer", exports.is_customizer()),
        ("connector", exports.is_connector()),
    ];
    let needs = component.capabilities().iter().map(|one| (one.name(), about::meaning(*one)));
    Ok(Report {
        hash: component.hash_text(),
        size: component.size(),
        contract: component.version(),
        fits: kinds.iter().filter(|(_, fits)| *fits).map(|(kind, _)| *kind).collect(),
        exports: exports.iter().map(|interface| interface.name()).collect(),
        needs: needs.collect(),
        wasi: wasi(&found.bytes),
        config: component.config_schema().and_then(|schema| schema.read().ok()),
        tools: tools(component).await?,
        refused: component.refused().iter().cloned().collect(),
        made_with: producers::read(&found.bytes),
        signed: found.signature.is_some(),
    })
}

/// The interfaces of WASI among its imports.
fn wasi(file: &[u8]) -> Vec<String> {
    // What cannot be decoded was compiled all the same, so there is only less to tell.
    let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(file) else {
        return Vec::new();
    };
    let Some(world) = resolve.worlds.get(world) else { return Vec::new() };
    let names = world.imports.keys().map(|key| resolve.name_world_key(key));
    names.filter(|name| name.starts_with("wasi:")).collect()
}

/// What the gateway makes of a component that knows nothing of the contract: each function
/// with the schema that clients see.
async fn tools(component: &Component) -> anyhow::Result<Vec<Value>> {
    if component.version() != "none" {
        return Ok(Vec::new());
    }
    let binding = Binding {
        name: "inspected",
        component,
        config: &tidegate_model::Json::empty_object(),
        grants: Grants::all(),
        limits: Limits { spares: Some(0), ..Limits::CONNECTOR },
        reach: Reach::default(),
    };
    let listed = GuestConnector::new(&binding)?.list(ListKind::Tools).await?;
    Ok(listed.iter().filter_map(|tool| tool.read().ok()).collect())
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!("hash      {}", report.hash),
        format!("size      {}", about::size(report.size)),
        format!("contract  {}", report.contract),
        format!("fits      {}", report.fits.join(", ")),
        format!("exports   {}", report.exports.join(", ")),
    ];
    let needs = report.needs.iter().map(|(name, meaning)| format!("{name:<11}{meaning}"));
    block(&mut lines, "needs", needs.collect(), "nothing");
    block(&mut lines, "wasi", report.wasi.clone(), "nothing");
    let made = report.made_with.iter().map(|(field, names)| {
        let of = |(name, version): (&String, &String)| format!("{name} {version}");
        let names: Vec<String> = names.iter().map(of).collect();
        format!("{field}: {}", names.join(", ").trim_end())
    });
    block(&mut lines, "made with", made.collect(), "not told");
    let signed =
        if report.signed { "a signature lies beside it" } else { "no signature beside it" };
    lines.push(format!("signed    {signed}"));
    let schema = report.config.as_ref().map(pretty).unwrap_or_default();
    block(&mut lines, "config", schema, "none");
    if report.contract == "none" {
        block(&mut lines, "tools", report.tools.iter().flat_map(tool).collect(), "none");
        let refused = report.refused.iter().map(|(name, reason)| format!("{name}: {reason}"));
        block(&mut lines, "no tools", refused.collect(), "none");
    }
    lines
}

/// A label, and under it all that belongs to it.
fn block(lines: &mut Vec<String>, label: &str, all: Vec<String>, none: &str) {
    if all.is_empty() {
        lines.push(format!("{label:<10}{none}"));
    }
    for (place, text) in all.iter().enumerate() {
        let label = if place == 0 { label } else { "" };
        // What a component says of itself must not reach beyond its line.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        lines.push(format!("{label:<10}{text}"));
    }
}

fn pretty(value: &Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A tool by name, with the schema of its arguments.
fn tool(tool: &Value) -> Vec<String> {
    let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![format!("{} {}", text("name"), text("description")).trim_end().to_owned()];
    let none = json!({});
    let schema = tool.get("inputSchema").unwrap_or(&none);
    lines.push(format!("  {schema}"));
    lines
}
