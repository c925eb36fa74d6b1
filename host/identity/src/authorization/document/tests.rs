use serde_json::{Value, json};

use super::*;
use crate::authorization::{
    client::Clients,
    redirect::RedirectUri,
    stand::{Act, SetClock, Site, ground, local},
};

struct Bench {
    clock: Arc<SetClock>,
    site: Site,
    clients: Arc<Clients>,
}

impl Bench {
    async fn new(script: impl Fn(&str, u16) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let (clock, site) = (SetClock::new(), Site::start(script).await);
        let clients = Clients::new(ground(&clock, site.egress()).await);
        Self { clock, site, clients }
    }

    async fn find(&self, settings: &Settings, id: &str) -> Result<Arc<Client>, String> {
        self.clients.find(settings, id).await.map_err(|error| error.to_string())
    }

    fn id(&self) -> String {
        self.site.url("docs.test", "/client.json")
    }
}

fn document(path: &str, port: u16) -> Value {
    json!({
        "client_id": format!("https://docs.test:{port}{path}"),
        "client_name": "Docs",
        "client_uri": "https://docs.test/",
        "logo_uri": "https://docs.test/logo.png",
        "redirect_uris": ["https://docs.test/cb", "http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn good(path: &str, port: u16) -> Vec<Act> {
    Act::json(&document(path, port).to_string())
}

#[tokio::test]
async fn a_document_makes_a_client() {
    let bench = Bench::new(good).await;
    let client = bench.find(&local(), &bench.id()).await.unwrap();
    assert_eq!((client.kind, client.name.as_str()), (ClientKind::Document, "Docs"));
    assert_eq!(client.id.as_str(), bench.id());
    let (other, settings) = (bench.site.url("docs.test", "/other.json"), local());
    assert!(!bench.clients.would_fetch(&settings, &bench.id()), "it is at hand");
    assert!(bench.clients.would_fetch(&settings, &other));
    for none in ["app", "dyn_x", "http://docs.test/x", "https://docs.test", "tidegate-cli", ""] {
        assert!(!bench.clients.would_fetch(&settings, none), "{none}");
    }
    bench.clock.forward(Duration::from_secs(300));
    assert!(bench.clients.would_fetch(&settings, &bench.id()), "its time is over");
    assert!(!client.is_confidential() && !client.is_vouched_for() && !client.is_loopback_only());
    assert!(client.redirects_to(&RedirectUri::parse("http://127.0.0.1:5000/cb").unwrap()));
    let seen = bench.site.seen();
    // Nothing but the document is fetched, and nothing of ours goes along.
    assert_eq!(seen.len(), 1);
    let head = seen[0].to_ascii_lowercase();
    assert!(head.starts_with("get /client.json http/1.1\r\n"), "{head}");
    for header in ["cookie", "authorization", "referer"] {
        assert!(!head.contains(&format!("\r\n{header}:")), "{head}");
    }
}

#[tokio::test]
async fn a_client_that_answers_only_to_this_machine_is_known_as_such() {
    let bench = Bench::new(|path, port| {
        let mut document = document(path, port);
        document["redirect_uris"] = json!(["http://127.0.0.1/cb", "http://localhost/cb"]);
        document["client_name"] = Value::Null;
        Act::json(&document.to_string())
    })
    .await;
    let client = bench.find(&local(), &bench.id()).await.unwrap();
    assert!(client.is_loopback_only());
    assert_eq!(client.name, "docs.test", "the host of its id, not of its redirect");
}

#[tokio::test]
async fn urls_that_are_no_ids_are_never_asked_for() {
    let bench = Bench::new(good).await;
    for (url, part) in [
        ("https://docs.test", "path"),
        ("https://docs.test/", "path"),
        ("https://docs.test/?x", "path"),
        ("https://docs.test/a/../client.json", "path"),
        ("https://docs.test/./client.json", "path"),
        ("https://docs.test/%2e%2e/client.json", "path"),
        ("https://docs.test/a%2fclient.json", "path"),
        ("https://docs.test/client.json#x", "fragment"),
        ("https://user@docs.test/client.json", "user name"),
        ("https://user:pw@docs.test/client.json", "user name"),
        ("https://DOCS.test/client.json", "host"),
        ("https://docs.test./client.json", "host"),
        ("https://127.1/client.json", "host"),
        ("https://0x7f000001/client.json", "host"),
        ("https:///client.json", "host"),
        ("https://docs.test:0/client.json", "port"),
        ("https://docs.test\\@evil.test/client.json", "ASCII"),
        ("https://docs.test/%00", "percent"),
    ] {
        let refused = bench.find(&local(), url).await.unwrap_err();
        assert!(refused.contains(part), "{url}: {refused}");
    }
    assert_eq!(bench.site.seen().len(), 0);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_dialled() {
    let bench = Bench::new(good).await;
    let settings = Settings::default();
    let port = bench.id().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    for url in [
        bench.id(),
        format!("https://127.0.0.1:{port}/client.json"),
        format!("https://[::1]:{port}/client.json"),
        format!("https://[::ffff:7f00:1]:{port}/client.json"),
        "https://10.0.0.1/client.json".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        bench.site.url("metadata.test", "/client.json"),
    ] {
        let refused = bench.find(&settings, &url).await.unwrap_err();
        assert!(refused.contains("not allowed to reach") || refused.contains("host"), "{refused}");
    }
    // One address that is allowed opens no other.
    let refused = bench.find(&local(), &bench.site.url("metadata.test", "/x")).await.unwrap_err();
    assert!(refused.contains("not allowed to reach"), "{refused}");
    assert_eq!(bench.site.seen().len(), 0);
}

#[tokio::test]
async fn bad_documents_are_refused_and_lead_nowhere() {
    let bench = Bench::new(|path, port| {
        let with = |name: &str, value: Value| {
            let mut document = document(path, port);
            document[name] = value;
            Act::json(&document.to_string())
        };
        let here = format!("https://docs.test:{port}");
        let json = [("content-type", "application/json")];
        match path {
            "/mismatch" => with("client_id", json!(format!("{here}/client.json"))),
            "/slash" => with("client_id", json!(format!("{here}/slash/"))),
            "/case" => with("client_id", json!(format!("{here}/Case"))),
            "/no-id" => with("client_id", Value::Null),
            "/id-number" => with("client_id", json!(7)),
            "/secret" => with("client_secret", json!("s3cret")),
            "/secret-end" => with("client_secret_expires_at", json!(0)),
            "/basic" => with("token_endpoint_auth_method", json!("client_secret_basic")),
            "/post" => with("token_endpoint_auth_method", json!("client_secret_post")),
            "/shared-jwt" => with("token_endpoint_auth_method", json!("client_secret_jwt")),
            "/no-keys" => with("token_endpoint_auth_method", json!("private_key_jwt")),
            "/script" => with("redirect_uris", json!(["javascript:alert(1)"])),
            "/no-redirect" => with("redirect_uris", json!([])),
            "/long" => with("contacts", json!("x".repeat(MAX_BYTES))),
            "/list" => Act::json("[]"),
            "/twice" => {
                let text = document(path, port).to_string();
                Act::json(&text.replacen('{', "{\"client_name\":\"x\",", 1))
            }
            "/cut" => Act::json("{\"client_id\":"),
            "/empty" => Act::json(""),
            "/html" => Act::reply(200, &[("content-type", "text/html")], "<html>"),
            "/untyped" => Act::reply(200, &[], &document(path, port).to_string()),
            "/gzip" => {
                let headers = [json[0], ("content-encoding", "gzip")];
                Act::reply(200, &headers, &document(path, port).to_string())
            }
            "/404" => Act::reply(404, &json, &document(path, port).to_string()),
            "/201" => Act::reply(201, &json, &document(path, port).to_string()),
            "/301" => Act::reply(301, &[("location", "/client.json")], ""),
            "/302" => Act::reply(302, &[("location", "http://127.0.0.1/")], ""),
            "/307" => Act::reply(307, &[("location", "/client.json")], ""),
            "/308" => Act::reply(308, &[("location", "https://metadata.test/")], ""),
            "/10-gb" => vec![Act::Write(
                b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 10000000000\r\n\r\n{".to_vec(),
            ), Act::Hang],
            "/flood" => vec![
                Act::Write(
                    b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
                ),
                Act::Flood(b"400\r\n".iter().copied().chain([b' '; 0x400]).chain(*b"\r\n").collect()),
            ],
            other => panic!("{other}"),
        }
    })
    .await;
    for (path, part) in [
        ("/mismatch", "not the URL"),
        ("/slash", "not the URL"),
        ("/case", "not the URL"),
        ("/no-id", "not the URL"),
        ("/id-number", "not the URL"),
        ("/secret", "no secret"),
        ("/secret-end", "no secret"),
        ("/basic", "no secret"),
        ("/post", "no secret"),
        ("/shared-jwt", "token_endpoint_auth_method"),
        ("/no-keys", "needs `jwks`"),
        ("/script", "redirect URI"),
        ("/no-redirect", "redirect_uris"),
        ("/long", "larger than"),
        ("/list", "JSON object"),
        ("/twice", "duplicate key"),
        ("/cut", "too early"),
        ("/empty", "too early"),
        ("/html", "did not declare"),
        ("/untyped", "did not declare"),
        ("/gzip", "encoded it"),
        ("/404", "status 404"),
        ("/201", "status 201"),
        ("/301", "status 301"),
        ("/302", "status 302"),
        ("/307", "status 307"),
        ("/308", "status 308"),
        ("/10-gb", "larger than"),
        ("/flood", "larger than"),
    ] {
        let refused = bench.find(&local(), &bench.site.url("docs.test", path)).await.unwrap_err();
        assert!(refused.contains(part), "{path}: {refused}");
        assert!(!refused.contains("s3cret"), "{path}: {refused}");
        let last = bench.site.seen().pop().unwrap();
        assert!(last.starts_with(&format!("GET {path} ")), "{path} led to {last}");
    }
}

/// A server that answers drop by drop, or not at all, holds nobody longer than three seconds.
#[tokio::test]
async fn slow_servers_are_given_up() {
    let first = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    for acts in [vec![Act::Hang], vec![Act::Write(first.into()), Act::Hang]] {
        let bench = Arc::new(Bench::new(move |_, _| acts.clone()).await);
        let waiting = Arc::clone(&bench);
        let find = tokio::spawn(async move { waiting.find(&local(), &waiting.id()).await });
        while bench.site.seen().is_empty() && !find.is_finished() {
            tokio::task::yield_now().await;
        }
        // From here on, time passes as soon as nothing else happens.
        tokio::time::pause();
        let refused = find.await.unwrap().unwrap_err();
        assert!(refused.contains("took"), "{refused}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_document_is_kept_as_long_as_its_server_says_within_bounds() {
    let bench = Bench::new(|path, port| {
        let cached = format!("max-age={}", path.trim_start_matches('/'));
        let headers = [("content-type", "application/json"), ("cache-control", cached.as_str())];
        Act::reply(200, &headers, &document(path, port).to_string())
    })
    .await;
    for (path, kept) in [("/0", 300), ("/3600", 3_600), ("/9999999", 86_400)] {
        let id = bench.site.url("docs.test", path);
        let asked = bench.site.seen().len();
        bench.find(&local(), &id).await.unwrap();
        bench.clock.forward(Duration::from_secs(kept - 1));
        bench.find(&local(), &id).await.unwrap();
        assert_eq!(bench.site.seen().len(), asked + 1, "{path}");
        bench.clock.forward(Duration::from_secs(1));
        bench.find(&local(), &id).await.unwrap();
        assert_eq!(bench.site.seen().len(), asked + 2, "{path}");
    }
}

#[tokio::test]
async fn a_failure_is_remembered_for_half_a_minute() {
    let bench = Bench::new(|_, _| Act::reply(500, &[], "")).await;
    for _ in 0..50 {
        assert!(bench.find(&local(), &bench.id()).await.is_err());
    }
    assert_eq!(bench.site.seen().len(), 1);
    bench.clock.forward(FAILED);
    assert!(bench.find(&local(), &bench.id()).await.is_err());
    assert_eq!(bench.site.seen().len(), 2);
}

#[tokio::test]
async fn a_document_serves_for_a_day_while_its_server_is_away() {
    for (status, stays) in [(503, true), (404, false), (200, false)] {
        let turned = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let has_turned = Arc::clone(&turned);
        let bench = Bench::new(move |path, port| {
            match has_turned.load(std::sync::atomic::Ordering::SeqCst) {
                true => Act::reply(status, &[("content-type", "application/json")], "{}"),
                false => good(path, port),
            }
        })
        .await;
        assert!(bench.find(&local(), &bench.id()).await.is_ok());
        turned.store(true, std::sync::atomic::Ordering::SeqCst);
        bench.clock.forward(Duration::from_secs(300));
        for _ in 0..3 {
            assert_eq!(bench.find(&local(), &bench.id()).await.is_ok(), stays, "{status}");
        }
        assert_eq!(bench.site.seen().len(), 2, "{status}");
        bench.clock.forward(Duration::from_secs(23 * 3_600));
        assert_eq!(bench.find(&local(), &bench.id()).await.is_ok(), stays, "{status}");
        bench.clock.forward(Duration::from_secs(3_600));
        assert!(bench.find(&local(), &bench.id()).await.is_err(), "{status}");
        turned.store(false, std::sync::atomic::Ordering::SeqCst);
        bench.clock.forward(FAILED);
        assert!(bench.find(&local(), &bench.id()).await.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let bench = Arc::new(Bench::new(good).await);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let bench = Arc::clone(&bench);
        all.spawn(async move { bench.find(&local(), &bench.id()).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|found| found));
    assert_eq!(bench.site.seen().len(), 1);
}

#[tokio::test]
async fn only_trusted_hosts_are_asked_where_there_is_a_list() {
    let bench = Bench::new(good).await;
    let settings = Settings { document_hosts: vec!["other.test".into()], ..local() };
    for id in
        [bench.id(), bench.site.url("sub.other.test", "/x"), bench.site.url("xother.test", "/x")]
    {
        let refused = bench.find(&settings, &id).await.unwrap_err();
        assert!(refused.contains("not known here"), "{refused}");
    }
    assert_eq!(bench.site.seen().len(), 0);
    let trusting = Settings { document_hosts: vec!["docs.test".into()], ..local() };
    assert!(bench.find(&trusting, &bench.id()).await.is_ok());
    // What is kept does not outlive the trust.
    assert!(bench.find(&settings, &bench.id()).await.is_err());
    let off = Settings { client_documents: false, ..local() };
    assert!(bench.find(&off, &bench.id()).await.is_err());
}

#[test]
fn what_is_kept_is_bounded_and_good_documents_stay() {
    let documents = Documents::default();
    let id = |name: &str, n: usize| ClientId::new(&format!("https://{name}.test/{n}")).unwrap();
    let at = |n: usize| Timestamp::from_millis(n as u64);
    let done = |kept: &Kept, client| {
        kept.result.set(Got { client, until: at(1 << 40) }).unwrap();
    };
    let client = {
        let body =
            json!({"client_id": "https://good.test/0", "redirect_uris": ["https://good.test/"]});
        let no_keys = |_: &str| panic!("it has none");
        Arc::new(read(&id("good", 0), body.to_string().as_bytes(), no_keys).unwrap())
    };
    done(&documents.join(&id("good", 0), at(0)), Ok((client, at(0))));
    for n in 0..5_000 {
        done(&documents.join(&id("bad", n), at(n)), Err("no".to_owned()));
    }
    let kept = documents.kept.lock().unwrap();
    assert_eq!(kept.len(), MAX_DOCUMENTS);
    assert!(kept.contains_key(&id("good", 0)) && kept.contains_key(&id("bad", 4_999)));
}
