//! Each preset, with a provider that looks like it: who comes in, with which groups and roles.

use serde_json::json;

use super::place::{BUTTON, Place};
use crate::support::{Browser, Page};

/// Groups decide which virtual MCP is whose.
const BY_GROUP: &str = r#"
permit (principal, action, resource);
forbid (principal, action == Action::"connect", resource == VirtualMcp::"main")
unless { principal in Group::"sales" };
forbid (principal, action == Action::"connect", resource == VirtualMcp::"other")
unless { principal in Role::"auditor" };
"#;

/// A sign-in that must not succeed: the page that somebody is left with.
async fn refused(place: &Place, login: &str) -> Page {
    let browser = Browser::new();
    let page = browser.open(&format!("{}/login", place.base())).await;
    let page = place.sign_in(&browser, &page, login).await;
    assert!(page.status() >= 400, "{login} came in: {}", page.text());
    let home = browser.open(&format!("{}/", place.base())).await;
    assert!(home.forms().iter().any(|form| form.buttons() == [BUTTON]), "{}", home.text());
    page
}

#[tokio::test]
async fn okta_says_who_somebody_is_and_in_which_groups() {
    let place = Place::open("okta", "", |setup| setup.policy("all", BY_GROUP)).await;
    place.knows("bob", json!({ "groups": ["others"] })).await;
    let (browser, page) = place.member("ae").await;
    assert!(page.text().contains("ae@example.com"), "{}", page.text());
    let app = place.connect(&browser, "main").await;
    assert_eq!(place.call(&app, "main").await.text(), r#"{"message":"hi"}"#);

    // Who is in no such group signs in all the same, and may not connect anything.
    let (browser, page) = place.member("bob").await;
    assert!(page.text().contains("bob@example.com"), "{}", page.text());
    let asked = place.ask("main").await;
    let page = browser.open(&asked.url).await;
    assert_eq!(page.query("error").as_deref(), Some("access_denied"), "{}", page.url);
}

#[tokio::test]
async fn google_lets_in_one_domain_only() {
    let place = Place::open("google", "", |setup| setup).await;
    for (login, more) in [
        ("wrong", json!({ "hd": "example.org" })),
        ("private", json!({})),
        ("unverified", json!({ "hd": "example.com", "email_verified": false })),
    ] {
        place.knows(login, more).await;
        refused(&place, login).await;
    }
    place.knows("right", json!({ "hd": "example.com" })).await;
    let (browser, _) = place.member("right").await;
    let app = place.connect(&browser, "main").await;
    assert!(!place.call(&app, "main").await.is_tool_error());
}

#[tokio::test]
async fn entra_lets_in_one_tenant_and_its_groups_are_looked_up_when_there_are_too_many() {
    let by_id = r#"permit (principal in Group::"2f8a-sales", action, resource);"#;
    let place = Place::open("entra", "", |setup| setup.policy("all", by_id)).await;
    place.knows("stranger", json!({ "tid": "another-tenant" })).await;
    refused(&place, "stranger").await;

    // Entra calls no address verified. A guest's may be anybody's; a member's counts in the
    // domain that the tenant has proved.
    for (login, more) in [
        ("nameless", json!({ "groups": ["2f8a-sales"] })),
        ("guest", json!({ "preferred_username": "guest@example.com", "acct": 1 })),
        ("visitor", json!({ "preferred_username": "visitor@example.com", "idp": "live.com" })),
    ] {
        place.knows(login, more).await;
        refused(&place, login).await;
    }
    let few = json!({
        "oid": "0-1", "groups": ["2f8a-sales"], "preferred_username": "few@example.com",
    });
    place.knows("few", few).await;
    let (browser, _) = place.member("few").await;
    place.connect(&browser, "main").await;

    let claims = json!({ "email": "many@example.com", "oid": "0-2", "xms_edov": true });
    place.provider.person_of_many("many", claims, &["g1", "g2", "g3", "2f8a-sales"]).await;
    let (browser, _) = place.member("many").await;
    let app = place.connect(&browser, "main").await;
    assert!(!place.call(&app, "main").await.is_tool_error());
    let hits = place.provider.hits().await;
    assert!(hits.get("/graph/v1.0/me/transitiveMemberOf").is_some_and(|it| *it >= 3), "{hits:?}");
}

#[tokio::test]
async fn any_other_provider_is_read_by_the_paths_of_its_claims() {
    let place = Place::open("keycloak", "", |setup| setup.policy("all", BY_GROUP)).await;
    let access = json!({ "groups": ["sales"], "roles": ["auditor"] });
    place.knows("both", json!({ "realm_access": access })).await;
    let (browser, _) = place.member("both").await;
    for vmcp in ["main", "other"] {
        let app = place.connect(&browser, vmcp).await;
        assert_eq!(place.call(&app, vmcp).await.text(), r#"{"message":"hi"}"#);
    }
    // What the provider says at the next sign-in counts from then on.
    place.knows("both", json!({ "realm_access": { "groups": [], "roles": ["auditor"] } })).await;
    let (browser, _) = place.member("both").await;
    let page = browser.open(&place.ask("main").await.url).await;
    assert_eq!(page.query("error").as_deref(), Some("access_denied"), "{}", page.url);
    place.connect(&browser, "other").await;
}
