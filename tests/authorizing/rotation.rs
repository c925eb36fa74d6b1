//! The organisation's provider changes the keys that it signs with, between two sign-ins.

use serde_json::json;

use super::bed::{CALLBACK, set_up};
use crate::support::{Browser, Provider, SECRET, SECRET_VARIABLE};

#[tokio::test]
async fn people_sign_in_before_and_after_their_provider_has_changed_its_keys() {
    let (provider, (_mock, setup)) = tokio::join!(Provider::start("okta"), set_up());
    let setup = setup.environment(SECRET_VARIABLE, SECRET);
    let gateway = setup.file("identity.toml", &provider.table("acme")).start().await;
    let base = format!("http://{}", gateway.address);
    provider.register(&base, "acme").await;
    for login in ["ann", "ben", "cleo"] {
        let email = format!("{login}@example.com");
        let claims = json!({ "email": email, "email_verified": true, "name": login });
        provider.person(login, claims).await;
    }
    let signs_in = async |login: &str| {
        let browser = Browser::new().stop_at(CALLBACK);
        let page = browser.open(&format!("{base}/login")).await;
        let there = browser.submit(&page, &page.form("Sign in with Acme single sign-on")).await;
        let page = provider.sign_in(&browser, &there, login).await;
        assert!(page.text().contains(&format!("{login}@example.com")), "{}", page.text());
        browser
    };
    provider.hits().await;
    let ann = signs_in("ann").await;
    assert_eq!(provider.hits().await.get("/jwks"), Some(&1));
    provider.rotate().await;
    // The old keys are gone there: only what is fetched anew can judge this.
    signs_in("ben").await;
    assert_eq!(provider.hits().await.get("/jwks"), Some(&1), "once more, for the new key");
    signs_in("cleo").await;
    assert_eq!(provider.hits().await.get("/jwks"), None, "and kept");
    // Who had signed in before stays so.
    let page = ann.open(&format!("{base}/")).await;
    assert!(page.text().contains("ann@example.com"), "{}", page.text());
    let rows = gateway.audit().await;
    let signed_in = rows.iter().filter(|row| row["method"] == "identity:sign_in");
    let users: Vec<_> = signed_in.map(|row| row["caller"]["user"].as_str().unwrap()).collect();
    assert_eq!(users, ["ann@example.com", "ben@example.com", "cleo@example.com"]);
}
