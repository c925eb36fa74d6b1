//! ID tokens and token answers that must not sign anybody in.

use serde_json::{Value, json};

use super::{
    keys::{Signer, hs256, unsigned},
    stand::{BROWSER, CLIENT, Says, Stand, There, change, tokens},
};
use crate::login::LoginRefused;

type Lie = fn(&Stand, &There, Value) -> String;

/// The honest claims with some of them changed, signed as they should be.
fn changed(stand: &Stand, mut claims: Value, more: Value) -> String {
    change(&mut claims, more);
    stand.signer.sign(&claims)
}

/// Each lie with a word of why it is refused.
const LIES: &[(&str, &str, Lie)] = &[
    ("another issuer", "issuer", |s, _, c| changed(s, c, json!({ "iss": "https://evil.test" }))),
    ("a longer issuer", "issuer", |s, _, c| {
        let iss = format!("{}/", s.issuer);
        changed(s, c, json!({ "iss": iss }))
    }),
    ("no issuer", "cannot be read", |s, _, c| changed(s, c, json!({ "iss": null }))),
    ("another audience", "client", |s, _, c| changed(s, c, json!({ "aud": "other" }))),
    ("no audience", "client", |s, _, c| changed(s, c, json!({ "aud": null }))),
    ("a second audience", "client", |s, _, c| {
        changed(s, c, json!({ "aud": [CLIENT, "other"], "azp": CLIENT }))
    }),
    ("made for another party", "client", |s, _, c| changed(s, c, json!({ "azp": "other" }))),
    ("another nonce", "sign-in", |s, _, c| changed(s, c, json!({ "nonce": "other" }))),
    ("no nonce", "sign-in", |s, _, c| changed(s, c, json!({ "nonce": null }))),
    ("over", "clocks", |s, _, c| {
        let now = s.clock.seconds();
        changed(s, c, json!({ "exp": now - 61 }))
    }),
    ("without an end", "cannot be read", |s, _, c| changed(s, c, json!({ "exp": null }))),
    ("from the future", "clocks", |s, _, c| {
        let now = s.clock.seconds();
        changed(s, c, json!({ "iat": now + 120 }))
    }),
    ("from long ago", "clocks", |s, _, c| {
        let now = s.clock.seconds();
        changed(s, c, json!({ "iat": now - 3_600 }))
    }),
    ("not good yet", "not good yet", |s, _, c| {
        let now = s.clock.seconds();
        changed(s, c, json!({ "nbf": now + 120 }))
    }),
    ("good from no time on", "not good yet", |s, _, c| changed(s, c, json!({ "nbf": "soon" }))),
    ("no subject", "cannot be read", |s, _, c| changed(s, c, json!({ "sub": null }))),
    ("another access token", "access token", |s, _, c| {
        changed(s, c, json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }))
    }),
    ("unsigned", "signature", |_, _, c| unsigned(&c)),
    ("signed with the client's secret", "signature", |s, _, c| {
        hs256(s.signer.kid, b"hush hush", &c)
    }),
    ("signed with the public key as a secret", "signature", |s, _, c| {
        hs256(s.signer.kid, s.signer.jwk().to_string().as_bytes(), &c)
    }),
    ("signed by somebody else under the same name", "signature", |s, _, c| {
        Signer::es256("k1").sign_as(s.signer.kid, "JWT", &c)
    }),
    ("signed with a key nobody knows", "unknown key", |s, _, c| s.signer.sign_as("k9", "JWT", &c)),
    ("signed with another algorithm under the same name", "unknown key", |s, _, c| {
        Signer::rs256("k1").sign_as(s.signer.kid, "JWT", &c)
    }),
    ("a logout token", "cannot be read", |s, _, c| s.signer.sign_as("k1", "logout+jwt", &c)),
    ("an access token", "cannot be read", |s, _, c| s.signer.sign_as("k1", "at+jwt", &c)),
    ("claims changed after signing", "signature", |s, _, c| {
        let honest = s.signer.sign(&c);
        let other = changed(s, c, json!({ "sub": "s-2" }));
        let of = |token: &str, at: usize| token.split('.').nth(at).unwrap().to_owned();
        format!("{}.{}.{}", of(&honest, 0), of(&other, 1), of(&honest, 2))
    }),
];

#[tokio::test]
async fn an_id_token_that_does_not_hold_signs_nobody_in() {
    let stand = Stand::new().await;
    for (case, why, lie) in LIES {
        let there = stand.begin().await;
        let token = lie(&stand, &there, stand.claims(&there));
        stand.gives(&token);
        match stand.come_back(&there).await {
            Err(LoginRefused::Untrusted(says)) => assert!(says.contains(why), "{case}: {says}"),
            other => panic!("{case}: {other:?}"),
        }
    }
    stand.sign_in(json!({})).await.unwrap();
    stand.sign_in(json!({ "aud": [CLIENT], "azp": CLIENT })).await.unwrap();
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let stand = Stand::new().await;
    let now = stand.clock.seconds();
    for more in [
        json!({ "exp": now - 59 }),
        json!({ "iat": now + 60 }),
        json!({ "nbf": now + 60 }),
        json!({ "iat": now - 600 }),
    ] {
        let finished = stand.sign_in(more.clone()).await;
        assert!(finished.is_ok(), "{more}: {finished:?}");
    }
    // What lies ahead is not believed, and no sign-in is younger than now.
    let finished = stand.sign_in(json!({ "auth_time": now + 9_999 })).await.unwrap();
    assert_eq!(finished.auth_time.as_millis(), now * 1_000);
}

#[tokio::test]
async fn the_answer_of_the_token_endpoint_must_be_one() {
    let stand = Stand::new().await;
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    for case in 0..11 {
        let there = stand.begin().await;
        let good = tokens(&stand.signer.sign(&stand.claims(&there)));
        let without = |name: &str| {
            let mut answer = good.clone();
            change(&mut answer, json!({ name: null }));
            Says::json(&answer)
        };
        let with = |name: &str, value: Value| {
            let mut answer = good.clone();
            change(&mut answer, json!({ name: value }));
            Says::json(&answer)
        };
        let says = match case {
            0 => without("id_token"),
            1 => without("access_token"),
            2 => with("token_type", json!("DPoP")),
            3 => with("access_token", json!("a\r\nx-evil: 1")),
            4 => with("access_token", json!("a\u{e9}")),
            5 => with("id_token", json!("no token")),
            6 => with("id_token", json!("a.b.c")),
            7 => Says::text("text/html", "<html>please sign in</html>"),
            8 => Says::text("application/json", huge.clone()),
            9 => Says::json(&good).status(307).header("location", "/token"),
            _ => Says::json(&good).status(302).header("location", "https://evil.test/token"),
        };
        stand.says("/token", says);
        let asked = stand.asked();
        let refused = stand.come_back(&there).await;
        let is_refused =
            matches!(refused, Err(LoginRefused::Untrusted(_) | LoginRefused::Unavailable { .. }));
        assert!(is_refused, "{case}: {refused:?}");
        assert_eq!(stand.asked(), asked + 1, "{case}: asked once and no more");
    }
}

#[tokio::test]
async fn an_answer_names_its_issuer_where_the_provider_says_it_does() {
    let stand = Stand::new().await;
    let evil = "https://evil.test";
    for (advertised, named, holds) in [
        (false, None, true),
        (false, Some(stand.issuer.clone()), true),
        (false, Some(evil.to_owned()), false),
        (true, None, false),
        (true, Some(stand.issuer.clone()), true),
        (true, Some(format!("{}/", stand.issuer)), false),
    ] {
        let mut metadata = stand.metadata();
        metadata["authorization_response_iss_parameter_supported"] = advertised.into();
        stand.says("/.well-known/openid-configuration", Says::json(&metadata));
        // Long enough for the metadata to be asked for anew.
        stand.clock.forward(90_000);
        let there = stand.begin().await;
        stand.gives(&stand.signer.sign(&stand.claims(&there)));
        let mut answer = vec![("state", there.state.as_str()), ("code", "c-1")];
        answer.extend(named.as_deref().map(|issuer| ("iss", issuer)));
        let asked = stand.seen("/token").len();
        let finished = stand.come_back_with(&answer, BROWSER).await;
        assert_eq!(finished.is_ok(), holds, "{advertised} {named:?}: {finished:?}");
        assert_eq!(stand.seen("/token").len() - asked, usize::from(holds), "the code stays here");
    }
}
