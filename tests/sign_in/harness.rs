//! The harness itself: the provider looks like its presets, and the browser keeps the rules.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::Method;
use serde_json::{Value, json};
use url::Url;

use crate::support::{Browser, Client, Cookie, Provider, SECRET};

const CALLBACK: &str = "http://127.0.0.1:9/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What is served as JSON at a URL.
async fn fetch(url: &str, method: Method, headers: &[(&str, &str)], body: String) -> Value {
    let url: Url = url.parse().unwrap();
    let address = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
    let path = &url[url::Position::BeforePath..];
    Client::new(address, path).send(method, headers, body).await.json()
}

/// A relying party that has just enough to it: what the ID token says, and what the userinfo
/// endpoint says.
async fn relying_party(provider: &Provider, scope: &str, login: &str) -> (Value, Value) {
    let configuration = format!("{}/.well-known/openid-configuration", provider.issuer);
    let metadata = fetch(&configuration, Method::GET, &[], String::new()).await;
    assert_eq!(metadata["issuer"], provider.issuer.as_str());
    let endpoint = |name: &str| metadata[name].as_str().unwrap().to_owned();

    let browser = Browser::new().stop_at(CALLBACK);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "tidegate"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("state", "a state"),
            ("nonce", "a nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    let page = browser.open(&format!("{}?{query}", endpoint("authorization_endpoint"))).await;
    let page = provider.sign_in(&browser, &page, login).await;
    assert_eq!(page.query("state").as_deref(), Some("a state"), "{}", page.url);
    assert_eq!(page.query("iss").as_deref(), Some(provider.issuer.as_str()));

    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", &page.query("code").unwrap()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
        .finish();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("tidegate:{SECRET}"));
    let basic = format!("Basic {basic}");
    let kind = "application/x-www-form-urlencoded";
    let headers = [("content-type", kind), ("authorization", basic.as_str())];
    let tokens = fetch(&endpoint("token_endpoint"), Method::POST, &headers, form).await;
    let text = |name: &str| {
        tokens[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {tokens}")).to_owned()
    };
    let claims = URL_SAFE_NO_PAD.decode(text("id_token").split('.').nth(1).unwrap()).unwrap();
    let bearer = format!("Bearer {}", text("access_token"));
    let headers = [("authorization", bearer.as_str())];
    let more = fetch(&endpoint("userinfo_endpoint"), Method::GET, &headers, String::new()).await;
    if provider.preset == "entra" {
        let url = format!("{}/me/transitiveMemberOf?$select=id", provider.graph);
        let page = fetch(&url, Method::GET, &headers, String::new()).await;
        assert_eq!(page["value"].as_array().map(Vec::len), Some(2), "{page}");
        let rest =
            fetch(page["@odata.nextLink"].as_str().unwrap(), Method::GET, &headers, String::new());
        assert_eq!(rest.await["value"].as_array().map(Vec::len), Some(2));
    }
    (serde_json::from_slice(&claims).unwrap(), more)
}

async fn known(preset: &'static str) -> Provider {
    let provider = Provider::start(preset).await;
    provider.client(json!({ "redirect_uris": [CALLBACK] })).await;
    provider
}

#[tokio::test]
async fn the_provider_looks_like_okta() {
    let provider = known("okta").await;
    let claims = json!({ "email": "ae@example.com", "email_verified": true, "groups": ["sales"] });
    provider.person("ae", claims).await;
    let (token, more) = relying_party(&provider, "openid email profile groups", "ae").await;
    assert_eq!((&token["nonce"], &token["email"]), (&json!("a nonce"), &Value::Null));
    assert_eq!(more["groups"], json!(["sales"]));
    assert_eq!(more["email_verified"], true);
}

#[tokio::test]
async fn the_provider_looks_like_google() {
    let provider = known("google").await;
    let claims = json!({ "email": "a@example.com", "email_verified": true, "hd": "example.com" });
    provider.person("117", claims).await;
    let (token, _) = relying_party(&provider, "openid email profile", "117").await;
    assert_eq!((&token["sub"], &token["hd"]), (&json!("117"), &json!("example.com")));
}

#[tokio::test]
async fn the_provider_looks_like_entra() {
    let provider = known("entra").await;
    let claims = json!({ "email": "a@example.com", "oid": "0000-1", "groups": ["left out"] });
    provider.person_of_many("pairwise", claims, &["g1", "g2", "g3"]).await;
    let (token, _) = relying_party(&provider, "openid email profile", "pairwise").await;
    assert_eq!((&token["oid"], &token["groups"]), (&json!("0000-1"), &Value::Null));
    assert_eq!(token["_claim_names"], json!({ "groups": "src1" }));
    assert!(token["tid"].is_string() && token["_claim_sources"]["src1"].is_object(), "{token}");
}

#[tokio::test]
async fn the_provider_looks_like_keycloak() {
    let provider = known("keycloak").await;
    let access = json!({ "groups": ["sales"], "roles": ["auditor"] });
    provider.person("ae", json!({ "email": "ae@example.com", "realm_access": access })).await;
    let (token, more) = relying_party(&provider, "openid email profile roles", "ae").await;
    assert_eq!(token["realm_access"], Value::Null);
    assert_eq!(more["realm_access"], access);
}

#[tokio::test]
async fn the_provider_changes_its_keys_and_counts_what_it_is_asked() {
    let provider = known("okta").await;
    let keys = format!("{}/jwks", provider.issuer);
    let kid = async || {
        let keys = fetch(&keys, Method::GET, &[], String::new()).await;
        keys["keys"][0]["kid"].as_str().unwrap().to_owned()
    };
    let old = kid().await;
    assert_eq!(kid().await, old);
    provider.rotate().await;
    assert_ne!(kid().await, old);
    assert_eq!(provider.hits().await.get("/jwks"), Some(&3));
    assert!(provider.hits().await.is_empty());
    assert_eq!(provider.sign_out("nobody").await, 0);
}

#[tokio::test]
async fn a_cookie_is_sent_where_a_browser_sends_it() {
    let browser = Browser::new();
    let provider = known("okta").await;
    let cookie = |name: &str, attributes: &[&str]| Cookie {
        host: "127.0.0.1".to_owned(),
        name: name.to_owned(),
        value: "1".to_owned(),
        path: "/".to_owned(),
        attributes: attributes.iter().map(|it| (*it).to_owned()).collect(),
    };
    browser.plant(cookie("plain", &["samesite=lax", "httponly"]));
    browser.plant(cookie("secure", &["secure"]));
    assert_eq!(browser.cookies("127.0.0.1").len(), 2);
    assert!(browser.cookies("localhost").is_empty());
    let page = browser.look(&format!("{}/.well-known/openid-configuration", provider.issuer)).await;
    assert_eq!((page.status(), browser.requests()), (200, 1));
    browser.clear();
    assert!(browser.cookies("127.0.0.1").is_empty());
}
