//! Tokens exchanged for others, and agents that act for themselves.

use super::*;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

fn exchanging(client: &str, token: &Secret, resource: &str) -> Fields {
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", token.expose()),
        ("subject_token_type", ACCESS),
        ("resource", resource),
    ];
    Bench::by(client, fields(&form))
}

#[tokio::test]
async fn a_token_becomes_one_for_elsewhere_in_the_same_name() {
    let bench = Bench::new().await;
    let subject = bench.tokens("public", SALES).await;
    bench.pass(60);
    let form = exchanging("exchanger", &subject.access_token, SUPPORT);
    let reply = bench.token(&form).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(reply.to_json().expose()).unwrap();
    assert_eq!(body["issued_token_type"], ACCESS);
    assert!(reply.refresh_token.is_none());
    // Never longer than what it was exchanged for.
    assert_eq!(reply.expires_in, 540);
    let caller = bench.at(SUPPORT, &reply.access_token).unwrap();
    assert_eq!((caller.user().as_str(), caller.client()), ("ann@acme.com", Some("exchanger")));
    assert!(bench.at(SALES, &reply.access_token).is_err());
    // They end together.
    bench.server.revoke_grant(subject.grant).await.unwrap();
    assert!(bench.at(SUPPORT, &reply.access_token).is_err());
    assert_eq!(code_of(&bench.token(&form).await), "invalid_request");
}

/// RFC 8693 sections 2.1 and 2.2.2.
#[tokio::test]
async fn every_refusal_of_an_exchange() {
    let bench = Bench::new().await;
    let subject = bench.tokens("public", SALES).await;
    let admin = bench.tokens("public", ADMIN).await.access_token;
    let hr = "https://mcp.example.com/mcp/hr";
    let foreign = bench.tokens("public", hr).await.access_token;
    // The same names, the same keys in the test's store, another issuer.
    let acme = Bench::on(Arc::clone(&bench.clock), other_org(&bench.ground).await, settings());
    let acme = acme.await;
    let elsewhere = acme.tokens("public", "https://mcp.example.com/o/acme/mcp/sales").await;
    let elsewhere = elsewhere.access_token;
    let forged = {
        let (body, signature) = subject.access_token.expose().rsplit_once('.').unwrap();
        let (first, rest) = signature.split_at(1);
        format!("{body}.{}{rest}", if first == "A" { "B" } else { "A" })
    };
    let refresh = subject.refresh_token.as_ref().unwrap().expose();
    let agent = [("grant_type", "client_credentials"), ("resource", SALES)];
    let agent = bench.token(&Bench::by("agent", fields(&agent))).await.unwrap().access_token;
    let form = exchanging("exchanger", &subject.access_token, SUPPORT);
    let once = bench.token(&form).await.unwrap().access_token;
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    for (name, edits, expected) in [
        ("nothing is wrong", vec![], "issued"),
        ("as a JWT", vec![("subject_token_type", Some(jwt))], "issued"),
        ("for where it is from", vec![("resource", Some(SALES))], "issued"),
        ("no token", vec![("subject_token", None)], "invalid_request"),
        ("no type", vec![("subject_token_type", None)], "invalid_request"),
        ("an ID token", vec![("subject_token_type", Some(id_token))], "invalid_request"),
        ("for an ID token", vec![("requested_token_type", Some(id_token))], "invalid_request"),
        ("with an actor", vec![("actor_token", Some("x"))], "invalid_request"),
        ("for an audience", vec![("audience", Some("support"))], "invalid_target"),
        ("no resource", vec![("resource", None)], "invalid_target"),
        ("two resources", vec![("+resource", Some(SALES))], "invalid_target"),
        (
            "not listed",
            vec![("resource", Some("https://mcp.example.com/mcp/hr"))],
            "invalid_target",
        ),
        ("the admin API", vec![("resource", Some(ADMIN))], "invalid_target"),
        ("more scope", vec![("scope", Some("mcp mcp:write"))], "invalid_scope"),
        ("no token of ours", vec![("subject_token", Some("a.b.c"))], "invalid_request"),
        ("a refresh token", vec![("subject_token", Some(refresh))], "invalid_request"),
        (
            "a token of the admin API",
            vec![("subject_token", Some(admin.expose()))],
            "invalid_request",
        ),
        ("a token of an agent", vec![("subject_token", Some(agent.expose()))], "invalid_request"),
        ("an exchanged token", vec![("subject_token", Some(once.expose()))], "invalid_request"),
        (
            "a token from a place that is not listed",
            vec![("subject_token", Some(foreign.expose()))],
            "invalid_request",
        ),
        (
            "a token of another organisation",
            vec![("subject_token", Some(elsewhere.expose()))],
            "invalid_request",
        ),
        (
            "a token that was tampered with",
            vec![("subject_token", Some(&forged))],
            "invalid_request",
        ),
        ("another client's secret", vec![("client_secret", Some("x"))], "invalid_client"),
        ("a client without a list", vec![("client_id", Some("confidential"))], "invalid_target"),
        (
            "a client without a secret",
            vec![("client_id", Some("public")), ("client_secret", None)],
            "unauthorized_client",
        ),
    ] {
        assert_eq!(code_of(&bench.token(&edited(&form, &edits)).await), expected, "{name}");
    }
    bench.pass(600);
    assert_eq!(code_of(&bench.token(&form).await), "invalid_request", "expired");
}

#[tokio::test]
async fn an_agent_acts_for_itself() {
    let bench = Bench::new().await;
    let form = [("grant_type", "client_credentials"), ("resource", SALES)];
    let form = Bench::by("agent", fields(&form));
    let reply = bench.token(&form).await.unwrap();
    assert!(reply.refresh_token.is_none());
    let caller = bench.at(SALES, &reply.access_token).unwrap();
    assert_eq!((caller.user().as_str(), caller.kind()), ("reporting-bot", Kind::Agent));
    assert_eq!((caller.groups(), caller.authenticated()), (&["bots".to_owned()][..], None));
    for (name, edits, expected) in [
        ("no resource", vec![("resource", None)], "invalid_target"),
        ("wrong secret", vec![("client_secret", Some("x"))], "invalid_client"),
        ("nothing to refresh", vec![("scope", Some("mcp offline_access"))], "issued"),
        (
            "a client without an agent",
            vec![("client_id", Some("confidential"))],
            "unauthorized_client",
        ),
    ] {
        let got = bench.token(&edited(&form, &edits)).await;
        assert_eq!(code_of(&got), expected, "{name}");
        assert!(got.is_err() || got.unwrap().refresh_token.is_none());
    }
}

#[tokio::test]
async fn an_agent_ends_with_its_entry_in_the_settings_and_with_its_record() {
    let bench = Bench::new().await;
    let form = [("grant_type", "client_credentials"), ("resource", SALES)];
    let form = Bench::by("agent", fields(&form));
    let token = bench.token(&form).await.unwrap().access_token;
    let caller = bench.at(SALES, &token).unwrap();
    let with = |edit: &dyn Fn(&mut RegisteredClient)| {
        let mut settings = (*bench.settings).clone();
        edit(settings.clients.get_mut("agent").unwrap());
        Arc::new(settings)
    };
    let now = || bench.ground.clock.now();
    bench.server.settings_changed(with(&|client| client.groups = vec!["auditors".into()]));
    assert_eq!(bench.at(SALES, &token).unwrap().groups(), ["auditors"]);
    assert_eq!(bench.server.tokens().renew(&caller, now()).unwrap().0.groups(), ["auditors"]);
    for (name, settings) in [
        ("another agent", with(&|client| client.agent = UserId::new("other-bot").ok())),
        ("no agent", with(&|client| client.agent = None)),
        ("not here", with(&|client| client.vmcps = vec![vmcp("support")])),
        ("no client", {
            let mut settings = (*bench.settings).clone();
            settings.clients.remove("agent");
            Arc::new(settings)
        }),
    ] {
        bench.server.settings_changed(settings);
        assert!(bench.at(SALES, &token).is_err(), "{name}");
        assert!(bench.server.tokens().renew(&caller, now()).is_err(), "{name}");
        bench.server.settings_changed(Arc::clone(&bench.settings));
        assert!(bench.at(SALES, &token).is_ok(), "{name}, and back");
    }
    // A record of the directory adds to the entry, and rules over it.
    let id = UserId::new("reporting-bot").unwrap();
    bench.pass(1);
    assert!(bench.at(SALES, &token).is_ok());
    let mut record = User::new(id.clone(), Kind::Agent, bench.ground.clock.now());
    record.groups = vec!["night-shift".into()];
    bench.directory.add(record).await.unwrap();
    assert!(bench.at(SALES, &token).is_err(), "it is from before there was this record");
    bench.pass(1);
    let token = bench.token(&form).await.unwrap().access_token;
    assert_eq!(bench.at(SALES, &token).unwrap().groups(), ["bots", "night-shift"]);
    bench.directory.deactivate(&id).await.unwrap();
    assert!(bench.at(SALES, &token).is_err());
    assert_eq!(code_of(&bench.token(&form).await), "unauthorized_client");
}

#[tokio::test]
async fn a_person_is_never_taken_for_an_agent_of_their_name() {
    let mut settings = settings();
    settings.clients.get_mut("agent").unwrap().agent = UserId::new("ann@acme.com").ok();
    let bench = Bench::with(settings).await;
    let form = [("grant_type", "client_credentials"), ("resource", SALES)];
    let got = bench.token(&Bench::by("agent", fields(&form))).await;
    assert_eq!(code_of(&got), "unauthorized_client");
}
