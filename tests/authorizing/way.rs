//! The way of a client from one URL to a tool's answer.

use serde_json::json;

use super::bed::{Bed, OWNER, PASSWORD, field, quoted};

#[tokio::test]
async fn a_client_that_knows_one_url_gets_to_a_tool_by_following_what_it_is_told() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    assert_eq!(found.resource, bed.gateway.url("main"));
    let client = bed.register(&found, "An application").await;

    // Nobody is signed in: the page names who asks, where answers go, and for what.
    let stranger = bed.stranger();
    let page = stranger.open(&found.authorize(&client, &[])).await;
    let text = page.text();
    for part in ["An application", "127.0.0.1", "main", "your own computer"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let form = page.form("Sign in").set("email", "Owner@Example.com").set("password", PASSWORD);
    let page = stranger.submit(&page, &form).await;
    let text = page.text();
    assert!(text.contains(OWNER) && text.contains("Use its tools"), "{text}");
    let page = stranger.submit(&page, &page.form("Allow")).await;
    assert_eq!(page.query("state").as_deref(), Some("a state"));
    let tokens = bed.redeem(&found, &client, &page).await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "mcp");

    let answer = bed.with("main", &tokens).call("echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
    // Everything that led here is on record, with who did it.
    for method in ["identity:register", "identity:sign_in", "identity:consent", "identity:token"] {
        assert!(!bed.rows(method).await.is_empty(), "{method}");
    }
    let call = bed.rows("tools/call").await.pop().unwrap();
    assert_eq!(call["caller"]["user"], OWNER, "{call}");
    // None of it holds a secret.
    let rows = format!("{:?}", bed.gateway.audit().await);
    let secrets = [
        PASSWORD,
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
        &page.query("code").unwrap(),
    ];
    for secret in secrets {
        assert!(!rows.contains(secret), "a secret is in the audit log");
        assert!(!bed.gateway.log().contains(secret), "a secret is in the log");
    }
    // The upstream never saw the client's token.
    let seen = format!("{:?}", bed.mock.received());
    assert!(!seen.contains(tokens["access_token"].as_str().unwrap()));
}

#[tokio::test]
async fn a_second_virtual_mcp_needs_no_sign_in_and_a_known_client_no_consent() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let page = bed.browser.open(&found.authorize(&client, &[])).await;
    bed.browser.submit(&page, &page.form("Allow")).await;

    // The same again: nothing is asked.
    let page = bed.browser.open(&found.authorize(&client, &[])).await;
    assert!(page.status.is_none() && page.query("code").is_some(), "{}", page.url);
    // Another virtual MCP, another client, more scopes: asked, without a password.
    let other = bed.discover("other").await;
    let another = bed.register(&found, "Another application").await;
    for url in [
        other.authorize(&client, &[]),
        found.authorize(&another, &[]),
        found.authorize(&client, &[("scope", "mcp mcp:write")]),
        found.authorize(&client, &[("prompt", "consent")]),
    ] {
        let page = bed.browser.open(&url).await;
        assert_eq!(page.status(), 200, "{}", page.url);
        assert!(field(&page.form("Allow"), "request").is_some(), "{url}");
    }
    // Who must not be asked is told that they would have to be.
    let silent = found.authorize(&another, &[("prompt", "none")]);
    let page = bed.browser.open(&silent).await;
    assert_eq!(page.query("error").as_deref(), Some("consent_required"));
    let page = bed.stranger().open(&silent).await;
    assert_eq!(page.query("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn policy_is_asked_before_a_person_is_and_again_before_a_token_is_issued() {
    let forbid = "@reason(\"closed\")\nforbid (principal, action == Action::\"connect\", \
                  resource == VirtualMcp::\"main\");";
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let page = bed.browser.open(&found.authorize(&client, &[])).await;
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    let code = page.query("code").unwrap();

    bed.gateway.write("policies/closed.cedar", forbid);
    let url = found.authorize(&client, &[]);
    crate::support::eventually("the policy", || async {
        let page = bed.browser.open(&url).await;
        (page.query("error").as_deref() == Some("access_denied")).then_some(())
    })
    .await;
    // The code from before is worth nothing now.
    let answer = bed.post(&found.path("token_endpoint"), &found.redeem(&client, &code)).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["error"], "access_denied");
    let rows = bed.rows("identity:token").await;
    let row = rows.last().unwrap();
    assert_eq!(row["status"], "refused", "{row}");
    // What does not exist is refused alike.
    let missing = found.resource.replace("/main", "/nothing");
    let page = bed.browser.open(&found.authorize(&client, &[("resource", &missing)])).await;
    assert_eq!(page.query("error").as_deref(), Some("access_denied"), "{}", page.url);
    bed.gateway.remove("policies/closed.cedar");
    crate::support::eventually("the policy's end", || async {
        let answer = bed.post(&found.path("token_endpoint"), &found.redeem(&client, &code)).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metadata_says_the_same_of_what_there_is_and_what_there_is_not() {
    let bed = Bed::simple().await;
    let known = bed.get("/.well-known/oauth-protected-resource/mcp/main").await;
    let unknown = bed.get("/.well-known/oauth-protected-resource/mcp/nothing").await;
    let same = |text: String| text.replace("nothing", "main");
    assert_eq!(known.status, 200);
    assert_eq!(known.json().to_string(), same(unknown.json().to_string()));
    assert_eq!(known.json()["scopes_supported"], json!(["mcp"]));
    let challenge =
        |response: &crate::support::Response| same(response.header("www-authenticate").to_owned());
    let one = bed.at("/mcp/main").send(hyper::Method::POST, &[], "{}").await;
    let other = bed.at("/mcp/nothing").send(hyper::Method::POST, &[], "{}").await;
    assert_eq!(challenge(&one), challenge(&other));
    assert_eq!(one.body, other.body);
    // Who presented something is told that it is not good, and no more.
    let one = bed.at("/mcp/main").with_key("a.b.c").send(hyper::Method::POST, &[], "{}").await;
    assert_eq!(one.status, 401);
    assert_eq!(quoted(one.header("www-authenticate"), "error"), "invalid_token");
    // Both kinds of metadata, at each place where clients look.
    let server = bed.get("/.well-known/oauth-authorization-server").await.json();
    let openid = bed.get("/.well-known/openid-configuration").await.json();
    assert_eq!(server, openid);
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(server["authorization_response_iss_parameter_supported"], true);
    let keys = bed.fetch(server["jwks_uri"].as_str().unwrap()).await;
    assert_eq!(keys.json()["keys"][0]["crv"], "Ed25519");
    assert_eq!(bed.get("/.well-known/oauth-protected-resource/mcp/Main").await.status, 404);
    assert_eq!(bed.get("/o/nobody/.well-known/openid-configuration").await.status, 404);
}
