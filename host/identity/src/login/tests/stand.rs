//! A provider on loopback, the gateway's side of it, and a browser's part in between.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use model::{Clock, OrgId, Secret, Timestamp};
use serde_json::{Value, json};
use tidegate_model as model;
use tidegate_store::{EmbeddedStore, FixedKeys, Store};
use tidegate_wire::client::egress::{Egress, Resolver};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::keys::Signer;
use crate::{
    Ground, Issuer, Settings,
    login::{Finished, LoginRefused, Providers},
    settings::{ClaimNames, Preset, Provider},
};

/// The moment at which everything begins, in seconds.
pub(in crate::login) const NOW: u64 = 1_800_000_000;
/// The flow cookie of the browser.
pub(super) const BROWSER: &str = "a browser's own random value";
/// What the gateway is called at the provider.
pub(super) const CLIENT: &str = "gate";

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(in crate::login) struct Hand(AtomicU64);

impl Hand {
    pub(in crate::login) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW)))
    }

    pub(in crate::login) fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(in crate::login) fn seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.seconds() * 1_000)
    }
}

/// An organisation over a store in memory.
pub(in crate::login) async fn ground(org: &str, clock: &Arc<Hand>, egress: Arc<Egress>) -> Ground {
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let store = EmbeddedStore::memory(keys, Arc::clone(&clock)).unwrap();
    let org = OrgId::new(org).unwrap();
    store.ensure_org(&org).await.unwrap();
    let issuer = Issuer::new("https://gate.example", org).unwrap();
    Ground { issuer, store: Arc::new(store), clock, egress }
}

/// One request as the provider saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) form: BTreeMap<String, String>,
}

/// What the provider answers.
#[derive(Debug, Clone)]
pub(super) struct Says {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Says {
    pub(super) fn json(value: &Value) -> Self {
        Self::text("application/json", value.to_string())
    }

    pub(super) fn text(kind: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status: 200, headers, body: body.into() }
    }

    /// No answer, ever.
    pub(super) fn never() -> Self {
        Self::text("text/plain", "").status(0)
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
struct Book {
    says: HashMap<String, Says>,
    seen: Vec<Seen>,
}

/// A provider, and a gateway that knows it as `corp`.
pub(super) struct Stand {
    pub(super) clock: Arc<Hand>,
    pub(super) providers: Providers,
    pub(super) settings: Settings,
    /// Where the provider is: `https://localhost:PORT`.
    pub(super) issuer: String,
    pub(super) signer: Signer,
    book: Arc<Mutex<Book>>,
    egress: Arc<Egress>,
}

/// A sign-in that the browser has taken to the provider.
pub(super) struct There {
    pub(super) url: Url,
    pub(super) state: String,
    pub(super) nonce: String,
}

impl Stand {
    /// An honest provider of this kind.
    pub(super) async fn with(preset: Preset, signer: Signer) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                rustls::pki_types::PrivatePkcs8KeyDer::from(key).into(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let book = Arc::new(Mutex::new(Book::default()));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&book)));
        // Names lead to loopback, but for one that leads where nobody may go.
        let resolver = Resolver::Fixed(Arc::new(|host| {
            let address = if host == "inside.test" { "10.0.0.1" } else { "127.0.0.1" };
            Ok(vec![address.parse::<IpAddr>().unwrap()])
        }));
        let egress = Egress::new(resolver, Some(made.cert.pem().as_bytes())).unwrap();
        let clock = Hand::new();
        let ground = ground("acme", &clock, Arc::clone(&egress)).await;
        let mut settings = Settings::default();
        settings.providers.insert("corp".into(), provider(&issuer, preset));
        let providers = Providers::new(ground);
        let stand = Self { clock, providers, settings, issuer, signer, book, egress };
        stand.says("/.well-known/openid-configuration", Says::json(&stand.metadata()));
        stand.says("/jwks", Says::json(&json!({ "keys": [stand.signer.jwk()] })));
        stand
    }

    pub(super) async fn new() -> Self {
        Self::with(Preset::Oidc, Signer::es256("k1")).await
    }

    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/jwks"),
            "end_session_endpoint": at("/end"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
        })
    }

    /// Changes what the gateway has configured of the provider.
    pub(super) fn provider(&mut self) -> &mut Provider {
        self.settings.providers.get_mut("corp").unwrap()
    }

    pub(super) fn says(&self, path: &str, says: Says) {
        self.book.lock().unwrap().says.insert(path.to_owned(), says);
    }

    /// The requests for `path` so far.
    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        let book = self.book.lock().unwrap();
        book.seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How often the provider was asked anything.
    pub(super) fn asked(&self) -> usize {
        self.book.lock().unwrap().seen.len()
    }

    /// The gateway of another organisation, with the same provider.
    pub(super) async fn neighbour(&self) -> Providers {
        Providers::new(ground("other", &self.clock, Arc::clone(&self.egress)).await)
    }

    pub(super) async fn begin(&self) -> There {
        self.try_begin().await.unwrap()
    }

    pub(super) async fn try_begin(&self) -> Result<There, LoginRefused> {
        let begun = self.providers.begin(&self.settings, "corp", BROWSER, "/next?x=1").await?;
        let url: Url = begun.url.parse().unwrap();
        let of = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        Ok(There { state: of("state").unwrap(), nonce: of("nonce").unwrap(), url })
    }

    /// The claims of somebody who signs in there.
    pub(super) fn claims(&self, there: &There) -> Value {
        let now = self.clock.seconds();
        json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "s-1", "nonce": there.nonce,
            "iat": now, "exp": now + 300, "auth_time": now - 20, "amr": ["pwd", "otp"],
            "sid": "their-session", "email": "Ae@Example.com", "email_verified": true,
            "name": "Ae", "groups": ["sales", "eu"],
        })
    }

    /// What the token endpoint gives from now on.
    pub(super) fn gives(&self, id_token: &str) {
        self.says("/token", Says::json(&tokens(id_token)));
    }

    /// The browser comes back with a code.
    pub(super) async fn come_back(&self, there: &There) -> Result<Finished, LoginRefused> {
        let answer = [("state", there.state.as_str()), ("code", "c-1")];
        self.come_back_with(&answer, BROWSER).await
    }

    pub(super) async fn come_back_with(
        &self,
        answer: &[(&str, &str)],
        browser: &str,
    ) -> Result<Finished, LoginRefused> {
        let answer = pairs(answer);
        self.providers.finish(&self.settings, "corp", &answer, browser).await
    }

    /// A whole sign-in of somebody with these claims beside the usual ones.
    pub(super) async fn sign_in(&self, more: Value) -> Result<Finished, LoginRefused> {
        let there = self.begin().await;
        let mut claims = self.claims(&there);
        change(&mut claims, more);
        self.gives(&self.signer.sign(&claims));
        self.come_back(&there).await
    }
}

/// Sets members; those that are null go.
pub(super) fn change(claims: &mut Value, more: Value) {
    let claims = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
}

pub(super) fn tokens(id_token: &str) -> Value {
    json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "id_token": id_token })
}

pub(super) fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn provider(issuer: &str, preset: Preset) -> Provider {
    Provider {
        title: "Corp".into(),
        preset,
        issuer: issuer.to_owned(),
        client_id: CLIENT.into(),
        client_secret: Secret::new("hush hush".into()),
        scopes: ["openid", "email", "groups"].map(str::to_owned).into(),
        claims: ClaimNames::default(),
        addresses: vec!["127.0.0.1".parse().unwrap()],
        endpoint_hosts: Vec::new(),
        trust_email: false,
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, book: Arc<Mutex<Book>>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let (tls, book) = (tls.clone(), Arc::clone(&book));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(Arc::clone(&book), request));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    book: Arc<Mutex<Book>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let authorization = head.headers.get("authorization").map(|it| it.to_str().unwrap().to_owned());
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let says = {
        let mut book = book.lock().unwrap();
        let says = book.says.get(&path).cloned();
        book.seen.push(Seen { path, authorization, form });
        says
    };
    if says.as_ref().is_some_and(|says| says.status == 0) {
        std::future::pending::<()>().await;
    }
    let says = says.unwrap_or_else(|| Says::text("text/html", "<p>no such page").status(404));
    let mut response = Response::builder().status(says.status);
    for (name, value) in says.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(says.body)).unwrap())
}
