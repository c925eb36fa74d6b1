//! What is read off conditions.

use super::*;

fn mentions(condition: &str) -> Mentions {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    Mentions::of(&Policy::parse(None, text).unwrap())
}

#[test]
fn parts_of_the_context_are_found() {
    let cases: &[(&str, u16, Option<&[&str]>, bool)] = &[
        ("true", 0, Some(&[]), false),
        ("principal in Group::\"x\"", 0, Some(&[]), true),
        ("resource.name like \"x*\"", 0, Some(&[]), true),
        ("context.vmcp == VirtualMcp::\"x\"", part::VMCP, Some(&[]), false),
        ("context has client && context.client == Client::\"x\"", part::CLIENT, Some(&[]), false),
        ("context.time > datetime(\"2026-01-01\")", part::TIME, Some(&[]), false),
        ("context.input.a > 1 || context.input has b.c", part::INPUT, Some(&["a", "b"]), false),
        ("context has input.x", part::INPUT, Some(&["x"]), false),
        ("context.input[\"a b\"].c.d", part::INPUT, Some(&["a b"]), false),
        ("context.input == {a: 1}", part::INPUT, None, false),
        (
            "if principal == User::\"x\" then context.input has a else false",
            part::INPUT,
            Some(&["a"]),
            true,
        ),
        ("[context.auth].contains(\"x\")", part::AUTH, Some(&[]), false),
        ("{x: context}.x.input.a", part::ALL, None, false),
        ("context == context", part::ALL, None, false),
        ("context.unheard_of", part::ALL, None, false),
        ("context.source.isInRange(ip(\"10.0.0.0/8\"))", part::SOURCE, Some(&[]), false),
        ("context.client is Client in Client::\"x\"", part::CLIENT, Some(&[]), false),
        ("context.input.a.containsAny(context.input.b)", part::INPUT, Some(&["a", "b"]), false),
        ("context.facts.contains(\"x\")", part::FACTS, Some(&[]), false),
        ("context has facts", part::FACTS, Some(&[]), false),
        ("!context.input.a", part::INPUT, Some(&["a"]), false),
    ];
    for (condition, context, input, scope) in cases {
        let found = mentions(condition);
        let input = match input {
            Some(names) => Attributes::Named(names.iter().map(|name| (*name).into()).collect()),
            None => Attributes::All,
        };
        assert_eq!((found.context, found.scope), (*context, *scope), "{condition}");
        // What a policy says of an unknown attribute is refused at load, so more is no harm.
        if *condition != "context.unheard_of" {
            assert_eq!(found.input, input, "{condition}");
        }
        assert!(found.conditions);
    }
    let none = Policy::parse(None, "permit(principal, action, resource);").unwrap();
    assert_eq!(Mentions::of(&none), Mentions::default());
}
