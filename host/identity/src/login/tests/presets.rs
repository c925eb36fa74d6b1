//! Okta, Google, Microsoft Entra ID: what each says of people, and what is asked of it.

use serde_json::{Value, json};

use super::{
    keys::Signer,
    stand::{Says, Stand},
};
use crate::{
    login::{LoginRefused, claims::ClaimsRefused},
    settings::Preset,
};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

async fn entra() -> Stand {
    let graph = "https://localhost/v1.0".to_owned();
    let preset = Preset::Entra { tenant: TENANT.into(), graph };
    let mut stand = Stand::with(preset.clone(), Signer::rs256("k1")).await;
    let graph = format!("{}/v1.0", stand.issuer);
    stand.provider().preset = Preset::Entra { tenant: TENANT.into(), graph };
    stand.says("/userinfo", Says::json(&json!({ "sub": "s-1" })));
    stand
}

#[tokio::test]
async fn okta_names_groups_in_the_token() {
    let stand = Stand::with(Preset::Okta, Signer::rs256("k1")).await;
    let finished = stand.sign_in(json!({ "groups": ["Everyone", "Sales EU"] })).await.unwrap();
    assert_eq!(finished.claimed.groups, ["Everyone", "Sales EU"]);
}

#[tokio::test]
async fn google_lets_in_its_hosted_domain_only() {
    let domain = Some("acme.com".to_owned());
    let preset = Preset::Google { hosted_domain: domain };
    let mut stand = Stand::with(preset, Signer::rs256("k1")).await;
    stand.provider().claims.groups = String::new();
    let there = stand.begin().await;
    assert!(there.url.query_pairs().any(|(key, value)| key == "hd" && value == "acme.com"));
    let finished = stand.sign_in(json!({ "hd": "Acme.com", "groups": ["x"] })).await.unwrap();
    assert!(finished.claimed.groups.is_empty(), "Google names none");
    for hd in
        [Value::Null, json!("evil.com"), json!("acme.com.evil.com"), json!(["acme.com"]), json!("")]
    {
        // An address of the domain proves nothing.
        let more = json!({ "hd": hd, "email": "ae@acme.com" });
        let refused = stand.sign_in(more).await.unwrap_err();
        let expected = LoginRefused::Claims(ClaimsRefused::HostedDomain("acme.com".into()));
        assert_eq!(refused.to_string(), expected.to_string(), "{hd}");
    }
    stand.provider().preset = Preset::Google { hosted_domain: None };
    stand.sign_in(json!({ "hd": null })).await.unwrap();
}

#[tokio::test]
async fn entra_lets_in_its_tenant_only() {
    let stand = entra().await;
    let finished = stand
        .sign_in(json!({ "tid": TENANT, "groups": ["b", "a"], "email_verified": null }))
        .await
        .unwrap();
    assert_eq!(finished.claimed.groups, ["a", "b"]);
    assert_eq!(finished.claimed.email, Some(("ae@example.com".into(), false)), "not verified");
    for tid in [Value::Null, json!("9188040d-6c67-4c5b-b112-36a304b66dad"), json!("common")] {
        let refused = stand.sign_in(json!({ "tid": tid })).await;
        let is_tenant = matches!(refused, Err(LoginRefused::Claims(ClaimsRefused::Tenant)));
        assert!(is_tenant, "{tid}: {refused:?}");
    }
}

/// Entra ID calls no address verified: what else has to be said for one to count.
#[tokio::test]
async fn an_address_of_entra_counts_where_the_tenant_vouches_for_it() {
    let stand = entra().await;
    let foreign = "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/";
    let legacy = format!("https://sts.windows.net/{TENANT}/");
    let member = |more: Value| {
        let mut claims = json!({ "preferred_username": "ae@example.com" });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    for (case, more, counts) in [
        ("a member in the domain of their name", member(json!({})), true),
        ("who says so", member(json!({ "acct": 0, "idp": stand.issuer })), true),
        ("in the older form", member(json!({ "idp": legacy })), true),
        ("by the other name", json!({ "upn": "Ann.E@EXAMPLE.com" }), true),
        ("with another domain", json!({ "preferred_username": "ae@example.org" }), false),
        ("with a longer domain", json!({ "preferred_username": "ae@example.com.evil.org" }), false),
        ("without a name", json!({}), false),
        ("whose name is no address", json!({ "preferred_username": "example.com" }), false),
        ("a guest by kind", member(json!({ "acct": 1 })), false),
        ("a guest by home", member(json!({ "idp": foreign })), false),
        ("a guest of a shop", member(json!({ "idp": "live.com" })), false),
        ("a guest by name", member(json!({ "upn": "ae_example.com#EXT#@acme.com" })), false),
        ("an odd kind", member(json!({ "acct": "1" })), false),
        ("an odd home", member(json!({ "idp": ["x"] })), false),
        ("the domain's owner vouches", json!({ "xms_edov": true }), true),
        ("in another spelling", json!({ "xms_edov": "1", "acct": 1 }), true),
        ("and for nobody else", member(json!({ "xms_edov": false })), false),
        ("nor in an odd one", member(json!({ "xms_edov": "yes" })), false),
        ("listed", json!({ "verified_primary_email": ["AE@example.com"], "acct": 1 }), true),
        ("listed second", json!({ "verified_secondary_email": ["x@y.z", "ae@example.com"] }), true),
        ("another listed", json!({ "verified_primary_email": ["x@example.com"] }), false),
        ("no list", json!({ "verified_primary_email": "ae@example.com" }), false),
    ] {
        let mut claims = json!({ "tid": TENANT, "email_verified": null });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let finished = stand.sign_in(claims).await.unwrap();
        assert_eq!(finished.claimed.email, Some(("ae@example.com".into(), counts)), "{case}");
    }
    // These claims mean nothing of another provider's.
    let stand = Stand::new().await;
    let more = member(json!({ "email_verified": null, "xms_edov": true }));
    let finished = stand.sign_in(more).await.unwrap();
    assert_eq!(finished.claimed.email, Some(("ae@example.com".into(), false)));
}

/// What a token says when there are too many groups for it.
fn over() -> Value {
    json!({
        "tid": TENANT,
        "groups": null,
        "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "https://evil.test/getMemberObjects" } },
    })
}

fn page(first: usize, count: usize, next: Option<String>) -> Says {
    let mut members: Vec<Value> = (first..first + count)
        .map(|n| json!({ "@odata.type": "#microsoft.graph.group", "id": format!("g{n:05}") }))
        .collect();
    members.push(json!({ "@odata.type": "#microsoft.graph.directoryRole", "id": "role" }));
    Says::json(&json!({ "value": members, "@odata.nextLink": next }))
}

const FIRST: &str = "/v1.0/me/transitiveMemberOf?$select=id&$top=999";

#[tokio::test]
async fn entra_groups_that_do_not_fit_are_looked_up_page_by_page() {
    let stand = entra().await;
    let next = format!("{}/v1.0/me/transitiveMemberOf?$skiptoken=2", stand.issuer);
    stand.says(FIRST, page(0, 900, Some(next)));
    stand.says("/v1.0/me/transitiveMemberOf?$skiptoken=2", page(900, 300, None));
    for more in [over(), json!({ "tid": TENANT, "groups": null, "hasgroups": true })] {
        let finished = stand.sign_in(more).await.unwrap();
        assert_eq!(finished.claimed.groups.len(), 1_200);
        assert!(!finished.claimed.groups.contains(&"role".to_owned()));
    }
    assert_eq!(stand.seen(FIRST)[0].authorization.as_deref(), Some("Bearer at-1"));
}

#[tokio::test]
async fn entra_groups_that_cannot_be_read_whole_let_nobody_in() {
    let stand = entra().await;
    let on = |path: &str| Some(format!("{}{path}", stand.issuer));
    for (case, says) in [
        ("a refusal", page(0, 1, None).status(403)),
        ("a page", Says::text("text/html", "<p>")),
        ("another form", Says::json(&json!({ "value": [{ "id": 7 }] }))),
        ("on elsewhere", page(0, 1, Some("https://evil.test/v1.0/more".into()))),
        ("on beside it", page(0, 1, on("/elsewhere"))),
        ("on and on", page(0, 1, on(FIRST))),
        ("too many", page(0, 5_001, None)),
    ] {
        stand.says(FIRST, says);
        let refused = stand.sign_in(over()).await;
        let is_refused =
            matches!(refused, Err(LoginRefused::Untrusted(_) | LoginRefused::Claims(_)));
        assert!(is_refused, "{case}: {refused:?}");
    }
    // Ten pages and no more.
    assert_eq!(stand.seen(FIRST).len(), 6 + 10);
    assert!(stand.seen("/elsewhere").is_empty());
    stand.says(FIRST, page(0, 1, None));
    stand.sign_in(over()).await.unwrap();
}

/// Other presets take no hint of Entra's.
#[tokio::test]
async fn only_entra_is_asked_for_groups() {
    let stand = Stand::new().await;
    stand.says("/userinfo", Says::json(&json!({ "sub": "s-1" })));
    let finished = stand.sign_in(over()).await.unwrap();
    assert!(finished.claimed.groups.is_empty());
    assert!(stand.seen(FIRST).is_empty());
}
