//! Slices, plans and caches against Cedar itself with every policy, every entity and the
//! whole context: same decision, same reasons, same errors.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema,
};
use identity::{Caller, directory::Kind};
use model::{Call, Operation, Prompt, PromptCall, ResourceRef, Timestamp, Tool, VmcpId};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_identity as identity;
use tidegate_model as model;

use super::fixture::{
    DESTROYS, Org, READS, WRITES, agent, call, caller, object, operation, prompt, resource, tool,
};
use crate::policy::{DenialKind, Policies, RequestContext};

const WHO: [&str; 11] = [
    "principal",
    "principal",
    "principal in Group::\"sales\"",
    "principal in Role::\"admin\"",
    "principal == User::\"ann\"",
    "principal in User::\"bob\"",
    "principal is User",
    "principal is User in Group::\"sales\"",
    "principal is Agent",
    "principal == Agent::\"bot\"",
    "principal is Agent in Role::\"admin\"",
];
const WHAT: [&str; 12] = [
    "action",
    "action in Action::\"call_tool\"",
    "action in Action::\"call_tool\"",
    "action in Action::\"read_only\"",
    "action in [Action::\"destructive\", Action::\"call_tool\"]",
    "action == Action::\"bank/transfer\"",
    "action in [Action::\"crm/search\", Action::\"bank/transfer\"]",
    "action in Action::\"crm/search\"",
    "action == Action::\"call_tool\"",
    "action == Action::\"get_prompt\"",
    "action in Action::\"read_resource\"",
    "action in [Action::\"get_prompt\", Action::\"read_resource\", Action::\"call_tool\"]",
];
const ON: [&str; 13] = [
    "resource",
    "resource",
    "resource in Connector::\"crm\"",
    "resource == Tool::\"bank/transfer\"",
    "resource in Org::\"default\"",
    "resource is Tool",
    "resource is Tool in Connector::\"bank\"",
    "resource is VirtualMcp",
    "resource is Prompt",
    "resource == Prompt::\"crm/summary\"",
    "resource is Resource in Connector::\"bank\"",
    "resource == Resource::\"crm/file:///a\"",
    "resource in Resource::\"crm/file:///a\"",
];
const WHEN: [&str; 29] = [
    "",
    "",
    "",
    "when { context has input && context.input has amount && context.input.amount > 5 }",
    "unless { context has input && context.input has amount && context.input.amount < 3 }",
    "when { context has input && context.input has amount && context.input.amount * 4611686018427387904 > 5 }",
    "when { context has input && context.input has note && context.input.note like \"*x*\" }",
    "when { context has input && context.input has tags && context.input.tags.contains(\"a\") }",
    "when { context has input && context.input has deep && context.input.deep has n && context.input.deep.n == 1 }",
    "when { context has vmcp && context.vmcp == VirtualMcp::\"sales\" }",
    "unless { context has vmcp && context.vmcp == VirtualMcp::\"sales\" }",
    "when { context.auth == \"api_key\" && context.time.toTime() < duration(\"12h\") }",
    "when { context has client && context.client == Client::\"cursor\" }",
    "unless { context has client }",
    "when { context has source && context.source.isInRange(ip(\"10.0.0.0/8\")) }",
    "unless { context has source && !context.source.isLoopback() }",
    "when { context.weekday == \"thu\" || principal == User::\"bob\" }",
    "when { principal in [Group::\"sales\", Group::\"x\"] && context.time >= datetime(\"1970-01-01T06:00:00Z\") }",
    "when { if principal in Role::\"admin\" then context has client else context has source }",
    "when { resource in Connector::\"crm\" } unless { action in Action::\"read_only\" }",
    "when { Tool::\"bank/transfer\" in Connector::\"bank\" && action in Action::\"call_tool\" }",
    "when { principal == User::\"ann\" && 9223372036854775807 + 1 > 0 }",
    "when { resource is Prompt && resource.name == \"summary\" }",
    "unless { resource is Resource && resource.uri like \"file:*\" && context has source }",
    "when { Resource::\"crm/file:///a\".uri == \"file:///a\" && Prompt::\"bank/report\" in Connector::\"bank\" }",
    "when { action == Action::\"read_resource\" && context.auth == \"api_key\" }",
    "when { context has facts && context.facts.contains(\"read:crm\") }",
    "unless { principal in Role::\"admin\" || (context has facts && context.facts.isEmpty()) }",
    "when { context has facts && context.facts.containsAny([\"a\", \"b\"]) && context.weekday == \"thu\" }",
];
const ARGUMENTS: [&str; 7] = [
    "{}",
    r#"{"amount":1}"#,
    r#"{"amount":4,"note":"axb"}"#,
    r#"{"amount":9,"tags":["a","b"],"deep":{"n":1}}"#,
    r#"{"note":"x","deep":{}}"#,
    r#"{"tags":[],"deep":{"n":2}}"#,
    r#"{"amount":-3,"note":""}"#,
];

type Scopes = (bool, bool, usize, usize, usize, usize);
type Asked = (usize, usize, usize, usize, usize, usize, usize, usize);

fn policy(number: usize, (permit, shadow, who, what, on, when): Scopes) -> String {
    let effect = if permit { "permit" } else { "forbid" };
    let mode = if shadow { "@mode(\"shadow\")" } else { "" };
    let (who, what, on, when) = (WHO[who], WHAT[what], ON[on], WHEN[when]);
    format!("@id(\"p{number}\") {mode} {effect}({who}, {what}, {on}) {when};\n")
}

fn org() -> Org {
    let input = object(
        r#""amount":{"type":"integer"},"note":{"type":"string"},
           "tags":{"type":"array","items":{"type":"string"}},
           "deep":{"type":"object","properties":{"n":{"type":"integer"}}}"#,
        "",
    );
    let tools = vec![
        tool("crm/search", READS, &input),
        tool("crm/delete", DESTROYS, &input),
        tool("bank/transfer", WRITES, &input),
    ];
    let prompts = PROMPTS.map(prompt).to_vec();
    Org { tools, prompts, ..Org::default() }.with_vmcps(&["sales", "support"])
}

/// What can be asked for: the tools, then these.
const PROMPTS: [&str; 2] = ["crm/summary", "bank/report"];
const RESOURCES: [&str; 2] = ["crm/file:///a", "bank/db://x?y/z"];
const TARGETS: usize = 3 + PROMPTS.len() + RESOURCES.len();

fn callers() -> [Caller; 6] {
    [
        caller("ann", &["sales"], &[]),
        caller("bob", &[], &["admin"]),
        caller("cat", &["sales", "x"], &["admin"]),
        caller("dan", &[], &[]),
        agent("bot", &["sales"], &["admin"]),
        agent("ann", &[], &[]),
    ]
}

fn principal_type(caller: &Caller) -> &'static str {
    match caller.kind() {
        Kind::Person => "User",
        Kind::Agent => "Agent",
    }
}

/// Everything there is, written down by hand.
fn entities(caller: &Caller, org: &Org) -> Entities {
    let uid = |of: &str, id: &str| json!({"type": of, "id": id});
    let mut all: Vec<Value> = Vec::new();
    let mut add = |name: Value, attrs: Value, parents: Vec<Value>| {
        all.push(json!({"uid": name, "attrs": attrs, "parents": parents}));
    };
    let groups = caller.groups().iter().map(|name| uid("Group", name));
    let roles = caller.roles().iter().map(|name| uid("Role", name));
    let parents = groups.chain(roles).collect();
    add(uid(principal_type(caller), caller.user().as_str()), json!({}), parents);
    for connector in ["crm", "bank"] {
        add(uid("Connector", connector), json!({}), vec![uid("Org", "default")]);
    }
    for vmcp in ["sales", "support"] {
        add(uid("VirtualMcp", vmcp), json!({}), vec![uid("Org", "default")]);
    }
    for (of, attribute, ids) in [("Prompt", "name", PROMPTS), ("Resource", "uri", RESOURCES)] {
        for id in ids {
            let (connector, name) = id.split_once('/').unwrap();
            add(uid(of, id), json!({ attribute: name }), vec![uid("Connector", connector)]);
        }
    }
    for tool in &org.tools {
        let id = format!("{}/{}", tool.connector, tool.name);
        let attrs = json!({
            "name": tool.name.as_str(), "read_only": tool.class.read_only,
            "destructive": tool.class.destructive, "idempotent": tool.class.idempotent,
            "open_world": tool.class.open_world,
        });
        add(uid("Tool", &id), attrs, vec![uid("Connector", tool.connector.as_str())]);
        let mut groups = vec![uid("Action", "call_tool")];
        if tool.class.read_only {
            groups.push(uid("Action", "read_only"));
        }
        if tool.class.destructive {
            groups.push(uid("Action", "destructive"));
        }
        add(uid("Action", &id), json!({}), groups);
    }
    Entities::from_json_value(Value::Array(all), None).unwrap()
}

/// What is asked for.
#[derive(Clone)]
enum Wanted {
    Tool(Arc<Tool>),
    Prompt(Arc<Prompt>),
    Resource(ResourceRef),
}

/// One request in our words and in Cedar's.
struct Question {
    vmcp: &'static str,
    wanted: Wanted,
    arguments: &'static str,
    millis: u64,
    source: Option<IpAddr>,
    client: Option<&'static str>,
    facts: &'static [&'static str],
}

impl Question {
    fn new(org: &Org, (_, wanted, arguments, vmcp, time, source, client, facts): Asked) -> Self {
        const HOUR: u64 = 3_600_000;
        let sources = [None, Some("10.1.2.3"), Some("127.0.0.1"), Some("2001:db8::1")];
        let tools = org.tools.iter().cloned().map(Wanted::Tool);
        let prompts = org.prompts.iter().cloned().map(Wanted::Prompt);
        let resources = RESOURCES.iter().map(|id| Wanted::Resource(resource(id)));
        Self {
            vmcp: ["sales", "support"][vmcp],
            wanted: tools.chain(prompts).chain(resources).nth(wanted).unwrap(),
            arguments: ARGUMENTS[arguments],
            millis: [HOUR, 7 * HOUR, 23 * HOUR, 30 * HOUR][time],
            source: sources[source].map(|text| text.parse().unwrap()),
            client: [None, Some("cursor"), Some("other")][client],
            facts: [&[][..], &["read:crm"], &["a", "read:other"]][facts],
        }
    }

    /// The call, and whether it can be seen that there is such a thing.
    fn ours(&self, policies: &Policies, caller: &Caller) -> (Call, bool) {
        let vmcp = VmcpId::new(self.vmcp).unwrap();
        match self.wanted.clone() {
            Wanted::Tool(tool) => {
                let visible = policies.visible(caller, &vmcp, &tool);
                (call(tool, self.vmcp, self.arguments), visible)
            }
            Wanted::Prompt(prompt) => {
                let visible = policies.visible_prompt(caller, &vmcp, &prompt);
                let get = PromptCall { prompt, arguments: None };
                (operation(Operation::GetPrompt(get), self.vmcp), visible)
            }
            Wanted::Resource(resource) => {
                let visible = policies.visible_resource(caller, &vmcp, &resource);
                (operation(Operation::ReadResource(resource), self.vmcp), visible)
            }
        }
    }

    fn request(&self, caller: &Caller, schema: &Schema) -> Request {
        let uid = |of: &str, id: &str| -> EntityUid {
            EntityUid::from_json(json!({"type": of, "id": id})).unwrap()
        };
        let (action, resource) = match &self.wanted {
            Wanted::Tool(tool) => {
                let id = format!("{}/{}", tool.connector, tool.name);
                (uid("Action", &id), uid("Tool", &id))
            }
            Wanted::Prompt(prompt) => {
                let id = format!("{}/{}", prompt.connector, prompt.name);
                (uid("Action", "get_prompt"), uid("Prompt", &id))
            }
            Wanted::Resource(resource) => {
                let id = format!("{}/{}", resource.connector, resource.uri);
                (uid("Action", "read_resource"), uid("Resource", &id))
            }
        };
        let day = self.millis / 86_400_000;
        let hour = self.millis % 86_400_000 / 3_600_000;
        let mut context = json!({
            "vmcp": {"type": "VirtualMcp", "id": self.vmcp},
            "auth": "api_key",
            "time": format!("1970-01-0{}T{hour:02}:00:00Z", day + 1),
            "weekday": (if day == 0 { "thu" } else { "fri" }),
            "session": {},
            "facts": self.facts,
        });
        let map = context.as_object_mut().unwrap();
        if let Wanted::Tool(_) = self.wanted {
            let input = serde_json::from_str::<Value>(self.arguments).unwrap();
            map.insert("input".into(), input);
        }
        if let Some(source) = self.source {
            map.insert("source".into(), source.to_string().into());
        }
        if let Some(client) = self.client {
            map.insert("client".into(), json!({"type": "Client", "id": client}));
        }
        // With the schema, Cedar itself holds the context to the generated types.
        let context = Context::from_json_value(context, Some((schema, &action))).unwrap();
        let principal = uid(principal_type(caller), caller.user().as_str());
        Request::new(principal, action, resource, context, Some(schema)).unwrap()
    }
}

fn ids<'a>(from: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> BTreeSet<String> {
    from.map(ToString::to_string).collect()
}

/// What Cedar says, given everything: decision, reasons, errors.
fn whole(
    set: &PolicySet,
    request: &Request,
    entities: &Entities,
) -> (Decision, BTreeSet<String>, BTreeSet<String>) {
    let response = Authorizer::new().is_authorized(request, set, entities);
    let errors = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    });
    let errors = ids(errors);
    (response.decision(), ids(response.diagnostics().reason()), errors)
}

/// The policies of one mode, by id.
fn set(scopes: &[Scopes], shadow: bool) -> PolicySet {
    let chosen = scopes.iter().enumerate().filter(|(_, one)| one.1 == shadow);
    let named = chosen.map(|(number, one)| {
        let id = cedar_policy::PolicyId::new(format!("p{number}"));
        cedar_policy::Policy::parse(Some(id), policy(number, *one)).unwrap()
    });
    PolicySet::from_policies(named).unwrap()
}

fn agree(policies: &Policies, org: &Org, scopes: &[Scopes], asked: &[Asked]) {
    let schema = Schema::from_json_str(&policies.schema().unwrap()).unwrap();
    let (enforced, shadow) = (set(scopes, false), set(scopes, true));
    for asked in asked {
        let caller = &callers()[asked.0];
        let question = Question::new(org, *asked);
        let entities = entities(caller, org);
        let request = question.request(caller, &schema);
        let (decision, reasons, errors) = whole(&enforced, &request, &entities);
        // Each shadow policy by itself: a set names only those of the winning effect.
        let mut refusing = BTreeSet::new();
        let mut matching = BTreeSet::new();
        for policy in shadow.policies() {
            let alone = PolicySet::from_policies([policy.clone()]).unwrap();
            let (_, reasons, errors) = whole(&alone, &request, &entities);
            let forbids = policy.effect() == cedar_policy::Effect::Forbid;
            refusing.extend(
                errors.iter().chain(forbids.then_some(&reasons).into_iter().flatten()).cloned(),
            );
            matching.extend(reasons.into_iter().chain(errors));
        }
        let context = RequestContext {
            at: Timestamp::from_millis(question.millis),
            source: question.source,
            client: question.client,
            facts: Some(question.facts.iter().map(ToString::to_string).collect()),
        };
        let (ours, visible) = question.ours(policies, caller);
        let sorted = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        match policies.authorize(caller, ours, &context) {
            Ok(permitted) => {
                assert_eq!(decision, Decision::Allow);
                assert!(errors.is_empty());
                assert!(visible, "permitted, so it must be seen");
                assert_eq!(permitted.grounds().policies.to_vec(), sorted(&reasons));
                assert_eq!(permitted.grounds().shadow.to_vec(), sorted(&refusing));
            }
            Err(denial) => {
                let forbidden = decision == Decision::Deny && !reasons.is_empty();
                assert!(decision == Decision::Deny || !errors.is_empty());
                let mut expected = errors.clone();
                if decision == Decision::Deny {
                    expected.extend(reasons);
                }
                assert_eq!(denial.policies, sorted(&expected));
                let by_error = !forbidden && !errors.is_empty();
                let kind = if by_error { DenialKind::Error } else { DenialKind::Denied };
                assert_eq!(denial.kind, kind);
                assert_eq!(denial.shadow, sorted(&matching));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn slices_and_the_whole_set_agree(
        scopes in prop::collection::vec(
            (any::<bool>(), prop::bool::weighted(0.2),
             0..WHO.len(), 0..WHAT.len(), 0..ON.len(), 0..WHEN.len()),
            1..24,
        ),
        asked in prop::collection::vec(
            (0..4_usize, 0..TARGETS, 0..ARGUMENTS.len(), 0..2_usize, 0..4_usize, 0..4_usize, 0..3_usize,
             0..3_usize),
            24,
        ),
    ) {
        let org = org();
        let text: String =
            scopes.iter().enumerate().map(|(number, one)| policy(number, *one)).collect();
        let org = org.with(&text);
        let policies = org.policies();
        agree(&policies, &org, &scopes, &asked);
        // Once more, now that plans are remembered.
        agree(&policies, &org, &scopes, &asked);
    }
}

/// Every scope and every condition alone, so that none goes untested by chance.
#[test]
fn every_scope_and_condition_agrees_by_itself() {
    let asked = |n: usize, wanted: usize, arguments: usize| {
        (n % 4, wanted, arguments, n % 2, n % 4, (n / 3) % 4, (n / 5) % 3, (n / 2) % 3)
    };
    let of_tools = (0..4 * 3 * ARGUMENTS.len()).map(|n| asked(n, n / 4 % 3, n / 12));
    let of_others = (0..12 * (TARGETS - 3)).map(|n| asked(n, 3 + n / 12, 0));
    let everything: Vec<Asked> = of_tools.chain(of_others).collect();
    let scopes = (0..WHO.len()).map(|n| (n, 1, 0, 0));
    let scopes = scopes.chain((0..WHAT.len()).map(|n| (0, n, 0, 0)));
    let scopes = scopes.chain((0..ON.len()).map(|n| (0, 0, n, 0)));
    let scopes = scopes.chain((0..WHEN.len()).map(|n| (0, 1, 0, n)));
    for (who, what, on, when) in scopes {
        let permits = (true, false, 0, 0, 0, 0);
        for permit in [true, false] {
            let one = (permit, false, who, what, on, when);
            let scopes = if permit { vec![one] } else { vec![permits, one] };
            let text: String =
                scopes.iter().enumerate().map(|(number, one)| policy(number, *one)).collect();
            let org = org().with(&text);
            agree(&org.policies(), &org, &scopes, &everything);
        }
    }
}
