//! What plugins noted of a session, as policies see it.

use std::sync::Arc;

use model::{Timestamp, VmcpId};
use tidegate_model as model;

use super::fixture::{Org, caller};
use crate::policy::{AdminAction, DenialKind, Policies, RequestContext};

const FORBIDS: &str = r#"
    permit(principal, action, resource);
    @id("stays") @reason("it stays here")
    forbid(principal, action in Action::"call_tool", resource in Connector::"mail")
    when { context.facts.contains("read:customer-data") };
"#;

fn noted(facts: &[&str]) -> RequestContext<'static> {
    let facts = facts.iter().map(ToString::to_string).collect();
    RequestContext { facts: Some(facts), ..RequestContext::default() }
}

/// Whether a mail can be sent; the kind and the policies of a refusal.
fn mails(
    org: &Org,
    policies: &Policies,
    context: &RequestContext<'_>,
) -> Result<(), (DenialKind, Vec<String>)> {
    let call = org.call("mail/get-sum", r#"{"user-id":"x"}"#);
    let decision = policies.authorize(&caller("ann", &[], &[]), call, context);
    decision.map(drop).map_err(|denial| (denial.kind, denial.policies.clone()))
}

#[test]
fn after_customer_data_was_read_nothing_leaves_by_mail() {
    let org = Org::usual().with(FORBIDS);
    let policies = org.policies();
    let refused = Err((DenialKind::Denied, vec!["stays".to_owned()]));
    // In turn, so that nothing remembered of one session answers for another.
    for _ in 0..3 {
        assert_eq!(mails(&org, &policies, &noted(&[])), Ok(()));
        assert_eq!(mails(&org, &policies, &noted(&["a", "read:customer-data"])), refused);
        assert_eq!(mails(&org, &policies, &noted(&["read:customer-dat"])), Ok(()));
    }
    let search = org.call("crm/search_contacts", r#"{"query":"x"}"#);
    let context = noted(&["read:customer-data"]);
    assert!(policies.authorize(&caller("ann", &[], &[]), search, &context).is_ok());
}

#[test]
fn facts_that_are_not_known_refuse_where_a_policy_looks_at_them() {
    let org = Org::usual().with(FORBIDS);
    let policies = org.policies();
    assert!(policies.looks_at_facts());
    let unknown = RequestContext::default();
    let refused = Err((DenialKind::Error, vec!["stays".to_owned()]));
    assert_eq!(mails(&org, &policies, &unknown), refused);
    let search = org.call("crm/search_contacts", r#"{"query":"x"}"#);
    assert!(policies.authorize(&caller("ann", &[], &[]), search, &unknown).is_ok());
    // Asking by `has` is looking at them as well.
    for guard in ["context has facts && context.facts.contains(\"x\")", "context == context"] {
        let org = Org::usual().with(&format!(
            "permit(principal, action, resource);
             @id(\"stays\") forbid(principal, action in Action::\"call_tool\", resource in
             Connector::\"mail\") when {{ {guard} }};"
        ));
        assert_eq!(mails(&org, &org.policies(), &unknown), refused, "{guard}");
    }
    // A permit that cannot be looked at does not permit, whatever else does.
    let org = Org::usual()
        .with(
            "@id(\"p\") permit(principal, action in Action::\"call_tool\", resource)
             when { context.vmcp == VirtualMcp::\"sales\" && context.facts.isEmpty() };",
        )
        .with("permit(principal, action in Action::\"call_tool\", resource);");
    let refused = Err((DenialKind::Error, vec!["p".to_owned()]));
    assert_eq!(mails(&org, &org.policies(), &unknown), refused);
    assert_eq!(mails(&org, &org.policies(), &noted(&[])), Ok(()));
}

#[test]
fn only_policies_that_look_at_facts_ask_for_them() {
    let looks = |text: &str| Org::usual().with(text).policies().looks_at_facts();
    let all = "permit(principal, action in Action::\"call_tool\", resource)";
    assert!(!Org::usual().policies().looks_at_facts());
    assert!(!looks(&format!(
        "{all} when {{ context.weekday == \"sun\" && principal in Group::\"facts\" }};"
    )));
    assert!(looks(&format!("{all} unless {{ context.facts.contains(\"x\") }};")));
    assert!(looks(&format!("@mode(\"shadow\") {all} when {{ context has facts }};")));
    // What takes the context as a whole looks at all of it.
    assert!(looks(&format!("{all} when {{ context == context }};")));
}

#[test]
fn lists_do_not_depend_on_facts() {
    let all = "permit(principal, action in Action::\"call_tool\", resource)";
    let sales = VmcpId::new("sales").unwrap();
    let someone = caller("ann", &["in"], &[]);
    let cases = [
        (
            format!(
                "{all}; forbid(principal, action, resource in Connector::\"mail\") when {{ context has facts && context.facts.contains(\"x\") }};"
            ),
            true,
        ),
        (format!("{all} when {{ context.facts.contains(\"x\") }};"), true),
        (format!("{all} unless {{ context.facts.isEmpty() }};"), true),
        // What else a condition says may settle it.
        (
            format!(
                "{all} when {{ principal in Group::\"out\" && context.facts.contains(\"x\") }};"
            ),
            false,
        ),
        (
            format!(
                "{all}; forbid(principal, action in Action::\"call_tool\", resource) when {{ principal in Group::\"in\" || context.facts.contains(\"x\") }};"
            ),
            false,
        ),
    ];
    for (text, expected) in cases {
        let org = Org::usual().with(&text);
        let policies = org.policies();
        let tool = org.tool("mail/get-sum");
        assert_eq!(policies.visible(&someone, &sales, &tool), expected, "{text}");
        // Also after calls with and without the fact were judged.
        for facts in [&["x"][..], &[]] {
            drop(mails(&org, &policies, &noted(facts)));
            assert_eq!(policies.visible(&someone, &sales, &tool), expected, "{text}");
        }
    }
}

#[test]
fn administration_has_no_session() {
    let text = "@id(\"p\") permit(principal, action, resource) when { context.facts.isEmpty() };";
    let problems = Org::usual().with(text).compile().unwrap_err();
    assert!(problems.iter().all(|problem| problem.to_string().contains("facts")), "{problems:?}");
    // Where it is let through by `has`, there are none, whatever the request says.
    let org = Org::usual().with(
        "permit(principal, action in Action::\"admin\", resource);
         @id(\"f\") forbid(principal, action, resource) when { context has facts && context.facts.contains(\"x\") };",
    );
    let policies = org.policies();
    let context = RequestContext { at: Timestamp::from_millis(1), ..noted(&["x"]) };
    let status = AdminAction::ALL.iter().find(|action| action.name() == "admin:status").unwrap();
    let admin = caller("ann", &[], &["admin"]);
    assert!(policies.authorize_admin(&admin, *status, &context).is_ok());
    let sales = VmcpId::new("sales").unwrap();
    let denial = policies.authorize_connect(&admin, &sales, &context).unwrap_err();
    assert_eq!(denial.policies, ["f"]);
}

#[test]
fn what_one_decision_holds_another_does_not_change() {
    let org = Org::usual().with(FORBIDS);
    let policies = Arc::new(org.policies());
    let judge = |number: usize| {
        let (org, policies) = (org.clone(), Arc::clone(&policies));
        std::thread::spawn(move || {
            let facts: &[&str] =
                if number.is_multiple_of(2) { &["read:customer-data"] } else { &[] };
            let context = noted(facts);
            (0..200).all(|_| mails(&org, &policies, &context).is_ok() == facts.is_empty())
        })
    };
    let threads: Vec<_> = (0..4).map(judge).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}
