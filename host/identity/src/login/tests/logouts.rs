//! Signed out at the provider: which tokens are believed, and what they end.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    keys::{Signer, hs256, unsigned},
    stand::{CLIENT, NOW, Stand, change, pairs},
};
use crate::{
    directory::Directory,
    login::{LoginRefused, LogoutToken, Opened, Sessions},
};

fn claims(stand: &Stand, jti: &str, more: Value) -> Value {
    let now = stand.clock.seconds();
    let mut claims = json!({
        "iss": stand.issuer, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": jti,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        "sub": "s-1", "sid": "their-session",
    });
    change(&mut claims, more);
    claims
}

async fn presented(stand: &Stand, token: &str) -> Result<LogoutToken, LoginRefused> {
    stand.providers.logout_token(&stand.settings, "corp", token).await
}

#[tokio::test]
async fn a_logout_token_is_taken_once() {
    let stand = Stand::new().await;
    let honest = claims(&stand, "j-1", json!({}));
    let token = stand.signer.sign_as("k1", "logout+jwt", &honest);
    let taken = presented(&stand, &token).await.unwrap();
    assert_eq!((taken.provider.as_str(), taken.sid.as_deref()), ("corp", Some("their-session")));
    assert_eq!(taken.subject.as_deref(), Some("s-1"));
    assert!(matches!(presented(&stand, &token).await, Err(LoginRefused::Repeated)));
    // Other forms that the specification allows.
    for (jti, kind, more) in [
        ("j-2", "JWT", json!({})),
        ("j-3", "application/logout+jwt", json!({ "aud": [CLIENT, "x"] })),
        ("j-4", "logout+jwt", json!({ "sid": null })),
        ("j-5", "logout+jwt", json!({ "sub": null })),
        ("j-6", "logout+jwt", json!({ "exp": stand.clock.seconds() - 59 })),
    ] {
        let token = stand.signer.sign_as("k1", kind, &claims(&stand, jti, more));
        let taken = presented(&stand, &token).await;
        assert!(taken.is_ok(), "{jti}: {taken:?}");
    }
}

#[tokio::test]
async fn a_logout_token_that_does_not_hold_signs_nobody_out() {
    let stand = Stand::new().await;
    let no_event = json!({ "events": { "http://schemas.openid.net/event/other": {} } });
    let text_event =
        json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": "x" } });
    for (case, more) in [
        ("another issuer", json!({ "iss": "https://evil.test" })),
        ("another audience", json!({ "aud": "other" })),
        ("no audience", json!({ "aud": null })),
        ("over", json!({ "exp": NOW - 61 })),
        ("without an end", json!({ "exp": null })),
        ("good for ever", json!({ "exp": NOW + 86_400 * 365 })),
        ("from the future", json!({ "iat": NOW + 61 })),
        ("from long ago", json!({ "iat": NOW - 661 })),
        ("of no time", json!({ "iat": null })),
        ("without an id", json!({ "jti": null })),
        ("with an empty id", json!({ "jti": "" })),
        ("of nobody", json!({ "sub": null, "sid": null })),
        ("a session that is no text", json!({ "sid": 7 })),
        ("control characters", json!({ "sid": "a\nb" })),
        ("with a nonce", json!({ "nonce": "x" })),
        ("without an event", json!({ "events": null })),
        ("of another event", no_event),
        ("an event that is none", text_event),
    ] {
        let token = stand.signer.sign_as("k1", "logout+jwt", &claims(&stand, "j", more));
        let refused = presented(&stand, &token).await;
        assert!(matches!(refused, Err(LoginRefused::Untrusted(_))), "{case}: {refused:?}");
    }
    let honest = claims(&stand, "j", json!({}));
    let signer = &stand.signer;
    for (case, token) in [
        ("nothing", String::new()),
        ("no token", "x.y.z".to_owned()),
        ("unsigned", unsigned(&honest)),
        ("a shared secret", hs256("k1", b"hush hush", &honest)),
        ("the public key as one", hs256("k1", signer.jwk().to_string().as_bytes(), &honest)),
        ("somebody else's key", Signer::es256("k1").sign_as("k1", "logout+jwt", &honest)),
        ("a key nobody knows", signer.sign_as("k9", "logout+jwt", &honest)),
        ("an access token", signer.sign_as("k1", "at+jwt", &honest)),
        ("too long", signer.sign(&claims(&stand, "j", json!({ "x": "x".repeat(20_000) })))),
    ] {
        let refused = presented(&stand, &token).await;
        assert!(matches!(refused, Err(LoginRefused::Untrusted(_))), "{case}: {refused:?}");
    }
    presented(&stand, &signer.sign(&honest)).await.unwrap();
}

/// An ID token cannot end sessions, and a logout token cannot begin one.
#[tokio::test]
async fn tokens_of_one_kind_are_not_taken_for_the_other() {
    let stand = Stand::new().await;
    let there = stand.begin().await;
    let id_token = stand.signer.sign(&stand.claims(&there));
    assert!(matches!(presented(&stand, &id_token).await, Err(LoginRefused::Untrusted(_))));
    stand.gives(&stand.signer.sign(&claims(&stand, "j", json!({}))));
    assert!(matches!(stand.come_back(&there).await, Err(LoginRefused::Untrusted(_))));
}

#[tokio::test]
async fn a_page_of_the_provider_names_issuer_and_session() {
    let stand = Stand::new().await;
    let issuer = stand.issuer.as_str();
    for (query, holds) in [
        (vec![("iss", issuer), ("sid", "x")], true),
        (vec![("sid", "x")], false),
        (vec![("iss", issuer)], false),
        (vec![("iss", issuer), ("sid", "")], false),
        (vec![("iss", "https://evil.test"), ("sid", "x")], false),
        (vec![("iss", issuer), ("iss", issuer), ("sid", "x")], false),
        (vec![("iss", issuer), ("sid", "x"), ("sid", "y")], false),
        (vec![], false),
    ] {
        let token = stand.providers.front_channel(&stand.settings, "corp", &pairs(&query));
        assert_eq!(token.is_ok(), holds, "{query:?}");
    }
    assert_eq!(stand.asked(), 0);
}

/// Sessions of somebody who came by the provider, as it says.
async fn signed_in(
    stand: &Stand,
    sessions: &Sessions,
    directory: &Directory,
    more: Value,
) -> Opened {
    let finished = stand.sign_in(more).await.unwrap();
    let person = directory.signed_in(&finished.claimed, true).await.unwrap();
    let new = finished.into_session(person.user.id.clone());
    sessions.open(&stand.settings, &person, new).await.unwrap()
}

#[tokio::test]
async fn signing_out_at_the_provider_ends_what_it_names() {
    let stand = Stand::new().await;
    let ground = stand.providers.ground.clone();
    let directory = Directory::open(&ground, &stand.settings).await.unwrap();
    let sessions = Sessions::new(ground, Arc::clone(&directory));
    let other = json!({ "sub": "s-2", "email": "be@example.com", "sid": "theirs" });
    let one = signed_in(&stand, &sessions, &directory, json!({ "sid": "a" })).await;
    let two = signed_in(&stand, &sessions, &directory, json!({ "sid": "b" })).await;
    let unnamed = signed_in(&stand, &sessions, &directory, json!({ "sid": null })).await;
    let be = signed_in(&stand, &sessions, &directory, other).await;
    let ended = async |sid: Option<&str>, subject: Option<&str>| {
        let token = LogoutToken {
            provider: "corp".into(),
            issuer: stand.issuer.clone(),
            sid: sid.map(str::to_owned),
            subject: subject.map(str::to_owned),
        };
        let out = sessions.sign_out(&token).await.unwrap();
        out.sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert!(ended(Some("nobody's"), None).await.is_empty());
    // An issuer that had this name before, or has it later, speaks of others.
    for (sid, subject) in [(Some("a"), None), (None, Some("s-1")), (Some("x"), Some("s-1"))] {
        let token = LogoutToken {
            provider: "corp".into(),
            issuer: "https://other.test".into(),
            sid: sid.map(str::to_owned),
            subject: subject.map(str::to_owned),
        };
        assert!(sessions.sign_out(&token).await.unwrap().sessions.is_empty());
    }
    assert_eq!(ended(Some("a"), None).await, [one.session.id]);
    // The session named is not known, but one of the person's may be it.
    assert_eq!(ended(Some("gone"), Some("s-1")).await, [unnamed.session.id]);
    assert_eq!(ended(None, Some("s-1")).await, [two.session.id]);
    assert!(ended(None, Some("s-1")).await.is_empty());
    let found = sessions.find(&stand.settings, be.cookie.expose()).await.unwrap();
    assert!(found.is_some(), "somebody else stays");
    let found = sessions.find(&stand.settings, two.cookie.expose()).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn the_way_to_sign_out_at_the_provider() {
    let mut stand = Stand::new().await;
    let ground = stand.providers.ground.clone();
    let directory = Directory::open(&ground, &stand.settings).await.unwrap();
    let sessions = Sessions::new(ground, Arc::clone(&directory));
    let opened = signed_in(&stand, &sessions, &directory, json!({})).await;
    let session = sessions.end_by_cookie(opened.cookie.expose()).await.unwrap().unwrap();
    let back = "https://gate.example/o/acme/login";
    let url = stand.providers.logout_url(&stand.settings, &session, back).await.unwrap();
    let url: url::Url = url.parse().unwrap();
    assert!(url.as_str().starts_with(&format!("{}/end?", stand.issuer)));
    let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!((of("client_id").as_str(), of("post_logout_redirect_uri").as_str()), (CLIENT, back));
    assert_eq!(of("id_token_hint").split('.').count(), 3);
    stand.settings.providers.clear();
    assert!(stand.providers.logout_url(&stand.settings, &session, back).await.is_none());
}
