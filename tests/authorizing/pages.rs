//! Pages: what is on them, what keeps them apart from other sites, and the first owner.

use serde_json::json;

use super::bed::{Bed, OWNER, set_up};
use crate::support::Browser;

#[tokio::test]
async fn every_page_is_kept_from_being_framed_scripted_or_stored() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "<script>alert(1)</script>").await;
    let urls = [
        format!("{}/", bed.base()),
        format!("{}/logout", bed.base()),
        format!("{}/device", bed.base()),
        format!("{}/welcome/unknown", bed.base()),
        found.authorize(&client, &[]),
        found.authorize("unknown", &[]),
    ];
    for browser in [&bed.browser, &bed.stranger()] {
        for url in &urls {
            let page = browser.open(url).await;
            assert_eq!(page.policy("default-src").unwrap(), ["'none'"], "{url}");
            assert_eq!(page.policy("frame-ancestors").unwrap(), ["'none'"], "{url}");
            assert_eq!(page.policy("form-action").unwrap(), ["'self'"], "{url}");
            assert!(page.policy("script-src").is_none(), "{url}");
            assert_eq!(page.header("x-frame-options"), "DENY", "{url}");
            assert_eq!(page.header("cache-control"), "no-store", "{url}");
            assert_eq!(page.header("x-content-type-options"), "nosniff", "{url}");
            assert!(!page.body.contains("<script"), "{url}");
            // Every field that people fill in says what it is for.
            for field in page.body.split("<input").skip(1).filter(|it| !it.contains("hidden")) {
                let id = field.split("id=\"").nth(1).and_then(|it| it.split('"').next()).unwrap();
                assert!(page.body.contains(&format!("<label for=\"{id}\"")), "{url}: {id}");
            }
        }
    }
    let style = bed.get("/assets/tidegate.css").await;
    assert!(style.header("content-type").starts_with("text/css"));
    assert_eq!(bed.get("/assets/../Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn cookies_are_kept_from_scripts_and_other_sites() {
    let bed = Bed::simple().await;
    let host = bed.gateway.address.ip().to_string();
    let cookies = bed.browser.cookies(&host);
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in cookies {
        assert!(cookie.has("httponly") && cookie.has("samesite=lax"), "{cookie:?}");
        assert_eq!(cookie.path, "/");
    }
}

#[tokio::test]
async fn the_first_owners_link_works_once() {
    let (mock, setup) = set_up().await;
    let gateway = setup.start().await;
    let bed = Bed { gateway, mock, browser: Browser::new() };
    let link = bed.welcome_link().await;
    let page = bed.browser.open(&link).await;
    for (email, password, part) in [
        (OWNER, "short", "12 characters"),
        (OWNER, OWNER, "password"),
        ("", "correct horse battery", "e-mail address"),
    ] {
        let form = page.form("Go on").set("email", email).set("password", password);
        let page = bed.browser.submit(&page, &form).await;
        assert_eq!(page.status(), 400, "{password}: {}", page.text());
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    let form = page.form("Go on").set("email", OWNER).set("password", "correct horse battery");
    let done = bed.browser.submit(&page, &form).await;
    assert!(done.text().contains("owner"), "{}", done.text());
    let again = bed.browser.open(&link).await;
    assert_eq!(again.status(), 404, "{}", again.text());
    assert!(again.text().contains("It was used before"), "{}", again.text());
    let second = Browser::new();
    let page = second.open(&format!("{link}x")).await;
    assert_eq!(page.status(), 404);
    // What they may connect to is on the start page, with its address.
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    let address = format!("<code class=\"copy\">{}</code>", bed.gateway.url("main"));
    assert!(page.body.contains(&address), "{}", page.body);
    assert!(page.text().contains("Clients that act for you None."), "{}", page.text());
}

#[tokio::test]
async fn a_program_without_a_browser_is_let_in_by_its_code() {
    let bed = Bed::simple().await;
    let metadata = bed.get("/.well-known/oauth-authorization-server").await.json();
    let path = metadata["device_authorization_endpoint"].as_str().unwrap().to_owned();
    let resource = format!("{}/api/v1", bed.base());
    let fields = [("client_id", "tidegate-cli"), ("resource", &resource), ("scope", "admin")];
    let started = bed.post(&path, &fields).await;
    assert_eq!(started.status, 200, "{started:?}");
    let started = started.json();
    let code = started["user_code"].as_str().unwrap();
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", started["device_code"].as_str().unwrap()),
        ("client_id", "tidegate-cli"),
    ];
    let waiting = bed.post("/oauth/token", &poll).await;
    assert_eq!(waiting.json()["error"], "authorization_pending");
    // Nobody is asked without signing in, and no guess leads anywhere.
    let page = bed.stranger().open(started["verification_uri"].as_str().unwrap()).await;
    assert!(page.text().contains("Password"), "{}", page.text());
    let page = bed.browser.open(started["verification_uri"].as_str().unwrap()).await;
    let wrong = bed.browser.submit(&page, &page.form("Go on").set("code", "AAAA-AAAA")).await;
    assert_eq!(wrong.status(), 400, "{}", wrong.text());
    let page = bed.browser.submit(&page, &page.form("Go on").set("code", code)).await;
    assert!(
        page.text().contains(code) && page.text().contains("administration"),
        "{}",
        page.text()
    );
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    assert!(page.text().contains("goes on by itself"), "{}", page.text());
    let tokens = crate::support::eventually("the program's turn", || async {
        let answer = bed.post("/oauth/token", &poll).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(tokens["scope"], "admin");
    let access = tokens["access_token"].as_str().unwrap();
    let status = bed.at("/api/v1/status").with_key(access).send(hyper::Method::GET, &[], "").await;
    assert_eq!(status.status, 200, "{status:?}");
    // It is no key to a virtual MCP.
    let answer = bed.with("main", &tokens).request("tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
}
