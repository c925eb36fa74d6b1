//! Who may call what with which arguments, and what they are told.

use super::fixture::{Org, WRITES, call, caller, object, scoped_caller, tool};
use crate::policy::{AdminAction, Denial, DenialKind, RequestContext};
use model::{Call, Timestamp, VmcpId};
use tidegate_model as model;

/// `2026-11-20T09:30:00Z`, a Friday.
const FRIDAY: u64 = 1_795_167_000_000;

fn at(millis: u64) -> RequestContext<'static> {
    RequestContext { at: Timestamp::from_millis(millis), ..RequestContext::default() }
}

/// `permit: ids`, or the kind of refusal with its reason and ids.
fn outcome(result: Result<crate::policy::Permitted<Call>, Box<Denial<Call>>>) -> String {
    match result {
        Ok(permitted) => format!("permit {}", permitted.grounds().policies.join(",")),
        Err(denial) => {
            format!("{:?} {} [{}]", denial.kind, denial.reason, denial.policies.join(","))
        }
    }
}

const POLICIES: &str = r#"
@id("sales-crm")
permit(principal in Group::"sales", action in Action::"call_tool", resource in Connector::"crm");

@id("no-delete") @reason("deleting contacts is for administrators")
forbid(principal, action == Action::"crm/delete_contact", resource)
unless { principal in Role::"admin" };

@id("small-transfers")
permit(principal in Group::"sales", action == Action::"bank/transfer", resource)
when { context.input.amount.lessThanOrEqual(decimal("100.0")) };

@id("odd") permit(principal, action == Action::"mail/get-sum", resource)
when { context.input has "user-id" && context.input["user-id"] == "me"
       && context.input has "$filter" };

@id("overflow") forbid(principal in Group::"risky", action == Action::"bank/transfer", resource)
when { context.input has cents && context.input.cents * 9223372036854775807 > 5 };
"#;

#[test]
fn decisions_follow_policies_and_arguments() {
    let org = Org::usual().with(POLICIES);
    let policies = org.policies();
    let cases: &[(&str, &[&str], &str, &str, &str)] = &[
        ("sales", &[], "crm/search_contacts", r#"{"query":"x"}"#, "permit sales-crm"),
        ("sales", &[], "crm/search_contacts", "{}", "permit sales-crm"),
        (
            "other",
            &[],
            "crm/search_contacts",
            r#"{"query":"x"}"#,
            "Denied no policy permits this []",
        ),
        (
            "sales",
            &[],
            "crm/delete_contact",
            r#"{"id":1}"#,
            "Denied deleting contacts is for administrators [no-delete]",
        ),
        ("sales", &["admin"], "crm/delete_contact", r#"{"id":1}"#, "permit sales-crm"),
        ("sales", &[], "bank/transfer", r#"{"amount":100,"to":"x"}"#, "permit small-transfers"),
        ("sales", &[], "bank/transfer", r#"{"amount":1e2,"to":"x"}"#, "permit small-transfers"),
        (
            "sales",
            &[],
            "bank/transfer",
            r#"{"amount":100.01,"to":"x"}"#,
            "Denied no policy permits this []",
        ),
        (
            "sales",
            &[],
            "bank/transfer",
            r#"{"amount":0.00001,"to":"x"}"#,
            "Unrepresentable the argument `amount` cannot be judged by a policy: it has more than four digits after the point [small-transfers]",
        ),
        (
            "sales",
            &[],
            "bank/transfer",
            r#"{"amount":"1","to":"x"}"#,
            "Unrepresentable the argument `amount` cannot be judged by a policy: it must be a number [small-transfers]",
        ),
        (
            "sales",
            &[],
            "bank/transfer",
            r#"{"to":"x"}"#,
            "Unrepresentable the argument `amount` cannot be judged by a policy: it is required [small-transfers]",
        ),
        // Nothing looks at `cents`, so what is in it does not matter.
        (
            "sales",
            &[],
            "bank/transfer",
            r#"{"amount":1,"to":"x","cents":99999999999999999999}"#,
            "permit small-transfers",
        ),
        (
            "risky",
            &[],
            "bank/transfer",
            r#"{"amount":1,"to":"x","cents":99999999999999999999}"#,
            "Unrepresentable the argument `cents` cannot be judged by a policy: the number is too large [overflow]",
        ),
        (
            "risky",
            &[],
            "bank/transfer",
            r#"{"amount":1,"to":"x","cents":3}"#,
            "Error a policy that applies to this could not be evaluated; an administrator has to look at it [overflow]",
        ),
        ("x", &[], "mail/get-sum", r#"{"user-id":"me","$filter":""}"#, "permit odd"),
        ("x", &[], "mail/get-sum", r#"{"user-id":"me"}"#, "Denied no policy permits this []"),
    ];
    for (group, roles, tool, arguments, expected) in cases {
        let caller = caller("someone", &[group], roles);
        for _ in 0..2 {
            let result = policies.authorize(&caller, org.call(tool, arguments), &at(FRIDAY));
            assert_eq!(outcome(result), *expected, "{group} {tool} {arguments}");
        }
    }
}

#[test]
fn circumstances_can_be_judged() {
    let org = Org::usual();
    let call_tool = "permit(principal, action in Action::\"call_tool\", resource)";
    let ip = "10.1.2.3".parse().unwrap();
    let mapped = "::ffff:10.1.2.3".parse().unwrap();
    let office =
        "context.time.toTime() >= duration(\"9h\") && context.time.toTime() < duration(\"17h\")";
    let day = 24 * 60 * 60 * 1000;
    let from = |source| RequestContext { source: Some(source), ..at(FRIDAY) };
    let client = |client| RequestContext { client: Some(client), ..at(FRIDAY) };
    let cases = [
        ("context.vmcp == VirtualMcp::\"sales\"", at(FRIDAY), true),
        ("context.vmcp == VirtualMcp::\"support\"", at(FRIDAY), false),
        ("context.auth == \"api_key\"", at(FRIDAY), true),
        ("context.weekday == \"fri\"", at(FRIDAY), true),
        ("context.weekday == \"fri\"", at(FRIDAY + day), false),
        (office, at(FRIDAY), true),
        (office, at(FRIDAY + day / 2), false),
        ("context.time < datetime(\"2026-11-20\")", at(FRIDAY), false),
        ("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))", from(ip), true),
        ("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))", from(mapped), true),
        ("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))", at(FRIDAY), false),
        ("context has client && context.client == Client::\"cursor\"", client("cursor"), true),
        ("context has client && context.client == Client::\"cursor\"", client("other"), false),
        ("context has client && context.client == Client::\"cursor\"", at(FRIDAY), false),
        ("!(context has client)", at(FRIDAY), true),
        ("context.session == {}", at(FRIDAY), true),
        ("resource.read_only && resource.name == \"search_contacts\"", at(FRIDAY), true),
        ("action in Action::\"read_only\" && resource in Org::\"default\"", at(FRIDAY), true),
        ("action in Action::\"destructive\"", at(FRIDAY), false),
        ("principal == User::\"someone\" && principal in Group::\"g\"", at(FRIDAY), true),
    ];
    for (condition, context, expected) in cases {
        let policies = org.clone().with(&format!("{call_tool} when {{ {condition} }};")).policies();
        let call = org.call("crm/search_contacts", r#"{"query":"x"}"#);
        let result = policies.authorize(&caller("someone", &["g"], &[]), call, &context);
        assert_eq!(result.is_ok(), expected, "{condition}");
    }
}

#[test]
fn shadow_policies_are_recorded_and_decide_nothing() {
    let org = Org::usual().with(
        r#"
        @id("p") permit(principal, action in Action::"call_tool", resource in Connector::"crm");
        @id("s1") @mode("shadow") forbid(principal, action, resource);
        @id("s2") @mode("shadow") forbid(principal, action == Action::"crm/search_contacts", resource)
        when { context.input.query == "x" };
        @id("s3") @mode("shadow") permit(principal, action == Action::"bank/transfer", resource)
        when { context.input.to == "me" };
        @id("s4") @mode("shadow") forbid(principal, action == Action::"crm/delete_contact", resource)
        when { context.input.id > 5 };
        "#,
    );
    let policies = org.policies();
    let someone = caller("someone", &[], &[]);
    let shadow = |tool: &str, arguments: &str| match policies.authorize(
        &someone,
        org.call(tool, arguments),
        &at(FRIDAY),
    ) {
        Ok(permitted) => (true, permitted.grounds().shadow.to_vec()),
        Err(denial) => (false, denial.shadow),
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let x = r#"{"query":"x"}"#;
    assert_eq!(shadow("crm/search_contacts", x), (true, names(&["s1", "s2"])));
    assert_eq!(shadow("crm/search_contacts", r#"{"query":"y"}"#), (true, names(&["s1"])));
    let transfer = r#"{"amount":1,"to":"me"}"#;
    assert_eq!(shadow("bank/transfer", transfer), (false, names(&["s1", "s3"])));
    // What only a shadow policy looks at never refuses, however odd it is.
    let big = r#"{"id":99999999999999999999}"#;
    assert_eq!(shadow("crm/delete_contact", big), (true, names(&["s1", "s4"])));
}

#[test]
fn what_does_not_exist_is_refused_like_what_is_not_permitted() {
    let everything = "permit(principal, action, resource);";
    let org = Org::usual().with(everything);
    let policies = org.policies();
    let someone = caller("someone", &[], &[]);
    let known = org.tool("crm/search_contacts");
    let stranger = tool("crm/unheard_of", WRITES, &object("", ""));
    let mut foreign = call(known.clone(), "sales", "{}");
    foreign.org = model::OrgId::new("other").unwrap();
    let scoped = scoped_caller("someone", &[], &[], &["support"]);
    let cases = [
        (&someone, call(stranger, "sales", "{}")),
        (&someone, call(known.clone(), "unheard-of", "{}")),
        (&someone, foreign),
        (&scoped, call(known.clone(), "sales", "{}")),
    ];
    for (caller, call) in cases {
        let denial = policies.authorize(caller, call, &at(FRIDAY)).unwrap_err();
        assert_eq!(
            (denial.kind, denial.reason.as_str()),
            (DenialKind::Denied, "no policy permits this")
        );
    }
    assert!(policies.authorize(&scoped, call(known, "support", "{}"), &at(FRIDAY)).is_ok());
}

#[test]
fn the_owner_on_the_admin_socket_cannot_be_locked_out() {
    let org = Org::usual().with("@id(\"f\") forbid(principal, action, resource);");
    let policies = org.policies();
    let owner = identity::method::admin_socket::owner(model::OrgId::default_org()).unwrap();
    let elsewhere = identity::method::admin_socket::owner(model::OrgId::new("o").unwrap()).unwrap();
    // The role alone, without the socket, is worth nothing.
    let pretender = caller("owner", &[], &["owner"]);
    for action in AdminAction::ALL {
        let permitted = policies.authorize_admin(&owner, *action, &at(FRIDAY)).unwrap();
        assert_eq!(*permitted.grounds().policies, ["builtin:owner".to_owned()]);
        assert!(policies.authorize_admin(&pretender, *action, &at(FRIDAY)).is_err());
        assert!(policies.authorize_admin(&elsewhere, *action, &at(FRIDAY)).is_err());
    }
    let sales = VmcpId::new("sales").unwrap();
    assert!(policies.authorize_connect(&owner, &sales, &at(FRIDAY)).is_err());
}

#[test]
fn connecting_listing_and_administration_are_actions_too() {
    let org = Org::usual().with(
        r#"
        permit(principal in Group::"sales", action in [Action::"connect", Action::"list"],
               resource == VirtualMcp::"sales");
        permit(principal in Role::"reader", action == Action::"admin:audit_read", resource);
        permit(principal in Role::"chief", action in Action::"admin", resource);
        "#,
    );
    let policies = org.policies();
    let vmcp = |id: &str| VmcpId::new(id).unwrap();
    let now = at(FRIDAY);
    for (group, id, expected) in
        [("sales", "sales", true), ("sales", "support", false), ("x", "sales", false)]
    {
        let who = caller("someone", &[group], &[]);
        assert_eq!(policies.authorize_connect(&who, &vmcp(id), &now).is_ok(), expected);
        assert_eq!(policies.authorize_list(&who, &vmcp(id), &now).is_ok(), expected);
    }
    let reader = caller("someone", &[], &["reader"]);
    let chief = caller("someone", &[], &["chief"]);
    for action in AdminAction::ALL {
        let reads = *action == AdminAction::AuditRead;
        assert_eq!(policies.authorize_admin(&reader, *action, &now).is_ok(), reads, "{action}");
        assert!(policies.authorize_admin(&chief, *action, &now).is_ok(), "{action}");
    }
}

#[test]
fn a_refusal_gives_the_call_back_and_a_permit_names_the_revision() {
    let org = Org::usual().with("permit(principal, action in Action::\"read_only\", resource);");
    let policies = org.policies();
    let someone = caller("someone", &[], &[]);
    let permitted =
        policies.authorize(&someone, org.call("crm/search_contacts", "{}"), &at(FRIDAY));
    let permitted = permitted.unwrap();
    assert_eq!(permitted.grounds().revision, model::RevisionId(7));
    assert_eq!(permitted.grounds().policies[0], "policies/a.cedar:1");
    let denial = policies.authorize(&someone, org.call("bank/transfer", "{\"x\":1}"), &at(FRIDAY));
    let model::Operation::CallTool(back) = denial.unwrap_err().target.operation else {
        panic!("no tool call");
    };
    assert_eq!(back.arguments.as_str(), "{\"x\":1}");
}

use tidegate_identity as identity;
