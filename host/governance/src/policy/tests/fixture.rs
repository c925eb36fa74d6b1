//! Callers, tools and calls for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use identity::{
    Caller,
    directory::Kind,
    method::api_key::{ApiKeys, KeyRecord, generate},
};
use model::{
    Call, CallId, Clock, ConnectorId, Json, KeyId, Offer, Operation, OrgId, Prompt, PromptName,
    ResourceRef, RevisionId, Timestamp, Tool, ToolCall, ToolClass, ToolName, TraceContext, UserId,
    VirtualMcp, VmcpId,
};
use tidegate_identity as identity;
use tidegate_model as model;

use crate::policy::{Policies, PolicyFile, PolicyInput, Problem, compile};

#[derive(Debug)]
struct Epoch;
impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

/// A caller with an API key.
pub(in crate::policy) fn caller(user: &str, groups: &[&str], roles: &[&str]) -> Caller {
    scoped_caller(user, groups, roles, &[])
}

/// A caller whose key is good for some virtual MCPs only.
pub(in crate::policy) fn scoped_caller(
    user: &str,
    groups: &[&str],
    roles: &[&str],
    vmcps: &[&str],
) -> Caller {
    of_kind(Kind::Person, (user, groups, roles), vmcps)
}

/// An agent with an API key.
pub(in crate::policy) fn agent(name: &str, groups: &[&str], roles: &[&str]) -> Caller {
    of_kind(Kind::Agent, (name, groups, roles), &[])
}

fn of_kind(kind: Kind, (user, groups, roles): (&str, &[&str], &[&str]), vmcps: &[&str]) -> Caller {
    let id = KeyId::new("k").unwrap();
    let (key, hash) = generate(&id).unwrap();
    let record = KeyRecord {
        id,
        org: OrgId::default_org(),
        hash,
        user: UserId::new(user).unwrap(),
        kind,
        groups: groups.iter().map(ToString::to_string).collect(),
        roles: roles.iter().map(ToString::to_string).collect(),
        vmcps: vmcps.iter().map(|id| VmcpId::new(id).unwrap()).collect(),
        expires: None,
    };
    let keys = ApiKeys::new([record]);
    keys.authenticate(&OrgId::default_org(), key.expose(), &Epoch).unwrap()
}

pub(in crate::policy) const READS: ToolClass =
    ToolClass { read_only: true, destructive: false, idempotent: true, open_world: false };
pub(in crate::policy) const WRITES: ToolClass =
    ToolClass { read_only: false, destructive: false, idempotent: false, open_world: false };
pub(in crate::policy) const DESTROYS: ToolClass =
    ToolClass { read_only: false, destructive: true, idempotent: false, open_world: false };

/// A tool `connector/name` with this input schema.
pub(in crate::policy) fn tool(id: &str, class: ToolClass, schema: &str) -> Arc<Tool> {
    let (connector, name) = id.split_once('/').unwrap();
    Arc::new(Tool {
        connector: ConnectorId::new(connector).unwrap(),
        name: ToolName::new(name).unwrap(),
        definition: Json::empty_object(),
        input_schema: Json::parse(schema.to_owned()).unwrap(),
        output_schema: None,
        class,
    })
}

/// A prompt `connector/name`.
pub(in crate::policy) fn prompt(id: &str) -> Arc<Prompt> {
    let (connector, name) = id.split_once('/').unwrap();
    Arc::new(Prompt {
        connector: ConnectorId::new(connector).unwrap(),
        name: PromptName::new(name).unwrap(),
        definition: Json::empty_object(),
    })
}

/// A resource `connector/uri`.
pub(in crate::policy) fn resource(id: &str) -> ResourceRef {
    let (connector, uri) = id.split_once('/').unwrap();
    ResourceRef { connector: ConnectorId::new(connector).unwrap(), uri: uri.into() }
}

/// An object schema: properties, and which of them are required.
pub(in crate::policy) fn object(properties: &str, required: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#)
}

/// What an organisation has, ready to be compiled.
#[derive(Debug, Clone, Default)]
pub(in crate::policy) struct Org {
    pub(in crate::policy) files: Vec<PolicyFile>,
    pub(in crate::policy) tools: Vec<Arc<Tool>>,
    pub(in crate::policy) prompts: Vec<Arc<Prompt>>,
    /// Connectors that offer neither.
    pub(in crate::policy) empty: Vec<ConnectorId>,
    pub(in crate::policy) gone: Vec<Arc<Tool>>,
    pub(in crate::policy) pending: Vec<ConnectorId>,
    pub(in crate::policy) vmcps: Vec<VirtualMcp>,
}

impl Org {
    /// CRM, bank and mail behind the virtual MCPs `sales` and `support`.
    pub(in crate::policy) fn usual() -> Self {
        let contact =
            object(r#""query":{"type":"string"},"limit":{"type":"integer"}"#, r#""query""#);
        let transfer = object(
            r#""amount":{"type":"number"},"to":{"type":"string"},"cents":{"type":"integer"},
               "tags":{"type":"array","items":{"type":"string"}},
               "order":{"type":"object","properties":{"lines":{"type":"integer"}}}"#,
            r#""amount","to""#,
        );
        let odd = object(r#""user-id":{"type":"string"},"$filter":{"type":"string"}"#, "");
        let tools = vec![
            tool("crm/search_contacts", READS, &contact),
            tool("crm/delete_contact", DESTROYS, &object(r#""id":{"type":"integer"}"#, r#""id""#)),
            tool("bank/transfer", WRITES, &transfer),
            tool("mail/get-sum", READS, &odd),
        ];
        Self { tools, ..Self::default() }.with_vmcps(&["sales", "support"])
    }

    pub(in crate::policy) fn with_vmcps(mut self, ids: &[&str]) -> Self {
        self.vmcps = ids.iter().map(|id| vmcp(id)).collect();
        self
    }

    pub(in crate::policy) fn with(mut self, text: &str) -> Self {
        let name = format!("policies/{}.cedar", (b'a' + self.files.len() as u8) as char);
        self.files.push(PolicyFile { name, text: text.to_owned() });
        self
    }

    pub(in crate::policy) fn compile(&self) -> Result<Policies, Vec<Problem>> {
        let mut tools: BTreeMap<ConnectorId, Vec<Arc<Tool>>> = BTreeMap::new();
        for tool in &self.tools {
            tools.entry(tool.connector.clone()).or_default().push(Arc::clone(tool));
        }
        let mut prompts: BTreeMap<ConnectorId, Vec<Arc<Prompt>>> = BTreeMap::new();
        for prompt in &self.prompts {
            prompts.entry(prompt.connector.clone()).or_default().push(Arc::clone(prompt));
        }
        let ids = tools.keys().chain(prompts.keys()).chain(&self.empty);
        let ids: BTreeSet<ConnectorId> = ids.cloned().collect();
        let offers = ids.into_iter().map(|id| {
            let (tools, prompts) = (tools.remove(&id), prompts.remove(&id));
            let (tools, prompts) = (tools.unwrap_or_default(), prompts.unwrap_or_default());
            let offer = Offer { tools: tools.into(), prompts: prompts.into(), ..Offer::default() };
            (id, Arc::new(offer))
        });
        compile(&PolicyInput {
            org: &OrgId::default_org(),
            revision: RevisionId(7),
            files: &self.files,
            offers: &offers.collect(),
            gone: &self.gone,
            pending: &self.pending,
            vmcps: &self.vmcps,
        })
    }

    /// Compiles what is known to be right.
    pub(in crate::policy) fn policies(&self) -> Policies {
        self.compile().unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>())
        })
    }

    pub(in crate::policy) fn tool(&self, id: &str) -> Arc<Tool> {
        let all = self.tools.iter().chain(&self.gone);
        let mut found = all.filter(|tool| format!("{}/{}", tool.connector, tool.name) == id);
        Arc::clone(found.next().unwrap_or_else(|| panic!("no tool {id}")))
    }

    /// A call of a tool through the virtual MCP `sales`.
    pub(in crate::policy) fn call(&self, id: &str, arguments: &str) -> Call {
        call(self.tool(id), "sales", arguments)
    }
}

pub(in crate::policy) fn vmcp(id: &str) -> VirtualMcp {
    VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new(id).unwrap(),
        title: id.to_owned(),
        instructions: None,
        connectors: Vec::new(),
        identity: false,
        only: Vec::new(),
        overrides: Vec::new(),
        anonymous: false,
    }
}

pub(in crate::policy) fn call(tool: Arc<Tool>, vmcp: &str, arguments: &str) -> Call {
    let arguments = Json::from_checked(arguments.to_owned().into());
    operation(Operation::CallTool(ToolCall { tool, arguments, more: Vec::new() }), vmcp)
}

/// A call of anything through this virtual MCP.
pub(in crate::policy) fn operation(operation: Operation, vmcp: &str) -> Call {
    Call {
        id: CallId::new(Timestamp::from_millis(0), [0; 10]),
        org: OrgId::default_org(),
        user: tidegate_model::UserId::new("ae@example.com").unwrap(),
        vmcp: VmcpId::new(vmcp).unwrap(),
        operation,
        meta: None,
        given: None,
        trace: TraceContext::default(),
        deadline: Instant::now(),
        pause: Default::default(),
    }
}
