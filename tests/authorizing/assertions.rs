//! Enterprise-managed authorization over HTTP: an authority of the organisation vouches for a
//! person (ID-JAG), and its keys are fetched where it publishes them.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response as Answer, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    bed::{Bed, CALLBACK, Found, OWNER},
    clients::{SECRET, secret_hash},
    signer::{Signer, edited, now, unsigned},
};
use crate::support::{Authority, Front, Response};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const AUTHORITY: &str = "https://idp.example.com";
const TYPE: &str = "oauth-id-jag+jwt";

/// Where an authority publishes its keys, over TLS; ends when dropped.
struct Published {
    front: Front,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Published {
    async fn start(authority: &Authority, keys: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let front = authority.front(listener.local_addr().unwrap()).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keys, count) = (keys.clone(), Arc::clone(&count));
                let answer = service_fn(move |_| {
                    count.fetch_add(1, Ordering::SeqCst);
                    let body = Full::new(Bytes::from(keys.clone()));
                    let answer = Answer::builder().header("content-type", "application/json");
                    async move { Ok::<_, Infallible>(answer.body(body).unwrap()) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { front, asked, task }
    }
}

struct Stand {
    bed: Bed,
    found: Found,
    key: Signer,
    published: Published,
}

async fn stand() -> Stand {
    let (authority, key) = (Authority::new(), Signer::new("idp-1", 9));
    let published = Published::start(&authority, key.jwks()).await;
    let hash = secret_hash();
    let identity = format!(
        r#"
[assertions."{AUTHORITY}"]
jwks_uri = "{}/jwks"
allow_addresses = ["127.0.0.1", "::1"]
[clients.assistant]
name = "The assistant of the organisation"
secret = "{hash}"
redirect_uris = ["{CALLBACK}"]
[clients.second]
name = "Another assistant"
secret = "{hash}"
redirect_uris = ["{CALLBACK}"]
"#,
        published.front.origin()
    );
    let bed = Bed::open(|setup| {
        let setup = setup.file("identity.toml", &identity).file("ca.pem", &authority.pem());
        setup.settings("[egress]\nroots = [\"file:ca.pem\"]")
    })
    .await;
    let found = bed.discover("main").await;
    Stand { bed, found, key, published }
}

impl Stand {
    fn claims(&self, id: &str) -> Value {
        json!({
            "iss": AUTHORITY,
            "sub": "00u1",
            "aud": self.found.metadata["issuer"],
            "client_id": "assistant",
            "resource": self.found.resource,
            "scope": "mcp",
            "email": OWNER,
            "email_verified": true,
            "jti": id,
            "iat": now(),
            "exp": now() + 300,
        })
    }

    fn made(&self, id: &str, edits: Value) -> String {
        self.key.sign(&self.key.header(TYPE), &edited(&self.claims(id), &edits))
    }

    async fn ask(&self, assertion: &str, client: &str, more: &[(&str, &str)]) -> Response {
        let mut form = vec![
            ("grant_type", JWT_BEARER),
            ("assertion", assertion),
            ("client_id", client),
            ("client_secret", SECRET),
        ];
        form.extend(more);
        self.bed.post(&self.found.path("token_endpoint"), &form).await
    }
}

#[tokio::test]
async fn the_word_of_the_organisations_authority_gives_a_token_without_a_browser() {
    let stand = stand().await;
    let bed = &stand.bed;
    let answer = stand.ask(&stand.made("1", json!({})), "assistant", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert!(tokens.get("refresh_token").is_none(), "the authority is asked again");
    let answer = bed.with("main", &tokens).call("echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
    let row = bed.rows("tools/call").await.pop().unwrap();
    assert_eq!(row["caller"]["user"], OWNER, "{row}");
    let answer = bed.with("other", &tokens).request("tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
    let row = bed.rows("identity:token").await.pop().unwrap();
    let note = row["note"].as_str().unwrap();
    assert!(note.starts_with(&format!("{JWT_BEARER} to client assistant under grant")), "{note}");
    assert_eq!((&row["caller"]["user"], &row["vmcp"]), (&json!(OWNER), &json!("main")), "{row}");
    // Its keys are fetched once for all that it says.
    assert_eq!(stand.ask(&stand.made("2", json!({})), "assistant", &[]).await.status, 200);
    assert_eq!(stand.published.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_refusal_of_an_authoritys_word() {
    let stand = stand().await;
    let (bed, key) = (&stand.bed, &stand.key);
    let client = bed.register(&stand.found, "An application").await;
    let used = stand.made("used", json!({}));
    assert_eq!(stand.ask(&used, "assistant", &[]).await.status, 200);
    let other = Signer::new("idp-1", 10);
    let header = key.header(TYPE);
    let none = edited(&header, &json!({ "alg": "none" }));
    let unknown = edited(&header, &json!({ "kid": "idp-2" }));
    let nothing = stand.found.resource.replace("/main", "/nothing");
    let elsewhere = bed.gateway.url("other");
    let table = [
        ("replayed", used.clone(), "invalid_grant"),
        (
            "for somebody else",
            stand.made("a", json!({ "aud": "https://evil.example" })),
            "invalid_grant",
        ),
        (
            "for two",
            stand
                .made("b", json!({ "aud": [stand.found.metadata["issuer"], "https://a.example"] })),
            "invalid_grant",
        ),
        (
            "over",
            stand.made("c", json!({ "exp": now() - 120, "iat": now() - 180 })),
            "invalid_grant",
        ),
        ("for a day", stand.made("d", json!({ "exp": now() + 86_400 })), "invalid_grant"),
        ("without an id", stand.made("e", json!({ "jti": null })), "invalid_grant"),
        ("for another client", stand.made("f", json!({ "client_id": "second" })), "invalid_grant"),
        ("for no client", stand.made("g", json!({ "client_id": null })), "invalid_grant"),
        (
            "of another authority",
            stand.made("h", json!({ "iss": "https://evil.example" })),
            "invalid_grant",
        ),
        ("of nobody here", stand.made("i", json!({ "email": "x@example.com" })), "invalid_grant"),
        ("of somebody", stand.made("j", json!({ "email": null })), "invalid_grant"),
        ("for no place", stand.made("k", json!({ "resource": null })), "invalid_target"),
        (
            "for a place elsewhere",
            stand.made("l", json!({ "resource": "https://evil.example/mcp/main" })),
            "invalid_target",
        ),
        (
            "for nothing that there is",
            stand.made("m", json!({ "resource": nothing })),
            "access_denied",
        ),
        ("signed by another", other.sign(&header, &stand.claims("n")), "invalid_grant"),
        ("signed by none", format!("{}.", unsigned(&none, &stand.claims("o"))), "invalid_grant"),
        ("called unsigned", key.sign(&none, &stand.claims("p")), "invalid_grant"),
        ("under no known name", key.sign(&unknown, &stand.claims("q")), "invalid_grant"),
        ("of another kind", key.sign(&key.header("JWT"), &stand.claims("r")), "invalid_grant"),
        ("no assertion", "x".to_owned(), "invalid_grant"),
    ];
    let mut said = Vec::new();
    for (name, assertion, error) in &table {
        said.push((*name, *error, stand.ask(assertion, "assistant", &[]).await));
    }
    let fine = stand.made("fine", json!({}));
    let more = [("resource", &*elsewhere)];
    said.push((
        "asked for elsewhere",
        "invalid_target",
        stand.ask(&fine, "assistant", &more).await,
    ));
    said.push(("by another client", "invalid_grant", stand.ask(&fine, "second", &[]).await));
    said.push(("by nobody known", "invalid_client", stand.ask(&fine, &client, &[]).await));
    let form = [("grant_type", JWT_BEARER), ("assertion", &*fine), ("client_id", &*client)];
    let answer = bed.post(&stand.found.path("token_endpoint"), &form).await;
    said.push(("by a client without a secret", "unauthorized_client", answer));
    for (name, error, answer) in &said {
        assert_eq!(answer.json()["error"], *error, "{name}: {answer:?}");
    }
    let rows = bed.rows("identity:token").await;
    let rows = &rows[rows.len() - said.len()..];
    for ((name, error, _), row) in said.iter().zip(rows) {
        assert_eq!(row["status"], "refused", "{name}: {row}");
        let note = row["note"].as_str().unwrap_or_default();
        assert!(note == *error || *error == "access_denied", "{name}: {row}");
    }
    // Nobody made the gateway ask for keys again and again, and what is good is good still.
    assert!(stand.published.asked.load(Ordering::SeqCst) <= 2);
    assert_eq!(stand.ask(&fine, "assistant", &[]).await.status, 200);
}
