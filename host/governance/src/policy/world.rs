//! What exists: the tools, prompts, connectors and virtual MCPs that policies can name, as
//! entities. Of resources only the connector is known: there may be more than any list has.
//!
//! Made once per compilation. Entities are handed out one by one, because a decision needs a
//! handful of them and an organisation may have thousands.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use cedar_policy::{
    Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, RestrictedExpression,
};
use model::{ConnectorId, OrgId, Prompt, PromptName, ResourceRef, Tool, ToolName, VmcpId};
use tidegate_model as model;

use super::{AdminAction, input::PolicyInput, shape::Record};

/// The entity types, parsed once.
#[derive(Debug)]
pub(super) struct Types {
    pub(super) agent: EntityTypeName,
    pub(super) action: EntityTypeName,
    pub(super) client: EntityTypeName,
    pub(super) connector: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) org: EntityTypeName,
    pub(super) prompt: EntityTypeName,
    pub(super) resource: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) tool: EntityTypeName,
    pub(super) user: EntityTypeName,
    pub(super) vmcp: EntityTypeName,
}

impl Types {
    fn new() -> Result<Self, Box<ParseErrors>> {
        Ok(Self {
            agent: "Agent".parse()?,
            action: "Action".parse()?,
            client: "Client".parse()?,
            connector: "Connector".parse()?,
            group: "Group".parse()?,
            org: "Org".parse()?,
            prompt: "Prompt".parse()?,
            resource: "Resource".parse()?,
            role: "Role".parse()?,
            tool: "Tool".parse()?,
            user: "User".parse()?,
            vmcp: "VirtualMcp".parse()?,
        })
    }
}

/// `Type::"id"`.
pub(super) fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

/// One tool that policies can name.
#[derive(Debug)]
pub(super) struct KnownTool {
    /// The tool.
    pub(super) tool: Arc<Tool>,
    /// `connector/tool`, its id as action and as resource.
    pub(super) id: String,
    /// Whether it has vanished: it can be named, and nobody can call it.
    pub(super) gone: bool,
    input: OnceLock<Record>,
}

impl KnownTool {
    fn new(tool: &Arc<Tool>, gone: bool) -> Self {
        let id = format!("{}/{}", tool.connector, tool.name);
        Self { tool: Arc::clone(tool), id, gone, input: OnceLock::new() }
    }

    /// The type of `context.input`, worked out when it is first asked for.
    pub(super) fn input(&self) -> &Record {
        self.input.get_or_init(|| Record::of_input(self.tool.input_schema.as_str()))
    }

    /// The actions that its own belongs to.
    pub(super) fn action_groups(&self) -> impl Iterator<Item = &'static str> {
        let class = self.tool.class;
        let groups = [
            (true, "call_tool"),
            (class.read_only, "read_only"),
            (class.destructive && !class.read_only, "destructive"),
            (class.open_world, "open_world"),
        ];
        groups.into_iter().filter(|(member, _)| *member).map(|(_, name)| name)
    }
}

/// One prompt that policies can name.
#[derive(Debug)]
pub(super) struct KnownPrompt {
    /// The prompt.
    pub(super) prompt: Arc<Prompt>,
    /// `connector/prompt`, its id.
    pub(super) id: String,
}

/// Something a caller can be permitted to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// Call the n-th tool.
    Tool(usize),
    /// Get the n-th prompt.
    Prompt(usize),
    /// Read this resource.
    Resource(ResourceRef),
    /// Use the n-th virtual MCP.
    Connect(usize),
    /// List what the n-th virtual MCP offers.
    List(usize),
    /// Administer.
    Admin(AdminAction),
}

/// An operation in Cedar's words.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) action: EntityUid,
    pub(super) action_groups: Vec<EntityUid>,
    pub(super) resource: EntityUid,
    pub(super) resource_parents: Vec<EntityUid>,
}

/// All that exists.
#[derive(Debug)]
pub(super) struct World {
    pub(super) types: Types,
    pub(super) org: OrgId,
    /// The tools; those that can be called first.
    pub(super) tools: Vec<KnownTool>,
    /// The prompts.
    pub(super) prompts: Vec<KnownPrompt>,
    /// Every connector whose offer is known.
    pub(super) connectors: BTreeSet<ConnectorId>,
    /// Connectors whose offer has never been seen.
    pub(super) pending: BTreeSet<ConnectorId>,
    vmcps: Vec<VmcpId>,
    vmcp_index: HashMap<VmcpId, usize>,
    live: HashMap<ConnectorId, HashMap<ToolName, usize>>,
    by_id: HashMap<String, usize>,
    prompt_by_id: HashMap<String, usize>,
    prompt_by_name: HashMap<ConnectorId, HashMap<PromptName, usize>>,
}

impl World {
    /// Takes stock of what exists. Fails only if a type name is no Cedar name.
    pub(super) fn new(input: &PolicyInput<'_>) -> Result<Self, Box<ParseErrors>> {
        let live = input.offers.values().flat_map(|offer| offer.tools.iter());
        let live = live.map(|tool| KnownTool::new(tool, false));
        let gone = input.gone.iter().map(|tool| KnownTool::new(tool, true));
        let mut world = Self {
            types: Types::new()?,
            org: input.org.clone(),
            tools: Vec::new(),
            prompts: Vec::new(),
            connectors: input.offers.keys().cloned().collect(),
            pending: BTreeSet::new(),
            vmcps: input.vmcps.iter().map(|vmcp| vmcp.id.clone()).collect(),
            vmcp_index: HashMap::new(),
            live: HashMap::new(),
            by_id: HashMap::new(),
            prompt_by_id: HashMap::new(),
            prompt_by_name: HashMap::new(),
        };
        for known in live.chain(gone) {
            world.connectors.insert(known.tool.connector.clone());
            if world.by_id.contains_key(&known.id) {
                continue;
            }
            let index = world.tools.len();
            world.by_id.insert(known.id.clone(), index);
            if !known.gone {
                let connector = world.live.entry(known.tool.connector.clone()).or_default();
                connector.insert(known.tool.name.clone(), index);
            }
            world.tools.push(known);
        }
        for prompt in input.offers.values().flat_map(|offer| offer.prompts.iter()) {
            world.add_prompt(prompt);
        }
        let pending = input.pending.iter().filter(|id| !world.connectors.contains(*id));
        world.pending = pending.cloned().collect();
        let vmcps = world.vmcps.iter().enumerate();
        world.vmcp_index = vmcps.map(|(index, id)| (id.clone(), index)).collect();
        Ok(world)
    }

    fn add_prompt(&mut self, prompt: &Arc<Prompt>) {
        let id = format!("{}/{}", prompt.connector, prompt.name);
        if self.prompt_by_id.contains_key(&id) {
            return;
        }
        let index = self.prompts.len();
        self.connectors.insert(prompt.connector.clone());
        let connector = self.prompt_by_name.entry(prompt.connector.clone()).or_default();
        connector.insert(prompt.name.clone(), index);
        self.prompt_by_id.insert(id.clone(), index);
        self.prompts.push(KnownPrompt { prompt: Arc::clone(prompt), id });
    }

    /// The tool that can be called under this name.
    pub(super) fn callable(&self, tool: &Tool) -> Option<usize> {
        self.live.get(&tool.connector)?.get(&tool.name).copied()
    }

    /// The tool with the id `connector/tool`, gone ones included.
    pub(super) fn tool(&self, id: &str) -> Option<&KnownTool> {
        self.by_id.get(id).and_then(|index| self.tools.get(*index))
    }

    /// The number of a prompt that is offered.
    pub(super) fn offered(&self, prompt: &Prompt) -> Option<usize> {
        self.prompt_by_name.get(&prompt.connector)?.get(&prompt.name).copied()
    }

    /// The prompt with the id `connector/prompt`.
    pub(super) fn prompt(&self, id: &str) -> Option<&KnownPrompt> {
        self.prompt_by_id.get(id).and_then(|index| self.prompts.get(*index))
    }

    /// The number of a virtual MCP.
    pub(super) fn vmcp(&self, id: &VmcpId) -> Option<usize> {
        self.vmcp_index.get(id).copied()
    }

    /// The virtual MCPs.
    pub(super) fn vmcps(&self) -> &[VmcpId] {
        &self.vmcps
    }

    /// The virtual MCP with this number as an entity's name.
    pub(super) fn vmcp_uid(&self, index: usize) -> EntityUid {
        uid(&self.types.vmcp, self.vmcps.get(index).map_or("", VmcpId::as_str))
    }

    /// An operation in Cedar's words; `None` for a number that was never handed out.
    pub(super) fn target(&self, operation: &Operation) -> Option<Target> {
        let types = &self.types;
        let action = |name: &str| uid(&types.action, name);
        let org = || uid(&types.org, self.org.as_str());
        let of_connector = |name, resource, connector: &ConnectorId| Target {
            action: action(name),
            action_groups: Vec::new(),
            resource,
            resource_parents: vec![uid(&types.connector, connector.as_str()), org()],
        };
        let on_vmcp = |name, index| Target {
            action: action(name),
            action_groups: Vec::new(),
            resource: self.vmcp_uid(index),
            resource_parents: vec![org()],
        };
        Some(match operation {
            Operation::Tool(index) => {
                let known = self.tools.get(*index)?;
                let connector = uid(&types.connector, known.tool.connector.as_str());
                Target {
                    action: action(&known.id),
                    action_groups: known.action_groups().map(action).collect(),
                    resource: uid(&types.tool, &known.id),
                    resource_parents: vec![connector, org()],
                }
            }
            Operation::Prompt(index) => {
                let known = self.prompts.get(*index)?;
                let resource = uid(&types.prompt, &known.id);
                of_connector("get_prompt", resource, &known.prompt.connector)
            }
            Operation::Resource(resource) => {
                let ResourceRef { connector, uri } = resource;
                self.connectors.get(connector)?;
                let resource = uid(&types.resource, &format!("{connector}/{uri}"));
                of_connector("read_resource", resource, connector)
            }
            Operation::Connect(index) => on_vmcp("connect", *index),
            Operation::List(index) => on_vmcp("list", *index),
            Operation::Admin(what) => Target {
                action: action(what.name()),
                action_groups: vec![action("admin")],
                resource: org(),
                resource_parents: Vec::new(),
            },
        })
    }

    /// The entity of this name, with all its ancestors as parents; `None` where nothing is
    /// known beyond the name.
    pub(super) fn entity(&self, name: &EntityUid) -> Option<Entity> {
        let (of, id) = (name.type_name(), name.id().unescaped());
        let types = &self.types;
        let org = || uid(&types.org, self.org.as_str());
        let plain = |parents: Vec<EntityUid>| {
            Some(Entity::new_no_attrs(name.clone(), parents.into_iter().collect()))
        };
        if *of == types.action {
            let groups = match self.tool(id) {
                Some(known) => known.action_groups().map(|g| uid(&types.action, g)).collect(),
                None if id.starts_with("admin:") => vec![uid(&types.action, "admin")],
                None => Vec::new(),
            };
            plain(groups)
        } else if *of == types.tool {
            self.tool(id).and_then(|known| self.tool_entity(name, known))
        } else if *of == types.prompt {
            let known = self.prompt(id)?;
            let title = known.prompt.name.as_str();
            self.part_of(&known.prompt.connector, name, ("name", title))
        } else if *of == types.resource {
            // Slugs of connectors hold no slash, so the first one ends it.
            let (connector, uri) = id.split_once('/')?;
            self.part_of(self.connectors.get(connector)?, name, ("uri", uri))
        } else if *of == types.connector || *of == types.vmcp {
            plain(vec![org()])
        } else {
            None
        }
    }

    fn tool_entity(&self, name: &EntityUid, known: &KnownTool) -> Option<Entity> {
        let class = known.tool.class;
        let flag = |name: &str, value| (name.to_owned(), RestrictedExpression::new_bool(value));
        let title = RestrictedExpression::new_string(known.tool.name.as_str().to_owned());
        let attributes = HashMap::from([
            ("name".to_owned(), title),
            flag("read_only", class.read_only),
            flag("destructive", class.destructive && !class.read_only),
            flag("idempotent", class.idempotent),
            flag("open_world", class.open_world),
        ]);
        let connector = uid(&self.types.connector, known.tool.connector.as_str());
        let parents = [connector, uid(&self.types.org, self.org.as_str())];
        Entity::new(name.clone(), attributes, parents.into_iter().collect()).ok()
    }

    /// The entity of something of this connector that has one attribute, a text.
    fn part_of(
        &self,
        connector: &ConnectorId,
        name: &EntityUid,
        (attribute, text): (&str, &str),
    ) -> Option<Entity> {
        let text = RestrictedExpression::new_string(text.to_owned());
        let attributes = HashMap::from([(attribute.to_owned(), text)]);
        let connector = uid(&self.types.connector, connector.as_str());
        let parents = [connector, uid(&self.types.org, self.org.as_str())];
        Entity::new(name.clone(), attributes, parents.into_iter().collect()).ok()
    }
}
