//! Every folder of `policies/sandboxes`, picked up by itself.

use std::{fs, net::IpAddr, path::Path, sync::Arc};

use model::{Call, ConnectorId, Json, Operation, PromptCall, Timestamp, Tool, ToolClass, VmcpId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tidegate_model as model;

use super::fixture::{Org, agent, call, caller, operation, prompt, resource, tool};
use crate::policy::{AdminAction, DenialKind, Policies, RequestContext, decide::Decision};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Connector {
    connector: String,
    tools: Vec<Listed>,
    #[serde(default)]
    prompts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    name: String,
    #[serde(default)]
    annotations: Annotations,
    input_schema: Box<RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Annotations {
    read_only_hint: Option<bool>,
    destructive_hint: Option<bool>,
    idempotent_hint: Option<bool>,
    open_world_hint: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    who: Who,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    action: Option<String>,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
    vmcp: Option<String>,
    at: Option<String>,
    source: Option<IpAddr>,
    client: Option<String>,
    #[serde(default)]
    facts: Vec<String>,
    expected: Expected,
    reason: Option<String>,
    policies: Option<Vec<String>>,
    shadow: Option<Vec<String>>,
    visible: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    user: Option<String>,
    agent: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Permit,
    Deny,
    Error,
    Unrepresentable,
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The connectors of a `tools.json`.
pub(super) fn connectors(path: &Path) -> Org {
    let connectors: Vec<Connector> = read(path);
    let empty = connectors.iter().filter(|one| one.tools.is_empty() && one.prompts.is_empty());
    let empty = empty.map(|one| ConnectorId::new(&one.connector).unwrap()).collect();
    let prompts = connectors.iter().flat_map(|one| {
        one.prompts.iter().map(|name| prompt(&format!("{}/{name}", one.connector)))
    });
    Org { prompts: prompts.collect(), empty, tools: tools(connectors), ..Org::default() }
}

fn tools(connectors: Vec<Connector>) -> Vec<Arc<Tool>> {
    let of = |connector: Connector| {
        let listed = connector.tools.into_iter();
        let name = connector.connector;
        listed.map(move |one| {
            let (said, unsaid) = (one.annotations, ToolClass::default());
            let class = ToolClass {
                read_only: said.read_only_hint.unwrap_or(unsaid.read_only),
                destructive: said.destructive_hint.unwrap_or(unsaid.destructive),
                idempotent: said.idempotent_hint.unwrap_or(unsaid.idempotent),
                open_world: said.open_world_hint.unwrap_or(unsaid.open_world),
            };
            tool(&format!("{name}/{}", one.name), class, one.input_schema.get())
        })
    };
    connectors.into_iter().flat_map(of).collect()
}

pub(super) fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn described<T>(decision: Decision<T>) -> (Expected, String, Vec<String>, Vec<String>) {
    match decision {
        Ok(permitted) => {
            let grounds = permitted.grounds();
            (Expected::Permit, String::new(), grounds.policies.to_vec(), grounds.shadow.to_vec())
        }
        Err(denial) => {
            let kind = match denial.kind {
                DenialKind::Denied => Expected::Deny,
                DenialKind::Error => Expected::Error,
                DenialKind::Unrepresentable => Expected::Unrepresentable,
            };
            (kind, denial.reason, denial.policies, denial.shadow)
        }
    }
}

fn check(place: &str, org: &Org, policies: &Policies, asked: &Asked) {
    fn names(of: &[String]) -> Vec<&str> {
        of.iter().map(String::as_str).collect()
    }
    let (groups, roles) = (names(&asked.who.groups), names(&asked.who.roles));
    let who = match (&asked.who.user, &asked.who.agent) {
        (Some(user), None) => caller(user, &groups, &roles),
        (None, Some(name)) => agent(name, &groups, &roles),
        _ => panic!("{place}: `who` has either `user` or `agent`"),
    };
    let vmcp = VmcpId::new(asked.vmcp.as_deref().unwrap_or("main")).unwrap();
    let millis =
        asked.at.as_ref().map_or(0, |at| at.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let context = RequestContext {
        at: Timestamp::from_millis(u64::try_from(millis).unwrap()),
        source: asked.source,
        client: asked.client.as_deref(),
        facts: Some(asked.facts.clone().into()),
    };
    let seen = |visible: bool| {
        if let Some(expected) = asked.visible {
            assert_eq!(visible, expected, "{place}: visible");
        }
    };
    let wanted = [&asked.tool, &asked.prompt, &asked.resource, &asked.action];
    let found = match wanted.map(Option::as_deref) {
        [Some(id), None, None, None] => {
            let arguments = asked.arguments.as_ref().map_or("{}", |raw| raw.get());
            let call: Call = call(org.tool(id), vmcp.as_str(), arguments);
            assert!(Json::parse(arguments.to_owned()).is_ok());
            seen(policies.visible(&who, &vmcp, &org.tool(id)));
            described(policies.authorize(&who, call, &context))
        }
        [None, Some(id), None, None] => {
            let prompt = prompt(id);
            seen(policies.visible_prompt(&who, &vmcp, &prompt));
            let get = Operation::GetPrompt(PromptCall { prompt, arguments: None });
            described(policies.authorize(&who, operation(get, vmcp.as_str()), &context))
        }
        [None, None, Some(id), None] => {
            seen(policies.visible_resource(&who, &vmcp, &resource(id)));
            let read = Operation::ReadResource(resource(id));
            described(policies.authorize(&who, operation(read, vmcp.as_str()), &context))
        }
        [None, None, None, Some("connect")] => {
            described(policies.authorize_connect(&who, &vmcp, &context))
        }
        [None, None, None, Some("list")] => {
            described(policies.authorize_list(&who, &vmcp, &context))
        }
        [None, None, None, Some(name)] => {
            let action = AdminAction::ALL.iter().find(|action| action.name() == name);
            let action = action.unwrap_or_else(|| panic!("{place}: no action {name}"));
            described(policies.authorize_admin(&who, *action, &context))
        }
        _ => panic!("{place}: one of `tool`, `prompt`, `resource` and `action` is needed"),
    };
    let (kind, reason, ids, shadow) = found;
    assert_eq!(kind, asked.expected, "{place}: {reason} {ids:?}");
    if let Some(expected) = &asked.reason {
        assert_eq!(&reason, expected, "{place}: reason");
    }
    if let Some(expected) = &asked.policies {
        assert_eq!(&ids, expected, "{place}: policies");
    }
    if let Some(expected) = &asked.shadow {
        assert_eq!(&shadow, expected, "{place}: shadow");
    }
}

#[test]
fn every_sandbox_comes_out_as_it_says() {
    let mut cases = 0;
    for entry in fs::read_dir(folder().join("sandboxes")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        cases += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let readme = fs::read_to_string(path.join("README.md")).unwrap();
        assert!(readme.starts_with("# "), "{name}: README.md needs a title");
        let text = fs::read_to_string(path.join("policies.cedar")).unwrap();
        let org = connectors(&path.join("tools.json"));
        let org = org.with_vmcps(&["main", "reading"]).with(&text);
        let policies = org.policies();
        for info in policies.list() {
            assert!(info.flags.is_empty(), "{name}: {}: {:?}", info.id, info.flags);
        }
        let requests: Vec<Asked> = read(&path.join("requests.json"));
        assert!(!requests.is_empty(), "{name}");
        for (number, asked) in requests.iter().enumerate() {
            check(&format!("{name}, request {}", number + 1), &org, &policies, asked);
        }
    }
    assert!(cases >= 5, "only {cases} sandboxes were found");
}
