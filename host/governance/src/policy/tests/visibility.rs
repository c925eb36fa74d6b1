//! Which tools a caller sees.

use model::VmcpId;
use tidegate_model as model;

use super::fixture::{Org, caller, scoped_caller};

/// The tools that someone in these groups sees through `sales`.
fn seen(org: &Org, groups: &[&str]) -> Vec<String> {
    let policies = org.policies();
    let someone = caller("someone", groups, &[]);
    let sales = VmcpId::new("sales").unwrap();
    let seen = org.tools.iter().filter(|tool| policies.visible(&someone, &sales, tool));
    seen.map(|tool| format!("{}/{}", tool.connector, tool.name)).collect()
}

const ALL: [&str; 4] =
    ["crm/search_contacts", "crm/delete_contact", "bank/transfer", "mail/get-sum"];
const CRM: [&str; 2] = ["crm/search_contacts", "crm/delete_contact"];

#[test]
fn a_tool_is_hidden_only_when_every_call_is_refused() {
    let all = "permit(principal, action in Action::\"call_tool\", resource)";
    let transfer = "action == Action::\"bank/transfer\", resource";
    let cases: Vec<(String, &[&str])> = vec![
        (String::new(), &[]),
        (format!("{all};"), &ALL),
        (
            "permit(principal, action in Action::\"call_tool\", resource in Connector::\"crm\");"
                .into(),
            &CRM,
        ),
        ("permit(principal in Group::\"other\", action, resource);".into(), &[]),
        ("permit(principal, action, resource) when { principal in Group::\"other\" };".into(), &[]),
        (
            "permit(principal, action, resource) when { resource in Connector::\"crm\" };".into(),
            &CRM,
        ),
        // What depends on arguments, time or origin is not hidden.
        (format!("{all} when {{ context has source }};"), &ALL),
        (format!("{all} when {{ context.weekday == \"sun\" }};"), &ALL),
        (
            format!("permit(principal, {transfer}) when {{ context.input.to == \"x\" }};"),
            &["bank/transfer"],
        ),
        (
            format!("{all}; forbid(principal, {transfer}) when {{ context.input.to == \"x\" }};"),
            &ALL,
        ),
        // What depends on the virtual MCP is known.
        (format!("{all} when {{ context.vmcp == VirtualMcp::\"sales\" }};"), &ALL),
        (format!("{all} when {{ context.vmcp == VirtualMcp::\"support\" }};"), &[]),
        (
            format!("{all}; forbid(principal, action, resource in Connector::\"crm\");"),
            &["bank/transfer", "mail/get-sum"],
        ),
        (
            format!(
                "{all}; forbid(principal, action in Action::\"destructive\", resource) unless {{ principal in Group::\"dba\" }};"
            ),
            &["crm/search_contacts", "bank/transfer", "mail/get-sum"],
        ),
        // An error on every input refuses every input.
        (
            format!("{all}; forbid(principal, {transfer}) when {{ 9223372036854775807 + 1 > 0 }};"),
            &["crm/search_contacts", "crm/delete_contact", "mail/get-sum"],
        ),
        // Shadow policies hide and show nothing.
        (format!("@mode(\"shadow\") {all};"), &[]),
        (format!("{all}; @mode(\"shadow\") forbid(principal, action, resource);"), &ALL),
    ];
    for (text, expected) in cases {
        assert_eq!(seen(&Org::usual().with(&text), &["sales"]), *expected, "{text}");
    }
}

#[test]
fn groups_keys_and_names_decide_what_is_seen() {
    let org = Org::usual().with(
        "permit(principal in Group::\"a\", action, resource in Connector::\"crm\");
         permit(principal in Group::\"b\", action, resource in Connector::\"mail\");",
    );
    assert_eq!(seen(&org, &["a"]), CRM);
    assert_eq!(seen(&org, &["b"]), ["mail/get-sum"]);
    assert_eq!(seen(&org, &["a", "b"]).len(), 3);
    assert_eq!(seen(&org, &[]), [""; 0]);
    let policies = org.policies();
    let (sales, tool) = (VmcpId::new("sales").unwrap(), org.tool("crm/search_contacts"));
    let elsewhere = scoped_caller("someone", &["a"], &[], &["support"]);
    assert!(!policies.visible(&elsewhere, &sales, &tool));
    let a = caller("someone", &["a"], &[]);
    assert!(!policies.visible(&a, &VmcpId::new("unheard-of").unwrap(), &tool));
    assert!(policies.visible(&a, &sales, &tool));
}
