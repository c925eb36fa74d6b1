//! Authorization codes: redeemed, refused, replayed.

use super::*;

/// What is sent otherwise than it should be, and what comes of it.
type Row = (&'static str, Vec<(&'static str, Option<String>)>, &'static str);

fn some(name: &'static str, value: &str) -> Vec<(&'static str, Option<String>)> {
    vec![(name, Some(value.to_owned()))]
}

fn none(name: &'static str) -> Vec<(&'static str, Option<String>)> {
    vec![(name, None)]
}

/// The right resource, and another one after it.
fn twice(again: &str) -> Vec<(&'static str, Option<String>)> {
    vec![("resource", Some(SALES.to_owned())), ("+resource", Some(again.to_owned()))]
}

/// RFC 6749 sections 4.1.3 and 5.2, RFC 7636 section 4.6, RFC 8707 section 2.2, RFC 9700
/// sections 2.1.1, 4.5 and 4.8; T05.
fn rows() -> Vec<Row> {
    let long = "v".repeat(129);
    vec![
        ("nothing is wrong", vec![], "issued"),
        ("no redirect URI, as in OAuth 2.1", none("redirect_uri"), "issued"),
        ("the resource once more", some("resource", SALES), "issued"),
        ("another verifier", some("code_verifier", &CHALLENGE.replace('E', "F")), "invalid_grant"),
        ("no verifier", none("code_verifier"), "invalid_grant"),
        ("empty verifier", some("code_verifier", ""), "invalid_grant"),
        ("the challenge as verifier", some("code_verifier", CHALLENGE), "invalid_grant"),
        ("short verifier", some("code_verifier", "short"), "invalid_grant"),
        ("long verifier", some("code_verifier", &long), "invalid_grant"),
        ("verifier with a blank", some("code_verifier", &format!("{VERIFIER} ")), "invalid_grant"),
        ("verifier twice", some("+code_verifier", VERIFIER), "invalid_request"),
        ("another client", some("client_id", "other"), "invalid_grant"),
        ("another redirect URI", some("redirect_uri", "https://app.example/c"), "invalid_grant"),
        (
            "redirect URI with a slash more",
            some("redirect_uri", &format!("{WEB}/")),
            "invalid_grant",
        ),
        ("redirect URI twice", some("+redirect_uri", WEB), "invalid_request"),
        (
            "another code",
            some("code", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            "invalid_grant",
        ),
        ("a path as code", some("code", "../../code"), "invalid_grant"),
        ("a very long code", some("code", &"x".repeat(60_000)), "invalid_grant"),
        ("no code", none("code"), "invalid_request"),
        ("code twice", some("+code", "x"), "invalid_request"),
        ("another resource", some("resource", SUPPORT), "invalid_target"),
        ("resource twice", twice(SALES), "invalid_target"),
        ("two resources", twice(SUPPORT), "invalid_target"),
        ("foreign resource", some("resource", "https://evil.example/"), "invalid_target"),
        ("no grant type", none("grant_type"), "invalid_request"),
        ("grant type twice", some("+grant_type", "authorization_code"), "invalid_request"),
        ("password", some("grant_type", "password"), "unsupported_grant_type"),
        (
            "grant type in capitals",
            some("grant_type", "AUTHORIZATION_CODE"),
            "unsupported_grant_type",
        ),
        ("a code as refresh token", some("grant_type", "refresh_token"), "invalid_request"),
        (
            "for itself without a secret",
            some("grant_type", "client_credentials"),
            "unauthorized_client",
        ),
        ("no client", none("client_id"), "invalid_client"),
        ("unknown client", some("client_id", "nobody"), "invalid_client"),
        ("client twice", some("+client_id", "public"), "invalid_client"),
        ("a secret that there is none of", some("client_secret", SECRET), "invalid_client"),
    ]
}

#[tokio::test]
async fn every_refusal_of_a_code() {
    let bench = Bench::new().await;
    for (name, edits, expected) in rows() {
        let code = bench.code("public", SALES).await;
        let form = Bench::redeeming("public", &code);
        let edits: Vec<_> = edits.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let got = bench.token(&edited(&form, &edits)).await;
        assert_eq!(code_of(&got), expected, "{name}");
        // Whatever went wrong, the client that asked can still have what it asked for.
        if expected != "issued" {
            assert_eq!(code_of(&bench.token(&form).await), "issued", "{name}, then rightly");
        }
    }
}

#[tokio::test]
async fn a_client_proves_who_it_is() {
    let bench = Bench::new().await;
    for (name, edits, expected) in [
        ("nothing is wrong", vec![], "issued"),
        ("another secret", some("client_secret", "another"), "invalid_client"),
        ("no secret", none("client_secret"), "invalid_client"),
        ("secret twice", some("+client_secret", SECRET), "invalid_client"),
        ("as a public client", some("client_id", "public"), "invalid_client"),
    ] {
        let code = bench.code("confidential", SALES).await;
        let form = Bench::redeeming("confidential", &code);
        let edits: Vec<_> = edits.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        assert_eq!(code_of(&bench.token(&edited(&form, &edits)).await), expected, "{name}");
    }
}

#[tokio::test]
async fn unknown_wrong_used_and_expired_are_one_answer() {
    let bench = Bench::new().await;
    let mut answers = Vec::new();
    let code = bench.code("public", SALES).await;
    let form = Bench::redeeming("public", &code);
    for edits in [[("code", Some("unknown"))], [("code_verifier", Some(CHALLENGE))]] {
        answers.push(bench.token(&edited(&form, &edits)).await.unwrap_err().to_json());
    }
    bench.token(&form).await.unwrap();
    answers.push(bench.token(&form).await.unwrap_err().to_json());
    let late = Bench::redeeming("public", &bench.code("public", SALES).await);
    bench.pass(60);
    answers.push(bench.token(&late).await.unwrap_err().to_json());
    let wrong = Secret::new(format!("tgr_{}_1_{}", "0".repeat(32), "A".repeat(43)));
    answers.push(bench.token(&Bench::refreshing("public", &wrong)).await.unwrap_err().to_json());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let text = String::from_utf8(answers.remove(0)).unwrap();
    assert!(text.contains(r#""error":"invalid_grant""#), "{text}");
}

#[tokio::test]
async fn a_code_lasts_a_minute() {
    let bench = Bench::new().await;
    for (seconds, expected) in [(59, "issued"), (60, "invalid_grant"), (61, "invalid_grant")] {
        let form = Bench::redeeming("public", &bench.code("public", SALES).await);
        bench.pass(seconds);
        assert_eq!(code_of(&bench.token(&form).await), expected, "after {seconds} s");
    }
}

#[tokio::test]
async fn codes_of_two_sessions_are_not_exchanged() {
    let bench = Bench::new().await;
    let other = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN";
    // `N` has bits that are not zero behind the digest: not the spelling of any.
    let query = edited(&Bench::query("public", SALES), &[("code_challenge", Some(other))]);
    assert!(bench.server.check(&bench.settings, &query).await.is_err());
    let other = spelling::base64url(&Sha256::digest("w".repeat(43)));
    let query = edited(&Bench::query("public", SALES), &[("code_challenge", Some(&other))]);
    let theirs = bench.code_for(&query).await;
    let ours = bench.code("public", SALES).await;
    assert_eq!(code_of(&bench.token(&Bench::redeeming("public", &theirs)).await), "invalid_grant");
    let mine = Bench::redeeming("public", &ours);
    let mine = edited(&mine, &[("code_verifier", Some(&"w".repeat(43)))]);
    assert_eq!(code_of(&bench.token(&mine).await), "invalid_grant");
}

#[tokio::test]
async fn a_code_with_a_port_goes_back_to_that_port() {
    let bench = Bench::new().await;
    let at = |port: u16| format!("http://127.0.0.1:{port}/cb");
    let query = edited(&Bench::query("public", SALES), &[("redirect_uri", Some(&at(5000)))]);
    let code = bench.code_for(&query).await;
    for (port, expected) in [(5001, "invalid_grant"), (5000, "issued")] {
        let form = Bench::redeeming("public", &code);
        let form = edited(&form, &[("redirect_uri", Some(&at(port)))]);
        assert_eq!(code_of(&bench.token(&form).await), expected, "{port}");
    }
}

#[tokio::test]
async fn a_second_use_ends_what_the_first_one_gave() {
    let bench = Bench::new().await;
    let form = Bench::redeeming("public", &bench.code("public", SALES).await);
    let first = bench.token(&form).await.unwrap();
    assert!(bench.at(SALES, &first.access_token).is_ok());
    let again = bench.token(&form).await.unwrap_err();
    let incident = again.incident.unwrap();
    assert_eq!((incident.what, incident.grant), (Replayed::Code, first.grant));
    assert_eq!((incident.user.as_str(), incident.client.as_str()), ("ann@acme.com", "public"));
    assert!(bench.at(SALES, &first.access_token).is_err());
    let refresh = Bench::refreshing("public", &first.refresh_token.unwrap());
    assert_eq!(code_of(&bench.token(&refresh).await), "invalid_grant");
    // Once is enough to be told of.
    assert!(bench.token(&form).await.unwrap_err().incident.is_none());
}

#[tokio::test]
async fn a_second_use_is_noticed_after_a_restart_and_after_the_minute() {
    let bench = Bench::new().await;
    let form = Bench::redeeming("public", &bench.code("public", SALES).await);
    let first = bench.token(&form).await.unwrap();
    bench.pass(300);
    let after = bench.restarted().await;
    assert!(after.at(SALES, &first.access_token).is_ok());
    assert!(after.token(&form).await.unwrap_err().incident.is_some());
    assert!(after.at(SALES, &first.access_token).is_err());
}

#[tokio::test]
async fn of_two_uses_at_once_at_most_one_gets_tokens_and_they_end() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    for round in 0..20 {
        let form = Bench::redeeming("public", &bench.code("public", SALES).await);
        // Both have been let through before either is issued, on two processes.
        let (one, two) = tokio::join!(bench.pending(&form), other.pending(&form));
        let (one, two) =
            tokio::join!(bench.server.issue(one.unwrap()), other.server.issue(two.unwrap()));
        let mut got = [one, two];
        got.sort_by_key(Result::is_err);
        let [first, second] = got;
        let (first, second) = (first.unwrap(), second.unwrap_err());
        assert_eq!(second.incident.unwrap().grant, first.grant, "round {round}");
        let fresh = bench.restarted().await;
        assert!(fresh.at(SALES, &first.access_token).is_err(), "round {round}");
    }
}

#[tokio::test]
async fn a_pending_token_that_policy_refuses_leaves_everything_as_it_was() {
    let bench = Bench::new().await;
    let form = Bench::redeeming("public", &bench.code("public", SALES).await);
    let pending = bench.pending(&form).await.unwrap();
    assert_eq!(pending.caller().user().as_str(), "ann@acme.com");
    assert_eq!(pending.caller().client(), Some("public"));
    assert_eq!(pending.caller().authenticated(), Some(bench.ground.clock.now()));
    assert_eq!(*pending.resource(), Resource::Vmcp(vmcp("sales")));
    drop(pending);
    assert!(bench.server.grants(None, 10).await.unwrap().is_empty());
    assert_eq!(code_of(&bench.token(&form).await), "issued");
}

#[tokio::test]
async fn whoever_was_signed_out_or_deactivated_meanwhile_gets_nothing() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    let form = Bench::redeeming("public", &bench.code("public", SALES).await);
    let pending = bench.pending(&form).await.unwrap();
    bench.pass(1);
    bench.directory.sign_out_everywhere(&ann).await.unwrap();
    assert_eq!(code_of(&bench.server.issue(pending).await), "invalid_grant");
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
    bench.pass(1);
    let form = Bench::redeeming("public", &bench.code("public", SALES).await);
    bench.directory.deactivate(&ann).await.unwrap();
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
}

#[tokio::test]
async fn a_client_without_refresh_gets_none_unless_it_may() {
    let bench = Bench::new().await;
    let body = br#"{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none","grant_types":["authorization_code"]}"#;
    let source = "192.0.2.1".parse().unwrap();
    let registered = bench.server.clients().register(&bench.settings, source, body).await.unwrap();
    let id = registered.client.id.to_string();
    for (scope, has_refresh) in [("mcp", false), ("mcp offline_access", true)] {
        let query = edited(&Bench::query(&id, SALES), &[("scope", Some(scope))]);
        let code = bench.code_for(&query).await;
        let form = edited(&Bench::redeeming("public", &code), &[("client_id", Some(&id))]);
        let reply = bench.token(&form).await.unwrap();
        assert_eq!(reply.refresh_token.is_some(), has_refresh, "{scope}");
        let body: serde_json::Value = serde_json::from_str(reply.to_json().expose()).unwrap();
        assert_eq!((&body["token_type"], &body["scope"]), (&"Bearer".into(), &scope.into()));
        assert_eq!(body["expires_in"], 600);
        assert_eq!(body.get("refresh_token").is_some(), has_refresh);
    }
}

#[tokio::test]
async fn what_a_provider_says_of_a_sign_in_is_bounded() {
    let bench = Bench::new().await;
    let request = bench.request(&Bench::query("public", SALES)).await;
    let amr = (0..10_000).map(|at| format!("way{at}")).chain(["x".repeat(33)]).rev().collect();
    let at = SignInFacts { amr, ..bench.signed_in() };
    let to = bench.server.approve(&bench.ann(), at, &request, request.scopes, false).await;
    let code = answer(&to.unwrap()).remove("code").unwrap();
    let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    let body = reply.access_token.expose().split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&spelling::from_base64url(body).unwrap()).unwrap();
    let ways = claims["amr"].as_array().unwrap();
    assert_eq!((ways.len(), &ways[0]), (8, &"way9999".into()));
}

#[tokio::test]
async fn nothing_that_is_secret_can_be_printed() {
    let bench = Bench::new().await;
    let request = bench.request(&Bench::query("public", SALES)).await;
    let facts = bench.signed_in();
    let to = bench.server.approve(&bench.ann(), facts, &request, request.scopes, false).await;
    let to = to.unwrap();
    let code = answer(&to).remove("code").unwrap();
    let form = Bench::redeeming("confidential", &code);
    let whole = Form { authorization: &[], fields: &form };
    let printed = format!("{to:?} {request:?} {whole:?}");
    let form = Bench::redeeming("public", &code);
    let pending = bench.pending(&form).await.unwrap();
    let printed = format!("{printed} {pending:?}");
    let reply = bench.server.issue(pending).await.unwrap();
    bench.at(SALES, &reply.access_token).unwrap();
    let printed = format!("{printed} {reply:?} {:?}", bench.server);
    let refresh = reply.refresh_token.unwrap();
    for secret in
        [&code, VERIFIER, CHALLENGE, SECRET, reply.access_token.expose(), refresh.expose()]
    {
        assert!(!printed.contains(secret), "{printed}");
    }
}
