use std::{sync::Arc, time::Duration};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::{
    authorization::stand::{Act, START, SetClock, Site, ground, local, no_egress},
    settings::RegisteredClient,
};

const SECRET: &str = "tgs_a+b/c:d=é%";

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn jwks(key: &SigningKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
}

fn settings() -> Settings {
    let entry = RegisteredClient {
        redirect_uris: vec!["https://app.example.com/cb".into()],
        ..RegisteredClient::default()
    };
    let secret = Some(*SecretHash::of(SECRET).as_bytes());
    let clients = [
        ("public", entry.clone()),
        ("secret", RegisteredClient { secret, ..entry.clone() }),
        ("key", RegisteredClient { jwks: Some(jwks(&signer())), ..entry.clone() }),
        ("other-key", RegisteredClient { jwks: Some(jwks(&signer())), ..entry }),
    ];
    let clients = clients.map(|(id, entry)| (id.to_owned(), entry));
    Settings { clients: clients.into(), ..local() }
}

/// What it is, the `Authorization` headers, the form.
type Row<'a> = (&'a str, Vec<&'a str>, Vec<(&'a str, &'a str)>);

struct Bench {
    clock: Arc<SetClock>,
    clients: Arc<Clients>,
    settings: Settings,
}

impl Bench {
    async fn new() -> Self {
        let clock = SetClock::new();
        let clients = Clients::new(ground(&clock, no_egress()).await);
        Self { clock, clients, settings: settings() }
    }

    /// The id of the client that is authenticated.
    async fn try_with(
        &self,
        authorization: &[&str],
        form: &[(&str, &str)],
    ) -> Result<String, InvalidClient> {
        let form: Vec<_> =
            form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let credentials = Credentials::read(authorization, &form)?;
        match self.clients.authenticate(&self.settings, &credentials).await {
            Ok(client) => Ok(client.id.to_string()),
            Err(AuthenticationError::Invalid(invalid)) => Err(invalid),
            Err(other) => panic!("{other}"),
        }
    }

    async fn try_assertion(&self, assertion: &str) -> Result<String, InvalidClient> {
        let form = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
        self.try_with(&[], &form).await
    }
}

fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

fn claims(client: &str, jti: &str) -> Value {
    json!({"iss": client, "sub": client, "aud": "https://mcp.example.com", "exp": START / 1_000 + 60, "jti": jti})
}

fn assertion_with(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

fn sign(claims: &Value) -> String {
    assertion_with(&json!({"alg": "EdDSA", "kid": "k"}), claims, &signer())
}

#[tokio::test]
async fn each_way_works_for_whom_it_is() {
    let bench = Bench::new().await;
    let named = |id: &'static str| ("client_id", id);
    let header = basic("secret", SECRET);
    assert_eq!(bench.try_with(&[], &[named("public")]).await.unwrap(), "public");
    assert_eq!(bench.try_with(&[&header], &[]).await.unwrap(), "secret");
    assert_eq!(bench.try_with(&[&header], &[named("secret")]).await.unwrap(), "secret");
    let lower = header.replacen("Basic", "basic", 1);
    assert_eq!(bench.try_with(&[&lower], &[]).await.unwrap(), "secret");
    let form = [named("secret"), ("client_secret", SECRET)];
    assert_eq!(bench.try_with(&[], &form).await.unwrap(), "secret");
    assert_eq!(bench.try_assertion(&sign(&claims("key", "1"))).await.unwrap(), "key");
    let to_endpoint = json!({"iss": "key", "sub": "key", "aud": ["https://mcp.example.com/oauth/token"], "exp": START / 1_000 + 60, "jti": "2"});
    assert_eq!(bench.try_assertion(&sign(&to_endpoint)).await.unwrap(), "key");
}

/// Whatever is wrong, the answer is one.
#[tokio::test]
async fn everything_else_is_one_invalid_client() {
    let bench = Bench::new().await;
    let good = sign(&claims("key", "x"));
    let (header, public) = (basic("secret", SECRET), basic("public", ""));
    let unencoded = format!("Basic {}", STANDARD.encode("secret"));
    let wrong = basic("secret", "wrong");
    let unknown = basic("nobody", SECRET);
    let with_key = basic("key", SECRET);
    let id = |id: &'static str| ("client_id", id);
    let secret = |text: &'static str| ("client_secret", text);
    let kind = ("client_assertion_type", ASSERTION_TYPE);
    let proof = ("client_assertion", good.as_str());
    let other_kind =
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    let rows: Vec<Row<'_>> = vec![
        ("nothing", vec![], vec![]),
        ("unknown", vec![], vec![id("nobody")]),
        ("unknown with a secret", vec![], vec![id("nobody"), secret(SECRET)]),
        ("unknown by header", vec![&unknown], vec![]),
        ("no secret", vec![], vec![id("secret")]),
        ("wrong secret", vec![], vec![id("secret"), secret("wrong")]),
        ("empty secret", vec![], vec![id("secret"), secret("")]),
        ("wrong secret by header", vec![&wrong], vec![]),
        ("digest as secret", vec![], vec![id("secret"), secret("sha256:00")]),
        ("secret of a public client", vec![], vec![id("public"), secret(SECRET)]),
        ("header of a public client", vec![&public], vec![]),
        ("secret of a client with a key", vec![], vec![id("key"), secret(SECRET)]),
        ("header of a client with a key", vec![&with_key], vec![]),
        ("client with a key, no proof", vec![], vec![id("key")]),
        ("header and form", vec![&header], vec![id("secret"), secret(SECRET)]),
        ("header and assertion", vec![&header], vec![kind, proof]),
        ("form and assertion", vec![], vec![id("key"), secret(SECRET), kind, proof]),
        ("header of one, form of another", vec![&header], vec![id("public")]),
        ("assertion of one, form of another", vec![], vec![id("public"), kind, proof]),
        ("two headers", vec![&header, &header], vec![]),
        ("id twice", vec![], vec![id("public"), id("public")]),
        ("secret twice", vec![], vec![id("secret"), secret(SECRET), secret(SECRET)]),
        ("bearer", vec!["Bearer abc"], vec![id("public")]),
        ("no scheme", vec!["abc"], vec![id("public")]),
        ("empty header", vec![""], vec![id("public")]),
        ("no base64", vec!["Basic %%%"], vec![]),
        ("no colon", vec![&unencoded], vec![]),
        ("not UTF-8", vec!["Basic /zov"], vec![]),
        ("assertion without type", vec![], vec![proof]),
        ("type without assertion", vec![], vec![id("key"), kind]),
        ("other type", vec![], vec![other_kind, proof]),
        ("assertion no token", vec![], vec![kind, ("client_assertion", "x.y.z")]),
        ("empty id", vec![], vec![id("")]),
    ];
    let said = InvalidClient { challenge: Challenge::None, why: String::new() }.to_string();
    for (name, authorization, form) in rows {
        let refused = bench.try_with(&authorization, &form).await.unwrap_err();
        assert_eq!(refused.to_string(), said, "{name}");
        let expected = if authorization.is_empty() { Challenge::None } else { Challenge::Basic };
        assert_eq!(refused.challenge, expected, "{name}");
        assert!(!refused.why.contains(SECRET) && !refused.why.is_empty(), "{name}");
    }
    // None of it has used the assertion up.
    assert_eq!(bench.try_assertion(&good).await.unwrap(), "key");
}

#[tokio::test]
async fn bad_assertions_are_refused() {
    let bench = Bench::new().await;
    let with = |name: &str, value: Value| {
        let mut claims = claims("key", "j");
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.to_owned(), value),
        };
        sign(&claims)
    };
    let at = START / 1_000;
    let other = SigningKey::from_bytes(&[8; 32]);
    let header = json!({"alg": "EdDSA", "kid": "k"});
    for (name, assertion) in [
        ("other issuer", with("iss", json!("other-key"))),
        ("no issuer", with("iss", Value::Null)),
        ("other subject", with("sub", json!("other-key"))),
        ("no subject", with("sub", Value::Null)),
        ("other audience", with("aud", json!("https://evil.example"))),
        ("audience of another organisation", with("aud", json!("https://mcp.example.com/o/acme"))),
        ("audience of a resource", with("aud", json!("https://mcp.example.com/mcp/sales"))),
        ("audience with a slash", with("aud", json!("https://mcp.example.com/"))),
        (
            "one of two audiences",
            with("aud", json!(["https://mcp.example.com", "https://evil.example"])),
        ),
        ("no audience", with("aud", Value::Null)),
        ("over", with("exp", json!(at - 61))),
        ("for an hour", with("exp", json!(at + 3_600))),
        ("for six minutes and a second", with("exp", json!(at + 361))),
        ("no end", with("exp", Value::Null)),
        ("not yet", with("nbf", json!(at + 61))),
        ("no id", with("jti", Value::Null)),
        ("empty id", with("jti", json!(""))),
        ("long id", with("jti", json!("j".repeat(257)))),
        ("another key", assertion_with(&header, &claims("key", "j"), &other)),
        (
            "another kind of token",
            assertion_with(
                &json!({"alg": "EdDSA", "kid": "k", "typ": "at+jwt"}),
                &claims("key", "j"),
                &signer(),
            ),
        ),
        ("not signed", format!("{}..", URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string()))),
        ("a client with a secret", sign(&claims("secret", "j"))),
        ("a public client", sign(&claims("public", "j"))),
        ("nobody", sign(&claims("nobody", "j"))),
    ] {
        assert!(bench.try_assertion(&assertion).await.is_err(), "{name}");
    }
    let good = sign(&claims("key", "j"));
    assert!(bench.try_assertion(&good).await.is_ok(), "no refusal has used the id up");
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let bench = Bench::new().await;
    let mut all = tokio::task::JoinSet::new();
    let assertion = sign(&claims("key", "once"));
    for _ in 0..16 {
        let (clients, settings) = (Arc::clone(&bench.clients), bench.settings.clone());
        let form = vec![
            ("client_assertion_type".to_owned(), ASSERTION_TYPE.to_owned()),
            ("client_assertion".to_owned(), assertion.clone()),
        ];
        all.spawn(async move {
            let credentials = Credentials::read(&[], &form).unwrap();
            clients.authenticate(&settings, &credentials).await.is_ok()
        });
    }
    assert_eq!(all.join_all().await.into_iter().filter(|good| *good).count(), 1);
    // Until the last moment at which it could be taken.
    bench.clock.forward(Duration::from_secs(119));
    assert!(bench.try_assertion(&assertion).await.unwrap_err().why.contains("used before"));
    bench.clock.forward(Duration::from_secs(1));
    assert!(bench.try_assertion(&assertion).await.unwrap_err().why.contains("expired"));
    // The id is the client's own: another client may use the same.
    let bench = Bench::new().await;
    assert!(bench.try_assertion(&sign(&claims("key", "same"))).await.is_ok());
    assert!(bench.try_assertion(&sign(&claims("other-key", "same"))).await.is_ok());
}

#[tokio::test]
async fn a_registered_client_authenticates_as_it_registered() {
    let bench = Bench::new().await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let body = json!({"redirect_uris": ["https://app.example.com/cb"], "token_endpoint_auth_method": method});
        let source = [192, 0, 2, 1].into();
        let registered =
            bench.clients.register(&bench.settings, source, body.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_str(registered.unwrap().answer.expose()).unwrap();
        let (id, secret) =
            (answer["client_id"].as_str().unwrap(), answer["client_secret"].as_str().unwrap());
        let by_header = bench.try_with(&[&basic(id, secret)], &[]).await;
        let by_form = bench.try_with(&[], &[("client_id", id), ("client_secret", secret)]).await;
        assert_eq!(by_header.is_ok(), method == "client_secret_basic");
        assert_eq!(by_form.is_ok(), method == "client_secret_post");
        assert!(bench.try_with(&[], &[("client_id", id)]).await.is_err());
    }
}

/// A client of a document signs with keys that stand at a URL of its own.
#[tokio::test]
async fn keys_of_a_document_may_be_elsewhere() {
    let site = Site::start(|path, port| {
        let here = format!("https://docs.test:{port}");
        match path {
            "/keys" => Act::json(&jwks(&signer())),
            _ => Act::json(
                &json!({
                    "client_id": format!("{here}{path}"),
                    "redirect_uris": ["https://docs.test/cb"],
                    "token_endpoint_auth_method": "private_key_jwt",
                    "jwks_uri": format!("{here}/keys"),
                })
                .to_string(),
            ),
        }
    })
    .await;
    let clock = SetClock::new();
    let clients = Clients::new(ground(&clock, site.egress()).await);
    let bench = Bench { clock, clients, settings: settings() };
    let id = site.url("docs.test", "/client.json");
    assert_eq!(bench.try_assertion(&sign(&claims(&id, "1"))).await.unwrap(), id);
    assert!(bench.try_assertion(&sign(&claims(&id, "1"))).await.is_err());
    let other = assertion_with(
        &json!({"alg": "EdDSA", "kid": "k"}),
        &claims(&id, "2"),
        &SigningKey::from_bytes(&[8; 32]),
    );
    assert!(bench.try_assertion(&other).await.is_err());
    assert!(bench.try_with(&[], &[("client_id", &id)]).await.is_err());
    assert_eq!(site.seen().len(), 2, "document and keys, once each");
}
