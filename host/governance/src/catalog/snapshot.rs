//! One immutable revision of what an organisation publishes.
//!
//! A request holds one snapshot from start to end; a change makes a new one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tidegate_model::{
    ConnectorId, Features, Json, OrgId, Prompt, Resource, ResourceTemplate, RevisionId, Tool,
    VirtualMcp, VmcpId,
};
use tidegate_wire::mcp::header::HeaderParams;

use super::{ArgumentRules, Uris};

/// One tool as one virtual MCP publishes it.
#[derive(Debug)]
pub struct PublishedTool {
    /// The tool as its connector declares it.
    pub tool: Arc<Tool>,
    /// The name clients use.
    pub name: Arc<str>,
    /// The definition clients see.
    pub definition: Json,
    /// What happens to its arguments.
    pub arguments: ArgumentRules,
    /// The arguments that modern clients mirror in `Mcp-Param-*` headers (SEP-2243).
    pub headers: HeaderParams,
}

/// One prompt as one virtual MCP publishes it.
#[derive(Debug)]
pub struct PublishedPrompt {
    /// The prompt as its connector declares it.
    pub prompt: Arc<Prompt>,
    /// The name clients use.
    pub name: Arc<str>,
    /// The definition clients see.
    pub definition: Json,
}

/// One listed resource as one virtual MCP publishes it.
#[derive(Debug)]
pub struct PublishedResource {
    /// The resource as its connector declares it.
    pub resource: Arc<Resource>,
    /// The URI clients use.
    pub uri: Arc<str>,
    /// The definition clients see.
    pub definition: Json,
}

/// One resource template as one virtual MCP publishes it.
#[derive(Debug)]
pub struct PublishedTemplate {
    /// The template as its connector declares it.
    pub template: Arc<ResourceTemplate>,
    /// The template that clients expand.
    pub uri_template: Arc<str>,
    /// The definition clients see.
    pub definition: Json,
}

/// One virtual MCP with what it publishes. Every list is in the order of its connectors, then
/// in the connector's own.
#[derive(Debug)]
pub struct PublishedVmcp {
    /// As the administrator described it.
    pub vmcp: VirtualMcp,
    /// Its tools.
    pub tools: Vec<PublishedTool>,
    /// Its prompts.
    pub prompts: Vec<PublishedPrompt>,
    /// Its listed resources; others may be there to be read.
    pub resources: Vec<PublishedResource>,
    /// Its resource templates.
    pub templates: Vec<PublishedTemplate>,
    /// What those of its connectors can do that have shown it.
    pub features: BTreeMap<ConnectorId, Features>,
    /// How its resource URIs are published.
    pub uris: Uris,
    tools_by_name: HashMap<Arc<str>, usize>,
    prompts_by_name: HashMap<Arc<str>, usize>,
    resources_by_uri: HashMap<Arc<str>, usize>,
}

/// What is published beside tools.
#[derive(Debug, Default)]
pub(crate) struct Besides {
    pub(crate) prompts: Vec<PublishedPrompt>,
    pub(crate) resources: Vec<PublishedResource>,
    pub(crate) templates: Vec<PublishedTemplate>,
    pub(crate) features: BTreeMap<ConnectorId, Features>,
}

impl PublishedVmcp {
    /// Indexes what is published by name and URI.
    pub(crate) fn new(
        vmcp: VirtualMcp,
        uris: Uris,
        tools: Vec<PublishedTool>,
        besides: Besides,
    ) -> Self {
        let Besides { prompts, resources, templates, features } = besides;
        Self {
            tools_by_name: index(tools.iter().map(|tool| &tool.name)),
            prompts_by_name: index(prompts.iter().map(|prompt| &prompt.name)),
            resources_by_uri: index(resources.iter().map(|resource| &resource.uri)),
            vmcp,
            tools,
            prompts,
            resources,
            templates,
            features,
            uris,
        }
    }

    /// The tool published under `name`, with its place in the order.
    pub fn tool(&self, name: &str) -> Option<(usize, &PublishedTool)> {
        let at = *self.tools_by_name.get(name)?;
        self.tools.get(at).map(|tool| (at, tool))
    }

    /// The prompt published under `name`, with its place in the order.
    pub fn prompt(&self, name: &str) -> Option<(usize, &PublishedPrompt)> {
        let at = *self.prompts_by_name.get(name)?;
        self.prompts.get(at).map(|prompt| (at, prompt))
    }

    /// The listed resource published under `uri`, with its place in the order. What is not
    /// listed may still be found by [`Uris::locate`].
    pub fn resource(&self, uri: &str) -> Option<(usize, &PublishedResource)> {
        let at = *self.resources_by_uri.get(uri)?;
        self.resources.get(at).map(|resource| (at, resource))
    }
}

/// Places by name; the first of several counts.
fn index<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> HashMap<Arc<str>, usize> {
    let mut places = HashMap::new();
    for (place, name) in names.enumerate() {
        places.entry(Arc::clone(name)).or_insert(place);
    }
    places
}

/// All virtual MCPs of one organisation at one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// The organisation.
    pub org: OrgId,
    /// The revision.
    pub revision: RevisionId,
    pub(crate) vmcps: HashMap<VmcpId, PublishedVmcp>,
}

impl Snapshot {
    /// The virtual MCP of that name.
    pub fn vmcp(&self, id: &str) -> Option<&PublishedVmcp> {
        self.vmcps.get(id)
    }

    /// All virtual MCPs, in no order.
    pub fn vmcps(&self) -> impl Iterator<Item = &PublishedVmcp> {
        self.vmcps.values()
    }
}
