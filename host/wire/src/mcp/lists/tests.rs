//! Lists of prompts, resources and templates, as tables.

use super::*;

fn page(text: &str) -> Json {
    crate::json::checked(text.to_owned().into(), &crate::json::Limits::RESPONSE).unwrap()
}

fn crm() -> ConnectorId {
    ConnectorId::new("crm").unwrap()
}

fn reasons<T>(entries: &Entries<T>) -> Vec<(Option<&str>, String)> {
    let reason = |skipped: &Skipped| skipped.reason.to_string();
    entries.skipped.iter().map(|skipped| (skipped.name.as_deref(), reason(skipped))).collect()
}

#[test]
fn good_prompts_are_kept_whatever_their_neighbours_are() {
    let first = page(
        r#"{"prompts":[
            {"name":"greet", "arguments":[{"name":"who", "x": 1.0}],"vendor":[ ]},
            7,
            {"title":"nameless"},
            {"name":""},
            {"name":"odd","arguments":{"who":1}},
            {"name":"odder","arguments":[{"name":"a"},"b"]},
            {"name":"greet"},
            {"name":"plain","arguments":null}
        ],"nextCursor":""}"#,
    );
    let mut prompts = Entries::prompts(crm());
    assert_eq!(prompts.add_page(&first).unwrap().as_deref(), Some(""), "an empty cursor is one");
    let second = page(r#"{"prompts":[{"name":"plain"},{"name":"odd"}]}"#);
    assert_eq!(prompts.add_page(&second), Ok(None));

    let names: Vec<_> = prompts.usable.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["greet", "plain", "odd"]);
    let greet = &prompts.usable[0].definition;
    let written = r#"{"name":"greet", "arguments":[{"name":"who", "x": 1.0}],"vendor":[ ]}"#;
    assert_eq!(greet.as_str(), written);
    assert!(first.bytes().as_ptr_range().contains(&greet.bytes().as_ptr()), "a copy was made");
    let arguments = "its `arguments` are no list of objects with a `name`";
    let rule = "`` is not a valid prompt name: use 1 to 256 characters without control characters";
    let same = "an earlier entry has the same `name`";
    let expected = [
        (None, "it is no object"),
        (None, "its `name` is no string"),
        (Some(""), rule),
        (Some("odd"), arguments),
        (Some("odder"), arguments),
        (Some("greet"), same),
        (Some("plain"), same),
    ];
    assert_eq!(reasons(&prompts), expected.map(|(name, why)| (name, why.to_owned())));
    assert_eq!(prompts.seen(), 10);
}

#[test]
fn resources_and_templates_need_a_name_and_a_usable_uri() {
    let long = format!("x:{}", "a".repeat(LONGEST_URI));
    let list = |member: &str, key: &str| {
        page(&format!(
            r#"{{"{member}":[
                {{"{key}":"a:1","name":"one"}},
                {{"{key}":"a:1","name":"again"}},
                {{"{key}":"a:2"}},
                {{"name":"none"}},
                {{"{key}":"","name":"empty"}},
                {{"{key}":"a:\n","name":"line"}},
                {{"{key}":"{long}","name":"long"}},
                {{"{key}":"é:{{id}}","name":"last"}}
            ]}}"#
        ))
    };
    let check = |key: &str, kept: Vec<&str>, skipped: Vec<(Option<&str>, String)>| {
        assert_eq!(kept, ["a:1", "é:{id}"]);
        let why: Vec<_> = skipped.into_iter().map(|(_, why)| why).collect();
        let bad = format!("its `{key}` must have 1 to 8,192 bytes without control characters");
        let expected = [
            format!("an earlier entry has the same `{key}`"),
            "its `name` is no string".to_owned(),
            format!("its `{key}` is no string"),
            bad.clone(),
            bad.clone(),
            bad,
        ];
        assert_eq!(why, expected);
    };
    let mut resources = Entries::resources(crm());
    resources.add_page(&list("resources", "uri")).unwrap();
    check("uri", resources.usable.iter().map(|one| &*one.uri).collect(), reasons(&resources));
    let mut templates = Entries::templates(crm());
    templates.add_page(&list("resourceTemplates", "uriTemplate")).unwrap();
    let kept = templates.usable.iter().map(|one| &*one.template).collect();
    check("uriTemplate", kept, reasons(&templates));
}

#[test]
fn what_is_no_list_is_refused() {
    for (text, expected) in [
        ("{}", PeekError::Missing("prompts")),
        (r#"{"prompts":{}}"#, PeekError::Type("prompts", "an array")),
        ("[]", PeekError::Type("result", "an object")),
        (r#"{"prompts":[],"nextCursor":7}"#, PeekError::Type("nextCursor", "a string")),
    ] {
        assert_eq!(Entries::prompts(crm()).add_page(&page(text)), Err(expected), "{text}");
    }
    assert!(Entries::resources(crm()).add_page(&page(r#"{"prompts":[]}"#)).is_err());
}
