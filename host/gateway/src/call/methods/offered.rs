//! What one caller is offered at one virtual MCP: the capabilities, and which methods answer.

use serde_json::{Map, Value, json};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::Features;
use tidegate_wire::{
    json::Raw,
    mcp::{Era, Revision, method::TASKS_EXTENSION},
};

use crate::call::{Context, list::List};

/// Features that work for this caller, in the client's revision.
#[derive(Debug)]
pub(super) struct Offered {
    revision: Revision,
    pub(super) prompts: bool,
    pub(super) resources: bool,
    pub(super) subscribe: bool,
    pub(super) completions: bool,
    pub(super) logging: bool,
    /// The `tasks` capability (2025-11-25).
    tasks: Option<Value>,
    /// Extensions of the connectors, each with its settings.
    extensions: Map<String, Value>,
}

impl Offered {
    /// What `context` is offered at `vmcp`: the union over its connectors, without what
    /// policies hide whole.
    pub(super) fn to(context: &Context, vmcp: &PublishedVmcp, revision: Revision) -> Self {
        let any = |has: fn(&Features) -> bool| vmcp.features.values().any(has);
        // A list that is empty for everybody may fill; one that is hidden whole is not there.
        let shows = |list: List| {
            list.len(vmcp) == 0 || context.revision.visible(&context.caller, vmcp, list).any()
        };
        let prompts = any(|features| features.prompts) && shows(List::Prompts);
        let resources = any(|features| features.resources)
            && (shows(List::Resources) || shows(List::Templates));
        let modern = revision.era() == Era::Modern;
        Self {
            revision,
            prompts,
            resources,
            subscribe: resources && any(|features| features.subscribe),
            completions: (prompts || resources)
                && revision >= Revision::V2025_03_26
                && any(|features| features.completions),
            logging: any(|features| features.logging),
            tasks: (revision == Revision::V2025_11_25).then(|| legacy_tasks(vmcp)).flatten(),
            extensions: extensions(vmcp, modern),
        }
    }

    /// Whether calls may become tasks.
    pub(super) fn has_tasks(&self) -> bool {
        match self.revision.era() {
            Era::Legacy => self.tasks.is_some(),
            Era::Modern => self.extensions.contains_key(TASKS_EXTENSION),
        }
    }

    /// The `ServerCapabilities` object.
    pub(super) fn capabilities(&self) -> Value {
        let mut all = json!({"tools": {"listChanged": true}});
        let mut put = |yes: bool, name: &str, value: Value| {
            if let (true, Some(all)) = (yes, all.as_object_mut()) {
                all.insert(name.to_owned(), value);
            }
        };
        let mut resources = json!({"listChanged": true});
        if let (true, Some(resources)) = (self.subscribe, resources.as_object_mut()) {
            resources.insert("subscribe".into(), true.into());
        }
        put(self.prompts, "prompts", json!({"listChanged": true}));
        put(self.resources, "resources", resources);
        put(self.completions, "completions", json!({}));
        put(self.logging, "logging", json!({}));
        if let Some(tasks) = &self.tasks {
            put(true, "tasks", tasks.clone());
        }
        put(!self.extensions.is_empty(), "extensions", self.extensions.clone().into());
        all
    }
}

/// The `tasks` capability towards a 2025-11-25 client: of the requests, tool calls alone can
/// become tasks; lists of tasks are not offered, since tasks of several connectors and
/// callers would meet there.
fn legacy_tasks(vmcp: &PublishedVmcp) -> Option<Value> {
    let connectors = vmcp.features.values().filter(|features| !features.modern);
    let tasks: Vec<Raw<'_>> =
        connectors.filter_map(|features| features.tasks.as_ref()).map(Raw::from).collect();
    let calls = |tasks: &Raw<'_>| {
        let requests = tasks.get("requests").and_then(|requests| requests.get("tools"));
        requests.is_some_and(|tools| tools.get("call").is_some())
    };
    if !tasks.iter().any(calls) {
        return None;
    }
    let mut all = json!({"requests": {"tools": {"call": {}}}});
    if let (true, Some(all)) =
        (tasks.iter().any(|tasks| tasks.get("cancel").is_some()), all.as_object_mut())
    {
        all.insert("cancel".into(), json!({}));
    }
    Some(all)
}

/// The union of the connectors' extensions; of several settings the first connector's count.
/// Tasks stay within an era, since the eras' methods for them differ.
fn extensions(vmcp: &PublishedVmcp, modern: bool) -> Map<String, Value> {
    let mut all = Map::new();
    let in_order = vmcp.vmcp.connectors.iter().filter_map(|id| vmcp.features.get(id));
    for features in in_order {
        for (name, settings) in &features.extensions {
            let fits = **name != *TASKS_EXTENSION || (modern && features.modern);
            if fits && !all.contains_key(&**name) {
                all.insert(name.as_ref().to_owned(), settings.read().unwrap_or_default());
            }
        }
    }
    all
}
