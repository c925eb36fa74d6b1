//! Signing in anew where a client wants that, and what signing out takes along.

use hyper::Method;
use serde_json::json;

use super::bed::{Bed, Found, OWNER, PASSWORD};
use crate::support::{Browser, Page};

impl Bed {
    /// Fills in the sign-in page on which a browser is.
    async fn sign_in(&self, browser: &Browser, page: &Page) -> Page {
        let form = page.form("Sign in").set("email", OWNER).set("password", PASSWORD);
        browser.submit(page, &form).await
    }
}

fn asks_to_sign_in(page: &Page) -> bool {
    page.status == Some(hyper::StatusCode::OK) && page.body.contains("type=\"password\"")
}

fn is_told(page: &Page, error: &str) -> bool {
    page.query("error").as_deref() == Some(error)
}

/// OpenID Connect Core section 3.1.2.1: a sign-in counts that was made for this request.
#[tokio::test]
async fn a_client_that_wants_a_sign_in_gets_one_of_its_own() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let browser = &bed.browser;
    // The owner has signed in a moment ago, which is not for this.
    for change in [("prompt", "login"), ("prompt", "select_account"), ("max_age", "0")] {
        let url = found.authorize(&client, &[change, ("state", "a state of its own")]);
        let page = browser.open(&url).await;
        assert!(asks_to_sign_in(&page), "{change:?}: {}", page.text());
        // Looking again, or going back to where it began, does not help.
        let again = browser.open(page.url.as_str()).await;
        assert!(asks_to_sign_in(&again), "{change:?}, again");
        assert!(asks_to_sign_in(&browser.open(&url).await), "{change:?}, from the start");
        let page = bed.sign_in(browser, &page).await;
        // One sign-in is enough, and the answer is the client's.
        let page = match page.status {
            Some(_) => browser.submit(&page, &page.form("Allow")).await,
            None => page,
        };
        assert!(page.query("code").is_some(), "{change:?}: {} {}", page.url, page.text());
        assert_eq!(page.query("state").as_deref(), Some("a state of its own"));
        let next = browser.open(&url).await;
        assert!(asks_to_sign_in(&next), "{change:?}: the next request is another");
    }
    // Whoever signed in lately enough is not asked, and who must not be asked is not.
    let page = browser.open(&found.authorize(&client, &[("max_age", "3600")])).await;
    assert!(page.query("code").is_some(), "{}", page.text());
    let silent = [("prompt", "none"), ("max_age", "0")];
    let page = browser.open(&found.authorize(&client, &silent)).await;
    assert!(is_told(&page, "login_required"), "{}", page.url);
}

#[tokio::test]
async fn a_sign_in_for_one_request_counts_for_no_other_and_in_no_other_browser() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let url = |state: &str| found.authorize(&client, &[("prompt", "login"), ("state", state)]);
    let page = bed.browser.open(&url("one")).await;
    let (_, asked) = page.url.as_str().split_once("&tidegate_asked=").unwrap();
    let asked = asked.to_owned();
    let page = bed.sign_in(&bed.browser, &page).await;
    assert!(!asks_to_sign_in(&page), "{}", page.text());
    for moved in [
        format!("{}&tidegate_asked={asked}", url("two")),
        format!("{}&tidegate_asked=", url("one")),
        format!("{}&tidegate_asked={}", url("one"), &asked[1..]),
        format!(
            "{}&tidegate_asked={asked}",
            url("one").replace("prompt=login", "prompt=login+consent")
        ),
    ] {
        let page = bed.browser.open(&moved).await;
        assert!(asks_to_sign_in(&page), "{moved}: {}", page.text());
    }
    // Another browser of the same person, signed in later.
    let other = bed.stranger();
    let page = other.open(&format!("{}/login", bed.base())).await;
    bed.sign_in(&other, &page).await;
    let page = other.open(&format!("{}&tidegate_asked={asked}", url("one"))).await;
    assert!(asks_to_sign_in(&page), "{}", page.text());
    // A browser that keeps nothing is not sent around for ever.
    let forgetful = bed.stranger();
    let mut next = url("one");
    for _ in 0..3 {
        forgetful.clear();
        let page = forgetful.look(&next).await;
        match page.location() {
            Some(there) => next = there.into(),
            None => return assert!(asks_to_sign_in(&page), "{}", page.text()),
        }
    }
    panic!("sent around: {next}");
}

/// What a program without a browser asks with, once the owner has let it in.
async fn let_in(bed: &Bed, found: &Found) -> Vec<(&'static str, String)> {
    let path = found.path("device_authorization_endpoint");
    let begin = [("client_id", "tidegate-cli"), ("resource", &*found.resource)];
    let begun = bed.post(&path, &begin).await.json();
    let url = begun["verification_uri_complete"].as_str().unwrap();
    let page = bed.browser.open(url).await;
    let page = bed.browser.submit(&page, &page.form("Go on")).await;
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    assert_eq!(page.status(), 200, "{}", page.text());
    vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code".to_owned()),
        ("device_code", begun["device_code"].as_str().unwrap().to_owned()),
        ("client_id", "tidegate-cli".to_owned()),
    ]
}

#[tokio::test]
async fn what_was_given_in_a_browser_that_signs_out_is_not_redeemed() {
    let bed = Bed::open(|setup| setup.key("boss", &[])).await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let token = found.path("token_endpoint");
    for by_administrator in [false, true] {
        let page = bed.browser.open(&found.authorize(&client, &[("prompt", "consent")])).await;
        let page = bed.browser.submit(&page, &page.form("Allow")).await;
        let code = page.query("code").unwrap();
        let device = let_in(&bed, &found).await;
        if by_administrator {
            let boss = |path: &str| bed.at(path).with_key(bed.gateway.key("boss"));
            let path = format!("/api/v1/sessions?user={OWNER}");
            let all = boss(&path).send(Method::GET, &[], "").await.json();
            let sessions = all["sessions"].as_array().or(all["items"].as_array());
            let id = sessions.unwrap_or_else(|| panic!("{all}"))[0]["id"].as_str().unwrap();
            let ended = boss(&format!("/api/v1/sessions/{id}")).send(Method::DELETE, &[], "").await;
            assert_eq!(ended.status, 200, "{ended:?}");
        } else {
            let page = bed.browser.open(&format!("{}/logout", bed.base())).await;
            let page = bed.browser.submit(&page, &page.form("Sign out")).await;
            assert!(page.text().contains("You are signed out"), "{}", page.text());
        }
        let answer = bed.post(&token, &found.redeem(&client, &code)).await;
        assert_eq!(answer.json()["error"], "invalid_grant", "{by_administrator}: {answer:?}");
        let device: Vec<_> = device.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = bed.post(&token, &device).await;
        assert_eq!(answer.json()["error"], "invalid_grant", "{by_administrator}: {answer:?}");
        let rows = bed.rows("identity:token").await;
        let refused = rows.iter().rev().take(2).all(|row| row["note"] == "invalid_grant");
        assert!(refused, "{rows:?}");
        // Signed in again, everything is given anew.
        let page = bed.browser.open(&format!("{}/login", bed.base())).await;
        bed.sign_in(&bed.browser, &page).await;
        let tokens = bed.connect("main", &client, "mcp").await;
        assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
        let device = let_in(&bed, &found).await;
        let device: Vec<_> = device.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(bed.post(&token, &device).await.status, 200);
    }
}
