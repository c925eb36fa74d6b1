//! Prompts, resources, completions and tasks: who may have them and who sees them.

use super::fixture::{Org, caller, operation, prompt, resource, scoped_caller};
use crate::policy::{DenialKind, RequestContext};
use model::{
    Call, Completion, CompletionOf, Json, Operation, PromptCall, TaskCall, TaskMethod, VmcpId,
};
use tidegate_model as model;

fn org() -> Org {
    let mut org = Org::usual();
    org.prompts = ["crm/summary", "crm/draft", "mail/summary"].map(prompt).to_vec();
    org
}

/// What is asked for, from its short form: `get PROMPT`, `read RESOURCE`, `complete prompt
/// PROMPT`, `complete template RESOURCE`, `task METHOD TOOL`.
fn asked(org: &Org, text: &str) -> Call {
    let completion = |of| {
        let argument = Json::parse(r#"{"name":"x","value":""}"#).unwrap();
        Operation::Complete(Completion { of, argument, context: None })
    };
    let words: Vec<&str> = text.splitn(if text.starts_with("read") { 2 } else { 3 }, ' ').collect();
    let what = match words.as_slice() {
        ["get", id] => Operation::GetPrompt(PromptCall { prompt: prompt(id), arguments: None }),
        ["read", id] => Operation::ReadResource(resource(id)),
        ["complete", "prompt", id] => completion(CompletionOf::Prompt(prompt(id))),
        ["complete", "template", id] => completion(CompletionOf::Template(resource(id))),
        ["task", method, id] => Operation::Task(TaskCall {
            tool: org.tool(id),
            method: if *method == "get" { TaskMethod::Get } else { TaskMethod::Cancel },
            id: "t".into(),
            more: Vec::new(),
        }),
        _ => panic!("{text}"),
    };
    operation(what, "sales")
}

/// `permit: ids`, or the kind of refusal with its reason and ids.
fn outcome(org: &Org, groups: &[&str], text: &str) -> String {
    let policies = org.policies();
    let context = RequestContext::default();
    match policies.authorize(&caller("someone", groups, &[]), asked(org, text), &context) {
        Ok(permitted) => format!("permit {}", permitted.grounds().policies.join(",")),
        Err(denial) => {
            format!("{:?} {} [{}]", denial.kind, denial.reason, denial.policies.join(","))
        }
    }
}

const NOTHING: &str = "Denied no policy permits this []";

#[test]
fn each_operation_has_its_action_and_its_resource() {
    let org = org().with(
        r#"
        @id("prompts") permit(principal in Group::"sales", action == Action::"get_prompt", resource in Connector::"crm");
        @id("files") permit(principal in Group::"sales", action == Action::"read_resource", resource in Connector::"crm")
        when { resource.uri like "file:*" };
        @id("no-keys") @reason("keys are not for reading")
        forbid(principal, action == Action::"read_resource", resource == Resource::"crm/file:///keys");
        @id("all") permit(principal in Group::"all", action, resource);
        @id("mail-only-prompts") permit(principal in Group::"mail", action, resource is Prompt in Connector::"mail");
        @id("overflow") forbid(principal in Group::"risky", action == Action::"get_prompt", resource)
        when { 9223372036854775807 + 1 > 0 };
        "#,
    );
    let broken = "Error a policy that applies to this could not be evaluated; an administrator has to \
         look at it [overflow]";
    let forbidden = "Denied keys are not for reading [no-keys]";
    for (group, text, expected) in [
        ("sales", "get crm/summary", "permit prompts"),
        ("sales", "get mail/summary", NOTHING),
        ("mail", "get mail/summary", "permit mail-only-prompts"),
        ("mail", "read mail/summary", NOTHING),
        ("x", "get crm/summary", NOTHING),
        ("all", "get crm/summary", "permit all"),
        ("all", "get crm/unheard-of", NOTHING),
        ("all", "get other/summary", NOTHING),
        ("risky", "get crm/summary", broken),
        ("sales", "read crm/file:///a", "permit files"),
        ("sales", "read crm/file:///a/b?c#d", "permit files"),
        ("sales", "read crm/db://a", NOTHING),
        ("sales", "read mail/file:///a", NOTHING),
        ("sales", "read crm/file:///keys", forbidden),
        ("all", "read crm/file:///keys", forbidden),
        ("all", "read mail/whatever it is", "permit all"),
        ("all", "read other/file:///a", NOTHING),
        ("sales", "complete prompt crm/draft", "permit prompts"),
        ("sales", "complete prompt mail/summary", NOTHING),
        ("sales", "complete template crm/file:///{path}", "permit files"),
        ("sales", "complete template crm/db://{table}", NOTHING),
    ] {
        for _ in 0..2 {
            assert_eq!(outcome(&org, &[group], text), expected, "{group}: {text}");
        }
    }
}

#[test]
fn a_task_is_open_to_whoever_could_call_its_tool_now() {
    let org = org().with(
        r#"
        @id("crm") permit(principal in Group::"sales", action in Action::"call_tool", resource in Connector::"crm");
        @id("no-delete") forbid(principal, action == Action::"crm/delete_contact", resource);
        @id("some") permit(principal in Group::"sales", action == Action::"bank/transfer", resource)
        when { context.input.to == "me" };
        @id("draft") @mode("shadow") forbid(principal, action in Action::"read_only", resource);
        "#,
    );
    for (text, expected) in [
        ("task get crm/search_contacts", "permit crm"),
        ("task cancel crm/search_contacts", "permit crm"),
        ("task get crm/delete_contact", NOTHING),
        // Whether it was this transfer cannot be told any more; that it could have been counts.
        ("task get bank/transfer", "permit "),
        ("task get mail/get-sum", NOTHING),
    ] {
        assert_eq!(outcome(&org, &["sales"], text), expected, "{text}");
    }
    let policies = org.policies();
    let permitted = policies.authorize(
        &caller("someone", &["sales"], &[]),
        asked(&org, "task get crm/search_contacts"),
        &RequestContext::default(),
    );
    assert_eq!(*permitted.unwrap().grounds().shadow, ["draft".to_owned()]);
}

#[test]
fn what_is_provably_refused_is_not_seen() {
    let all = "permit(principal, action, resource)";
    let resources = ["crm/file:///a", "crm/ui://view", "mail/file:///a"];
    let cases: &[(String, &[&str], &[&str])] = &[
        (String::new(), &[], &[]),
        (format!("{all};"), &["crm/summary", "crm/draft", "mail/summary"], &resources),
        ("permit(principal, action in Action::\"call_tool\", resource);".into(), &[], &[]),
        (
            "permit(principal, action == Action::\"get_prompt\", resource);
             forbid(principal, action, resource == Prompt::\"crm/draft\");"
                .into(),
            &["crm/summary", "mail/summary"],
            &[],
        ),
        (
            format!("{all} when {{ resource is Resource && resource.uri like \"ui:*\" }};"),
            &[],
            &["crm/ui://view"],
        ),
        // What depends on time or origin is not hidden; what depends on the virtual MCP is known.
        (
            format!(
                "{all} when {{ resource in Connector::\"mail\" && context.weekday == \"sun\" }};"
            ),
            &["mail/summary"],
            &["mail/file:///a"],
        ),
        (
            "permit(principal, action in [Action::\"get_prompt\", Action::\"read_resource\"], resource)
             when { context.vmcp == VirtualMcp::\"support\" };"
                .into(),
            &[],
            &[],
        ),
        (
            format!("{all} unless {{ context has source }};"),
            &["crm/summary", "crm/draft", "mail/summary"],
            &resources,
        ),
    ];
    for (text, prompts, expected) in cases {
        let org = org().with(text);
        let policies = org.policies();
        let (someone, sales) = (caller("someone", &[], &[]), VmcpId::new("sales").unwrap());
        let seen = org.prompts.iter().filter(|it| policies.visible_prompt(&someone, &sales, it));
        let seen: Vec<_> = seen.map(|it| format!("{}/{}", it.connector, it.name)).collect();
        assert_eq!(seen, *prompts, "{text}");
        let seen = resources
            .into_iter()
            .filter(|id| policies.visible_resource(&someone, &sales, &resource(id)));
        assert_eq!(seen.collect::<Vec<_>>(), *expected, "{text}");
    }
}

#[test]
fn what_does_not_exist_or_is_not_reached_looks_like_what_is_not_permitted() {
    let org = org().with("permit(principal, action, resource);");
    let policies = org.policies();
    let (sales, someone) = (VmcpId::new("sales").unwrap(), caller("someone", &[], &[]));
    let elsewhere = scoped_caller("someone", &[], &[], &["support"]);
    for text in ["get crm/summary", "read crm/file:///a", "task get crm/search_contacts"] {
        let refused = [
            policies.authorize(&elsewhere, asked(&org, text), &RequestContext::default()),
            policies.authorize(
                &someone,
                Call { vmcp: VmcpId::new("unheard-of").unwrap(), ..asked(&org, text) },
                &RequestContext::default(),
            ),
            policies.authorize(
                &someone,
                Call { org: model::OrgId::new("other").unwrap(), ..asked(&org, text) },
                &RequestContext::default(),
            ),
        ];
        for refused in refused {
            let denial = refused.unwrap_err();
            let found = (denial.kind, denial.reason.as_str(), denial.policies.len());
            assert_eq!(found, (DenialKind::Denied, "no policy permits this", 0), "{text}");
        }
    }
    assert!(!policies.visible_prompt(&elsewhere, &sales, &prompt("crm/summary")));
    assert!(!policies.visible_prompt(&someone, &sales, &prompt("crm/unheard-of")));
    assert!(!policies.visible_resource(&elsewhere, &sales, &resource("crm/file:///a")));
    assert!(!policies.visible_resource(&someone, &sales, &resource("other/file:///a")));
    assert!(policies.visible_resource(&someone, &sales, &resource("crm/file:///a")));
}

#[test]
fn uris_that_clients_make_up_are_decided_and_not_hoarded() {
    let org = org().with(
        "permit(principal, action == Action::\"read_resource\", resource)
         when { resource.uri like \"file:*0\" };",
    );
    let policies = org.policies();
    let someone = caller("someone", &[], &[]);
    let long = "x".repeat(2_000);
    for n in 0..3_000 {
        let id = format!("crm/file:///{}{n}", if n % 2 == 0 { "" } else { &long });
        let read = operation(Operation::ReadResource(resource(&id)), "sales");
        let permitted = policies.authorize(&someone, read, &RequestContext::default()).is_ok();
        assert_eq!(permitted, n % 10 == 0, "{n}");
    }
    assert!(policies.remembered_resources() <= 2_048);
    // Only those that are short enough: every second one, and one empty start over.
    assert!(policies.remembered_resources() > 0);
}
