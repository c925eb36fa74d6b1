//! A gateway whose people sign in, and the things they do there in a browser without scripts.
//!
//! Owns the set-up that the tests of this module share, and one client of its own that finds
//! everything by following links.

use hyper::Method;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    Browser, Client, Era, Mock, MockTool, Page, Provider, Response, Rpc, SECRET, SECRET_VARIABLE,
    Setup, TestGateway,
};

/// The provider's name in `identity.toml`.
pub(super) const ACME: &str = "acme";
/// What its button says.
pub(super) const BUTTON: &str = "Sign in with Acme single sign-on";
/// Where the client of this module waits for answers.
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A gateway, its provider, and what is behind it.
#[derive(Debug)]
pub(super) struct Place {
    /// The gateway, with the virtual MCPs `main` and `other`.
    pub(super) gateway: TestGateway,
    /// Where people sign in.
    pub(super) provider: Provider,
    _mock: Mock,
}

/// An application that was connected by somebody.
#[derive(Debug)]
pub(super) struct App {
    /// Who the gateway says it is.
    pub(super) client_id: String,
    /// The answer of the token endpoint.
    pub(super) tokens: Value,
    token_endpoint: Url,
}

/// An application that has asked to be connected.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Where the browser has to go.
    pub(super) url: String,
    client_id: String,
    callback: String,
    resource: String,
    token_endpoint: Url,
}

/// A set-up with what everybody may use, and people of this provider; `more` comes before its
/// table in `identity.toml`.
pub(super) fn setup(provider: &Provider, mock: &Mock, more: &str) -> Setup {
    let identity = format!("{more}\n{}", provider.table(ACME));
    Setup::new()
        .remote("up", mock, "")
        .vmcp("main", &["up"])
        .vmcp("other", &["up"])
        .policy("all", "permit (principal, action, resource);")
        .environment(SECRET_VARIABLE, SECRET)
        .file("identity.toml", &identity)
}

/// The gateway serves TLS with a certificate that nobody vouches for.
pub(super) fn over_tls(setup: Setup) -> (Setup, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::create_dir(setup.config().join("../tls")).unwrap();
    let setup = setup
        .file("../tls/cert.pem", &made.cert.pem())
        .file("../tls/key.pem", &made.signing_key.serialize_pem())
        .settings("[tls]\ncertificate = \"../tls/cert.pem\"\nkey = \"../tls/key.pem\"");
    (setup, made.cert.der().clone())
}

/// An upstream that repeats what it is told.
pub(super) async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

impl Place {
    /// One whose provider looks like `preset`; `change` makes of the set-up what it likes.
    pub(super) async fn open(
        preset: &'static str,
        more: &str,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let (provider, mock) = tokio::join!(Provider::start(preset), echo());
        let gateway = change(setup(&provider, &mock, more)).start().await;
        provider.register(&base(&gateway), ACME).await;
        let place = Self { gateway, provider, _mock: mock };
        place.knows("ae", json!({ "groups": ["sales"] })).await;
        place
    }

    /// One whose provider looks like Okta, where all is allowed.
    pub(super) async fn simple() -> Self {
        Self::open("okta", "", |setup| setup).await
    }

    /// Makes somebody known to the provider: `LOGIN@example.com`.
    pub(super) async fn knows(&self, login: &str, more: Value) {
        let email = format!("{login}@example.com");
        let mut claims = json!({ "email": email, "email_verified": true, "name": login });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.provider.person(login, claims).await;
    }

    /// What stands in front of every path.
    pub(super) fn base(&self) -> String {
        base(&self.gateway)
    }

    /// Signs somebody in through the provider, from a sign-in page on.
    pub(super) async fn sign_in(&self, browser: &Browser, page: &Page, login: &str) -> Page {
        let there = browser.submit(page, &page.form(BUTTON)).await;
        self.provider.sign_in(browser, &there, login).await
    }

    /// Somebody signs in and is on the start page.
    pub(super) async fn member(&self, login: &str) -> (Browser, Page) {
        let browser = Browser::new().stop_at(CALLBACK);
        let page = browser.open(&format!("{}/login", self.base())).await;
        let page = self.sign_in(&browser, &page, login).await;
        assert_eq!(page.status(), 200, "{}: {}", page.url, page.text());
        (browser, page)
    }

    /// Somebody who is signed in already connects an application to a virtual MCP.
    pub(super) async fn connect(&self, browser: &Browser, vmcp: &str) -> App {
        let asked = self.ask(vmcp).await;
        let page = browser.open(&asked.url).await;
        let page = browser.submit(&page, &page.form("Allow")).await;
        self.redeem(asked, &page).await
    }

    /// An application that knows one URL asks for the rest. It waits on this machine.
    pub(super) async fn ask(&self, vmcp: &str) -> Asked {
        self.ask_at(vmcp, CALLBACK).await
    }

    /// The same; it waits somewhere else.
    pub(super) async fn ask_at(&self, vmcp: &str, callback: &str) -> Asked {
        let refused = self.gateway.anonymous(vmcp).send(Method::POST, &[], "{}").await;
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate").to_owned();
        let (_, at) = challenge.split_once("resource_metadata=\"").unwrap();
        let resource = get(at.split('"').next().unwrap()).await.json();
        let issuer = resource["authorization_servers"][0].as_str().unwrap();
        let origin: Url = issuer.parse().unwrap();
        let path = origin.path().trim_end_matches('/');
        let metadata = origin.join(&format!("/.well-known/oauth-authorization-server{path}"));
        let metadata = get(metadata.unwrap().as_str()).await.json();
        let endpoint = |name: &str| metadata[name].as_str().unwrap().to_owned();
        let client = json!({
            "client_name": "An application",
            "redirect_uris": [callback],
            "token_endpoint_auth_method": "none",
        });
        let json = [("content-type", "application/json")];
        let client = post(&endpoint("registration_endpoint"), &json, &client.to_string()).await;
        let client_id = client.json()["client_id"].as_str().unwrap().to_owned();
        let resource = resource["resource"].as_str().unwrap().to_owned();
        let url = Url::parse_with_params(
            &endpoint("authorization_endpoint"),
            [
                ("response_type", "code"),
                ("client_id", &client_id),
                ("redirect_uri", callback),
                ("state", "a state"),
                ("scope", "mcp"),
                ("resource", &resource),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        );
        let token_endpoint = endpoint("token_endpoint").parse().unwrap();
        let callback = callback.to_owned();
        Asked { url: url.unwrap().into(), client_id, callback, resource, token_endpoint }
    }

    /// The same application, to which the browser has come back with an answer.
    pub(super) async fn redeem(&self, asked: Asked, page: &Page) -> App {
        assert_eq!(page.query("state").as_deref(), Some("a state"), "{}", page.url);
        let code = page.query("code").unwrap_or_else(|| panic!("no code: {}", page.url));
        let Asked { client_id, callback, resource, token_endpoint, .. } = asked;
        let answer = token(
            &token_endpoint,
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("client_id", &client_id),
                ("redirect_uri", &callback),
                ("resource", &resource),
                ("code_verifier", VERIFIER),
            ],
        )
        .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        App { client_id, tokens: answer.json(), token_endpoint }
    }

    /// What an application gets that calls the tool of a virtual MCP.
    pub(super) async fn call(&self, app: &App, vmcp: &str) -> Rpc {
        let client = self.gateway.anonymous(vmcp).with_key(app.access_token());
        client.call("echo", json!({ "message": "hi" })).await
    }
}

impl App {
    /// Its access token.
    pub(super) fn access_token(&self) -> &str {
        self.tokens["access_token"].as_str().unwrap()
    }

    /// Asks for new tokens, and keeps them where there are any.
    pub(super) async fn refresh(&mut self) -> Response {
        let refresh = self.tokens["refresh_token"].as_str().unwrap().to_owned();
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
            ("client_id", self.client_id.as_str()),
        ];
        let answer = token(&self.token_endpoint, &fields).await;
        if answer.status == 200 {
            self.tokens = answer.json();
        }
        answer
    }
}

/// What stands in front of every path of a gateway.
pub(super) fn base(gateway: &TestGateway) -> String {
    format!("http://{}", gateway.address)
}

/// What is served at a URL.
pub(super) async fn get(url: &str) -> Response {
    client(url).send(Method::GET, &[], "").await
}

async fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Response {
    client(url).send(Method::POST, headers, body.to_owned()).await
}

async fn token(endpoint: &Url, fields: &[(&str, &str)]) -> Response {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    post(endpoint.as_str(), &kind, &form).await
}

fn client(url: &str) -> Client {
    let url: Url = url.parse().unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    Client::new(address.parse().unwrap(), &url[url::Position::BeforePath..])
}
