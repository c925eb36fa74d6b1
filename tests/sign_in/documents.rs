//! Clients that are known by the URL of their metadata document, served over TLS by somebody
//! else: the TypeScript SDK as one of them, and documents that are traps.

use std::{net::SocketAddr, sync::Arc};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    place::{Place, get},
    sdk::{app, connected},
    site::{Act, Site, sentinel},
};
use crate::support::{Authority, Browser, Client, Front, Response, eventually};

/// Documents may be fetched from this machine, by either of its loopback addresses.
const HERE: &str = "[registration]\nallow_addresses = [\"127.0.0.1\", \"::1\"]\n";

/// A gateway, and a site of client documents that it trusts.
struct Stand {
    place: Place,
    site: Arc<Site>,
    front: Front,
}

impl Stand {
    async fn new(
        settings: &str,
        script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let site = Arc::new(Site::start(script).await);
        let authority = Authority::new();
        let front = authority.front(site.address).await;
        let place = Place::open("okta", HERE, |setup| {
            setup
                .file("ca.pem", &authority.pem())
                .settings(settings)
                .settings("[egress]\nroots = [\"file:ca.pem\"]")
        })
        .await;
        Self { place, site, front }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.front.origin())
    }

    /// What somebody gets whom this client sends to be asked, from an address of theirs.
    async fn asked(&self, client: &str, from: &str) -> Response {
        asked(self.place.gateway.address, client, from).await
    }
}

async fn asked(gateway: SocketAddr, client: &str, from: &str) -> Response {
    let client = Client::new(gateway, &path(gateway, client));
    client.send(Method::GET, &[("x-forwarded-for", from)], "").await
}

/// Where this client would send somebody's browser.
fn path(gateway: SocketAddr, client: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", "http://127.0.0.1/callback"),
            ("resource", &format!("http://{gateway}/mcp/main")),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    format!("/oauth/authorize?{query}")
}

/// A document as an application would serve it at `url`.
fn document(url: &str) -> Value {
    json!({
        "client_id": url,
        "client_name": "The TypeScript SDK",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

#[tokio::test]
async fn the_typescript_sdk_is_known_by_its_document() {
    let stand = Stand::new("", |_| Vec::new()).await;
    let url = stand.url("/client.json");
    stand.site.serve(document(&url));
    let (gateway, resource) = (&stand.place.gateway, stand.place.gateway.url("main"));
    let metadata = format!("{}/.well-known/oauth-authorization-server", stand.place.base());
    let metadata = get(&metadata).await.json();
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    for mode in ["v1", "legacy", "modern"] {
        let app = app("client.mjs", mode, &resource, Some(&url)).await;
        let said = connected(&stand.place, &app, &Browser::new()).await;
        assert_eq!(said["client"], url.as_str(), "{mode}: {said}");
        assert_eq!(said["called"], r#"{"message":"grüße"}"#, "{mode}: {said}");
        let spoiled = app.ask("spoil").await;
        assert_eq!((&spoiled["refreshed"], &spoiled["rotated"]), (&json!(1), &json!(true)));
        assert_eq!(app.ask("again").await["called"], r#"{"message":"grüße"}"#);
    }
    assert_eq!(stand.site.seen(), ["/client.json"], "it is fetched once for all");
    // Who vouches for its name is said where somebody is asked.
    let rows = gateway.audit().await;
    assert!(rows.iter().any(|row| row.to_string().contains(&url)), "the client is on record");
}

#[tokio::test]
async fn traps_lead_nowhere_and_are_told_to_the_person() {
    let (inside, knocks) = sentinel().await;
    let json = [("content-type", "application/json")];
    let html = [("content-type", "text/html")];
    let to = move |status, place: String| Act::reply(status, &[("location", &place)], "");
    let stand = Stand::new("", move |path| {
        let with = |change: &dyn Fn(&mut Value)| {
            // The port is not known yet where this is written.
            let mut document = document("HERE");
            change(&mut document);
            Act::reply(200, &json, &document.to_string())
        };
        match path {
            "/good" => with(&|_| {}),
            "/mismatch" => with(&|it| it["client_id"] = json!("https://localhost/another")),
            "/secret" => with(&|it| it["client_secret"] = json!("canary-4711")),
            "/keys-inside" => with(&|it| {
                it["token_endpoint_auth_method"] = json!("private_key_jwt");
                it["jwks_uri"] = json!(format!("http://{inside}/keys"));
            }),
            "/script" => with(&|it| it["redirect_uris"] = json!(["javascript:alert(1)"])),
            "/301" => to(301, format!("http://{inside}/client.json")),
            "/302" => to(302, format!("https://{inside}/client.json")),
            "/303" => to(303, "http://169.254.169.254/latest/meta-data".to_owned()),
            "/307" => to(307, format!("https://{inside}/client.json")),
            "/308" => to(308, format!("https://{inside}/client.json")),
            "/308-here" => to(308, "/good".to_owned()),
            "/html" => Act::reply(200, &html, &document("HERE").to_string()),
            "/gzip" => {
                let headers = [json[0], ("content-encoding", "gzip")];
                Act::reply(200, &headers, &document("HERE").to_string())
            }
            "/404" => Act::reply(404, &json, &document("HERE").to_string()),
            "/10-gb-said" => vec![
                Act::write("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 10737418240\r\n\r\n{"),
                Act::Flood(" ".repeat(1 << 16)),
            ],
            "/10-gb-unsaid" => vec![
                Act::write("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"),
                Act::Flood(format!("10000\r\n{}\r\n", " ".repeat(1 << 16))),
            ],
            "/head" => vec![Act::write("HTTP/1.1 200 X\r\n"), Act::Flood("x: y\r\n".repeat(1_000))],
            "/drip" => vec![
                Act::write("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\n"),
                Act::Drip,
            ],
            "/silence" => vec![Act::Hang],
            "/gone" => Vec::new(),
            other => panic!("{other} was asked for"),
        }
    })
    .await;
    let here = |path: &str| stand.url(path);
    let rows = [
        (here("/mismatch"), "not the URL it was fetched from"),
        (here("/secret"), "no secret"),
        (here("/keys-inside"), "jwks_uri"),
        (here("/script"), "redirect URI"),
        (here("/301"), "status 301"),
        (here("/302"), "status 302"),
        (here("/303"), "status 303"),
        (here("/307"), "status 307"),
        (here("/308"), "status 308"),
        (here("/308-here"), "status 308"),
        (here("/html"), "did not declare"),
        (here("/gzip"), "encoded"),
        (here("/404"), "status 404"),
        (here("/10-gb-said"), "larger than"),
        (here("/10-gb-unsaid"), "larger than"),
        (here("/head"), "failed"),
        (here("/drip"), "took longer than"),
        (here("/silence"), "took longer than"),
        (here("/gone"), "failed"),
        // Addresses that are not allowed are not even asked.
        (format!("https://{inside}/client.json"), "not allowed to reach"),
        ("https://10.0.0.1/client.json".to_owned(), "not allowed to reach"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "not allowed to reach"),
        ("https://[::ffff:127.0.0.2]/client.json".to_owned(), "not allowed to reach"),
        ("https://0x7f000002/client.json".to_owned(), "host"),
        (format!("http://{}/client.json", stand.front.address), "not known here"),
        (here("/"), "path"),
        (here("/a/../good"), "path"),
        (here("/good#x"), "fragment"),
        (here("/good").replace("https://", "https://me@"), "user name"),
    ];
    for (client, says) in &rows {
        let page = Browser::new().open(&authorize(&stand, client)).await;
        let text = page.text();
        assert_eq!(page.status(), 400, "{client}: {text}");
        assert!(text.contains(says), "{client} does not say `{says}`: {text}");
        assert!(page.url.as_str().starts_with(&stand.place.base()), "{client} leads elsewhere");
        assert!(!text.contains("canary-4711"), "{client}: {text}");
    }
    assert_eq!(knocks.count(), 0, "something inside was reached");
    assert!(!stand.site.seen().contains(&"/good".to_owned()), "a redirect was followed");
    // What was read of endless documents is what fits the kernel's buffers, not gigabytes.
    assert!(stand.site.written() < 64 << 20, "{} bytes were taken", stand.site.written());
    // The same site, the same minute: a good document is a client.
    let page = Browser::new().open(&authorize(&stand, &here("/good"))).await;
    assert!(page.text().contains("so it calls itself at localhost"), "{}", page.text());
}

fn authorize(stand: &Stand, client: &str) -> String {
    format!("{}{}", stand.place.base(), path(stand.place.gateway.address, client))
}

/// Nobody can keep all places for fetches busy.
#[tokio::test]
async fn one_source_has_few_fetches_under_way_and_others_have_their_own() {
    let stand = Stand::new("trusted_proxies = [\"127.0.0.1\"]", |path| match path {
        "/good" => {
            Act::reply(200, &[("content-type", "application/json")], &document("HERE").to_string())
        }
        _ => vec![Act::Hang],
    })
    .await;
    let good = stand.url("/good");
    assert_eq!(stand.asked(&good, "198.51.100.9").await.status, 200);
    let gateway = stand.place.gateway.address;
    let mut waiting = JoinSet::new();
    for n in 0..4 {
        let url = stand.url(&format!("/slow/{n}"));
        waiting.spawn(async move { asked(gateway, &url, "198.51.100.7").await.status });
    }
    let slow = || stand.site.seen().iter().filter(|path| path.starts_with("/slow")).count();
    eventually("four fetches", || async { (slow() == 4).then_some(()) }).await;
    let fifth = stand.asked(&stand.url("/slow/5"), "198.51.100.7").await;
    assert_eq!((fifth.status.as_u16(), fifth.header("retry-after")), (429, "60"));
    let form = format!("grant_type=authorization_code&code=x&client_id={}", stand.url("/slow/6"));
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let headers = [kind, ("x-forwarded-for", "198.51.100.7")];
    let token = Client::new(gateway, "/oauth/token").send(Method::POST, &headers, form).await;
    assert_eq!(token.status, 429, "{token:?}");
    assert_eq!(slow(), 4, "more was fetched");
    // What is at hand costs nothing, and others have their own places.
    assert_eq!(stand.asked(&good, "198.51.100.7").await.status, 200);
    let url = stand.url("/slow/other");
    waiting.spawn(async move { asked(gateway, &url, "198.51.100.8").await.status });
    eventually("another's fetch", || async { (slow() == 5).then_some(()) }).await;
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), 400);
    }
    // Their places are free again.
    assert_eq!(stand.asked(&stand.url("/slow/7"), "198.51.100.7").await.status, 400);
}
