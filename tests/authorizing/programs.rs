//! Programs that come without a person: with a secret, with a key, with a person's token or
//! with the word of the organisation's own authority. Everything goes over HTTP, tokens are
//! used for calls, and every answer has its row.

use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::{
    bed::{Bed, CALLBACK, Found, OWNER},
    signer::{Signer, edited, now, unsigned},
};
use crate::support::{Response, Setup};

const SECRET: &str = "a secret of 256 bits, as it were";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The clients that an administrator has written down here.
fn clients(setup: Setup, key: &Signer) -> Setup {
    let hash: String =
        Sha256::digest(SECRET.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let identity = format!(
        r#"
[clients.report]
name = "Nightly report"
secret = "sha256:{hash}"
agent = "report-bot"
groups = ["bots"]
[clients.narrow]
name = "Nightly report of one"
secret = "sha256:{hash}"
agent = "narrow-bot"
vmcps = ["other"]
[clients.keyed]
name = "A program with a key"
jwks = "file:keyed.json"
agent = "keyed-bot"
[clients.desk]
name = "Desk with a secret"
secret = "sha256:{hash}"
redirect_uris = ["{CALLBACK}"]
[clients.broker]
name = "Broker"
secret = "sha256:{hash}"
redirect_uris = ["https://broker.example/callback"]
vmcps = ["main", "other"]
[clients.halfway]
name = "Broker of one place"
secret = "sha256:{hash}"
redirect_uris = ["https://halfway.example/callback"]
vmcps = ["other"]
"#
    );
    setup.file("identity.toml", &identity).file("keyed.json", &key.jwks())
}

async fn bed() -> (Bed, Found, Signer) {
    let key = Signer::new("k1", 3);
    let bed = Bed::open(|setup| clients(setup, &key)).await;
    let found = bed.discover("main").await;
    (bed, found, key)
}

/// `fields` with some replaced, or taken away where they are empty; `+name` is sent twice.
fn with<'a>(
    fields: &[(&'a str, &'a str)],
    edits: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = fields.to_vec();
    for (name, value) in edits {
        match name.strip_prefix('+') {
            Some(name) => fields.push((name, value)),
            None => {
                fields.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    fields.push((name, value));
                }
            }
        }
    }
    fields
}

impl Bed {
    async fn ask(&self, found: &Found, fields: &[(&str, &str)]) -> Response {
        self.post(&found.path("token_endpoint"), fields).await
    }

    /// The same with a client's secret in the header.
    async fn ask_with(&self, found: &Found, basic: &str, fields: &[(&str, &str)]) -> Response {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let basic = format!("Basic {}", base64(basic));
        let kind = "application/x-www-form-urlencoded";
        let headers = [("content-type", kind), ("authorization", basic.as_str())];
        self.at(&found.path("token_endpoint")).send(Method::POST, &headers, form).await
    }

    /// Whom the last call was recorded for, once it has gone through.
    async fn calls(&self, vmcp: &str, tokens: &Value) -> Value {
        let answer = self.with(vmcp, tokens).call("echo", json!({ "message": "hi" })).await;
        assert_eq!(answer.text(), r#"{"message":"hi"}"#);
        self.rows("tools/call").await.pop().unwrap()
    }

    /// The status of a call.
    async fn status_of(&self, vmcp: &str, tokens: &Value) -> u16 {
        self.with(vmcp, tokens).request("tools/list", json!({})).await.status.as_u16()
    }

    /// Holds a table of refusals to what was answered and to the rows there are now, the last
    /// of which belong to the table.
    async fn holds(&self, said: &[(&str, &str, Response)]) {
        for (name, error, answer) in said {
            assert_eq!(answer.json()["error"], *error, "{name}: {answer:?}");
            let status = if *error == "invalid_client" { 401 } else { 400 };
            assert_eq!(answer.status, status, "{name}");
            assert_eq!(answer.header("cache-control"), "no-store", "{name}");
            assert!(answer.json().get("access_token").is_none(), "{name}");
        }
        let rows = self.rows("identity:token").await;
        let rows = &rows[rows.len() - said.len()..];
        for ((name, error, _), row) in said.iter().zip(rows) {
            assert_eq!(row["status"], "refused", "{name}: {row}");
            let told = row["note"].as_str().unwrap_or_default();
            assert!(told == *error || *error == "access_denied", "{name}: {row}");
        }
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

#[tokio::test]
async fn an_agent_with_a_secret_takes_a_token_and_calls_a_tool() {
    let (bed, found, _) = bed().await;
    let form =
        [("grant_type", "client_credentials"), ("resource", &*found.resource), ("scope", "mcp")];
    let basic = format!("report:{}", SECRET.replace(' ', "+"));
    let posted = with(&form, &[("client_id", "report"), ("client_secret", SECRET)]);
    for answer in [bed.ask_with(&found, &basic, &form).await, bed.ask(&found, &posted).await] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let tokens = answer.json();
        assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("Bearer"), &json!("mcp")));
        assert!(tokens.get("refresh_token").is_none(), "it can ask again");
        let row = bed.calls("main", &tokens).await;
        assert_eq!(row["caller"]["user"], "report-bot", "{row}");
        assert_eq!(row["caller"]["groups"], json!(["bots"]), "{row}");
        assert_eq!(bed.status_of("other", &tokens).await, 401, "it is for one virtual MCP");
        let row = bed.rows("identity:token").await.pop().unwrap();
        assert_eq!((&row["status"], &row["vmcp"]), (&json!("ok"), &json!("main")), "{row}");
        let note = row["note"].as_str().unwrap();
        assert!(note.starts_with("client_credentials to client report under grant"), "{note}");
        assert_eq!(row["caller"]["user"], "report-bot");
    }
}

#[tokio::test]
async fn every_refusal_of_a_program_with_a_secret() {
    let (bed, found, _) = bed().await;
    let nothing = found.resource.replace("/main", "/nothing");
    let form = [
        ("grant_type", "client_credentials"),
        ("resource", &*found.resource),
        ("client_id", "report"),
        ("client_secret", SECRET),
    ];
    let mut said = Vec::new();
    for (name, edits, error) in [
        ("another secret", vec![("client_secret", "x")], "invalid_client"),
        ("no secret", vec![("client_secret", "")], "invalid_client"),
        ("nobody", vec![("client_id", "")], "invalid_client"),
        ("somebody unknown", vec![("client_id", "unknown")], "invalid_client"),
        ("two secrets", vec![("+client_secret", SECRET)], "invalid_client"),
        ("a client with a key", vec![("client_id", "keyed")], "invalid_client"),
        ("no way", vec![("grant_type", "")], "invalid_request"),
        ("a way that there is not", vec![("grant_type", "password")], "unsupported_grant_type"),
        ("a client that is nobody", vec![("client_id", "desk")], "unauthorized_client"),
        ("no resource", vec![("resource", "")], "invalid_target"),
        ("two resources", vec![("+resource", &*found.resource)], "invalid_target"),
        ("elsewhere", vec![("resource", "https://evil.example/mcp/main")], "invalid_target"),
        ("not for this client", vec![("client_id", "narrow")], "invalid_target"),
        ("nothing that there is", vec![("resource", &*nothing)], "access_denied"),
        ("no scope", vec![("scope", "\u{e9}")], "invalid_scope"),
    ] {
        said.push((name, error, bed.ask(&found, &with(&form, &edits)).await));
    }
    // Tried in the header, it is told how that goes; never both ways.
    let bare = with(&form, &[("client_id", ""), ("client_secret", "")]);
    let wrong = bed.ask_with(&found, "report:x", &bare).await;
    assert!(wrong.header("www-authenticate").starts_with("Basic "), "{wrong:?}");
    said.push(("another secret in the header", "invalid_client", wrong));
    let basic = format!("report:{}", SECRET.replace(' ', "+"));
    let both = bed.ask_with(&found, &basic, &form).await;
    said.push(("header and form", "invalid_client", both));
    bed.holds(&said).await;
    // Unknown and wrong look the same, but for nothing.
    assert_eq!(said[0].2.body, said[3].2.body);
    let rows = format!("{:?}", bed.gateway.audit().await);
    assert!(!rows.contains(SECRET) && !bed.gateway.log().contains(SECRET));
}

/// What a program with a key says of itself, good once.
fn assertion(found: &Found, id: &str) -> Value {
    let (client, issuer) = ("keyed", &found.metadata["issuer"]);
    json!({
        "iss": client, "sub": client, "aud": issuer, "jti": id, "iat": now(), "exp": now() + 60,
    })
}

fn proving<'a>(found: &'a Found, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("resource", &*found.resource),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", token),
    ]
}

#[tokio::test]
async fn an_agent_with_a_key_takes_a_token_and_calls_a_tool() {
    let (bed, found, key) = bed().await;
    let methods = &found.metadata["token_endpoint_auth_methods_supported"];
    assert!(methods.as_array().unwrap().contains(&json!("private_key_jwt")), "{methods}");
    let token_endpoint = found.metadata["token_endpoint"].clone();
    for (id, edits) in [("1", json!({})), ("2", json!({ "aud": token_endpoint }))] {
        let claims = edited(&assertion(&found, id), &edits);
        let proof = key.sign(&key.header("JWT"), &claims);
        let answer = bed.ask(&found, &proving(&found, &proof)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let row = bed.calls("main", &answer.json()).await;
        assert_eq!(row["caller"]["user"], "keyed-bot", "{row}");
        let row = bed.rows("identity:token").await.pop().unwrap();
        let note = row["note"].as_str().unwrap();
        assert!(note.starts_with("client_credentials to client keyed under grant"), "{note}");
    }
}

/// RFC 7523 section 3 and RFC 8725: whatever is wrong with the proof, the answer is the same.
#[tokio::test]
async fn every_refusal_of_a_program_with_a_key() {
    let (bed, found, key) = bed().await;
    let (other, header) = (Signer::new("k1", 4), key.header("JWT"));
    let issuer = found.metadata["issuer"].clone();
    let good = |id: &str| assertion(&found, id);
    let made = |id: &str, edits: Value| key.sign(&header, &edited(&good(id), &edits));
    let used = made("used", json!({}));
    assert_eq!(bed.ask(&found, &proving(&found, &used)).await.status, 200);
    let none = edited(&header, &json!({ "alg": "none" }));
    let symmetric = edited(&header, &json!({ "alg": "HS256" }));
    let table = [
        ("replayed", used.clone()),
        ("for somebody else", made("a", json!({ "aud": "https://evil.example" }))),
        ("for two", made("b", json!({ "aud": [issuer, "https://evil.example"] }))),
        ("for nobody", made("c", json!({ "aud": null }))),
        ("over", made("d", json!({ "exp": now() - 120, "iat": now() - 180 }))),
        ("without an end", made("e", json!({ "exp": null }))),
        ("for a day", made("f", json!({ "exp": now() + 86_400 }))),
        ("not yet", made("g", json!({ "nbf": now() + 600 }))),
        ("without an id", made("h", json!({ "jti": null }))),
        ("of another client", made("i", json!({ "sub": "report", "iss": "report" }))),
        ("said by another", made("j", json!({ "iss": "report" }))),
        ("signed by another", other.sign(&header, &good("k"))),
        ("signed by none", format!("{}.", unsigned(&none, &good("l")))),
        ("called unsigned", key.sign(&none, &good("m"))),
        ("called a secret's", key.sign(&symmetric, &good("n"))),
        ("under no known name", key.sign(&edited(&header, &json!({ "kid": "k2" })), &good("o"))),
        ("of another kind", key.sign(&key.header("at+jwt"), &good("p"))),
        ("cut off", used.rsplit_once('.').unwrap().0.to_owned()),
        ("no token", "x".to_owned()),
    ];
    let mut said = Vec::new();
    for (name, proof) in &table {
        said.push((*name, "invalid_client", bed.ask(&found, &proving(&found, proof)).await));
    }
    let fine = made("q", json!({}));
    for (name, edits) in [
        ("another type", vec![("client_assertion_type", "urn:x")]),
        ("no type", vec![("client_assertion_type", "")]),
        ("another client's name", vec![("client_id", "report")]),
        ("a secret beside it", vec![("client_secret", SECRET)]),
    ] {
        let form = with(&proving(&found, &fine), &edits);
        said.push((name, "invalid_client", bed.ask(&found, &form).await));
    }
    bed.holds(&said).await;
    // None of it used up the one that was good.
    assert_eq!(bed.ask(&found, &proving(&found, &fine)).await.status, 200);
}

#[tokio::test]
async fn a_client_learns_what_its_own_tokens_are_and_nothing_of_others() {
    let (bed, found, _) = bed().await;
    let page = bed.browser.open(&found.authorize("desk", &[("scope", "mcp offline_access")])).await;
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    let code = page.query("code").unwrap();
    let mut form = found.redeem("desk", &code);
    form.push(("client_secret", SECRET));
    let tokens = bed.ask(&found, &form).await.json();
    let path = found.path("introspection_endpoint");
    let asked = async |client: &str, token: &Value| {
        let token = token.as_str().unwrap();
        let form = [("token", token), ("client_id", client), ("client_secret", SECRET)];
        let answer = bed.post(&path, &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()
    };
    let said = asked("desk", &tokens["access_token"]).await;
    let expected = json!({
        "active": true, "token_type": "Bearer", "client_id": "desk", "sub": OWNER,
        "username": OWNER, "iss": found.metadata["issuer"], "aud": found.resource,
        "scope": "mcp offline_access", "iat": said["iat"], "nbf": said["nbf"], "exp": said["exp"],
    });
    assert_eq!(said, expected);
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 600);
    let said = asked("desk", &tokens["refresh_token"]).await;
    assert_eq!((&said["active"], &said["sub"]), (&json!(true), &json!(OWNER)), "{said}");
    assert!(said.get("token_type").is_none(), "it is no access token");
    let inactive = json!({ "active": false });
    for token in [&tokens["access_token"], &tokens["refresh_token"], &json!("x")] {
        assert_eq!(asked("broker", token).await, inactive);
    }
    // Asking changes nothing; what is given up is not active any more.
    assert_eq!(bed.calls("main", &tokens).await["caller"]["user"], OWNER);
    let token = tokens["access_token"].as_str().unwrap();
    let form = [("token", token), ("client_id", "desk"), ("client_secret", SECRET)];
    assert_eq!(bed.post(&found.path("revocation_endpoint"), &form).await.status, 200);
    for token in [&tokens["access_token"], &tokens["refresh_token"]] {
        assert_eq!(asked("desk", token).await, inactive);
    }
    let row = bed.rows("identity:revoke").await.pop().unwrap();
    assert!(row["note"].as_str().unwrap().starts_with("client desk gave up grant"), "{row}");
    // Whoever cannot say who they are learns nothing, on record.
    let form = [("token", token), ("client_id", "desk"), ("client_secret", "x")];
    let refused = bed.post(&path, &form).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]),
        (401, &json!("invalid_client"))
    );
    let row = bed.rows("identity:introspect").await.pop().unwrap();
    assert_eq!((&row["status"], &row["note"]), (&json!("refused"), &json!("invalid_client")));
}

fn exchanging<'a>(token: &'a Value, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", EXCHANGE),
        ("subject_token", token["access_token"].as_str().unwrap()),
        ("subject_token_type", ACCESS),
        ("resource", resource),
        ("client_id", "broker"),
        ("client_secret", SECRET),
    ]
}

#[tokio::test]
async fn a_persons_token_is_exchanged_for_one_elsewhere_and_ends_with_it() {
    let (bed, found, _) = bed().await;
    let client = bed.register(&found, "An application").await;
    let subject = bed.connect("main", &client, "mcp").await;
    let other = bed.gateway.url("other");
    let answer = bed.ask(&found, &exchanging(&subject, &other)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(tokens["issued_token_type"], ACCESS);
    assert!(tokens.get("refresh_token").is_none());
    let row = bed.calls("other", &tokens).await;
    assert_eq!((&row["caller"]["user"], &row["vmcp"]), (&json!(OWNER), &json!("other")), "{row}");
    assert_eq!(bed.status_of("main", &tokens).await, 401);
    let row = bed.rows("identity:token").await.pop().unwrap();
    let note = row["note"].as_str().unwrap();
    assert!(note.starts_with(&format!("{EXCHANGE} to client broker under grant")), "{note}");
    assert_eq!((&row["caller"]["user"], &row["vmcp"]), (&json!(OWNER), &json!("other")), "{row}");
    // Both end when the person's own does.
    let token = subject["access_token"].as_str().unwrap();
    let form = [("token", token), ("client_id", &*client)];
    assert_eq!(bed.post(&found.path("revocation_endpoint"), &form).await.status, 200);
    assert_eq!(bed.status_of("other", &tokens).await, 401);
    let again = bed.ask(&found, &exchanging(&subject, &other)).await;
    bed.holds(&[("given up", "invalid_request", again)]).await;
}

/// RFC 8693 section 2.2.2.
#[tokio::test]
async fn every_refusal_of_an_exchange() {
    let (bed, found, _) = bed().await;
    let client = bed.register(&found, "An application").await;
    let subject = bed.connect("main", &client, "mcp").await;
    let (main, other) = (bed.gateway.url("main"), bed.gateway.url("other"));
    let admin = format!("{}/api/v1", bed.base());
    let once = bed.ask(&found, &exchanging(&subject, &other)).await.json();
    let itself = [
        ("grant_type", "client_credentials"),
        ("resource", &*main),
        ("client_id", "report"),
        ("client_secret", SECRET),
    ];
    let itself = bed.ask(&found, &itself).await.json();
    let token = subject["access_token"].as_str().unwrap();
    let refresh = subject["refresh_token"].as_str().unwrap();
    let (body, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}", signature.chars().rev().collect::<String>());
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let form = exchanging(&subject, &other);
    let mut said = Vec::new();
    for (name, edits, error) in [
        ("exchanged already", vec![("subject_token", text(&once))], "invalid_request"),
        ("an agent's", vec![("subject_token", text(&itself))], "invalid_request"),
        ("a refresh token", vec![("subject_token", refresh)], "invalid_request"),
        ("forged", vec![("subject_token", &*forged)], "invalid_request"),
        ("none", vec![("subject_token", "")], "invalid_request"),
        ("called an ID token", vec![("subject_token_type", id_token)], "invalid_request"),
        ("for an ID token", vec![("requested_token_type", id_token)], "invalid_request"),
        ("with another actor", vec![("actor_token", token)], "invalid_request"),
        ("more rights", vec![("scope", "mcp mcp:write")], "invalid_scope"),
        ("for no place", vec![("resource", "")], "invalid_target"),
        ("for administration", vec![("resource", &*admin)], "invalid_target"),
        (
            "for a place that is not listed",
            vec![("resource", &*main), ("client_id", "halfway")],
            "invalid_target",
        ),
        ("from a place that is not listed", vec![("client_id", "halfway")], "invalid_request"),
        ("by a client without a list", vec![("client_id", "desk")], "invalid_target"),
        (
            "by a client without a secret",
            vec![("client_id", &*client), ("client_secret", "")],
            "unauthorized_client",
        ),
        ("with another secret", vec![("client_secret", "x")], "invalid_client"),
    ] {
        said.push((name, error, bed.ask(&found, &with(&form, &edits)).await));
    }
    bed.holds(&said).await;
}

fn text(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}
