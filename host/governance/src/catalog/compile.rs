//! From configuration and offers of connectors to a [`Snapshot`]: pure, total, deterministic.
//!
//! A fault in one tool or one override never stops the others; it becomes a [`Notice`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_model::{
    ConnectorId, Json, Offer, OrgId, PluginId, RevisionId, Tool, ToolName, ToolOverride,
    VirtualMcp, VmcpId,
};
use tidegate_wire::{json::Raw, mcp::header::HeaderParams};

use super::{
    ArgumentRules, PublishedTool, PublishedVmcp, Snapshot, Uris,
    definition::{narrowed, with_members},
    names::{self, Pinned, Wanted},
    offers,
};

/// What a customizer did to one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomizerEdit {
    /// Names, texts, defaults and locks.
    pub change: ToolOverride,
    /// A schema to publish in place of the connector's.
    pub input_schema: Option<Json>,
}

/// Everything a snapshot is made from.
#[derive(Debug, Default)]
pub struct CatalogInput {
    /// The virtual MCPs.
    pub vmcps: Vec<VirtualMcp>,
    /// What each connector offers, in its own order; of tools, those that are approved.
    pub offers: BTreeMap<ConnectorId, Arc<Offer>>,
    /// Connectors that exist and have not shown their offer yet; nothing is said about them.
    pub pending: BTreeSet<ConnectorId>,
    /// The names under which tools were published before, for each virtual MCP.
    pub pinned: HashMap<VmcpId, Pinned>,
    /// What customizers did, for each virtual MCP, connector and original name; later edits
    /// are laid over earlier ones.
    pub edits: HashMap<(VmcpId, ConnectorId, ToolName), Vec<CustomizerEdit>>,
}

/// Something an administrator should know about, without effect on the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// A virtual MCP lists a connector that is not configured.
    #[error("virtual MCP `{vmcp}` lists connector `{connector}`, which does not exist")]
    UnknownConnector {
        /// The virtual MCP.
        vmcp: VmcpId,
        /// The missing connector.
        connector: ConnectorId,
    },
    /// A virtual MCP names a tool that its connector does not have.
    #[error("virtual MCP `{vmcp}` names `{connector}/{tool}`, which that connector does not offer")]
    UnknownTool {
        /// The virtual MCP.
        vmcp: VmcpId,
        /// The connector.
        connector: ConnectorId,
        /// The missing tool.
        tool: ToolName,
    },
    /// A chosen name cannot be given.
    #[error(
        "`{connector}/{tool}` is withheld from virtual MCP `{vmcp}`: the name `{name}` is taken or is not made of 1 to 64 characters from `A-Za-z0-9_.-`"
    )]
    BadName {
        /// The virtual MCP.
        vmcp: VmcpId,
        /// The connector.
        connector: ConnectorId,
        /// The tool.
        tool: ToolName,
        /// The chosen name.
        name: String,
    },
    /// A customizer failed; its last good edits stay, and tools without any are withheld.
    #[error(
        "virtual MCP `{vmcp}`: `{plugin}` could not edit the tools of `{connector}`, so its last good edits stay and {withheld} tools are withheld: {why}"
    )]
    NotCustomized {
        /// The plugin.
        plugin: PluginId,
        /// The virtual MCP.
        vmcp: VmcpId,
        /// The connector.
        connector: ConnectorId,
        /// How many tools are withheld.
        withheld: usize,
        /// What the plugin said, or did.
        why: String,
    },
}

/// A snapshot, what it pins, and what was noticed.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Every published name of a tool, to be pinned.
    pub pinned: HashMap<VmcpId, Pinned>,
    /// What was noticed.
    pub notices: Vec<Notice>,
}

/// Compiles a snapshot.
pub fn compile(org: OrgId, revision: RevisionId, input: CatalogInput) -> Compiled {
    let mut notices = Vec::new();
    let mut pinned = HashMap::new();
    let mut vmcps = HashMap::new();
    for vmcp in &input.vmcps {
        let (published, pins) = publish(vmcp, &input, &mut notices);
        pinned.insert(vmcp.id.clone(), pins);
        vmcps.insert(vmcp.id.clone(), published);
    }
    Compiled { snapshot: Snapshot { org, revision, vmcps }, pinned, notices }
}

/// One tool with all changes to it laid over each other.
struct Chosen {
    tool: Arc<Tool>,
    change: ToolOverride,
    /// What customizers put in place of the tool's own; the last is shown, all have to be met.
    input_schemas: Vec<Json>,
}

fn publish(
    vmcp: &VirtualMcp,
    input: &CatalogInput,
    notices: &mut Vec<Notice>,
) -> (PublishedVmcp, Pinned) {
    let chosen = choose(vmcp, input, notices);
    let none = Pinned::new();
    let old = input.pinned.get(&vmcp.id).unwrap_or(&none);
    let wanted: Vec<_> = chosen
        .iter()
        .map(|one| Wanted {
            connector: &one.tool.connector,
            original: one.tool.name.as_str(),
            chosen: one.change.name.as_deref(),
            pinned: old
                .get(&(one.tool.connector.clone(), one.tool.name.clone()))
                .map(String::as_str),
        })
        .collect();
    let uris = Uris::new(vmcp);
    let names = if uris.is_identity() { names::keep(&wanted) } else { names::assign(&wanted) };
    let mut pins = old.clone();
    let mut tools = Vec::with_capacity(chosen.len());
    for (one, name) in chosen.into_iter().zip(names) {
        let Some(name) = name else {
            notices.push(Notice::BadName {
                vmcp: vmcp.id.clone(),
                connector: one.tool.connector.clone(),
                tool: one.tool.name.clone(),
                name: one.change.name.unwrap_or_default(),
            });
            continue;
        };
        pins.insert((one.tool.connector.clone(), one.tool.name.clone()), name.clone());
        tools.push(published(one, name, &uris));
    }
    let besides = offers::publish(vmcp, input, &uris);
    (PublishedVmcp::new(vmcp.clone(), uris, tools, besides), pins)
}

/// The tools a virtual MCP publishes, in order, with the changes to each.
fn choose(vmcp: &VirtualMcp, input: &CatalogInput, notices: &mut Vec<Notice>) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    for connector in &vmcp.connectors {
        let Some(offer) = input.offers.get(connector) else {
            if !input.pending.contains(connector) {
                notices.push(Notice::UnknownConnector {
                    vmcp: vmcp.id.clone(),
                    connector: connector.clone(),
                });
            }
            continue;
        };
        let offers = |name: &ToolName| offer.tools.iter().any(|tool| tool.name == *name);
        let named = vmcp
            .only
            .iter()
            .map(|(c, t)| (c, t))
            .chain(vmcp.overrides.iter().map(|(c, t, _)| (c, t)));
        for (_, tool) in named.filter(|(c, tool)| *c == connector && !offers(tool)) {
            let notice = Notice::UnknownTool {
                vmcp: vmcp.id.clone(),
                connector: connector.clone(),
                tool: tool.clone(),
            };
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
        for tool in offer.tools.iter() {
            let listed = |(c, t): &(ConnectorId, ToolName)| c == connector && *t == tool.name;
            if !vmcp.only.is_empty() && !vmcp.only.iter().any(listed) {
                continue;
            }
            let one = changed(vmcp, tool, input);
            if !one.change.hidden {
                chosen.push(one);
            }
        }
    }
    chosen
}

fn changed(vmcp: &VirtualMcp, tool: &Arc<Tool>, input: &CatalogInput) -> Chosen {
    let key = (vmcp.id.clone(), tool.connector.clone(), tool.name.clone());
    let mut one = Chosen {
        tool: Arc::clone(tool),
        change: ToolOverride::default(),
        input_schemas: Vec::new(),
    };
    for edit in input.edits.get(&key).into_iter().flatten() {
        lay_over(&mut one.change, &edit.change);
        one.input_schemas.extend(edit.input_schema.clone());
    }
    for (connector, name, change) in &vmcp.overrides {
        if *connector == tool.connector && *name == tool.name {
            lay_over(&mut one.change, change);
        }
    }
    one
}

fn lay_over(under: &mut ToolOverride, over: &ToolOverride) {
    for (under, over) in [
        (&mut under.name, &over.name),
        (&mut under.title, &over.title),
        (&mut under.description, &over.description),
    ] {
        if over.is_some() {
            under.clone_from(over);
        }
    }
    under.hidden |= over.hidden;
    under.defaults.extend(over.defaults.clone());
    under.locked.extend(over.locked.clone());
}

fn published(one: Chosen, name: String, uris: &Uris) -> PublishedTool {
    let Chosen { tool, change, input_schemas } = one;
    let mut members = Vec::new();
    if name != tool.name.as_str() {
        members.extend(text("name", &name));
    }
    members.extend(change.title.as_deref().and_then(|title| text("title", title)));
    members.extend(change.description.as_deref().and_then(|words| text("description", words)));
    let last = input_schemas.last().cloned();
    let shown = last.as_ref().unwrap_or(&tool.input_schema);
    let shown = narrowed(shown, &change.defaults, &change.locked).or(last);
    let schema = Raw::from_checked(shown.as_ref().unwrap_or(&tool.input_schema).as_str());
    // Tools with a wrong annotation are left out when the connector's list is read.
    let headers = HeaderParams::compile(schema).unwrap_or_default();
    members.extend(shown.map(|schema| ("inputSchema", schema)));
    PublishedTool {
        headers,
        definition: uris.rewrite_tool(&tool.connector, &with_members(&tool.definition, &members)),
        arguments: ArgumentRules::new(tool.input_schema.clone(), change.defaults, change.locked)
            .narrowed_by(input_schemas),
        name: name.into(),
        tool,
    }
}

fn text(member: &'static str, words: &str) -> Option<(&'static str, Json)> {
    Json::of(words).ok().map(|json| (member, json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::ToolClass;

    fn tool(connector: &str, name: &str, extra: &str) -> Arc<Tool> {
        let schema = r#"{"type":"object","properties":{"q":{"type":"string"},"n":{"type":"integer"}},"required":["q"]}"#;
        let definition = format!(r#"{{"name":"{name}","inputSchema":{schema}{extra}}}"#);
        Arc::new(Tool {
            connector: ConnectorId::new(connector).unwrap(),
            name: ToolName::new(name).unwrap(),
            definition: Json::parse(definition).unwrap(),
            input_schema: Json::parse(schema).unwrap(),
            output_schema: None,
            class: ToolClass::default(),
        })
    }

    fn vmcp(connectors: &[&str]) -> VirtualMcp {
        VirtualMcp {
            org: OrgId::default_org(),
            id: VmcpId::new("sales").unwrap(),
            title: "Sales".into(),
            instructions: None,
            connectors: connectors.iter().map(|c| ConnectorId::new(c).unwrap()).collect(),
            identity: false,
            only: vec![],
            overrides: vec![],
            anonymous: false,
        }
    }

    fn compiled(vmcp: VirtualMcp, tools: &[Arc<Tool>], edits: &[CustomizerEdit]) -> Compiled {
        let mut input = CatalogInput { vmcps: vec![vmcp], ..CatalogInput::default() };
        let mut by: BTreeMap<ConnectorId, Vec<Arc<Tool>>> = BTreeMap::new();
        for tool in tools {
            by.entry(tool.connector.clone()).or_default().push(Arc::clone(tool));
        }
        let offer = |tools: Vec<_>| Arc::new(Offer { tools: tools.into(), ..Offer::default() });
        input.offers = by.into_iter().map(|(c, list)| (c, offer(list))).collect();
        if let Some(first) = tools.first() {
            let key = (VmcpId::new("sales").unwrap(), first.connector.clone(), first.name.clone());
            input.edits.insert(key, edits.to_vec());
        }
        compile(OrgId::default_org(), RevisionId(1), input)
    }

    #[test]
    fn an_untouched_definition_keeps_its_bytes() {
        let one = tool("crm", "find", r#","x-vendor": [1.0,  2],"annotations":{}"#);
        let compiled = compiled(vmcp(&["crm"]), &[Arc::clone(&one)], &[]);
        let published = compiled.snapshot.vmcp("sales").unwrap();
        assert_eq!(published.tools[0].definition, one.definition);
        assert_eq!(published.tool("find").unwrap().0, 0);
        assert!(compiled.notices.is_empty());
    }

    #[test]
    fn the_administrator_is_laid_over_the_customizer() {
        let edit = |text: &str| CustomizerEdit {
            change: ToolOverride {
                name: Some("by_plugin".into()),
                description: Some(text.into()),
                locked: [("n".to_owned(), Json::parse("7").unwrap())].into(),
                ..ToolOverride::default()
            },
            input_schema: None,
        };
        let mut vmcp = vmcp(&["crm"]);
        vmcp.overrides.push((
            ConnectorId::new("crm").unwrap(),
            ToolName::new("find").unwrap(),
            ToolOverride { name: Some("find_customer".into()), ..ToolOverride::default() },
        ));
        let one = tool("crm", "find", r#","x":1"#);
        let compiled = compiled(vmcp, &[one], &[edit("first"), edit("second")]);
        let (_, found) = compiled.snapshot.vmcp("sales").unwrap().tool("find_customer").unwrap();
        let shown: serde_json::Value = found.definition.read().unwrap();
        let wanted = serde_json::json!({
            "name": "find_customer",
            "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
            "x": 1,
            "description": "second",
        });
        assert_eq!(shown, wanted);
        let sent = found.arguments.apply(&Json::parse(r#"{"q":"a"}"#).unwrap()).unwrap();
        assert_eq!(sent.as_str(), r#"{"q":"a","n":7}"#);
    }

    #[test]
    fn what_does_not_exist_is_noticed_and_skipped() {
        let mut bundle = vmcp(&["gone", "crm"]);
        let (crm, nope) = (ConnectorId::new("crm").unwrap(), ToolName::new("nope").unwrap());
        bundle.only =
            vec![(crm.clone(), nope.clone()), (crm.clone(), ToolName::new("find").unwrap())];
        let compiled = compiled(bundle, &[tool("crm", "find", ""), tool("crm", "other", "")], &[]);
        assert_eq!(compiled.snapshot.vmcp("sales").unwrap().tools.len(), 1);
        let vmcp = VmcpId::new("sales").unwrap();
        assert_eq!(
            compiled.notices,
            [
                Notice::UnknownConnector {
                    vmcp: vmcp.clone(),
                    connector: ConnectorId::new("gone").unwrap()
                },
                Notice::UnknownTool { vmcp, connector: crm, tool: nope },
            ]
        );
    }
}
