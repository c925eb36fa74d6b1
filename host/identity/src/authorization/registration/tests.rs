use serde_json::{Value, json};

use model::Clock as _;

use super::*;
use crate::authorization::{
    client::{ClientError, ClientKind},
    stand::{START, SetClock, ground, no_egress},
};

const SOURCE: [u8; 4] = [192, 0, 2, 1];

struct Bench {
    clock: Arc<SetClock>,
    clients: Arc<Clients>,
    settings: Settings,
}

impl Bench {
    async fn new() -> Self {
        let clock = SetClock::new();
        let clients = Clients::new(ground(&clock, no_egress()).await);
        Self { clock, clients, settings: Settings::default() }
    }

    async fn register(&self, body: &Value) -> Result<(Arc<Client>, Value), RegistrationRefused> {
        let body = body.to_string();
        let registered =
            self.clients.register(&self.settings, SOURCE.into(), body.as_bytes()).await?;
        let answer = serde_json::from_str(registered.answer.expose()).unwrap();
        Ok((registered.client, answer))
    }

    async fn find(&self, id: &ClientId) -> Option<Arc<Client>> {
        match self.clients.find(&self.settings, id.as_str()).await {
            Ok(client) => Some(client),
            Err(ClientError::Unknown) => None,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Nobody may take these for themselves.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn plain() -> Value {
    json!({
        "client_name": "An app",
        "redirect_uris": ["https://app.example.com/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut body = plain();
    body[name] = value;
    body
}

#[tokio::test]
async fn who_names_no_grants_may_refresh() {
    let bench = Bench::new().await;
    let mut body = plain();
    body.as_object_mut().unwrap().remove("grant_types");
    let (client, answer) = bench.register(&body).await.unwrap();
    assert_eq!(client.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(answer["grant_types"], json!(["authorization_code", "refresh_token"]));
}

#[tokio::test]
async fn a_registered_client_is_found_as_it_was_registered() {
    let bench = Bench::new().await;
    let (client, answer) = bench.register(&plain()).await.unwrap();
    assert!(client.id.as_str().starts_with("dyn_"));
    assert_eq!(
        answer,
        json!({
            "client_id": client.id.as_str(),
            "client_id_issued_at": START / 1_000,
            "client_name": "An app",
            "redirect_uris": ["https://app.example.com/cb"],
            "application_type": "web",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        })
    );
    let found = bench.find(&client.id).await.unwrap();
    assert_eq!((found.kind, found.name.as_str()), (ClientKind::Registered, "An app"));
    assert_eq!(found.redirect_uris, client.redirect_uris);
    assert_eq!(found.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert!(!found.is_vouched_for() && found.agent.is_none());
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_as_a_digest() {
    let bench = Bench::new().await;
    for (method, expected) in [
        (Value::Null, "client_secret_basic"),
        (json!("client_secret_basic"), "client_secret_basic"),
        (json!("client_secret_post"), "client_secret_post"),
    ] {
        let body = with("token_endpoint_auth_method", method);
        let (client, answer) = bench.register(&body).await.unwrap();
        assert_eq!(answer["token_endpoint_auth_method"], expected);
        assert_eq!(answer["client_secret_expires_at"], 0);
        let secret = answer["client_secret"].as_str().unwrap();
        assert!(secret.starts_with("tgs_") && secret.len() == 47, "{}", secret.len());
        let found = bench.find(&client.id).await.unwrap();
        let hash = match &found.authentication {
            ClientAuthentication::SecretBasic(hash) | ClientAuthentication::SecretPost(hash) => {
                hash
            }
            other => panic!("{other:?}"),
        };
        assert!(hash.is(&SecretHash::of(secret)));
        let key = row::key(&client.id);
        let org = bench.clients.ground.issuer.org();
        let record =
            bench.clients.ground.store.get(Table::Client, org, &key).await.unwrap().unwrap();
        let text = String::from_utf8(record.value).unwrap();
        assert!(!text.contains(secret) && !format!("{client:?}").contains(secret));
    }
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let long = format!("https://app.example.com/{}", "x".repeat(1_024));
    let many: Vec<_> = (0..11).map(|n| format!("https://app.example.com/{n}")).collect();
    let key = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let mut private = key.clone();
    private["keys"][0]["d"] = json!("AAAA");
    let (redirect, metadata) = ("invalid_redirect_uri", "invalid_client_metadata");
    for (name, body, code) in [
        ("no redirect", with("redirect_uris", Value::Null), redirect),
        ("empty redirects", with("redirect_uris", json!([])), redirect),
        ("redirect as text", with("redirect_uris", json!("https://a.example/")), redirect),
        ("redirect as number", with("redirect_uris", json!([7])), redirect),
        ("11 redirects", with("redirect_uris", json!(many)), redirect),
        ("long redirect", with("redirect_uris", json!([long])), redirect),
        ("script", with("redirect_uris", json!(["javascript:alert(1)"])), redirect),
        ("plain http", with("redirect_uris", json!(["http://app.example.com/cb"])), redirect),
        ("fragment", with("redirect_uris", json!(["https://app.example.com/#"])), redirect),
        ("wildcard", with("redirect_uris", json!(["https://*.example.com/"])), redirect),
        (
            "web client on loopback",
            json!({"application_type": "web", "redirect_uris": ["http://127.0.0.1/cb"]}),
            redirect,
        ),
        (
            "web client with a scheme of its own",
            json!({"application_type": "web", "redirect_uris": ["com.example.app:/cb"]}),
            redirect,
        ),
        ("other application type", with("application_type", json!("service")), metadata),
        ("application type as number", with("application_type", json!(7)), metadata),
        ("other method", with("token_endpoint_auth_method", json!("client_secret_jwt")), metadata),
        ("tls method", with("token_endpoint_auth_method", json!("tls_client_auth")), metadata),
        ("implicit only", with("grant_types", json!(["implicit"])), metadata),
        ("password only", with("grant_types", json!(["password"])), metadata),
        ("credentials only", with("grant_types", json!(["client_credentials"])), metadata),
        ("refresh only", with("grant_types", json!(["refresh_token"])), metadata),
        ("device codes only", with("grant_types", json!([DEVICE_CODE])), metadata),
        ("no grant", with("grant_types", json!([])), metadata),
        ("grants as text", with("grant_types", json!("authorization_code")), metadata),
        ("token only", with("response_types", json!(["token"])), metadata),
        ("long name", with("client_name", json!("x".repeat(81))), metadata),
        ("name with control", with("client_name", json!("a\u{7}b")), metadata),
        ("name turned round", with("client_name", json!("\u{202e}eman")), metadata),
        ("invisible name", with("client_name", json!("Clau\u{200b}de")), metadata),
        ("name as number", with("client_name", json!(7)), metadata),
        ("key without set", with("token_endpoint_auth_method", json!("private_key_jwt")), metadata),
        ("broken set", with("jwks", json!({"keys": []})), metadata),
        ("private key", with("jwks", private), metadata),
        ("set elsewhere", with("jwks_uri", json!("https://app.example.com/keys")), metadata),
    ] {
        let refused = Bench::new().await.register(&body).await.unwrap_err();
        let RegistrationRefused::Metadata(bad) = refused else { panic!("{name}: {refused}") };
        assert_eq!(bad.code(), code, "{name}: {bad}");
    }
    let bench = Bench::new().await;
    for body in ["", "[]", "7", "{", "{\"a\":1,\"a\":2}", "\u{feff}{}", &"[".repeat(1_000)] {
        let register = bench.clients.register(&bench.settings, SOURCE.into(), body.as_bytes());
        let refused = register.await.unwrap_err();
        assert!(matches!(refused, RegistrationRefused::Metadata(_)), "{body:?}: {refused}");
    }
    let mut large = plain();
    large["contacts"] = json!("x".repeat(MAX_REQUEST));
    assert!(matches!(bench.register(&large).await, Err(RegistrationRefused::Metadata(_))));
    assert!(bench.clients.registered(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_known_or_not_wanted_is_left_out() {
    let bench = Bench::new().await;
    let mut body = plain();
    body["grant_types"] =
        json!(["implicit", "authorization_code", "client_credentials", DEVICE_CODE]);
    body["response_types"] = json!(["code", "token"]);
    body["client_uri"] = json!("javascript:alert(1)");
    body["logo_uri"] = json!("http://169.254.169.254/latest");
    body["policy_uri"] = json!("javascript:alert(2)");
    body["jwks_uri"] = Value::Null;
    body["software_statement"] = json!("x.y.z");
    body["client_id"] = json!("tidegate-cli");
    body["client_secret"] = json!("mine");
    body["client_name"] = json!("<script>alert(1)</script>");
    let (client, answer) = bench.register(&body).await.unwrap();
    assert_eq!(client.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(client.uri, None);
    // The name stays text, for pages to escape.
    assert_eq!(client.name, "<script>alert(1)</script>");
    for gone in ["client_uri", "logo_uri", "policy_uri", "client_secret", "software_statement"] {
        assert!(answer.get(gone).is_none(), "{gone}");
    }
    assert!(client.id.as_str().starts_with("dyn_"));
    let (client, _) =
        bench.register(&with("client_uri", json!("https://app.example.com/"))).await.unwrap();
    assert_eq!(client.uri.as_deref(), Some("https://app.example.com/"));
}

#[tokio::test]
async fn where_it_runs_follows_from_where_answers_go() {
    let bench = Bench::new().await;
    for (said, redirect, expected) in [
        (Value::Null, "https://app.example.com/cb", ApplicationType::Web),
        (Value::Null, "http://localhost:33418/cb", ApplicationType::Native),
        (Value::Null, "com.example.app:/cb", ApplicationType::Native),
        (json!("native"), "http://127.0.0.1/cb", ApplicationType::Native),
        (json!("native"), "https://app.example.com/cb", ApplicationType::Native),
        (json!("web"), "https://app.example.com/cb", ApplicationType::Web),
    ] {
        let body = json!({"application_type": said, "redirect_uris": [redirect]});
        let (client, answer) = bench.register(&body).await.unwrap();
        assert_eq!(client.application_type, expected, "{said} {redirect}");
        assert!(answer["client_name"].as_str().is_some_and(|name| !name.is_empty()));
    }
}

#[tokio::test]
async fn keys_of_a_client_are_kept() {
    let bench = Bench::new().await;
    let mut body = with("token_endpoint_auth_method", json!("private_key_jwt"));
    body["jwks"] = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let (client, answer) = bench.register(&body).await.unwrap();
    assert!(answer.get("client_secret").is_none());
    assert_eq!(answer["jwks"], body["jwks"]);
    let found = bench.find(&client.id).await.unwrap();
    assert!(matches!(&found.authentication, ClientAuthentication::PrivateKey(ClientKeys::Here(_))));
}

#[tokio::test]
async fn unused_ones_are_forgotten_after_a_day() {
    let bench = Bench::new().await;
    let (idle, _) = bench.register(&plain()).await.unwrap();
    let (busy, _) = bench.register(&plain()).await.unwrap();
    bench.clock.forward(UNUSED - Duration::from_millis(1));
    assert!(bench.find(&idle.id).await.is_some());
    bench.clients.used(&bench.settings, &busy).await.unwrap();
    bench.clock.forward(Duration::from_millis(1));
    assert!(bench.find(&idle.id).await.is_none());
    assert!(bench.find(&busy.id).await.is_some());
    // Used at times, it stays; then it goes.
    for _ in 0..3 {
        bench.clock.forward(USED - Duration::from_secs(1));
        bench.clients.used(&bench.settings, &busy).await.unwrap();
    }
    assert!(bench.find(&busy.id).await.is_some());
    bench.clock.forward(USED);
    assert!(bench.find(&busy.id).await.is_none());
    bench.clients.used(&bench.settings, &busy).await.unwrap();
    assert!(bench.find(&busy.id).await.is_none(), "a use brings nothing back");
}

#[tokio::test]
async fn a_client_outlives_what_was_granted_to_it() {
    let mut bench = Bench::new().await;
    bench.settings.grant_idle = Duration::from_secs(400 * 86_400);
    let (client, _) = bench.register(&plain()).await.unwrap();
    bench.clients.used(&bench.settings, &client).await.unwrap();
    bench.clock.forward(bench.settings.grant_idle);
    assert!(bench.find(&client.id).await.is_some());
}

#[tokio::test]
async fn a_flood_ends_at_the_quota() {
    let bench = Bench::new().await;
    let mut stored = 0;
    for _ in 0..10_000 {
        match bench.register(&plain()).await {
            Ok(_) => stored += 1,
            Err(RegistrationRefused::TooMany { retry_after }) => {
                assert!(retry_after <= Duration::from_secs(3_600));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(stored, PER_SOURCE);
    let entries = bench.clients.registered(None, 1_000).await.unwrap();
    assert_eq!(entries.len(), PER_SOURCE as usize);
    // Bad ones are not counted: somebody else behind the same address can still register.
    bench.clock.forward(Duration::from_secs(3_600));
    for _ in 0..10 * PER_SOURCE {
        assert!(bench.register(&json!({})).await.is_err());
    }
    assert!(bench.register(&plain()).await.is_ok());
}

#[tokio::test]
async fn no_more_fit_than_the_total() {
    let bench = Bench::new().await;
    let (first, _) = bench.register(&plain()).await.unwrap();
    let org = bench.clients.ground.issuer.org();
    let expires = bench.clock.now().after(UNUSED);
    for chunk in 0..10_u16 {
        let mut batch = Batch::new();
        for n in 0..1_000_u16 {
            let key = [row::PREFIX, b"dyn_", &chunk.to_be_bytes(), &n.to_be_bytes()].concat();
            batch = batch.with(Op::Put(Put {
                table: Table::Client,
                org: org.clone(),
                key,
                value: Vec::new(),
                schema: row::SCHEMA,
                expires: Some(expires),
                expect: Expect::Any,
            }));
        }
        bench.clients.ground.store.commit(batch).await.unwrap();
    }
    // Another process has filled it: seen when the count is not believed any more.
    bench.clock.forward(Duration::from_secs(600));
    assert!(matches!(bench.register(&plain()).await, Err(RegistrationRefused::Full)));
    assert!(bench.find(&first.id).await.is_some());
    bench.clock.forward(UNUSED);
    assert!(bench.register(&plain()).await.is_ok(), "the unused ones are gone");
}

#[tokio::test]
async fn administrators_see_and_forget_them() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.register(&plain()).await.unwrap().0.id.clone());
    }
    ids.sort();
    let first = bench.clients.registered(None, 3).await.unwrap();
    let rest = bench.clients.registered(Some(&first[2].client.id), 3).await.unwrap();
    let listed: Vec<_> = first.iter().chain(&rest).map(|it| it.client.id.clone()).collect();
    assert_eq!(listed, ids);
    assert_eq!(first[0].created.as_millis(), START);
    assert_eq!((first[0].used, first[0].expires), (None, Some(first[0].created.after(UNUSED))));

    assert!(bench.clients.remove(&ids[0]).await.unwrap());
    assert!(!bench.clients.remove(&ids[0]).await.unwrap());
    assert!(bench.find(&ids[0]).await.is_none());
    let foreign = ClientId::new("reporting").unwrap();
    assert!(!bench.clients.remove(&foreign).await.unwrap());
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let mut bench = Bench::new().await;
    let (client, _) = bench.register(&plain()).await.unwrap();
    bench.settings.dynamic_registration = false;
    assert!(matches!(bench.register(&plain()).await, Err(RegistrationRefused::Off)));
    assert!(bench.find(&client.id).await.is_some(), "those there stay");
}
