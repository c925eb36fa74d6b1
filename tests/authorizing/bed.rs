//! A gateway whose owner signs in with a password, and a client that knows one URL.

use hyper::Method;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::support::{
    Browser, Client, Era, Form, Mock, MockTool, Page, Reply, Response, Setup, TestGateway,
    eventually,
};

/// Where the client of these tests waits for answers.
pub(super) const CALLBACK: &str = "http://127.0.0.1:33418/callback";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(super) const OWNER: &str = "owner@example.com";
pub(super) const PASSWORD: &str = "correct horse battery";

/// The gateway, its upstream and its owner's browser.
#[derive(Debug)]
pub(super) struct Bed {
    pub(super) gateway: TestGateway,
    pub(super) mock: Mock,
    pub(super) browser: Browser,
}

/// What a client knows of a gateway when it has followed its challenge.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) resource: String,
    pub(super) metadata: Value,
}

/// A tool that is not read-only.
pub(super) fn tool(name: &str, annotations: Value) -> MockTool {
    let definition = json!({
        "name": name,
        "inputSchema": { "type": "object" },
        "annotations": annotations,
    });
    MockTool::new(definition, |_| Reply::Text("done".into()))
}

/// Everything permitted, two virtual MCPs, nobody known yet.
pub(super) async fn set_up() -> (Mock, Setup) {
    let tools = vec![
        MockTool::echo("echo"),
        tool("note", json!({ "destructiveHint": false, "openWorldHint": false })),
        tool("erase", json!({ "destructiveHint": true, "openWorldHint": false })),
    ];
    let mock = Mock::start(Era::Modern, tools).await;
    let setup = Setup::new()
        .remote("up", &mock, "")
        .vmcp("main", &["up"])
        .vmcp("other", &["up"])
        .policy("all", "permit (principal, action, resource);");
    (mock, setup)
}

impl Bed {
    /// With the owner signed in.
    pub(super) async fn open(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (mock, setup) = set_up().await;
        let gateway = change(setup).start().await;
        let browser = Browser::new().stop_at(CALLBACK);
        let bed = Self { gateway, mock, browser };
        bed.become_owner().await;
        bed
    }

    pub(super) async fn simple() -> Self {
        Self::open(|setup| setup).await
    }

    /// What stands in front of every path.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// The link that the gateway shows where nobody can sign in.
    pub(super) async fn welcome_link(&self) -> String {
        eventually("the owner's link", || async {
            let log = self.gateway.log();
            let line = log.lines().find(|line| line.contains("/welcome/"))?;
            Some(line.trim().to_owned())
        })
        .await
    }

    async fn become_owner(&self) {
        let page = self.browser.open(&self.welcome_link().await).await;
        let form = page.form("Go on").set("email", OWNER).set("password", PASSWORD);
        let page = self.browser.submit(&page, &form).await;
        assert_eq!(page.status(), 200, "{}", page.text());
        assert!(page.text().contains("Hello, owner@example.com"), "{}", page.text());
    }

    /// A browser in which nobody is signed in.
    pub(super) fn stranger(&self) -> Browser {
        Browser::new().stop_at(CALLBACK)
    }

    /// Any path, without a credential.
    pub(super) fn at(&self, path: &str) -> Client {
        Client::new(self.gateway.address, path)
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.at(path).send(Method::GET, &[], "").await
    }

    /// A URL of this gateway.
    pub(super) async fn fetch(&self, url: &str) -> Response {
        let path = url.strip_prefix(&self.base()).unwrap_or_else(|| panic!("{url} is elsewhere"));
        self.get(path).await
    }

    /// Sends a form without a browser.
    pub(super) async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Response {
        let path = url.strip_prefix(&self.base()).unwrap_or(url);
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.at(path).send(Method::POST, &kind, form).await
    }

    /// From the challenge of a virtual MCP to the metadata of its authorization server.
    pub(super) async fn discover(&self, vmcp: &str) -> Found {
        let refused = self.gateway.anonymous(vmcp).send(Method::POST, &[], "{}").await;
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate").to_owned();
        assert!(challenge.contains("scope=\"mcp\""), "{challenge}");
        let of_resource = self.fetch(&quoted(&challenge, "resource_metadata")).await.json();
        let issuer = of_resource["authorization_servers"][0].as_str().unwrap().to_owned();
        let at = Url::parse(&issuer).unwrap();
        let path = at.path().trim_end_matches('/');
        let path = format!("/.well-known/oauth-authorization-server{path}");
        let metadata = self.get(&path).await.json();
        assert_eq!(metadata["issuer"], issuer.as_str());
        let resource = of_resource["resource"].as_str().unwrap().to_owned();
        Found { resource, metadata }
    }

    /// Registers a public client of this name.
    pub(super) async fn register(&self, found: &Found, name: &str) -> String {
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
        });
        let path = found.path("registration_endpoint");
        let answer = self.at(&path).send(Method::POST, &[], metadata.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// A client connects to a virtual MCP, with the owner agreeing where they are asked.
    pub(super) async fn connect(&self, vmcp: &str, client: &str, scope: &str) -> Value {
        let found = self.discover(vmcp).await;
        let url = found.authorize(client, &[("scope", scope)]);
        let mut page = self.browser.open(&url).await;
        if page.status.is_some() {
            page = self.browser.submit(&page, &page.form("Allow")).await;
        }
        self.redeem(&found, client, &page).await
    }

    /// Exchanges the code that a browser came back with.
    pub(super) async fn redeem(&self, found: &Found, client: &str, page: &Page) -> Value {
        let code = page.query("code").unwrap_or_else(|| panic!("no code: {}", page.url));
        assert_eq!(page.query("iss").unwrap(), found.metadata["issuer"].as_str().unwrap());
        let answer = self.post(&found.path("token_endpoint"), &found.redeem(client, &code)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()
    }

    /// A client of an access token.
    pub(super) fn with(&self, vmcp: &str, tokens: &Value) -> Client {
        self.gateway.anonymous(vmcp).with_key(tokens["access_token"].as_str().unwrap())
    }

    /// The audit rows of one method, newest last.
    pub(super) async fn rows(&self, method: &str) -> Vec<Value> {
        let rows = self.gateway.audit().await;
        rows.into_iter().filter(|row| row["method"] == method).collect()
    }
}

impl Found {
    /// The path of an endpoint.
    pub(super) fn path(&self, endpoint: &str) -> String {
        let url = self.metadata[endpoint].as_str().unwrap_or_else(|| panic!("no {endpoint}"));
        Url::parse(url).unwrap().path().to_owned()
    }

    /// Where a browser goes to let this client in; `change` replaces or adds parameters, and
    /// an empty one leaves it out.
    pub(super) fn authorize(&self, client: &str, change: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("state", "a state"),
            ("scope", "mcp"),
            ("resource", &self.resource),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in change {
            all.retain(|(known, _)| known != name);
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        let endpoint = self.metadata["authorization_endpoint"].as_str().unwrap();
        Url::parse_with_params(endpoint, all).unwrap().into()
    }

    /// The form that redeems a code.
    pub(super) fn redeem<'a>(&'a self, client: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("resource", &self.resource),
            ("code_verifier", VERIFIER),
        ]
    }
}

/// The value of a quoted parameter in a challenge.
pub(super) fn quoted(challenge: &str, name: &str) -> String {
    let (_, rest) = challenge
        .split_once(&format!("{name}=\""))
        .unwrap_or_else(|| panic!("no {name} in {challenge}"));
    rest.split('"').next().unwrap().to_owned()
}

/// The value of a form's field.
pub(super) fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
