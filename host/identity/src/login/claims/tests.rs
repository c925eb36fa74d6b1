//! Claims by name and path, and their bounds.

use model::Secret;
use serde_json::json;
use tidegate_model as model;

use super::*;
use crate::settings::ClaimNames;

fn provider() -> Provider {
    Provider {
        title: "Corp".into(),
        preset: Preset::Oidc,
        issuer: "https://corp.example".into(),
        client_id: "gate".into(),
        client_secret: Secret::new(String::new()),
        scopes: Vec::new(),
        claims: ClaimNames::default(),
        addresses: Vec::new(),
        endpoint_hosts: Vec::new(),
        trust_email: false,
    }
}

fn claims(value: Value) -> Claims {
    value.as_object().unwrap().clone()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("g{n}")).collect()
}

#[test]
fn claims_are_found_by_name_and_by_path() {
    let mut provider = provider();
    provider.claims = ClaimNames {
        email: "contact.mail".into(),
        name: "profile.names.full".into(),
        groups: "https://acme.example/groups".into(),
        roles: "realm_access.roles".into(),
    };
    let all = claims(json!({
        "sub": "s", "contact": { "mail": "A@B.example" },
        "profile": { "names": { "full": " Ae\u{7} Be " } },
        "https://acme.example/groups": ["b", "a", "b"],
        "realm_access": { "roles": "auditor" }, "email": "x@y.example", "email_verified": true,
    }));
    let read = super::read("corp", &provider, &all, None).unwrap();
    assert_eq!(read.groups, ["a", "b"]);
    assert_eq!(read.roles, ["auditor"]);
    assert_eq!(read.name.as_deref(), Some("Ae Be"));
    // `email_verified` speaks of `email` alone.
    assert_eq!(read.email, Some(("a@b.example".into(), false)));
    provider.trust_email = true;
    let read = super::read("corp", &provider, &all, None).unwrap();
    assert_eq!(read.email, Some(("a@b.example".into(), true)));
    for path in ["", ".", "a.", ".a", "contact.mail.x", "contact..mail", "sub.x", "no"] {
        assert!(find(&all, path).is_none(), "{path}");
    }
}

#[test]
fn an_address_is_one_and_counts_when_it_is_verified() {
    for (value, expected) in [
        (json!({ "email": "A@B.example", "email_verified": true }), Some(("a@b.example", true))),
        (json!({ "email": "a@b.example", "email_verified": "true" }), Some(("a@b.example", true))),
        (json!({ "email": "a@b.example", "email_verified": false }), Some(("a@b.example", false))),
        (json!({ "email": "a@b.example", "email_verified": "yes" }), Some(("a@b.example", false))),
        (json!({ "email": "a@b.example", "email_verified": 1 }), Some(("a@b.example", false))),
        (json!({ "email": "a@b.example" }), Some(("a@b.example", false))),
        (json!({ "email": ["a@b.example"] }), None),
        (json!({ "email": "a" }), None),
        (json!({ "email": "@b" }), None),
        (json!({ "email": "a@" }), None),
        (json!({ "email": "a@b@c" }), None),
        (json!({ "email": "a b@c" }), None),
        (json!({ "email": "a\u{0}@c" }), None),
        (json!({ "email": format!("{}@c", "x".repeat(260)) }), None),
        (json!({ "email": null }), None),
        (json!({}), None),
    ] {
        let mut all = claims(value.clone());
        all.insert("sub".into(), "s".into());
        let read = super::read("corp", &provider(), &all, None).unwrap();
        let expected = expected.map(|(address, verified)| (address.to_owned(), verified));
        assert_eq!(read.email, expected, "{value}");
    }
}

#[test]
fn names_of_groups_are_refused_rather_than_cut() {
    let no_list = || Err(ClaimsRefused::NoList("groups".into()));
    let long = "x".repeat(257);
    for (groups, expected) in [
        (json!(null), Ok(0)),
        (json!([]), Ok(0)),
        (json!(""), Ok(0)),
        (json!("one"), Ok(1)),
        (json!(names(500)), Ok(500)),
        (json!(names(501)), Err(ClaimsRefused::TooMany)),
        (json!(["x".repeat(256)]), Ok(1)),
        (json!([long]), no_list()),
        (json!(["a\nb"]), no_list()),
        (json!([""]), no_list()),
        (json!([" "]), no_list()),
        (json!(["a", 7]), no_list()),
        (json!([["a"]]), no_list()),
        (json!({ "a": true }), no_list()),
        (json!(true), no_list()),
    ] {
        let all = claims(json!({ "sub": "s", "groups": groups }));
        let read = super::read("corp", &provider(), &all, None);
        assert_eq!(read.map(|read| read.groups.len()), expected, "{groups}");
    }
    let all = claims(json!({ "sub": "s", "groups": ["in the token"] }));
    let read = super::read("corp", &provider(), &all, Some(names(5_000))).unwrap();
    assert_eq!(read.groups.len(), 5_000);
    let refused = super::read("corp", &provider(), &all, Some(names(5_001)));
    assert_eq!(refused, Err(ClaimsRefused::TooMany));
}

#[test]
fn nobody_without_a_subject() {
    for sub in [json!(null), json!(""), json!(" "), json!(7), json!("a\nb"), json!("x".repeat(256))]
    {
        let refused = super::read("corp", &provider(), &claims(json!({ "sub": sub })), None);
        assert_eq!(refused, Err(ClaimsRefused::Subject), "{sub}");
    }
    let read = super::read("corp", &provider(), &claims(json!({ "sub": "S" })), None).unwrap();
    let issuer = "https://corp.example".to_owned();
    assert_eq!(read.link, Link { provider: "corp".into(), issuer, subject: "S".into() });
}

#[test]
fn userinfo_adds_and_replaces_nothing() {
    let mut provider = provider();
    provider.claims.groups = "realm.groups".into();
    provider.claims.roles = "realm.roles".into();
    let mut all = claims(json!({ "sub": "s", "email": "a@b.c", "realm": { "groups": ["a"] } }));
    assert!(is_lacking(&provider, &all));
    let more = claims(json!({
        "sub": "t", "name": "Ae", "email": "x@y.z", "email_verified": true, "hd": "acme.com",
        "realm": { "groups": ["b"], "roles": ["auditor"] },
    }));
    fill(&provider, &mut all, &more);
    let expected = json!({
        "sub": "s", "email": "a@b.c", "name": "Ae",
        "realm": { "groups": ["a"], "roles": ["auditor"] },
    });
    assert_eq!(Value::Object(all.clone()), expected);
    assert!(!is_lacking(&provider, &all));
}
