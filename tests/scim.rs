//! Provisioning through the gateway's own door: who may, what it does to people who are at
//! work, what is put on record.
//!
//! What requests mean in every dialect is tested beside `identity::directory::scim`.

use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_identity::method::api_key;
use tidegate_model::KeyId;
use url::Url;

use crate::support::{
    Browser, Client, Era, EventStream, Mock, MockTool, Response, Setup, TestGateway, modern_params,
};

const TOKEN: &str = "a provisioning token of 256 bits";
const OTHER: &str = "the provisioning token of acme";
const ANN: &str = "ann@example.com";
const PASSWORD: &str = "correct horse battery";
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The settings that take this token.
fn settings(token: &str) -> String {
    let digits: String =
        Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[scim]\ntoken = \"sha256:{digits}\"\n")
}

/// A gateway whose default organisation and `acme` are provisioned, `beta` is not.
struct Place {
    gateway: TestGateway,
    owner: String,
    mock: Mock,
}

impl Place {
    async fn open() -> Self {
        let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
        let (owner, hash) = api_key::generate(&KeyId::new("olivia").unwrap()).unwrap();
        let key = format!("user = 'olivia@example.com'\nroles = ['owner']\nhash = \"{hash}\"\n");
        let setup = Setup::simple(&mock)
            .file("keys/olivia.toml", &key)
            .file("identity.toml", &settings(TOKEN))
            .organisation("acme", |setup| setup.file("identity.toml", &settings(OTHER)))
            .organisation("beta", |setup| setup.file("identity.toml", ""));
        Self { gateway: setup.start().await, owner: owner.expose().to_owned(), mock }
    }

    fn at(&self, path: &str) -> Client {
        Client::new(self.gateway.address, path)
    }

    /// Asks with the right token; `target` is behind `/scim/v2/`.
    async fn scim(&self, method: Method, target: &str, body: Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = [("content-type", "application/scim+json")];
        self.at(&format!("/scim/v2/{target}")).with_key(TOKEN).send(method, &kind, body).await
    }

    async fn add(&self, name: &str) {
        let answer = self.scim(Method::POST, "Users", json!({ "userName": name })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Asks the admin API as the owner.
    async fn admin(&self, path: &str, body: Value) -> Value {
        let client = self.at(&format!("/api/v1{path}")).with_key(&self.owner);
        let answer = client.send(Method::POST, &[], body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.at(path).send(Method::POST, &kind, form.extend_pairs(fields).finish()).await
    }

    /// The rows of provisioning, newest last.
    async fn rows(&self) -> Vec<Value> {
        let is_ours = |row: &Value| row["method"].as_str().unwrap().starts_with("scim:");
        self.gateway.audit().await.into_iter().filter(is_ours).collect()
    }
}

/// Ann at work: in a browser, with a client of hers, with a key.
struct AtWork {
    browser: Browser,
    home: String,
    client: String,
    access: Client,
    refresh: String,
    key: Client,
}

impl AtWork {
    async fn begin(place: &Place) -> Self {
        let link = place.admin(&format!("/users/{ANN}/password-link"), Value::Null).await;
        let browser = Browser::new().stop_at(CALLBACK);
        let page = browser.open(link["link"].as_str().unwrap()).await;
        let page = browser.submit(&page, &page.form("Go on").set("password", PASSWORD)).await;
        assert!(page.text().contains(&format!("Hello, {ANN}")), "{}", page.text());

        let metadata = json!({ "client_name": "An application", "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none" });
        let answer =
            place.at("/oauth/register").send(Method::POST, &[], metadata.to_string()).await;
        let client = answer.json()["client_id"].as_str().unwrap().to_owned();
        let base = format!("http://{}", place.gateway.address);
        let resource = place.gateway.url("main");
        let url = Url::parse_with_params(
            &format!("{base}/oauth/authorize"),
            [
                ("response_type", "code"),
                ("client_id", &client),
                ("redirect_uri", CALLBACK),
                ("scope", "mcp"),
                ("resource", &resource),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        );
        let page = browser.open(url.unwrap().as_str()).await;
        let page = browser.submit(&page, &page.form("Allow")).await;
        let code = page.query("code").unwrap_or_else(|| panic!("no code: {}", page.url));
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &client),
            ("redirect_uri", CALLBACK),
            ("resource", &resource),
            ("code_verifier", VERIFIER),
        ];
        let tokens = place.post("/oauth/token", &fields).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let tokens = tokens.json();
        let made = place.admin("/keys", json!({ "id": "ann-key", "user": ANN })).await;
        let with = |key: &Value| place.gateway.anonymous("main").with_key(key.as_str().unwrap());
        Self {
            access: with(&tokens["access_token"]),
            refresh: tokens["refresh_token"].as_str().unwrap().to_owned(),
            key: with(&made["secret"]),
            home: format!("{base}/"),
            browser,
            client,
        }
    }

    /// Whether each of token, key and browser is known.
    async fn known(&self) -> [bool; 3] {
        let asks = |client: Client| async move {
            let answer = client.request("tools/list", json!({})).await;
            assert!([200, 401].contains(&answer.status.as_u16()), "{answer:?}");
            answer.status == 200
        };
        let page = self.browser.open(&self.home).await;
        let is_signed_in = page.text().contains(&format!("Hello, {ANN}"));
        [asks(self.access.clone()).await, asks(self.key.clone()).await, is_signed_in]
    }

    async fn refreshed(&self, place: &Place) -> Response {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &self.refresh),
            ("client_id", &self.client),
        ];
        place.post("/oauth/token", &fields).await
    }
}

async fn listen(client: &Client) -> EventStream {
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params });
    let headers = Client::modern_headers("subscriptions/listen", &params);
    let mut stream = client.stream(Method::POST, &headers, body.to_string()).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.is_some(), "it begins with what is listened to");
    stream
}

/// Waits until a stream has ended: it tells of nothing more than that.
async fn over(stream: &mut EventStream) {
    while let Some(message) = stream.next().await {
        assert_eq!(message["result"]["resultType"], "complete", "{message}");
    }
}

fn active(value: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "Replace", "path": "active", "value": value }] })
}

#[tokio::test]
async fn whoever_is_deactivated_loses_everything_at_once() {
    let place = Place::open().await;
    place.add(ANN).await;
    let work = AtWork::begin(&place).await;
    assert_eq!(work.known().await, [true; 3]);
    let mut streams = [listen(&work.access).await, listen(&work.key).await];
    let mut other = listen(&place.gateway.client("alice", "main")).await;

    let target = format!("Users/{ANN}");
    let answer = place.scim(Method::PATCH, &target, active(json!("False"))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["active"]), (200, &json!(false)));
    assert_eq!(work.known().await, [false; 3]);
    for stream in &mut streams {
        over(stream).await;
    }
    let refused = work.refreshed(&place).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &json!("invalid_grant")));
    let row = place.rows().await.pop().unwrap();
    assert_eq!((&row["method"], &row["status"]), (&json!("scim:user_update"), &json!("ok")));
    assert_eq!(
        (&row["caller"]["user"], &row["caller"]["sign_in"]),
        (&json!("scim"), &json!("scim"))
    );
    let note = row["note"].as_str().unwrap();
    assert!(note.contains("active true -> false"), "{note}");
    assert!(note.contains("1 sessions and 1 grants ended"), "{note}");

    // They come back with their key, which rested, and with nothing else.
    place.scim(Method::PATCH, &target, active(json!("True"))).await;
    assert_eq!(work.known().await, [false, true, false]);
    assert_eq!(work.refreshed(&place).await.json()["error"], "invalid_grant");

    // Whoever is removed leaves nothing to whoever gets the name.
    let mut stream = listen(&work.key).await;
    assert_eq!(place.scim(Method::DELETE, &target, Value::Null).await.status, 204);
    over(&mut stream).await;
    place.add(ANN).await;
    assert_eq!(work.known().await, [false; 3]);
    place.mock.set_tools(vec![MockTool::echo("new")]);
    place.mock.tell("notifications/tools/list_changed", json!({}));
    let told = other.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
}

/// A key in a file rests while its holder is known as inactive; nobody known would wake it.
#[tokio::test]
async fn deleting_the_holder_of_a_key_in_a_file_does_not_wake_it() {
    let place = Place::open().await;
    let (key, hash) = api_key::generate(&KeyId::new("ann").unwrap()).unwrap();
    let text = format!("user = '{}'\nhash = \"{hash}\"\n", ANN.to_uppercase());
    place.gateway.write("keys/ann.toml", &text);
    let ann = place.gateway.anonymous("main").with_key(key.expose());
    crate::support::eventually("the key's file", || async {
        (ann.call("echo", json!({})).await.status == 200).then_some(())
    })
    .await;
    place.add(ANN).await;
    let target = format!("Users/{ANN}");
    place.scim(Method::PATCH, &target, active(json!(false))).await;
    assert_eq!(ann.call("echo", json!({})).await.status, 401);
    assert_eq!(place.scim(Method::DELETE, &target, Value::Null).await.status, 204);
    assert_eq!(ann.call("echo", json!({})).await.status, 401);
    let note = place.rows().await.pop().unwrap()["note"].to_string();
    assert!(note.contains("not removed: a key in a file names them"), "{note}");
}

#[tokio::test]
async fn policies_see_the_groups_that_are_provisioned() {
    let place = Place::open().await;
    place.gateway.write(
        "policies/all.cedar",
        "permit (principal in Group::\"Analysts\", action, resource);\n\
         permit (principal == User::\"olivia@example.com\", action, resource);",
    );
    place.add(ANN).await;
    let made = place.admin("/keys", json!({ "id": "ann-key", "user": ANN })).await;
    let ann = place.gateway.anonymous("main").with_key(made["secret"].as_str().unwrap());
    let sees = |expected: usize| {
        let ann = &ann;
        async move { assert_eq!(ann.tool_names().await.len(), expected) }
    };
    crate::support::eventually("the policy", || async {
        ann.tool_names().await.is_empty().then_some(())
    })
    .await;
    let body = json!({ "displayName": "Analysts", "members": [{ "value": ANN }] });
    let group = place.scim(Method::POST, "Groups", body).await;
    assert_eq!(group.status, 201, "{group:?}");
    let target = format!("Groups/{}", group.json()["id"].as_str().unwrap());
    let location = format!("http://{}/scim/v2/{target}", place.gateway.address);
    assert_eq!(group.header("location"), location);
    sees(1).await;
    let patch = |operation: Value| json!({ "Operations": [operation] });
    for (operation, expected) in [
        (json!({ "op": "remove", "path": format!("members[value eq \"{ANN}\"]") }), 0),
        (json!({ "op": "add", "path": "members", "value": [{ "value": ANN }] }), 1),
        (json!({ "op": "replace", "path": "displayName", "value": "Readers" }), 0),
        (json!({ "op": "replace", "value": { "displayName": "Analysts" } }), 1),
    ] {
        let answer = place.scim(Method::PATCH, &target, patch(operation)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
        sees(expected).await;
    }
    assert_eq!(place.scim(Method::DELETE, &target, Value::Null).await.status, 204);
    sees(0).await;
    let rows = place.rows().await;
    let methods: Vec<_> = rows.iter().map(|row| row["method"].as_str().unwrap()).collect();
    assert_eq!(methods[..2], ["scim:user_create", "scim:group_create"]);
    assert_eq!(*methods.last().unwrap(), "scim:group_delete");
}

#[tokio::test]
async fn only_the_right_token_gets_anywhere() {
    let place = Place::open().await;
    place.add(ANN).await;
    let user = format!("Users/{ANN}");
    let ask = |path: String, key: Option<&'static str>| {
        let client = place.at(&path);
        let client = key.map_or(client.clone(), |key| client.with_key(key));
        async move { client.send(Method::GET, &[], "").await }
    };
    for (base, right, wrong) in [("", TOKEN, OTHER), ("/o/acme", OTHER, TOKEN)] {
        for target in ["Users", &user, "Groups", "ServiceProviderConfig", "nothing"] {
            for key in [None, Some(wrong), Some("")] {
                let answer = ask(format!("{base}/scim/v2/{target}"), key).await;
                assert_eq!(answer.status, 401, "{base} {target} {key:?}");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                assert_eq!(answer.json()["status"], "401");
            }
        }
        let answer = ask(format!("{base}/scim/v2/ServiceProviderConfig"), Some(right)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/scim+json");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // A good API key is none, and the token is good for nothing else.
    let owner = place.at("/scim/v2/Users").with_key(&place.owner);
    assert_eq!(owner.send(Method::GET, &[], "").await.status, 401);
    let status = place.at("/api/v1/status").with_key(TOKEN).send(Method::GET, &[], "").await;
    assert_eq!(status.status, 401);
    let mcp = place.gateway.anonymous("main").with_key(TOKEN);
    assert_eq!(mcp.request("tools/list", json!({})).await.status, 401);
    // Whoever guesses is soon not even told that, and whoever knows is not held up.
    let mut guesses = 0;
    while ask("/scim/v2/Users".to_owned(), Some("guess")).await.status != 429 {
        guesses += 1;
        assert!(guesses < 1_000, "nobody minds");
    }
    assert_eq!(place.scim(Method::GET, "Users", Value::Null).await.status, 200);
    // Where it is off there is nothing, as where there is no organisation.
    for base in ["/o/beta", "/o/nobody"] {
        let answer = ask(format!("{base}/scim/v2/Users"), Some(TOKEN)).await;
        assert_eq!(answer.status, 404, "{base}");
    }
    // The same name in the other organisation is another person.
    assert_eq!(ask(format!("/o/acme/scim/v2/{user}"), Some(OTHER)).await.status, 404);
    // No token is in a log or row.
    let all = format!("{:?}{}", place.gateway.audit().await, place.gateway.log());
    assert!(!all.contains(TOKEN) && !all.contains(OTHER));
    // Taken out of the settings, it is good for nothing.
    place.gateway.write("identity.toml", "");
    crate::support::eventually("the settings", || async {
        let answer = place.scim(Method::GET, "Users", Value::Null).await;
        (answer.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_in_scim_and_put_on_record() {
    let place = Place::open().await;
    place.add(ANN).await;
    let answer = place.scim(Method::POST, "Users", json!({ "userName": "Ann@Example.com" })).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["scimType"]), (409, &json!("uniqueness")));
    assert_eq!(answer.header("content-type"), "application/scim+json");
    let row = place.rows().await.pop().unwrap();
    assert_eq!((&row["method"], &row["status"]), (&json!("scim:user_create"), &json!("refused")));
    let path = "/scim/v2/Users";
    let send = |headers: &'static [(&'static str, &'static str)], body: String| {
        let client = place.at(path).with_key(TOKEN);
        async move { client.send(Method::POST, headers, body).await }
    };
    let large = json!({ "userName": "b", "title": "x".repeat(1 << 20) }).to_string();
    let small = || json!({ "userName": "b" }).to_string();
    for (headers, body, status) in [
        (&[][..], large, 413),
        (&[("content-type", "text/plain")][..], small(), 415),
        (&[("content-encoding", "gzip")][..], small(), 415),
        (&[("origin", "https://evil.example")][..], small(), 403),
        (&[("host", "evil.example")][..], small(), 403),
        (&[][..], "{".to_owned(), 400),
    ] {
        let answer = send(headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {answer:?}");
    }
    let found = place.scim(Method::GET, "Users", Value::Null).await.json();
    assert_eq!(found["totalResults"], 1, "{found}");
    let bulk = place.scim(Method::POST, "Bulk", json!({ "Operations": [] })).await;
    assert_eq!(bulk.status, 501);

    // Versions by their headers.
    let target = format!("Users/{ANN}");
    let one = place.scim(Method::GET, &target, Value::Null).await;
    let tag = one.header("etag").to_owned();
    assert_eq!(one.json()["meta"]["version"], tag.as_str());
    let client = place.at(&format!("/scim/v2/{target}")).with_key(TOKEN);
    let known = client.send(Method::GET, &[("if-none-match", &tag)], "").await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let change = active(json!(false)).to_string();
    let stale = client.send(Method::PATCH, &[("if-match", "W/\"1\"")], change.clone()).await;
    assert_eq!(stale.status, 412, "{stale:?}");
    let fresh = client.send(Method::PATCH, &[("if-match", &tag)], change).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    // Ids with signs that paths escape.
    place.add("o'neil+x@example.com").await;
    let answer = place.scim(Method::GET, "Users/o%27neil%2Bx%40example.com", Value::Null).await;
    assert_eq!(answer.json()["id"], "o'neil+x@example.com");
    let filter = "Users?filter=userName%20eq%20%22o'neil%2Bx@example.com%22";
    assert_eq!(place.scim(Method::GET, filter, Value::Null).await.json()["totalResults"], 1);
}
