//! Signed out at the provider by pages of it, which load ours (OpenID Connect Front-Channel
//! Logout).

use hyper::Method;
use serde_json::json;
use url::Url;

use super::{
    place::{ACME, BUTTON, Place, get},
    window::Window,
};
use crate::support::{Browser, eventually};

/// A URL with these values of one of its parameters; `=` is the value that it has.
fn with(url: &Url, changed: &str, values: &[&str]) -> String {
    let mut made = url.clone();
    made.query_pairs_mut().clear();
    for (name, value) in url.query_pairs() {
        let values = if name == changed { values } else { &["="] };
        for new in values {
            let new = if *new == "=" { &value } else { *new };
            made.query_pairs_mut().append_pair(&name, new);
        }
    }
    made.into()
}

fn session_cookies(browser: &Browser) -> usize {
    let cookies = browser.cookies("127.0.0.1");
    cookies.iter().filter(|cookie| cookie.name == "tidegate").count()
}

#[tokio::test]
async fn a_page_of_the_provider_ends_the_session_that_it_names_and_no_other() {
    let place = Place::simple().await;
    let (browser, _) = place.member("ae").await;
    let mut app = place.connect(&browser, "main").await;
    place.knows("bob", json!({})).await;
    let (other, _) = place.member("bob").await;
    let own = format!("{}/login/{ACME}/frontchannel", place.base());
    let notices = place.provider.sign_out_by_pages("ae", &own).await;
    assert_eq!(notices.len(), 1, "{notices:?}");
    let notice: Url = notices[0].parse().unwrap();

    let only = |name: &str, values: &[&str]| with(&notice, name, values);
    let foreign = "https://evil.example";
    let elsewhere = notice.as_str().replace(&format!("/{ACME}/"), "/nobody/");
    for (case, url, status) in [
        ("another session", only("sid", &["another"]), 200),
        ("no session", only("sid", &[]), 400),
        ("an empty session", only("sid", &[""]), 400),
        ("two sessions", only("sid", &["=", "another"]), 400),
        ("another issuer", only("iss", &[foreign]), 400),
        ("no issuer", only("iss", &[]), 400),
        ("two issuers", only("iss", &["=", foreign]), 400),
        ("nothing", own.clone(), 400),
        ("a provider that there is not", elsewhere, 400),
    ] {
        let answer = browser.open(&url).await;
        assert_eq!(answer.status(), status, "{case}: {}", answer.body);
        assert!(answer.header("set-cookie").is_empty(), "{case} takes a cookie away");
        let home = browser.open(&format!("{}/", place.base())).await;
        assert!(home.text().contains("ae@example.com"), "{case}: {}", home.text());
    }
    assert!(!place.call(&app, "main").await.is_tool_error());

    // In a frame of another site there is no cookie, and what it names ends all the same.
    let answer = get(notice.as_str()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cache-control")),
        (200, "no-cache, no-store")
    );
    assert!(answer.header("set-cookie").is_empty());
    eventually("the token's end", || async {
        (place.call(&app, "main").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(app.refresh().await.status, 400);
    // With one that has come to nothing, that goes, too.
    assert_eq!(session_cookies(&browser), 1);
    let again = browser.open(notice.as_str()).await;
    assert_eq!(again.status(), 200, "{}", again.body);
    assert_eq!(session_cookies(&browser), 0);
    let home = browser.open(&format!("{}/", place.base())).await;
    assert!(home.forms().iter().any(|form| form.buttons() == [BUTTON]), "{}", home.text());
    // Whoever else is signed in stays so, and keeps their cookie, whatever they are led to.
    other.open(notice.as_str()).await;
    assert_eq!(session_cookies(&other), 1);
    let home = other.open(&format!("{}/", place.base())).await;
    assert!(home.text().contains("bob@example.com"), "{}", home.text());
    let rows = place.gateway.audit().await;
    let ended =
        |row: &&serde_json::Value| row.to_string().contains("ended a session of ae@example.com");
    assert_eq!(rows.iter().filter(ended).count(), 1, "{rows:?}");
    let posted = crate::support::Client::new(place.gateway.address, notice.path());
    assert_eq!(posted.send(Method::POST, &[], "").await.status, 405);
}

#[tokio::test]
async fn in_a_browser_the_providers_page_signs_out_here() {
    let place = Place::simple().await;
    let window = Window::open("leaving").await;
    let base = place.base();
    window.go(&format!("{base}/login")).await;
    window.press(BUTTON).await;
    window.arrive(&place.provider.issuer).await;
    window.fill(json!({ "Account": "ae", "Password": "any" })).await;
    window.press("Sign in").await;
    let shown = window.arrive(&format!("{base}/")).await;
    assert!(shown["text"].as_str().unwrap().contains("ae@example.com"), "{shown}");

    let own = format!("{base}/login/{ACME}/frontchannel");
    place.provider.sign_out_by_pages("ae", &own).await;
    window.go(&format!("{}/signed-out", place.provider.issuer)).await;
    let shown = window.go(&format!("{base}/")).await;
    assert!(!shown["text"].as_str().unwrap().contains("ae@example.com"), "{shown}");
    let cookies = window.cookies().await;
    assert!(cookies.iter().all(|cookie| cookie["name"] != "tidegate"), "{cookies:?}");
}
