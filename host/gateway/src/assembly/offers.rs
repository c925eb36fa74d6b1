//! Approved offers: the record as it is kept, with the administrator's classes laid over.
//!
//! A record is one object with the members of `tools/list`, `prompts/list`, `resources/list`
//! and `resources/templates/list` results, so that reading it back is the same code that
//! reads a connector's lists, and a member `features` for what the connector said it can do.
//! A record of tools alone, as it was written once, is read like any other.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use tidegate_model::{ConnectorId, Features, Json, Offer, Tool, ToolName};
use tidegate_wire::{
    json::{Raw, write_string},
    mcp::{
        lists::Entries,
        method::Method,
        peek::PeekError,
        tools::{Listing, SkippedTool},
    },
};

use crate::config::connector::ClassConfig;

/// The member for what a connector can do.
const FEATURES: &str = "features";

/// The offer in a record, as a revision uses it.
pub(crate) fn approved(
    connector: &ConnectorId,
    record: &Json,
    classes: Option<&BTreeMap<String, ClassConfig>>,
) -> Offer {
    let mut listing = Listing::new(connector.clone());
    if let Err(error) = listing.add_page(record) {
        tracing::error!(connector = %connector, %error, "a record cannot be read; its tools are withheld");
    }
    for SkippedTool { reason, name, .. } in &listing.skipped {
        tracing::error!(connector = %connector, tool = name, %reason, "a tool on record is withheld");
    }
    let classed = |mut tool: Tool| {
        if let Some(class) = classes.and_then(|classes| classes.get(tool.name.as_str())) {
            tool.class.read_only = class.read_only.unwrap_or(tool.class.read_only);
            tool.class.destructive = class.destructive.unwrap_or(tool.class.destructive);
            tool.class.open_world = class.open_world.unwrap_or(tool.class.open_world);
        }
        Arc::new(tool)
    };
    Offer {
        tools: listing.tools.into_iter().map(|listed| classed(listed.tool)).collect(),
        prompts: entries(connector, record, "prompts", Entries::prompts),
        resources: entries(connector, record, "resources", Entries::resources),
        templates: entries(connector, record, "resourceTemplates", Entries::templates),
        features: Raw::from(record)
            .get(FEATURES)
            .map(|raw| features(raw, record))
            .unwrap_or_default(),
    }
}

/// One list of a record; empty where the record has none.
fn entries<T>(
    connector: &ConnectorId,
    record: &Json,
    member: &'static str,
    list: fn(ConnectorId) -> Entries<T>,
) -> Arc<[Arc<T>]> {
    let mut entries = list(connector.clone());
    match entries.add_page(record) {
        Ok(_) => {}
        Err(PeekError::Missing(missing)) if missing == member => {}
        Err(error) => {
            tracing::error!(connector = %connector, %error, "a record cannot be read; its {member} are withheld");
        }
    }
    entries.usable.into_iter().map(Arc::new).collect()
}

/// Reads what [`write_features`] wrote; what is missing is not there.
fn features(raw: Raw<'_>, record: &Json) -> Features {
    let has = |member| raw.get(member).and_then(Raw::boolean).unwrap_or_default();
    let extensions = raw.get("extensions");
    Features {
        modern: has("modern"),
        prompts: has("prompts"),
        resources: has("resources"),
        subscribe: has("subscribe"),
        completions: has("completions"),
        logging: has("logging"),
        tasks: raw.get("tasks").map(|tasks| tasks.within(record)),
        extensions: extensions
            .iter()
            .flat_map(|extensions| extensions.members())
            .map(|member| (member.key.as_ref().into(), member.value.within(record)))
            .collect(),
    }
}

/// The record of an offer.
pub(crate) fn record(offer: &Offer) -> Json {
    let mut out = Vec::from(b"{");
    let Offer { tools, prompts, resources, templates, features } = offer;
    write_list(&mut out, "tools", tools.iter().map(|tool| &tool.definition));
    write_list(&mut out, "prompts", prompts.iter().map(|prompt| &prompt.definition));
    write_list(&mut out, "resources", resources.iter().map(|resource| &resource.definition));
    write_list(&mut out, "resourceTemplates", templates.iter().map(|one| &one.definition));
    write_features(&mut out, features);
    out.push(b'}');
    Json::from_checked(out.into())
}

fn write_list<'a>(out: &mut Vec<u8>, member: &str, definitions: impl Iterator<Item = &'a Json>) {
    write_key(out, member);
    out.push(b'[');
    for (at, definition) in definitions.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(definition.bytes());
    }
    out.push(b']');
}

fn write_features(out: &mut Vec<u8>, features: &Features) {
    let Features { modern, prompts, resources, subscribe, completions, logging, tasks, extensions } =
        features;
    write_key(out, FEATURES);
    out.push(b'{');
    for (member, has) in [
        ("modern", modern),
        ("prompts", prompts),
        ("resources", resources),
        ("subscribe", subscribe),
        ("completions", completions),
        ("logging", logging),
    ] {
        write_key(out, member);
        out.extend_from_slice(if *has { b"true" } else { b"false" });
    }
    if let Some(tasks) = tasks {
        write_key(out, "tasks");
        out.extend_from_slice(tasks.bytes());
    }
    write_key(out, "extensions");
    out.push(b'{');
    for (id, settings) in extensions {
        write_key(out, id);
        out.extend_from_slice(settings.bytes());
    }
    out.extend_from_slice(b"}}");
}

/// The offer with the lists that could not be read (by method) as they were `before`.
pub(crate) fn completed(
    mut offer: Offer,
    before: &Offer,
    unread: impl Iterator<Item = &'static str>,
) -> Offer {
    for method in unread {
        match Method::parse(method) {
            Some(Method::ListPrompts) => offer.prompts = Arc::clone(&before.prompts),
            Some(Method::ListResources) => offer.resources = Arc::clone(&before.resources),
            Some(Method::ListResourceTemplates) => offer.templates = Arc::clone(&before.templates),
            _ => {}
        }
    }
    offer
}

/// A key with its colon, after a comma where another member stands before it.
fn write_key(out: &mut Vec<u8>, key: &str) {
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    write_string(out, key);
    out.push(b':');
}

/// The record of the tools that are in `earlier` records and not in the one of `now`; of
/// several definitions of one tool the first counts.
pub(crate) fn gone<'a>(
    connector: &ConnectorId,
    earlier: impl Iterator<Item = &'a Json>,
    now: &Json,
) -> Json {
    let tools = |record| approved(connector, record, None).tools;
    let mut known: HashSet<ToolName> = tools(now).iter().map(|tool| tool.name.clone()).collect();
    let mut gone = Vec::new();
    for record in earlier {
        gone.extend(tools(record).iter().filter(|tool| known.insert(tool.name.clone())).cloned());
    }
    let mut out = Vec::from(b"{");
    write_list(&mut out, "tools", gone.iter().map(|tool| &tool.definition));
    out.push(b'}');
    Json::from_checked(out.into())
}

#[cfg(test)]
mod tests;
