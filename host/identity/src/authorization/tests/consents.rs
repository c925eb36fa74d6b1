//! What is agreed to, remembered and forgotten.

use super::*;

/// T01: what somebody agreed to counts for them, that client, that place and that resource.
#[tokio::test]
async fn a_consent_counts_for_what_it_was_given_for() {
    let mut settings = settings();
    let two = ["https://app.example/cb", "https://app.example/other"];
    settings.clients.insert("public".into(), client(&two, false));
    let bench = Bench::with(settings).await;
    let query = edited(&Bench::query("public", SALES), &[("scope", Some("mcp mcp:write"))]);
    let request = bench.request(&query).await;
    let ann = bench.ann();
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap());
    let granted = Scopes::parse("mcp mcp:write");
    bench.server.approve(&ann, bench.signed_in(), &request, granted, false).await.unwrap();
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap(), "only when it is to be");
    bench.server.approve(&ann, bench.signed_in(), &request, granted, true).await.unwrap();
    let bench = bench.restarted().await;
    for (name, edits, expected) in [
        ("the same", vec![], true),
        ("less", vec![("scope", None)], true),
        ("more", vec![("scope", Some("mcp mcp:write mcp:destructive"))], false),
        ("another state", vec![("state", Some("x"))], true),
        ("another client", vec![("client_id", Some("other"))], false),
        ("another place", vec![("redirect_uri", Some(two[1]))], false),
        ("another virtual MCP", vec![("resource", Some(SUPPORT))], false),
        ("the admin API", vec![("resource", Some(ADMIN))], false),
        ("asked to ask", vec![("prompt", Some("consent"))], false),
    ] {
        let request = bench.request(&edited(&query, &edits)).await;
        assert_eq!(bench.server.is_consented(&ann, &request).await.unwrap(), expected, "{name}");
        let ben = bench.person("ben@acme.com");
        assert!(!bench.server.is_consented(&ben, &request).await.unwrap(), "{name}, for Ben");
    }
    assert_eq!(bench.server.consents_of(&ann.user.id).await.unwrap().len(), 1);
    bench.server.forget_consents(&ann.user.id).await.unwrap();
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap());
}

#[tokio::test]
async fn only_what_was_asked_for_is_granted() {
    let bench = Bench::new().await;
    let request = bench.request(&Bench::query("public", SALES)).await;
    let all: Scopes = Scope::ALL.into_iter().collect();
    let to = bench.server.approve(&bench.ann(), bench.signed_in(), &request, all, true).await;
    let code = answer(&to.unwrap()).remove("code").unwrap();
    let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    assert_eq!(reply.scopes.to_string(), "mcp");
    let kept = bench.server.consents_of(&bench.ann().user.id).await.unwrap();
    assert_eq!(kept[0].scopes.to_string(), "mcp");
}

#[tokio::test]
async fn ending_a_grant_forgets_the_consent_that_it_came_by() {
    let bench = Bench::new().await;
    let request = bench.request(&Bench::query("public", SALES)).await;
    let ann = bench.ann();
    let to = bench.server.approve(&ann, bench.signed_in(), &request, request.scopes, true).await;
    let code = answer(&to.unwrap()).remove("code").unwrap();
    let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    assert!(bench.server.is_consented(&ann, &request).await.unwrap());
    assert!(bench.server.revoke_grant(reply.grant).await.unwrap());
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap());
}

/// RFC 8252 section 8.6: whoever listens on the person's machine could be anybody.
#[tokio::test]
async fn nothing_is_remembered_of_what_any_local_program_could_claim_to_be() {
    let bench = Bench::new().await;
    let body = br#"{"redirect_uris":["http://127.0.0.1/cb"],"application_type":"native","token_endpoint_auth_method":"none"}"#;
    let source = "192.0.2.1".parse().unwrap();
    let registered = bench.server.clients().register(&bench.settings, source, body).await.unwrap();
    let own = registered.client.id.to_string();
    let ann = bench.ann();
    for (client, path, is_remembered) in
        [("tidegate-cli", "callback", false), ("public", "cb", false), (own.as_str(), "cb", true)]
    {
        // Of a client that registered itself it counts at the very address, port included.
        let at = |port: u16| format!("http://127.0.0.1:{port}/{path}");
        let query =
            |port| edited(&Bench::query(client, SALES), &[("redirect_uri", Some(&at(port)))]);
        let first = bench.request(&query(5000)).await;
        bench.server.approve(&ann, bench.signed_in(), &first, first.scopes, true).await.unwrap();
        for (port, expected) in [(5000, is_remembered), (6000, false)] {
            let next = bench.request(&query(port)).await;
            let got = bench.server.is_consented(&ann, &next).await.unwrap();
            assert_eq!(got, expected, "{client} at {port}");
        }
    }
    // What was agreed to there is forgotten with its grant.
    let query =
        edited(&Bench::query(&own, SALES), &[("redirect_uri", Some("http://127.0.0.1:5000/cb"))]);
    let form = Bench::redeeming(&own, &bench.code_for(&query).await);
    let form = edited(
        &form,
        &[("redirect_uri", Some("http://127.0.0.1:5000/cb")), ("client_secret", None)],
    );
    let reply = bench.token(&form).await.unwrap();
    bench.server.revoke_grant(reply.grant).await.unwrap();
    let request = bench.request(&query).await;
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap());
}

#[tokio::test]
async fn a_consent_ends_after_a_year() {
    let bench = Bench::new().await;
    let request = bench.request(&Bench::query("public", SALES)).await;
    let ann = bench.ann();
    bench.server.approve(&ann, bench.signed_in(), &request, request.scopes, true).await.unwrap();
    bench.pass(365 * 86_400 - 1);
    assert!(bench.server.is_consented(&ann, &request).await.unwrap());
    bench.pass(1);
    assert!(!bench.server.is_consented(&ann, &request).await.unwrap());
}
