//! The OAuth clients of the official SDKs, which are given one URL and nothing else.

use serde_json::{Value, json};

use super::place::Place;
use crate::support::{Browser, Script, installed};

/// An application that uses an SDK.
pub(super) async fn app(
    name: &'static str,
    mode: &str,
    url: &str,
    document: Option<&str>,
) -> Script {
    let packages = installed("npm");
    let mut args = Vec::new();
    if name.ends_with(".mjs") {
        args.push(packages.to_str().unwrap());
    }
    args.extend([mode, url]);
    args.extend(document);
    Script::start(name, &args)
}

/// Does in a browser what the application asks for; what it says when it is connected.
pub(super) async fn connected(place: &Place, app: &Script, browser: &Browser) -> Value {
    let open = app.next().await;
    let url = open["open"].as_str().unwrap_or_else(|| panic!("it opens nothing: {open}"));
    let page = browser.open(url).await;
    let page = if page.text().contains("Allow") {
        page
    } else {
        place.sign_in(browser, &page, "ae").await
    };
    let page = browser.submit(&page, &page.form("Allow")).await;
    assert_eq!(page.status(), 200, "{}: {}", page.url, page.text());
    app.next().await
}

/// An application from the first sign-in to the next day.
async fn check(place: &Place, name: &'static str, mode: &str) {
    let app = app(name, mode, &place.gateway.url("main"), None).await;
    let said = connected(place, &app, &Browser::new()).await;
    assert_eq!(said["called"], r#"{"message":"grüße"}"#, "{name} {mode}: {said}");
    assert_eq!((&said["tools"], &said["scope"]), (&json!(["echo"]), &json!("mcp")));
    assert!(said["client"].as_str().unwrap().starts_with("dyn_"), "{said}");

    let spoiled = app.ask("spoil").await;
    assert_eq!(spoiled["called"], r#"{"message":"grüße"}"#, "{name} {mode}: {spoiled}");
    assert_eq!((&spoiled["refreshed"], &spoiled["rotated"]), (&json!(1), &json!(true)));
    assert_eq!(app.ask("call").await["called"], r#"{"message":"grüße"}"#);
    // It asks for no browser: it would say so in place of an answer.
    assert_eq!(app.ask("again").await["called"], r#"{"message":"grüße"}"#);
}

#[tokio::test]
async fn the_typescript_sdk_signs_in_with_one_url() {
    let place = Place::simple().await;
    for mode in ["v1", "legacy", "modern"] {
        check(&place, "client.mjs", mode).await;
    }
    let rows = place.gateway.audit().await;
    let calls = rows.iter().filter(|row| row.to_string().contains("ae@example.com"));
    assert!(calls.count() > 0, "the person stands in the log");
}

#[tokio::test]
async fn the_python_sdk_signs_in_with_one_url() {
    let place = Place::simple().await;
    for mode in ["legacy", "modern"] {
        check(&place, "client.py", mode).await;
    }
}
