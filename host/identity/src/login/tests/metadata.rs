//! Metadata and keys: where they are asked for, what is believed, how long they are kept.

use serde_json::{Value, json};

use super::{
    keys::Signer,
    stand::{Says, Stand},
};
use crate::login::LoginRefused;

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn refused(stand: &Stand, case: &str) -> String {
    match stand.try_begin().await {
        Err(LoginRefused::Unavailable { provider, why }) => {
            assert_eq!(provider, "corp");
            why
        }
        Err(other) => panic!("{case}: {other:?}"),
        Ok(_) => panic!("{case}: taken"),
    }
}

#[tokio::test]
async fn metadata_that_do_not_hold_are_not_used() {
    let stand = Stand::new().await;
    let with = |name: &str, value: Value| {
        let mut metadata = stand.metadata();
        metadata[name] = value;
        Says::json(&metadata)
    };
    let port = stand.issuer.rsplit_once(':').unwrap().1;
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    for (case, says, why) in [
        ("another issuer", with("issuer", json!("https://evil.test")), "another issuer"),
        ("a longer issuer", with("issuer", json!(format!("{}/", stand.issuer))), "another issuer"),
        ("keys elsewhere", with("jwks_uri", json!("https://evil.test/jwks")), "endpoint_hosts"),
        ("keys inside", with("jwks_uri", json!("https://10.0.0.1/jwks")), "endpoint_hosts"),
        (
            "keys without encryption",
            with("jwks_uri", json!(format!("http://localhost:{port}/jwks"))),
            "https",
        ),
        (
            "a token endpoint elsewhere",
            with("token_endpoint", json!("https://evil.test/t")),
            "hosts",
        ),
        ("one at another port", with("token_endpoint", json!("https://localhost:1/t")), "hosts"),
        ("no token endpoint", with("token_endpoint", Value::Null), "token endpoint"),
        (
            "people sent elsewhere",
            with("authorization_endpoint", json!("https://evil.test/")),
            "hosts",
        ),
        (
            "people sent nowhere",
            with("authorization_endpoint", json!("javascript:alert(1)")),
            "http",
        ),
        ("userinfo elsewhere", with("userinfo_endpoint", json!("https://evil.test/u")), "hosts"),
        ("an end elsewhere", with("end_session_endpoint", json!("https://evil.test/e")), "hosts"),
        (
            "shared secrets only",
            with("id_token_signing_alg_values_supported", json!(["HS256", "none"])),
            "algorithm",
        ),
        ("a page", Says::text("text/html", "<html>"), "no JSON"),
        ("JSON of another kind", Says::json(&json!([])), "OpenID"),
        ("too much", Says::text("application/json", huge), "larger"),
        ("an error", with("x", json!(1)).status(500), "status 500"),
        ("a way elsewhere", with("x", json!(1)).status(302).header("location", "/x"), "redirect"),
        ("a way on", with("x", json!(1)).status(307).header("location", "/x"), "redirect"),
    ] {
        stand.clock.forward(5);
        stand.says(DISCOVERY, says);
        let says = refused(&stand, case).await;
        assert!(says.contains(why), "{case}: {says}");
    }
    assert!(stand.seen("/token").is_empty() && stand.seen("/x").is_empty());
    stand.clock.forward(5);
    stand.says(DISCOVERY, Says::json(&stand.metadata()));
    stand.sign_in(json!({})).await.unwrap();
}

#[tokio::test]
async fn a_provider_is_only_where_it_may_be() {
    let mut stand = Stand::new().await;
    let honest = stand.issuer.clone();
    let port = honest.rsplit_once(':').unwrap().1.to_owned();
    stand.provider().addresses.clear();
    assert!(refused(&stand, "loopback").await.contains("not allowed"));
    assert_eq!(stand.asked(), 0);
    for (issuer, why) in [
        (format!("https://inside.test:{port}"), "not allowed"),
        (format!("http://corp.example:{port}"), "https"),
        ("https://user:pw@localhost".to_owned(), "user name"),
        ("localhost".to_owned(), "https"),
        (format!("{honest}?x=1"), "not a URL"),
    ] {
        stand.provider().issuer = issuer.clone();
        let says = refused(&stand, &issuer).await;
        assert!(says.contains(why), "{issuer}: {says}");
    }
    assert_eq!(stand.asked(), 0);
}

#[tokio::test]
async fn endpoints_elsewhere_are_used_where_the_settings_say_so() {
    let mut stand = Stand::new().await;
    let port = stand.issuer.rsplit_once(':').unwrap().1;
    let mut metadata = stand.metadata();
    metadata["authorization_endpoint"] = json!(format!("https://login.corp.example:{port}/go"));
    stand.says(DISCOVERY, Says::json(&metadata));
    refused(&stand, "not said").await;
    stand.provider().endpoint_hosts = vec!["Login.Corp.Example".into(), "inside.test".into()];
    let there = stand.begin().await;
    assert_eq!(there.url.host_str(), Some("login.corp.example"));
    // A host that may be used still leads only where this provider may be.
    metadata["token_endpoint"] = json!("https://inside.test/token");
    stand.says(DISCOVERY, Says::json(&metadata));
    stand.clock.forward(3_600);
    let refused = stand.sign_in(json!({})).await.unwrap_err();
    assert!(!refused.to_string().contains("10.0.0.1"), "not for whoever tries: {refused}");
    let LoginRefused::Unavailable { why, .. } = refused else { panic!("{refused:?}") };
    assert!(why.contains("10.0.0.1, which this connector is not allowed to reach"), "{why}");
}

#[tokio::test]
async fn metadata_are_kept_as_long_as_they_say_within_bounds() {
    for (says, kept) in [
        (None, 3_600),
        (Some("max-age=600"), 600),
        (Some("public, max-age=1"), 300),
        (Some("max-age=604800"), 86_400),
        (Some("no-store"), 300),
        (Some("max-age=soon"), 3_600),
    ] {
        let stand = Stand::new().await;
        let keys = Says::json(&json!({ "keys": [stand.signer.jwk()] }));
        let keys = match says {
            Some(text) => keys.header("cache-control", text),
            None => keys,
        };
        stand.says("/jwks", keys);
        stand.begin().await;
        stand.clock.forward(kept - 1);
        stand.begin().await;
        assert_eq!(stand.seen(DISCOVERY).len(), 1, "{says:?}: still kept");
        stand.clock.forward(1);
        stand.begin().await;
        assert_eq!(stand.seen(DISCOVERY).len(), 2, "{says:?}: asked anew");
    }
}

#[tokio::test]
async fn many_who_begin_at_once_ask_once() {
    let stand = Stand::new().await;
    let begun = (0..32).map(|_| stand.begin());
    for there in futures_util::future::join_all(begun).await {
        assert!(!there.state.is_empty());
    }
    assert_eq!((stand.seen(DISCOVERY).len(), stand.seen("/jwks").len()), (1, 1));
}

#[tokio::test]
async fn a_failure_is_everybodys_for_five_seconds() {
    let stand = Stand::new().await;
    stand.says(DISCOVERY, Says::text("text/plain", "later").status(503));
    let begun = (0..16).map(|_| stand.try_begin());
    for begun in futures_util::future::join_all(begun).await {
        assert!(matches!(begun, Err(LoginRefused::Unavailable { .. })));
    }
    assert_eq!(stand.asked(), 1);
    stand.says(DISCOVERY, Says::json(&stand.metadata()));
    stand.clock.forward(4);
    refused(&stand, "too early").await;
    stand.clock.forward(1);
    stand.begin().await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_holds_nobody_up() {
    let stand = Stand::new().await;
    stand.says(DISCOVERY, Says::never());
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    refused(&stand, "silent").await;
    assert!(before.elapsed() <= std::time::Duration::from_secs(11), "{:?}", before.elapsed());
}

#[tokio::test]
async fn new_keys_are_asked_for_at_most_twice_a_minute() {
    let mut stand = Stand::new().await;
    stand.begin().await;
    assert_eq!(stand.seen("/jwks").len(), 1);
    // The provider has a new key right after the gateway got to know it.
    let old = std::mem::replace(&mut stand.signer, Signer::es256("k2"));
    stand.says("/jwks", Says::json(&json!({ "keys": [old.jwk(), stand.signer.jwk()] })));
    stand.sign_in(json!({})).await.unwrap();
    assert_eq!(stand.seen("/jwks").len(), 2);
    // It has another one, and the gateway has just asked for keys.
    let old = std::mem::replace(&mut stand.signer, Signer::es256("k3"));
    stand.says("/jwks", Says::json(&json!({ "keys": [old.jwk(), stand.signer.jwk()] })));
    stand.clock.forward(29);
    let refused = stand.sign_in(json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("unknown key"), "{refused}");
    assert_eq!(stand.seen("/jwks").len(), 2);
    stand.clock.forward(1);
    stand.sign_in(json!({})).await.unwrap();
    assert_eq!(stand.seen("/jwks").len(), 3);
    stand.sign_in(json!({})).await.unwrap();
    assert_eq!(stand.seen("/jwks").len(), 3);
    // Names that nobody knows do not make the gateway ask again and again.
    stand.signer = Signer::es256("k4");
    for _ in 0..5 {
        stand.sign_in(json!({})).await.unwrap_err();
    }
    stand.clock.forward(30);
    for _ in 0..5 {
        stand.sign_in(json!({})).await.unwrap_err();
    }
    assert_eq!(stand.seen("/jwks").len(), 4);
}

/// Nor does somebody whose tokens name unknown keys make it knock where nobody opens.
#[tokio::test]
async fn keys_that_cannot_be_fetched_are_asked_for_no_more_often() {
    let mut stand = Stand::new().await;
    stand.sign_in(json!({})).await.unwrap();
    let known = std::mem::replace(&mut stand.signer, Signer::es256("k2"));
    stand.says("/jwks", Says::text("text/plain", "away").status(503));
    for (pause, asked) in [(0, 2), (29, 2), (1, 3)] {
        stand.clock.forward(pause);
        for _ in 0..5 {
            stand.sign_in(json!({})).await.unwrap_err();
        }
        assert_eq!(stand.seen("/jwks").len(), asked, "after {pause} seconds");
    }
    // What was known before is good all the while, and what is new once it can be fetched.
    let new = std::mem::replace(&mut stand.signer, known);
    stand.sign_in(json!({})).await.unwrap();
    stand.signer = new;
    stand.says("/jwks", Says::json(&json!({ "keys": [stand.signer.jwk()] })));
    stand.clock.forward(30);
    stand.sign_in(json!({})).await.unwrap();
}

/// A key that the provider has taken back is not good for longer than metadata are kept.
#[tokio::test]
async fn a_withdrawn_key_ends_with_the_metadata() {
    let stand = Stand::new().await;
    stand.sign_in(json!({})).await.unwrap();
    stand.says("/jwks", Says::json(&json!({ "keys": [Signer::es256("k2").jwk()] })));
    stand.clock.forward(3_600);
    let refused = stand.sign_in(json!({})).await.unwrap_err();
    assert!(matches!(refused, LoginRefused::Untrusted(_)), "{refused:?}");
}
