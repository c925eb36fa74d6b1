//! Each way a person gets a policy wrong, and what they are told.

use super::fixture::{DESTROYS, Org, object, prompt, tool};
use crate::policy::{Effect, Mode};
use model::ConnectorId;
use tidegate_model as model;

/// Every problem of a file, as `line:column: message; did you mean …`.
fn problems(org: &Org) -> Vec<String> {
    match org.compile() {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_mistake_is_placed_and_explained() {
    let scope = "principal, action == Action::\"bank/transfer\", resource";
    let cases: Vec<(String, &str)> = vec![
        ("permit(principal, action, resource)".into(), "1:36: unexpected end of input; every policy ends with `;`"),
        ("permit(principal, action);".into(), "1:25: this policy is missing the `resource` variable in the scope; policy scopes must contain a `principal`, `action`, and `resource` element in that order"),
        ("permt(principal, action, resource);".into(), "1:1: invalid policy effect: permt; effect must be either `permit` or `forbid`"),
        ("permit(principal, action, resource)\nforbid(principal, action, resource);".into(), "2:7: unexpected token `(`"),
        ("permit(principal, action, resource) when { context. };".into(), "1:53: unexpected token `}`"),
        ("permit(principal, action, resource) when { 1 = 2 };".into(), "1:44: '=' is not a valid operator in Cedar; try using '==' instead"),
        ("permit(principal == ?principal, action, resource);".into(), "1:21: expected a static policy, got a template containing the slot ?principal; try removing the template slot(s) from this policy"),
        ("permit(principal, action == Action::\"open, resource);".into(), "1:37: invalid token; try checking that all strings are closed properly"),
        ("permit(principal, action == Action::\"crm/serch_contacts\", resource);".into(), "1:29: connector `crm` has no tool `serch_contacts`; did you mean `crm/search_contacts`?"),
        ("permit(principal,\n  action == Action::\"crn/search_contacts\", resource);".into(), "2:13: there is no connector `crn`; did you mean `crm/search_contacts`?"),
        ("permit(principal, action == Action::\"bank/zzz\", resource);".into(), "1:29: connector `bank` has no tool `zzz`"),
        ("permit(principal, action in Action::\"cal_tool\", resource);".into(), "1:29: there is no action `cal_tool`; a tool's action is written `connector/tool`; did you mean `call_tool`?"),
        ("permit(principal, action == Action::\"search_contacts\", resource);".into(), "1:29: there is no action `search_contacts`; a tool's action is written `connector/tool`; did you mean `crm/search_contacts`?"),
        ("permit(principal, action, resource in Connector::\"crmm\");".into(), "1:39: there is no connector `crmm`; did you mean `crm`?"),
        ("permit(principal, action, resource == Tool::\"crm/delete_contacts\");".into(), "1:39: connector `crm` has no tool `delete_contacts`; did you mean `crm/delete_contact`?"),
        ("permit(principal, action, resource == Tool::\"delete\");".into(), "1:39: there is no tool `delete`; a tool is written `connector/tool`"),
        ("permit(principal, action in Action::\"call_tool\", resource) when { context.vmcp == VirtualMcp::\"sale\" };".into(), "1:83: there is no virtual MCP `sale`; did you mean `sales`?"),
        ("permit(principal, action, resource == Org::\"acme\");".into(), "1:39: there is no organisation here called `acme`; did you mean `default`?"),
        ("permit(principal in Grup::\"x\", action, resource);".into(), "1:21: unrecognized entity type `Grup`; did you mean `Group`?"),
        ("permit(principal in Connector::\"crm\", action, resource);".into(), "1:21: a caller is never a `Connector`; use `User`, `Group` or `Role`"),
        (format!("permit({scope}) when {{ context.input.amout.lessThan(decimal(\"1.0\")) }};"), "1:85: no tool that this policy can match has the argument `amout`; did you mean `amount`?"),
        (format!("forbid({scope})\nwhen {{ context.input has cent && context.input.cent > 5 }};"), "2:26: no tool that this policy can match has the argument `cent`; did you mean `cents`?"),
        (format!("forbid({scope}) when {{ context.input.colour == \"red\" }};"), "1:71: attribute `input.colour` in context for Action::\"bank/transfer\" not found"),
        (format!("forbid({scope}) when {{ context.input.cents > 5 }};"), "1:71: unable to guarantee safety of access to optional attribute `input.cents` in context for Action::\"bank/transfer\"; try testing for the attribute's presence with `context.input has cents && ..`"),
        (format!("forbid({scope}) when {{ context.input.amount > 5 }};"), "1:71: unexpected type: expected Long but saw decimal; compare it as in `.lessThan(decimal(\"1.0\"))`"),
        (format!("forbid({scope}) when {{ context.input.to == 5 }};"), "1:71: the types Long and String are not compatible; both operands to a `==` expression must have compatible types. Types must be exactly equal to be compatible"),
        (format!("forbid({scope}) when {{ context.input.to > 5 }};"), "1:71: unexpected type: expected Long but saw String"),
        (format!("forbid({scope}) when {{ context.input has order && context.input.order.line == 1 }};"), "1:98: attribute `input.order.line` in context for Action::\"bank/transfer\" not found; did you mean `lines`?"),
        (format!("forbid({scope}) when {{ contxt.input.to == \"x\" }};"), "1:71: invalid member access `contxt.input`, `contxt` has no fields or methods"),
        (format!("forbid({scope}) when {{ context.vmpc == \"x\" }};"), "1:71: attribute `vmpc` in context for Action::\"bank/transfer\" not found; did you mean `vmcp`?"),
        (format!("forbid({scope}) when {{ context.source.isLoopback() }};"), "1:71: unable to guarantee safety of access to optional attribute `source` in context for Action::\"bank/transfer\"; try testing for the attribute's presence with `context has source && ..`"),
        (format!("forbid({scope}) when {{ decimal(context.input.to).lessThan(decimal(\"1.0\")) }};"), "1:71: extension constructors may not be called with non-literal expressions; consider applying extension constructors inside attribute values when constructing entity or context data"),
        (format!("forbid({scope}) when {{ ip(\"10.0.0\").isLoopback() }};"), "1:71: error during extension function argument validation: failed to parse as IP address: `\"10.0.0\"`; valid IP strings are IPv4/IPv6 addresses or CIDR ranges like `127.0.0.1`, `127.0.0.1/24`, or `ffee::/64`"),
        (format!("forbid({scope}) when {{ context.input.to.startsWith(\"x\") }};"), "1:71: `startsWith` is not a valid method"),
        (format!("forbid({scope}) when {{ principal.name == \"x\" }};"), "1:71: attribute `name` on entity type `Agent` not found"),
        (format!("@mode(\"shadwo\") forbid({scope});"), "1:1: `@mode` is `shadow` or `enforce`, not `shadwo`; did you mean `shadow`?"),
        (format!("@mod(\"shadow\") forbid({scope});"), "1:1: there is no annotation `@mod`; did you mean `mode`?"),
        (format!("@reason(\"\") forbid({scope});"), "1:1: `@reason` needs a sentence for the person refused"),
        (format!("@id(\"\") forbid({scope});"), "1:1: `@id` needs a name"),
        (format!("@id(\"builtin:owner\") forbid({scope});"), "1:1: ids that start with `builtin:` are the gateway's own"),
        (format!("@id(\"a\") @id(\"b\") forbid({scope});"), "1:10: duplicate annotation: @id"),
        (format!("@id(\"a\") forbid({scope});\n\n  @id(\"a\") permit({scope});"), "3:3: the id `a` is taken by the policy at policies/a.cedar:1"),
        ("permit(principal, action, resource == Prompt::\"crn/summary\");".into(), "1:39: there is no connector `crn`; did you mean `crm/summary`?"),
        ("permit(principal, action, resource == Prompt::\"summary\");".into(), "1:39: there is no prompt `summary`; a prompt is written `connector/prompt`"),
        ("permit(principal, action, resource == Resource::\"file:\");".into(), "1:39: there is no resource `file:`; a resource is written `connector/uri`"),
        ("permit(principal, action, resource == Resource::\"file:///a\");".into(), "1:39: there is no connector `file:`"),
        ("permit(principal, action == Action::\"get_promt\", resource);".into(), "1:29: there is no action `get_promt`; a tool's action is written `connector/tool`; did you mean `get_prompt`?"),
        ("permit(principal, action == Action::\"get_prompt\", resource) when { context.input.colour == \"red\" };".into(), "1:68: attribute `input` in context for Action::\"get_prompt\" not found; only calls of tools have `context.input`"),
        ("permit(principal, action == Action::\"read_resource\", resource) when { resource.url like \"file:*\" };".into(), "1:71: attribute `url` on entity type `Resource` not found; did you mean `uri`?"),
        ("permit(principal, action, resource);;".into(), "1:37: unexpected token `;`"),
    ];
    let mut wrong = String::new();
    for (text, expected) in cases {
        let found = problems(&Org::usual().with(&text));
        if found != [format!("policies/a.cedar:{expected}")] {
            wrong += &format!("{text}\n    {found:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn problems_of_all_files_are_reported_in_order_and_nothing_is_loaded() {
    let org = Org::usual()
        .with("permit(principal, action, resource);\n@id(\"x\") nonsense;")
        .with("@id(\"y\") forbid(principal, action, resource in Connector::\"no\");\n;")
        .with("@id(\"x\") permit(principal, action, resource);\n@id(\"x\") permit(principal, action, resource);");
    let places: Vec<String> = problems(&org)
        .iter()
        .map(|problem| problem.split(": ").next().unwrap().to_owned())
        .collect();
    let expected = ["a.cedar:2:18", "b.cedar:1:48", "b.cedar:2:1", "c.cedar:2:1"];
    assert_eq!(places, expected.map(|place| format!("policies/{place}")));
}

/// The flags of the only policy.
fn flags(org: &Org) -> Vec<String> {
    org.policies().list()[0].flags.clone()
}

#[test]
fn a_policy_about_a_vanished_tool_stays_flagged_and_only_refuses() {
    let mut org = Org::usual();
    let schema = object("\"id\":{\"type\":\"integer\"}", "\"id\"");
    org.gone = vec![tool("crm/purge", DESTROYS, &schema)];
    let org = org.with(
        r#"permit(principal, action in [Action::"crm/purge", Action::"crm/search_contacts"], resource);
        forbid(principal, action == Action::"crm/purge", resource) when { context.input.id > 5 };
        forbid(principal, action == Action::"crm/purge", resource) when { resource.destructive };"#,
    );
    let policies = org.policies();
    for info in policies.list() {
        let expected = "connector `crm` no longer has the tool it names, `crm/purge`";
        assert_eq!(info.flags, [expected], "{}", info.id);
    }
    let someone = super::fixture::caller("someone", &[], &[]);
    let may =
        |id: &str| policies.authorize(&someone, org.call(id, "{}"), &Default::default()).is_ok();
    assert!(!may("crm/purge"));
    assert!(may("crm/search_contacts"));
    let visible = |id| policies.visible(&someone, &org.vmcps[0].id, &org.tool(id));
    assert!(!visible("crm/purge"));
    assert!(visible("crm/search_contacts"));
    // Its last definition still checks what is said about it.
    let wrong = org.with("forbid(principal, action == Action::\"crm/purge\", resource) when { context.input.idd > 5 };");
    assert_eq!(
        problems(&wrong),
        [
            "policies/b.cedar:1:81: no tool that this policy can match has the argument `idd`; did you mean `id`?"
        ]
    );
}

#[test]
fn a_policy_about_a_connector_never_seen_is_kept_unchecked() {
    let mut org = Org::usual();
    org.pending = vec![ConnectorId::new("hr").unwrap()];
    let named = org.clone().with(
        r#"permit(principal, action == Action::"hr/list", resource) when { context.input.anything };"#,
    );
    let flag = "not checked: the tools of the connector of `hr/list` are not known yet";
    assert_eq!(flags(&named), [flag]);
    let scoped = org.clone().with("permit(principal, action, resource in Connector::\"hr\");");
    assert!(flags(&scoped).is_empty());
    // It cannot be permitted until its tools are known.
    let someone = super::fixture::caller("someone", &[], &[]);
    let call = super::fixture::call(tool("hr/list", DESTROYS, "{}"), "sales", "{}");
    assert!(named.policies().authorize(&someone, call, &Default::default()).is_err());
}

#[test]
fn a_policy_about_a_prompt_that_is_not_offered_is_flagged() {
    let mut org = Org::usual();
    org.prompts = vec![prompt("crm/summary")];
    org.pending = vec![ConnectorId::new("hr").unwrap()];
    for (id, expected) in [
        ("crm/summary", None),
        (
            "crm/sumary",
            Some("connector `crm` offers no prompt `sumary` now; did you mean `crm/summary`?"),
        ),
        ("bank/other", Some("connector `bank` offers no prompt `other` now")),
        // What it offers is not known yet.
        ("hr/anything", None),
    ] {
        let org =
            org.clone().with(&format!("forbid(principal, action, resource == Prompt::\"{id}\");"));
        assert_eq!(flags(&org), Vec::from_iter(expected), "{id}");
    }
    // A URI is free text.
    let org =
        org.with("forbid(principal, action, resource == Resource::\"crm/any:thing at all\");");
    assert!(flags(&org).is_empty());
}

#[test]
fn what_is_legal_but_suspicious_is_flagged() {
    let never = "as things stand it never applies: its scope or its conditions fit no call";
    let admin = "it permits administration too; name an action, such as `action in \
                 [Action::\"connect\", Action::\"list\", Action::\"call_tool\", \
                 Action::\"get_prompt\", Action::\"read_resource\"]`";
    let cases = [
        ("permit(principal, action, resource);", Some(admin)),
        ("permit(principal in Group::\"staff\", action, resource);", Some(admin)),
        (
            "permit(principal, action, resource) when { principal in Group::\"staff\" };",
            Some(admin),
        ),
        ("permit(principal, action, resource) when { context.weekday == \"mon\" };", Some(admin)),
        ("permit(principal, action, resource) unless { action in Action::\"admin\" };", None),
        ("permit(principal, action, resource) when { resource in Connector::\"crm\" };", None),
        ("permit(principal, action in Action::\"admin\", resource);", None),
        ("permit(principal, action in Action::\"call_tool\", resource);", None),
        ("forbid(principal, action, resource);", None),
        ("forbid(principal, action in Action::\"open_world\", resource);", None),
        (
            "forbid(principal, action in Action::\"call_tool\", resource) when { context.input has \"zzzzzz\" };",
            Some(never),
        ),
        ("forbid(principal, action, resource is Prompt);", None),
        ("forbid(principal, action, resource is Resource in Connector::\"crm\");", None),
        ("forbid(principal, action in Action::\"call_tool\", resource is Prompt);", Some(never)),
        ("forbid(principal, action == Action::\"get_prompt\", resource is Tool);", Some(never)),
        ("forbid(principal, action, resource) when { false };", Some(never)),
        (
            "forbid(principal, action in Action::\"call_tool\", resource) when { context.vmcp == VirtualMcp::\"sales\" };",
            None,
        ),
    ];
    for (text, expected) in cases {
        let found = flags(&Org::usual().with(text));
        assert_eq!(found.first().map(String::as_str), expected, "{text}");
        assert!(found.len() <= 1, "{found:?}");
    }
    let odd = "forbid(principal, action in Action::\"call_tool\", resource) when { resource.name == \"p\u{430}ypal\" };";
    assert_eq!(
        flags(&Org::usual().with(odd)),
        ["string `\"p\u{430}ypal\"` contains mixed scripts"]
    );
}

#[test]
fn policies_are_listed_for_people() {
    let org = Org::usual().with(
        "// first\npermit(principal, action in Action::\"read_only\", resource);\n\n\
         @id(\"n\") @reason(\"not today\") @mode(\"shadow\")\nforbid(principal, action, resource);",
    );
    let policies = org.policies();
    let list: Vec<_> = policies.list().iter().collect();
    assert_eq!(
        (list[0].id.as_str(), list[0].line, list[0].effect, list[0].mode),
        ("policies/a.cedar:1", 2, Effect::Permit, Mode::Enforce)
    );
    assert_eq!(
        (list[1].id.as_str(), list[1].line, list[1].effect, list[1].mode),
        ("n", 4, Effect::Forbid, Mode::Shadow)
    );
    assert_eq!(list[1].reason.as_deref(), Some("not today"));
}

#[test]
fn hostile_names_and_schemas_make_a_valid_schema() {
    let mut org = Org::usual();
    let names =
        ["get-sum", "$filter", "a.b", "a/b", "if", "in", "__cedar", "ü \"q\" \\", "", "a b"];
    let properties: Vec<String> = names
        .iter()
        .map(|name| format!("{}:{{\"type\":\"string\"}}", serde_json::to_string(name).unwrap()))
        .collect();
    let schema = object(&properties.join(","), "");
    for name in names.iter().filter(|name| !name.is_empty()) {
        org.tools.push(tool(&format!("mail/x{name}"), DESTROYS, &schema));
    }
    org.tools.push(tool("mail/none", DESTROYS, "true"));
    org.tools.push(tool("mail/loop", DESTROYS, r##"{"$ref":"#"}"##));
    let mut text = String::new();
    for name in names {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        text += &format!(
            "forbid(principal, action in Action::\"call_tool\", resource) when {{ context.input has \"{name}\" && context.input[\"{name}\"] == \"no\" }};\n"
        );
        if !name.is_empty() {
            text += &format!(
                "permit(principal, action == Action::\"mail/x{name}\", resource == Tool::\"mail/x{name}\");\n"
            );
        }
    }
    let org = org.with(&text);
    let policies = org.policies();
    cedar_policy::Schema::from_json_str(&policies.schema().unwrap()).unwrap();
    let someone = super::fixture::caller("someone", &[], &[]);
    for (at, name) in names.iter().enumerate() {
        let id = format!("mail/x{}", if name.is_empty() { names[at - 1] } else { name });
        let may = |value: &str| {
            let arguments = format!("{{{}:\"{value}\"}}", serde_json::to_string(name).unwrap());
            let call = org.call(&id, &arguments);
            policies.authorize(&someone, call, &Default::default()).is_ok()
        };
        assert!(may("yes"), "{name}");
        assert!(!may("no"), "{name}");
    }
}
