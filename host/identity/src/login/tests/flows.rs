//! Sign-ins that succeed, and answers that belong to none.

use serde_json::json;

use super::{
    keys::Signer,
    stand::{BROWSER, CLIENT, NOW, Says, Stand, pairs},
};
use crate::{
    directory::{Claimed, Link},
    login::LoginRefused,
    settings::Preset,
};

/// What any honest sign-in of these tests says of the person.
fn somebody(stand: &Stand) -> Claimed {
    let issuer = stand.issuer.clone();
    Claimed {
        link: Link { provider: "corp".into(), issuer, subject: "s-1".into() },
        email: Some(("ae@example.com".into(), true)),
        name: Some("Ae".into()),
        groups: vec!["eu".into(), "sales".into()],
        roles: Vec::new(),
    }
}

#[tokio::test]
async fn somebody_signs_in_with_every_kind_of_signature() {
    for signer in [Signer::es256("a"), Signer::rs256("b"), Signer::ed25519("c")] {
        let stand = Stand::with(Preset::Oidc, signer).await;
        let finished = stand.sign_in(json!({})).await.unwrap();
        assert_eq!(finished.claimed, somebody(&stand));
        assert_eq!(finished.carried, "/next?x=1");
        assert_eq!(finished.sid.as_deref(), Some("their-session"));
        assert_eq!(finished.amr, ["pwd", "otp"]);
        assert_eq!(finished.auth_time.as_millis(), (NOW - 20) * 1_000);
        assert!(stand.seen("/userinfo").is_empty(), "all claims were there");
    }
}

#[tokio::test]
async fn the_request_says_what_the_protocol_asks_for() {
    let stand = Stand::new().await;
    let there = stand.begin().await;
    assert!(there.url.as_str().starts_with(&format!("{}/authorize?", stand.issuer)));
    let of = |name: &str| {
        let mut found = there.url.query_pairs().filter(|(key, _)| key == name);
        let first = found.next().map(|(_, value)| value.into_owned());
        assert!(found.next().is_none(), "{name} twice");
        first.unwrap_or_default()
    };
    assert_eq!(of("response_type"), "code");
    assert_eq!(of("client_id"), CLIENT);
    assert_eq!(of("redirect_uri"), "https://gate.example/o/acme/login/corp/callback");
    assert_eq!(of("scope"), "openid email groups");
    assert_eq!(of("code_challenge_method"), "S256");
    assert_eq!(of("code_challenge").len(), 43);
    assert!(there.nonce.len() >= 43);
    assert!(!there.state.contains("next"), "what travels along is sealed");
    let again = stand.begin().await;
    assert!(again.nonce != there.nonce && again.state != there.state);
    assert_eq!(stand.seen("/jwks").len(), 1, "asked once, kept then");

    stand.gives(&stand.signer.sign(&stand.claims(&there)));
    stand.come_back(&there).await.unwrap();
    let [token] = &stand.seen("/token")[..] else { panic!("one request") };
    assert_eq!(token.authorization.as_deref(), Some("Basic Z2F0ZTpodXNoK2h1c2g="));
    assert_eq!(token.form["code"], "c-1");
    assert_eq!(token.form["grant_type"], "authorization_code");
    assert_eq!(token.form["redirect_uri"], "https://gate.example/o/acme/login/corp/callback");
    let verifier = openidconnect::PkceCodeVerifier::new(token.form["code_verifier"].clone());
    let challenge = openidconnect::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    assert_eq!(challenge.as_str(), of("code_challenge"));
    assert!(!token.form.contains_key("client_secret"));
}

#[tokio::test]
async fn a_provider_that_wants_the_secret_in_the_form_gets_it_there() {
    let stand = Stand::new().await;
    let mut metadata = stand.metadata();
    metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    stand.says("/.well-known/openid-configuration", Says::json(&metadata));
    stand.sign_in(json!({})).await.unwrap();
    let [token] = &stand.seen("/token")[..] else { panic!("one request") };
    assert_eq!(token.authorization, None);
    assert_eq!(token.form["client_secret"], "hush hush");
}

#[tokio::test]
async fn an_answer_that_belongs_to_no_sign_in_asks_the_provider_nothing() {
    let stand = Stand::new().await;
    let there = stand.begin().await;
    stand.gives(&stand.signer.sign(&stand.claims(&there)));
    let asked = stand.asked();
    let state = there.state.as_str();
    let mut bent = there.state.clone();
    let last = bent.pop().unwrap();
    bent.push(if last == 'A' { 'B' } else { 'A' });
    for (case, answer, browser) in [
        ("no state", vec![("code", "c-1")], BROWSER),
        ("no state at all", vec![], BROWSER),
        ("an empty state", vec![("state", ""), ("code", "c-1")], BROWSER),
        ("another state", vec![("state", "x"), ("code", "c-1")], BROWSER),
        ("a bent state", vec![("state", &bent), ("code", "c-1")], BROWSER),
        ("two states", vec![("state", state), ("state", state), ("code", "c-1")], BROWSER),
        ("two codes", vec![("state", state), ("code", "c-1"), ("code", "c-2")], BROWSER),
        ("another browser", vec![("state", state), ("code", "c-1")], "somebody else's"),
        ("a browser without a cookie", vec![("state", state), ("code", "c-1")], ""),
    ] {
        let refused = stand.come_back_with(&answer, browser).await.unwrap_err();
        assert!(matches!(refused, LoginRefused::NotBegun), "{case}: {refused:?}");
    }
    let answer = pairs(&[("state", state), ("code", "c-1")]);
    let other = stand.neighbour().await;
    let refused = other.finish(&stand.settings, "corp", &answer, BROWSER).await.unwrap_err();
    assert!(matches!(refused, LoginRefused::NotBegun), "another organisation: {refused:?}");
    let refused = stand.providers.finish(&stand.settings, "no", &answer, BROWSER).await;
    assert!(matches!(refused, Err(LoginRefused::NoProvider(_))));
    assert_eq!(stand.asked(), asked);
    // Nothing of all that has used the sign-in up.
    stand.come_back(&there).await.unwrap();
}

#[tokio::test]
async fn the_state_of_one_provider_is_none_at_another() {
    let mut stand = Stand::new().await;
    let twin = stand.provider().clone();
    stand.settings.providers.insert("twin".into(), twin);
    let there = stand.begin().await;
    let answer = pairs(&[("state", &there.state), ("code", "c-1")]);
    let refused = stand.providers.finish(&stand.settings, "twin", &answer, BROWSER).await;
    assert!(matches!(refused, Err(LoginRefused::NotBegun)));
    assert!(stand.seen("/token").is_empty());
}

#[tokio::test]
async fn a_sign_in_is_finished_once_even_by_two_at_a_time() {
    let stand = Stand::new().await;
    let there = stand.begin().await;
    stand.gives(&stand.signer.sign(&stand.claims(&there)));
    let (one, two) = tokio::join!(stand.come_back(&there), stand.come_back(&there));
    assert_eq!([&one, &two].iter().filter(|it| it.is_ok()).count(), 1, "{one:?} {two:?}");
    assert!(matches!(stand.come_back(&there).await, Err(LoginRefused::Repeated)));
    assert_eq!(stand.seen("/token").len(), 1);
}

#[tokio::test]
async fn a_sign_in_ends_after_ten_minutes() {
    let stand = Stand::new().await;
    for (seconds, fits) in [(599, true), (600, false), (86_400, false)] {
        let there = stand.begin().await;
        stand.clock.forward(seconds);
        stand.gives(&stand.signer.sign(&stand.claims(&there)));
        let finished = stand.come_back(&there).await;
        match fits {
            true => assert!(finished.is_ok(), "{seconds}: {finished:?}"),
            false => assert!(matches!(finished, Err(LoginRefused::NotBegun)), "{seconds}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_told_without_its_words() {
    let stand = Stand::new().await;
    for (error, shown) in [
        ("access_denied", "access_denied"),
        ("<script>alert(1)</script>", "scriptalertscript"),
        ("\r\n", "error"),
    ] {
        let there = stand.begin().await;
        let answer = [("state", there.state.as_str()), ("error", error), ("code", "c-1")];
        let refused = stand.come_back_with(&answer, BROWSER).await.unwrap_err();
        assert!(matches!(&refused, LoginRefused::Denied(code) if code == shown), "{refused:?}");
    }
    assert!(stand.seen("/token").is_empty());
    let there = stand.begin().await;
    let error = json!({ "error": "invalid_grant", "error_description": "canary" });
    stand.says("/token", Says::json(&error).status(400));
    let refused = stand.come_back(&there).await.unwrap_err();
    assert!(matches!(&refused, LoginRefused::Denied(code) if code == "invalid_grant"));
    assert!(!refused.to_string().contains("canary"));
}

#[tokio::test]
async fn only_providers_that_may_be_used_are() {
    let mut stand = Stand::new().await;
    stand.settings.enforced = Some("other".into());
    assert!(matches!(stand.try_begin().await, Err(LoginRefused::NoProvider(_))));
    assert_eq!(stand.asked(), 0);
    stand.settings.enforced = Some("corp".into());
    stand.sign_in(json!({})).await.unwrap();
    let begun = stand.providers.begin(&stand.settings, "corp", "", "/").await;
    assert!(matches!(begun, Err(LoginRefused::NotBegun)), "no cookie to bind it to");
}

#[tokio::test]
async fn what_the_token_lacks_is_asked_of_userinfo() {
    let stand = Stand::new().await;
    let lacking = json!({ "groups": null, "email": null, "email_verified": null });
    let more = json!({
        "sub": "s-1", "email": "ae@example.com", "email_verified": "true",
        "groups": ["from-userinfo"], "name": "somebody else", "roles": ["owner"],
    });
    stand.says("/userinfo", Says::json(&more));
    let finished = stand.sign_in(lacking.clone()).await.unwrap();
    assert_eq!(finished.claimed.groups, ["from-userinfo"]);
    assert_eq!(finished.claimed.email, Some(("ae@example.com".into(), true)));
    assert_eq!(finished.claimed.name.as_deref(), Some("Ae"), "the token's own word counts");
    assert!(finished.claimed.roles.is_empty(), "nobody asked for roles");
    let [asked] = &stand.seen("/userinfo")[..] else { panic!("one request") };
    assert_eq!(asked.authorization.as_deref(), Some("Bearer at-1"));

    for (case, says) in [
        ("of somebody else", Says::json(&json!({ "sub": "s-2", "groups": [] }))),
        ("of nobody", Says::json(&json!({ "groups": [] }))),
        ("a page", Says::text("text/html", "<p>sub: s-1")),
        ("a refusal", Says::json(&more).status(403)),
        ("elsewhere", Says::json(&more).status(302).header("location", "https://evil.test/")),
    ] {
        stand.says("/userinfo", says);
        let refused = stand.sign_in(lacking.clone()).await;
        assert!(refused.is_err(), "{case}: {refused:?}");
    }
}

/// An address is verified by whoever names it: the token's own word cannot vouch for another.
#[tokio::test]
async fn an_address_and_its_proof_come_from_one_hand() {
    let stand = Stand::new().await;
    stand.says("/userinfo", Says::json(&json!({ "sub": "s-1", "email": "new@example.com" })));
    let finished = stand.sign_in(json!({ "email": null })).await.unwrap();
    assert_eq!(finished.claimed.email, Some(("new@example.com".into(), false)));
}
