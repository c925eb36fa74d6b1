//! The organisation's provider: it changes the keys that it signs with, and signs people out.

use serde_json::json;

use super::bed::{Bed, CALLBACK, set_up};
use crate::support::{Browser, Provider, SECRET, SECRET_VARIABLE, eventually};

/// A gateway with a provider that knows these people.
async fn stand(people: &[&str]) -> (Bed, Provider) {
    let (provider, (mock, setup)) = tokio::join!(Provider::start("okta"), set_up());
    let setup = setup.environment(SECRET_VARIABLE, SECRET);
    let gateway = setup.file("identity.toml", &provider.table("acme")).start().await;
    let bed = Bed { gateway, mock, browser: Browser::new().stop_at(CALLBACK) };
    provider.register(&bed.base(), "acme").await;
    for login in people {
        let email = format!("{login}@example.com");
        let claims = json!({ "email": email, "email_verified": true, "name": login });
        provider.person(login, claims).await;
    }
    (bed, provider)
}

/// Somebody signs in.
async fn signs_in(bed: &Bed, provider: &Provider, browser: &Browser, login: &str) {
    let page = browser.open(&format!("{}/login", bed.base())).await;
    let there = browser.submit(&page, &page.form("Sign in with Acme single sign-on")).await;
    let page = provider.sign_in(browser, &there, login).await;
    assert!(page.text().contains(&format!("{login}@example.com")), "{}", page.text());
}

#[tokio::test]
async fn people_sign_in_before_and_after_their_provider_has_changed_its_keys() {
    let (bed, provider) = stand(&["ann", "ben", "cleo"]).await;
    provider.hits().await;
    signs_in(&bed, &provider, &bed.browser, "ann").await;
    assert_eq!(provider.hits().await.get("/jwks"), Some(&1));
    provider.rotate().await;
    // The old keys are gone there: only what is fetched anew can judge this.
    signs_in(&bed, &provider, &bed.stranger(), "ben").await;
    assert_eq!(provider.hits().await.get("/jwks"), Some(&1), "once more, for the new key");
    signs_in(&bed, &provider, &bed.stranger(), "cleo").await;
    assert_eq!(provider.hits().await.get("/jwks"), None, "and kept");
    // Who had signed in before stays so.
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    assert!(page.text().contains("ann@example.com"), "{}", page.text());
    let rows = bed.rows("identity:sign_in").await;
    let users: Vec<_> = rows.iter().map(|row| row["caller"]["user"].as_str().unwrap()).collect();
    assert_eq!(users, ["ann@example.com", "ben@example.com", "cleo@example.com"]);
}

#[tokio::test]
async fn what_was_given_in_a_session_that_the_provider_ends_is_not_redeemed() {
    let (bed, provider) = stand(&["ann", "ben"]).await;
    signs_in(&bed, &provider, &bed.browser, "ann").await;
    let other = bed.stranger();
    signs_in(&bed, &provider, &other, "ben").await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let mut codes = Vec::new();
    for browser in [&bed.browser, &other] {
        let page = browser.open(&found.authorize(&client, &[])).await;
        let page = browser.submit(&page, &page.form("Allow")).await;
        codes.push(page.query("code").unwrap());
    }
    assert_eq!(provider.sign_out("ann").await, 1, "the gateway wants to know");
    eventually("the session's end", || async {
        let page = bed.browser.open(&format!("{}/", bed.base())).await;
        (!page.text().contains("ann@example.com")).then_some(())
    })
    .await;
    let token = found.path("token_endpoint");
    let ended = bed.post(&token, &found.redeem(&client, &codes[0])).await;
    assert_eq!(ended.json()["error"], "invalid_grant", "{ended:?}");
    // Whoever else is signed in is not concerned.
    let answer = bed.post(&token, &found.redeem(&client, &codes[1])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
