//! How a connector authenticates is no business of clients, and every client takes one way in.

use hyper::Method;
use serde_json::{Value, json};

use super::bed::{Bed, VERIFIER};
use crate::support::{Browser, Client, MockTool, eventually, modern_params};

#[tokio::test]
async fn another_credential_of_a_connector_touches_no_client() {
    let bed = Bed::open(|setup| {
        setup.environment("FIRST", "the first secret").environment("SECOND", "the second secret")
    })
    .await;
    let switch = |auth: &str| {
        let url = bed.mock.url();
        let text = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n{auth}\n");
        bed.gateway.write("connectors/up.toml", &text);
    };
    let found = bed.discover("main").await;
    let id = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &id, "mcp").await;
    let client = bed.with("main", &tokens);
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let listen =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params });
    let headers = Client::modern_headers("subscriptions/listen", &params);
    let mut stream = client.stream(Method::POST, &headers, listen.to_string()).await;
    assert!(stream.next().await.is_some());

    for (auth, name, value) in [
        ("[auth]\nsecret = \"env:FIRST\"", "authorization", "Bearer the first secret"),
        ("[auth]\nsecret = \"env:SECOND\"", "authorization", "Bearer the second secret"),
        (
            "[auth]\nheader = \"X-Api-Key\"\nformat = \"key {}\"\nsecret = \"env:SECOND\"",
            "x-api-key",
            "key the second secret",
        ),
        ("", "x-api-key", ""),
    ] {
        switch(auth);
        eventually("the other credential upstream", || async {
            // Not one call is refused in between.
            let said = client.call("echo", json!({ "message": "hi" })).await;
            assert_eq!(said.text(), r#"{"message":"hi"}"#, "{auth}: {said:?}");
            let calls = bed.mock.calls("echo");
            (calls.last().unwrap().header(name) == value).then_some(())
        })
        .await;
    }
    // The client was told of nothing but its own lists, on the stream that it had.
    bed.mock.set_tools(vec![MockTool::echo("new")]);
    switch("[auth]\nsecret = \"env:FIRST\"");
    let told = stream.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", &id),
    ];
    let answer = bed.post(&found.path("token_endpoint"), &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What well-known clients do differently: where they wait for the browser, and what they say
/// of themselves. Each entry: name, redirect URI registered, redirect URI asked with, the rest
/// of the registration.
fn profiles() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let public = json!({ "token_endpoint_auth_method": "none" });
    let both = json!(["authorization_code", "refresh_token"]);
    vec![
        (
            "a web application that waits at https and has no secret",
            "https://assistant.example/api/mcp/auth_callback",
            "https://assistant.example/api/mcp/auth_callback",
            json!({ "token_endpoint_auth_method": "none", "grant_types": both, "scope": "mcp" }),
        ),
        (
            "a web application that asks for a secret and sends it in the form",
            "https://chat.example/connector_platform_oauth_redirect",
            "https://chat.example/connector_platform_oauth_redirect",
            json!({ "token_endpoint_auth_method": "client_secret_post", "grant_types": both }),
        ),
        (
            "a command line with another port every time, by name",
            "http://localhost:3118/callback",
            "http://localhost:51234/callback",
            public.clone(),
        ),
        (
            "a command line with another port every time, by address",
            "http://127.0.0.1:33418/",
            "http://127.0.0.1:61001/",
            json!({ "token_endpoint_auth_method": "none", "application_type": "native" }),
        ),
        (
            "an editor that is called by its own scheme",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            json!({ "token_endpoint_auth_method": "none", "response_types": ["code"] }),
        ),
    ]
}

#[tokio::test]
async fn clients_with_their_habits_take_the_same_way_in() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    for (what, registered, redirect, more) in profiles() {
        let mut metadata = json!({ "client_name": what, "redirect_uris": [registered] });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = found.path("registration_endpoint");
        let answer = bed.at(&path).send(Method::POST, &[], metadata.to_string()).await;
        assert_eq!(answer.status, 201, "{what}: {answer:?}");
        let registration = answer.json();
        let id = registration["client_id"].as_str().unwrap();
        let secret = registration["client_secret"].as_str();
        assert_eq!(secret.is_some(), more["token_endpoint_auth_method"] == "client_secret_post");

        let browser = Browser::new().stop_at(redirect);
        for cookie in bed.browser.cookies(&bed.gateway.address.ip().to_string()) {
            browser.plant(cookie);
        }
        let page = browser.open(&found.authorize(id, &[("redirect_uri", redirect)])).await;
        let page = browser.submit(&page, &page.form("Allow")).await;
        let code = page.query("code").unwrap_or_else(|| panic!("{what}: {}", page.url));
        assert!(page.url.as_str().starts_with(redirect), "{what}: {}", page.url);
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("client_id", id),
            ("redirect_uri", redirect),
            ("resource", &*found.resource),
            ("code_verifier", VERIFIER),
        ];
        fields.extend(secret.map(|secret| ("client_secret", secret)));
        let answer = bed.post(&found.path("token_endpoint"), &fields).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let tokens = answer.json();
        let client = bed.with("main", &tokens);
        // In either era, and by the transport of 2024 nobody is led astray.
        let said = client.call("echo", json!({ "message": "hi" })).await;
        assert_eq!(said.text(), r#"{"message":"hi"}"#, "{what}");
        let session = client.session("2025-06-18").await;
        let tools = session.request("tools/list", json!({})).await;
        assert_eq!(tools.result()["tools"].as_array().unwrap().len(), 3, "{what}");
        let stream = client.send(Method::GET, &[("accept", "text/event-stream")], "").await;
        assert!(stream.status.is_client_error() && stream.status != 401, "{what}: {stream:?}");
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
            ("client_id", id),
        ];
        fields.extend(secret.map(|secret| ("client_secret", secret)));
        let answer = bed.post(&found.path("token_endpoint"), &fields).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
}

/// The ids of the keys that an organisation signs with, or signed with.
async fn published(bed: &Bed, jwks: &str) -> usize {
    bed.fetch(jwks).await.json()["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn signing_keys_are_replaced_with_tokens_going_on_or_ending() {
    let bed = Bed::open(|setup| setup.key("boss", &[])).await;
    let found = bed.discover("main").await;
    let id = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &id, "mcp").await;
    let jwks = found.metadata["jwks_uri"].as_str().unwrap();
    let status = async |tokens: &Value| {
        bed.with("main", tokens).request("tools/list", json!({})).await.status.as_u16()
    };
    let refreshed = async |tokens: &Value| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
            ("client_id", &*id),
        ];
        let answer = bed.post(&found.path("token_endpoint"), &fields).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    assert_eq!(published(&bed, jwks).await, 1);
    let output = bed.gateway.cli(&["key", "rotate-signing"]).await;
    assert!(output.ok && output.stdout.contains("good until they end"), "{output:?}");
    assert_eq!(published(&bed, jwks).await, 2);
    let newer = refreshed(&tokens).await;
    assert_eq!((status(&tokens).await, status(&newer).await), (200, 200));

    let boss = bed.at("/api/v1/signing-keys/rotate").with_key(bed.gateway.key("boss"));
    let done = boss.send(Method::POST, &[], r#"{"forget":true}"#).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({ "forgotten": true })));
    assert_eq!(published(&bed, jwks).await, 1);
    assert_eq!((status(&tokens).await, status(&newer).await), (401, 401));
    // Nobody has to sign in again: what was granted is refreshed.
    let newest = refreshed(&newer).await;
    assert_eq!(status(&newest).await, 200);
    let rows = bed.rows("admin:signing_key_rotate").await;
    let notes: Vec<&str> = rows.iter().map(|row| row["note"].as_str().unwrap()).collect();
    assert_eq!(
        notes,
        [
            "a new key signs access tokens; those of before verify until what they signed has ended",
            "a new key signs access tokens; those of before are forgotten",
        ]
    );
}
