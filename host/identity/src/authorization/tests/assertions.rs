//! Assertions of an organisation's authority, taken and refused.

use std::net::IpAddr;

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::{
    authorization::{
        spelling::base64url,
        stand::{Act, Site},
    },
    directory::Link,
    settings::{AssertionIssuer, ClaimNames, Preset, Provider},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const AUTHORITY: &str = "https://idp.example";
const BY_EMAIL: &str = "https://mail.example";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// The provider whose people the first authority speaks of.
fn okta() -> Provider {
    Provider {
        title: "Okta".into(),
        preset: Preset::Okta,
        issuer: "https://okta.example".into(),
        client_id: "gate".into(),
        client_secret: Secret::new(String::new()),
        scopes: Vec::new(),
        claims: ClaimNames::default(),
        addresses: Vec::new(),
        endpoint_hosts: Vec::new(),
        trust_email: false,
    }
}

struct Stand {
    bench: Bench,
    _site: Site,
}

/// A gateway that takes the assertions of two authorities, whose key is the same here.
async fn stand() -> Stand {
    let x = base64url(key().verifying_key().as_bytes());
    let jwks =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k", "alg": "EdDSA" }] });
    let site = Site::start(move |_, _| Act::json(&jwks.to_string())).await;
    let of = |provider: Option<&str>| AssertionIssuer {
        jwks_uri: site.url("docs.test", "/jwks"),
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        provider: provider.map(str::to_owned),
    };
    let mut settings = settings();
    settings.assertion_issuers.insert(AUTHORITY.into(), of(Some("okta")));
    settings.assertion_issuers.insert(BY_EMAIL.into(), of(None));
    settings.providers.insert("okta".into(), okta());
    let clock = SetClock::new();
    let ground = ground(&clock, site.egress()).await;
    let bench = Bench::on(clock, ground, settings).await;
    let ann = bench.ann().user.id.clone();
    let issuer = "https://okta.example".to_owned();
    let link = Link { provider: "okta".into(), issuer, subject: "00u1".into() };
    bench
        .directory
        .change(&ann, |user| {
            user.links = vec![link.clone()];
            Ok(())
        })
        .await
        .unwrap();
    Stand { bench, _site: site }
}

impl Stand {
    fn claims(&self, id: &str) -> Value {
        let now = self.bench.ground.clock.now().as_millis() / 1_000;
        json!({
            "iss": AUTHORITY,
            "sub": "00u1",
            "aud": "https://mcp.example.com",
            "client_id": "confidential",
            "resource": SALES,
            "scope": "mcp mcp:write",
            "jti": id,
            "iat": now,
            "exp": now + 300,
        })
    }

    fn form(header: &Value, claims: &Value) -> Fields {
        let text = [header, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        let signature = base64url(&key().sign(text.as_bytes()).to_bytes());
        let assertion = format!("{text}.{signature}");
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
        Bench::by("confidential", fields(&form))
    }
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "oauth-id-jag+jwt", "kid": "k" })
}

#[tokio::test]
async fn an_assertion_gives_a_token_once_and_no_refresh() {
    let stand = stand().await;
    let bench = &stand.bench;
    let form = Stand::form(&header(), &stand.claims("1"));
    let reply = bench.token(&form).await.unwrap();
    assert!(reply.refresh_token.is_none());
    assert_eq!(reply.scopes.to_string(), "mcp mcp:write");
    let caller = bench.at(SALES, &reply.access_token).unwrap();
    assert_eq!((caller.user().as_str(), caller.client()), ("ann@acme.com", Some("confidential")));
    let grants = bench.server.grants_of(caller.user()).await.unwrap();
    assert_eq!((grants[0].id, grants[0].origin), (reply.grant, Origin::Assertion));
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant", "twice");
    let (one, two) = {
        let form = Stand::form(&header(), &stand.claims("2"));
        (bench.pending(&form).await.unwrap(), bench.pending(&form).await.unwrap())
    };
    let (one, two) = tokio::join!(bench.server.issue(one), bench.server.issue(two));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1, "at once");
}

/// RFC 7523 section 3, and the profile for enterprise-managed authorization.
#[tokio::test]
async fn every_refusal_of_an_assertion() {
    let stand = stand().await;
    let bench = &stand.bench;
    let now = bench.ground.clock.now().as_millis() / 1_000;
    let rows: Vec<(&str, Value, &str)> = vec![
        ("nothing is wrong", json!({}), "issued"),
        ("another authority", json!({ "iss": "https://evil.example" }), "invalid_grant"),
        ("no authority", json!({ "iss": null }), "invalid_grant"),
        ("another audience", json!({ "aud": "https://evil.example" }), "invalid_grant"),
        (
            "the token endpoint as audience",
            json!({ "aud": "https://mcp.example.com/oauth/token" }),
            "invalid_grant",
        ),
        (
            "two audiences",
            json!({ "aud": ["https://mcp.example.com", "https://evil.example"] }),
            "invalid_grant",
        ),
        ("no audience", json!({ "aud": null }), "invalid_grant"),
        ("another client", json!({ "client_id": "agent" }), "invalid_grant"),
        ("no client", json!({ "client_id": null }), "invalid_grant"),
        ("over", json!({ "exp": now - 61 }), "invalid_grant"),
        ("good for a day", json!({ "exp": now + 86_400 }), "invalid_grant"),
        ("no end", json!({ "exp": null }), "invalid_grant"),
        ("from the future", json!({ "nbf": now + 61 }), "invalid_grant"),
        ("no id", json!({ "jti": null }), "invalid_grant"),
        ("empty id", json!({ "jti": "" }), "invalid_grant"),
        ("a very long id", json!({ "jti": "x".repeat(257) }), "invalid_grant"),
        ("nobody", json!({ "sub": null }), "invalid_grant"),
        ("somebody unknown", json!({ "sub": "00u9" }), "invalid_grant"),
        ("no resource", json!({ "resource": null }), "invalid_target"),
        ("foreign resource", json!({ "resource": "https://evil.example/" }), "invalid_target"),
        ("several resources", json!({ "resource": [SALES, SUPPORT] }), "invalid_target"),
        ("no scope", json!({ "scope": null }), "issued"),
    ];
    for (name, edits, expected) in rows {
        let mut claims = stand.claims(name);
        for (claim, value) in edits.as_object().unwrap() {
            claims[claim] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(claim);
            }
        }
        let got = bench.token(&Stand::form(&header(), &claims)).await;
        assert_eq!(code_of(&got), expected, "{name}");
    }
    for (name, header) in [
        ("an ordinary JWT", json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k" })),
        ("no type", json!({ "alg": "EdDSA", "kid": "k" })),
        ("none", json!({ "alg": "none", "typ": "oauth-id-jag+jwt" })),
        ("a key of its own", json!({ "alg": "EdDSA", "typ": "oauth-id-jag+jwt", "jwk": {} })),
        ("another key", json!({ "alg": "EdDSA", "typ": "oauth-id-jag+jwt", "kid": "x" })),
    ] {
        let got = bench.token(&Stand::form(&header, &stand.claims(name))).await;
        assert_eq!(code_of(&got), "invalid_grant", "{name}");
    }
    let rows = [
        ("more scope", vec![("scope", Some("mcp:destructive"))], "issued"),
        ("the same resource", vec![("resource", Some(SALES))], "issued"),
        ("another resource", vec![("resource", Some(SUPPORT))], "invalid_target"),
        ("no assertion", vec![("assertion", None)], "invalid_request"),
        ("wrong secret", vec![("client_secret", Some("x"))], "invalid_client"),
        ("another client's secret", vec![("client_id", Some("agent"))], "invalid_grant"),
        (
            "no secret",
            vec![("client_id", Some("public")), ("client_secret", None)],
            "unauthorized_client",
        ),
    ];
    for (name, edits, expected) in rows {
        let form = edited(&Stand::form(&header(), &stand.claims(name)), &edits);
        let got = bench.token(&form).await;
        assert_eq!(code_of(&got), expected, "{name}");
        // Never more than the authority said.
        assert!(got.is_err() || !got.unwrap().scopes.has(Scope::Destructive), "{name}");
    }
}

#[tokio::test]
async fn an_address_counts_where_the_authority_vouches_for_it() {
    let stand = stand().await;
    let bench = &stand.bench;
    for (name, edits, expected) in [
        ("Ben by address", json!({ "email": "ben@acme.com", "email_verified": true }), "issued"),
        ("not verified", json!({ "email": "ben@acme.com" }), "invalid_grant"),
        (
            "said to be unverified",
            json!({ "email": "ben@acme.com", "email_verified": false }),
            "invalid_grant",
        ),
        // Ann is somebody else there.
        (
            "Ann by address",
            json!({ "email": "ann@acme.com", "email_verified": true }),
            "invalid_grant",
        ),
        ("unknown", json!({ "email": "eve@acme.com", "email_verified": true }), "invalid_grant"),
        (
            "by an authority of addresses",
            json!({ "iss": BY_EMAIL, "email": "Ann@acme.com" }),
            "issued",
        ),
        ("and without one", json!({ "iss": BY_EMAIL }), "invalid_grant"),
    ] {
        let mut claims = stand.claims(name);
        claims["sub"] = "00u7".into();
        for (claim, value) in edits.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        let got = bench.token(&Stand::form(&header(), &claims)).await;
        assert_eq!(code_of(&got), expected, "{name}");
    }
    bench.pass(1);
    bench.directory.deactivate(&bench.ann().user.id).await.unwrap();
    let got = bench.token(&Stand::form(&header(), &stand.claims("inactive"))).await;
    assert_eq!(code_of(&got), "invalid_grant");
}
