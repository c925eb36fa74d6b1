//! The suite's leg for authorization servers, against the gateway's own.
//!
//! Owns the client that is written down for it, and the person who signs in with an account of
//! the gateway's own when the suite shows a URL. Nothing of it may fail or come with a warning:
//! there is no list of what is expected to.

use super::{run, suite::Suite};
use crate::support::{Browser, Setup, TestGateway, eventually};

/// Who signs in.
const OWNER: &str = "owner@example.com";
const PASSWORD: &str = "a gate by the river at noon";

/// The suite's client, and a virtual MCP that it asks a token for.
async fn gateway() -> TestGateway {
    let client = "[clients.suite]\nname = \"The conformance suite\"\n\
                  redirect_uris = [\"http://127.0.0.1/callback\"]\n";
    Setup::new()
        .vmcp("main", &[])
        .policy("all", "permit (principal, action, resource);")
        .file("identity.toml", client)
        .start()
        .await
}

/// Makes the first account by the link that the gateway printed.
async fn settle(gateway: &TestGateway, browser: &Browser) {
    let link = eventually("the link for the first owner", async || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("/welcome/"));
        line.map(|line| line.trim().to_owned())
    })
    .await;
    let page = browser.open(&link).await;
    let form = page.form("Go on");
    let form = form.set("email", OWNER).set("password", PASSWORD);
    let page = browser.submit(&page, &form).await;
    assert!(page.status() < 400, "{}", page.text());
}

/// Signs in where that is asked for, and allows what is asked.
async fn allow(browser: &Browser, url: &str) {
    let mut page = browser.open(url).await;
    if page.body.contains("type=\"password\"") {
        let form = page.form("Sign in").set("email", OWNER).set("password", PASSWORD);
        page = browser.submit(&page, &form).await;
    }
    let page = browser.submit(&page, &page.form("Allow")).await;
    assert_eq!(page.status(), 200, "{}: {}", page.url, page.text());
}

async fn passes(revision: &str) {
    let gateway = gateway().await;
    let browser = Browser::new();
    settle(&gateway, &browser).await;
    let issuer = format!("http://{}", gateway.address);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = Suite::against_authorization_server(
        revision,
        &issuer,
        ("suite", free),
        &gateway.url("main"),
        async |url| allow(&browser, &url).await,
    )
    .await;
    let problems = outcome.problems();
    assert!(problems.is_empty(), "as an authorization server:\n{}", problems.join("\n"));
    for (scenario, id) in [
        ("authorization-server-metadata-endpoint", "authorization-server-metadata"),
        ("authorization-server-metadata-endpoint", "authorization-server-metadata-cimd"),
        ("authorization-code-grant", "authorization-code-grant"),
    ] {
        assert!(outcome.has_passed(scenario, id), "{scenario}: {id} was not checked");
    }
}

#[test]
fn the_gateway_passes_as_an_authorization_server() {
    run("authorization::the_gateway_passes_as_an_authorization_server", async {
        for revision in ["2025-11-25", "2026-07-28"] {
            passes(revision).await;
        }
    });
}
