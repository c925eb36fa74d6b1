//! The first-party components as an administrator binds them: through the gateway, with real
//! requests to services on loopback.
//!
//! What each finds, judges or makes of a document is tested beside it, natively. Here it is
//! that grants, secrets, state and facts reach it, and that its verdicts reach the caller.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    conformance::Fixture,
    guests::guest,
    support::{Era, Mock, MockTool, Reply, Rpc, Setup, TestGateway},
};

/// What a secret is in these tests; nothing but the service may ever see it.
const SECRET: &str = "canary-5f2d9c71e8b34a06";

/// One request as it came to the service.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A service on loopback that keeps what it was asked and answers as it is told.
struct Service {
    authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Service {
    async fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, keep) = (Arc::new(answer), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let (answer, keep) = (Arc::clone(&answer), Arc::clone(&keep));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let text = |value: &axum::http::HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).into_owned()
                };
                let headers =
                    parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
                let one = Asked {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: headers.collect(),
                    body,
                };
                let (status, said) = answer(&one);
                keep.lock().unwrap().push(one);
                let status = StatusCode::from_u16(status).unwrap();
                (status, [(CONTENT_TYPE, "application/json")], said).into_response()
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { authority, asked, task }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The tables of a binding that may ask this service, with one credential for it.
    fn reach(&self) -> String {
        let host = &self.authority;
        format!(
            "[http]\nhosts = [\"{host}\"]\nallow_private = true\n\
             [credentials.key]\nfile = \"key.secret\"\nhosts = [\"{host}\"]\n"
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A plugin bound to everything of `main`.
fn bound(name: &str, grants: &[&str], tables: &str) -> String {
    let component = guest(name);
    format!(
        "component = {component:?}\ngrants = {grants:?}\nbind = [{{ vmcp = \"main\" }}]\n{tables}\n"
    )
}

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

async fn with(mock: &Mock, name: &str, plugin: &str) -> TestGateway {
    Setup::simple(mock)
        .file(&format!("plugins/{name}.toml"), plugin)
        .file("plugins/key.secret", SECRET)
        .start()
        .await
}

fn code(answer: &Rpc) -> &str {
    let place = "/result/_meta/tidegate~1refusal/code";
    answer.message.pointer(place).and_then(Value::as_str).unwrap_or("none")
}

/// Neither what callers saw nor what was logged holds the secret.
fn nothing_leaked(gateway: &TestGateway, answers: &[&Rpc]) {
    assert!(!gateway.log().contains(SECRET), "the log holds the secret");
    for answer in answers {
        assert!(!answer.message.to_string().contains(SECRET), "{answer:?}");
    }
}

const REDACT: [&str; 3] = ["credential", "facts", "log"];

#[tokio::test]
async fn redact_makes_the_same_pseudonym_of_the_same_value() {
    let mock = echo().await;
    let plugin = bound(
        "redact",
        &REDACT,
        "[credentials.pseudonyms]\nfile = \"key.secret\"\n\
         [config]\nhash = [\"email\"]\nhash_key = \"pseudonyms\"\nblock = [\"ssn\"]",
    );
    let gateway = with(&mock, "redact", &plugin).await;
    let client = gateway.client("alice", "main");
    for message in ["to a@b.de", "to A@B.de", "to c@b.de"] {
        client.call("echo", json!({ "message": message })).await.result();
    }
    let sent: Vec<String> = mock
        .calls("echo")
        .iter()
        .map(|call| call.message["params"]["arguments"]["message"].as_str().unwrap().to_owned())
        .collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(b"redact\0email\0a@b.de");
    let hash = mac.finalize().into_bytes();
    let digits: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sent[0], format!("to [email {digits}]"));
    assert_eq!(sent[0], sent[1]);
    assert_ne!(sent[0], sent[2]);
    let refused = client.call("echo", json!({ "message": "ssn 123-45-6789" })).await;
    assert!(refused.text().contains("`ssn`") && !refused.text().contains("6789"), "{refused:?}");
    assert_eq!(mock.calls("echo").len(), 3);
    nothing_leaked(&gateway, &[&refused]);
}

#[tokio::test]
async fn redact_looks_at_prompts_resources_and_completions_too() {
    let fixture = Fixture::start("modern").await;
    let connector =
        format!("kind = \"remote\"\nurl = \"{}\"\nallow = [\"loopback\"]\n", fixture.url);
    let gateway = Setup::new()
        .file("gateway.toml", "listen = \"127.0.0.1:0\"\n")
        .file("connectors/up.toml", &connector)
        .vmcp("main", &["up"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
        .file(
            "plugins/redact.toml",
            &bound("redact", &REDACT, "[config]\nblock = [\"ssn\"]\nmask = [\"email\"]"),
        )
        .start()
        .await;
    let client = gateway.client("alice", "main");
    let name = "test_prompt_with_arguments";
    let prompt = json!({ "name": name, "arguments": { "arg1": "a@b.de", "arg2": "b" } });
    let got = client.request("prompts/get", prompt).await.message.to_string();
    assert!(got.contains("[email masked]") && !got.contains("a@b.de"), "{got}");
    let uri = "test://template/a@b.de/data";
    let read = client.request("resources/read", json!({ "uri": uri })).await;
    let contents = &read.result()["contents"][0];
    assert_eq!(contents["uri"], uri);
    assert!(contents["text"].as_str().unwrap().contains("[email masked]"), "{read:?}");
    let blocked = json!({ "uri": "test://template/123-45-6789/data" });
    let blocked = client.request("resources/read", blocked).await.message.to_string();
    assert!(blocked.contains("`ssn`") && !blocked.contains("6789"), "{blocked}");
    let of = json!({ "type": "ref/prompt", "name": name });
    let typed = json!({ "ref": of, "argument": { "name": "arg1", "value": "123-45-6789" } });
    let refused = client.request("completion/complete", typed).await.message.to_string();
    assert!(refused.contains("`ssn`") && !refused.contains("6789"), "{refused}");
}

#[tokio::test]
async fn what_redact_reports_is_a_fact_that_policies_know() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("mail")]).await;
    let gateway = Setup::simple(&mock)
        .file("plugins/redact.toml", &bound("redact", &REDACT, "[config]\nalert = [\"card\"]"))
        .policy(
            "mail",
            "forbid (principal, action == Action::\"up/mail\", resource)\n\
             when { context.facts.contains(\"redact:found:card\") };",
        )
        .start()
        .await;
    let client = gateway.client("alice", "main");
    let hi = json!({ "message": "hi" });
    assert_eq!(client.call("mail", hi.clone()).await.text(), r#"{"message":"hi"}"#);
    let answer = client.call("echo", json!({ "message": "4111 1111 1111 1111" })).await;
    assert_eq!(answer.text(), r#"{"message":"4111 1111 1111 1111"}"#);
    let refused = client.call("mail", hi).await;
    assert_ne!(code(&refused), "none", "{refused:?}");
    assert_eq!(mock.calls("mail").len(), 1);
}

#[tokio::test]
async fn guard_says_what_is_allowed_and_counts_in_its_state() {
    let mock = echo().await;
    let plugin = bound(
        "guard",
        &["state"],
        "[[config.rules]]\ntools = [\"ec*\"]\nrate = { calls = 2, seconds = 3600 }\n\
         [config.rules.arguments.message]\nsql = {}",
    );
    let gateway = with(&mock, "guard", &plugin).await;
    let client = gateway.client("alice", "main");
    let call = async |sql: &str| client.call("echo", json!({ "message": sql })).await;
    let refused = call("SELECT 1; DROP TABLE t").await;
    assert!(refused.text().contains("one SQL statement only"), "{refused:?}");
    assert_eq!(code(&call("SELECT 1").await), "none");
    assert_eq!(code(&call("SELECT 2").await), "none");
    let refused = call("SELECT 3").await;
    assert!(refused.text().contains("at most 2 calls in 3600 seconds"), "{refused:?}");
    assert_eq!(mock.calls("echo").len(), 2);
}

#[tokio::test]
async fn retool_narrows_what_is_published_and_what_is_taken() {
    let schema = json!({ "type": "object", "properties": {
        "region": { "type": "string", "enum": ["eu", "us"] },
        "debug": { "type": "boolean" } } });
    let tool = json!({ "name": "search", "description": "Finds.", "inputSchema": schema });
    let tools = vec![MockTool::new(tool, |_| Reply::Result(ok()))];
    let mock = Mock::start(Era::Modern, tools).await;
    let plugin = bound(
        "retool",
        &[],
        "[config.tools.\"*\"]\nname_prefix = \"crm_\"\ndescription_suffix = \" In the CRM.\"\n\
         [config.tools.search.narrow]\nregion = { one_of = [\"eu\"] }\ndebug = { drop = true }",
    );
    let gateway = with(&mock, "retool", &plugin).await;
    let client = gateway.client("alice", "main");
    let tools = client.tools().await;
    assert_eq!(
        (&tools[0]["name"], &tools[0]["description"]),
        (&json!("crm_search"), &json!("Finds. In the CRM."))
    );
    let published = &tools[0]["inputSchema"];
    assert_eq!(published["properties"], json!({ "region": { "type": "string", "enum": ["eu"] } }));
    assert_eq!(client.call("crm_search", json!({ "region": "eu" })).await.text(), "ok");
    for arguments in [json!({ "region": "us" }), json!({ "debug": true })] {
        let answer = client.call("crm_search", arguments).await;
        assert_ne!(answer.message.pointer("/result/content/0/text"), Some(&json!("ok")));
    }
    assert_eq!(mock.calls("search").len(), 1);
}

fn ok() -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": "ok" }] })
}

/// `openapi` as a connector, with the document of two operations.
fn openapi(service: &Service) -> Setup {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Pets", "version": "1" },
        "paths": { "/pets/{id}": {
            "parameters": [{ "name": "id", "in": "path", "required": true,
                "schema": { "type": "string" } }],
            "get": { "operationId": "getPet", "security": [{ "key": [] }],
                "parameters": [{ "name": "fields", "in": "query",
                    "schema": { "type": "array", "items": { "type": "string" } } }],
                "responses": { "200": { "description": "OK", "content": { "application/json": {
                    "schema": { "type": "object", "properties": { "id": { "type": "integer" } } }
                } } } } },
            "put": { "operationId": "setPet", "security": [{ "query": [] }],
                "requestBody": { "content": { "application/json": {
                    "schema": { "type": "object" } } } },
                "responses": { "204": { "description": "Kept" } } } } },
        "components": { "securitySchemes": {
            "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
            "query": { "type": "apiKey", "in": "query", "name": "api_key" } } },
    });
    let connector = format!(
        "kind = \"wasm\"\ncomponent = {:?}\ngrants = [\"credential\", \"http\"]\n{}\
         [config]\nserver = \"http://{}/v1\"\nauth = {{ key = \"key\", query = \"key\" }}\n\
         document = '''{document}'''\n",
        guest("openapi"),
        service.reach(),
        service.authority,
    );
    Setup::new()
        .file("gateway.toml", "listen = \"127.0.0.1:0\"\n")
        .file("connectors/pets.toml", &connector)
        .file("connectors/key.secret", SECRET)
        .vmcp("main", &["pets"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
}

#[tokio::test]
async fn openapi_asks_the_service_with_a_secret_it_never_sees() {
    let service = Service::start(|asked| match asked.target.as_str() {
        "/v1/pets/gone" => (404, r#"{"error":"no such pet"}"#.to_owned()),
        // A service that says what it was told must not tell the secret either.
        _ if asked.method == "GET" => {
            (200, json!({ "id": 7, "you_sent": asked.header("x-api-key") }).to_string())
        }
        _ => (204, String::new()),
    })
    .await;
    let gateway = openapi(&service).start().await;
    let client = gateway.client("alice", "main");
    let tools = client.tools().await;
    assert_eq!(client.tool_names().await, ["getPet", "setPet"]);
    assert_eq!(tools[0]["annotations"]["readOnlyHint"], true);
    let got = client.call("getPet", json!({ "id": "a/b", "fields": ["x", "y"] })).await;
    assert_eq!(got.result()["structuredContent"]["id"], 7, "{got:?}");
    let kept = client.call("setPet", json!({ "id": "1", "body": { "name": "Rex" } })).await;
    assert_eq!(kept.text(), "HTTP 204, no content");
    let gone = client.call("getPet", json!({ "id": "gone" })).await;
    assert!(gone.is_tool_error() && gone.text().contains("no such pet"), "{gone:?}");
    let asked = service.asked();
    assert_eq!(asked[0].target, "/v1/pets/a%2Fb?fields=x&fields=y");
    assert_eq!(asked[0].header("x-api-key"), SECRET);
    assert_eq!(asked[1].target, format!("/v1/pets/1?api_key={SECRET}"));
    assert_eq!(asked[1].json(), json!({ "name": "Rex" }));
    nothing_leaked(&gateway, &[&got, &kept, &gone]);
}

#[tokio::test]
async fn openapi_cannot_ask_where_it_was_not_granted() {
    let service = Service::start(|_| (200, "{}".to_owned())).await;
    let other = Service::start(|_| (200, "{}".to_owned())).await;
    let setup = openapi(&service);
    let path = setup.config().join("connectors/pets.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let moved = text.replace(
        &format!("http://{}/v1", service.authority),
        &format!("http://{}/v1", other.authority),
    );
    std::fs::write(&path, moved).unwrap();
    let gateway = setup.start().await;
    let answer = gateway.client("alice", "main").call("getPet", json!({ "id": "1" })).await;
    assert!(answer.message.to_string().contains("may not ask there"), "{answer:?}");
    assert!(other.asked().is_empty() && service.asked().is_empty());
}

/// `webhook` in front of `echo`, bound to ask this service.
fn webhook(service: &Service) -> String {
    let tables = format!(
        "{}[config]\nurl = \"http://{}/decide\"\nsigning_key = \"key\"\ntoken = \"key\"\n\
         time_out_ms = 5000\nevents = [{{ method = \"tools/call\" }}]\n[limits]\nwait_ms = 20000",
        service.reach(),
        service.authority,
    );
    bound("webhook", &["clock", "credential", "http"], &tables)
}

#[tokio::test]
async fn webhook_asks_with_a_signature_and_does_as_it_is_told() {
    let service = Service::start(|asked| {
        let told = asked.json();
        let decision = match (told["phase"].as_str(), told["arguments"]["message"].as_str()) {
            (Some("request"), Some("change")) => {
                json!({ "decision": "replace", "value": { "message": "changed" } })
            }
            (Some("request"), Some("stop")) => {
                json!({ "decision": "refuse", "reason": "Ask Ann." })
            }
            (Some("request"), Some("answer")) => json!({ "decision": "answer",
                "value": { "content": [{ "type": "text", "text": "from the service" }] } }),
            (Some("request"), Some("fail")) => return (500, "{}".to_owned()),
            _ => json!({ "decision": "proceed" }),
        };
        (200, decision.to_string())
    })
    .await;
    let mock = echo().await;
    let gateway = with(&mock, "webhook", &webhook(&service)).await;
    let client = gateway.client("alice", "main");
    let call = async |message: &str| client.call("echo", json!({ "message": message })).await;
    let answers = [
        (call("hi").await, r#"{"message":"hi"}"#),
        (call("change").await, r#"{"message":"changed"}"#),
        (call("stop").await, "Ask Ann."),
        (call("answer").await, "from the service"),
        (call("fail").await, "status 500"),
    ];
    for (answer, expected) in &answers {
        assert!(answer.text().contains(expected), "{expected}: {answer:?}");
    }
    assert_eq!(mock.calls("echo").len(), 2);
    let asked = service.asked();
    let phases: Vec<_> = asked.iter().map(|one| one.json()["phase"].clone()).collect();
    let (out, back) = ("request", "response");
    assert_eq!(phases, [out, back, out, back, out, out, out]);
    for one in &asked {
        let signed = [one.header("webhook-id"), ".", one.header("webhook-timestamp"), "."].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        mac.update(&one.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(one.header("webhook-signature"), expected);
        assert_eq!(one.header("authorization"), format!("Bearer {SECRET}"));
    }
    nothing_leaked(&gateway, &answers.each_ref().map(|(answer, _)| answer));
}

#[tokio::test]
async fn a_webhook_that_nobody_answers_refuses_or_leaves_it_to_the_binding() {
    let service = Service::start(|_| (500, "{}".to_owned())).await;
    let plugin = webhook(&service);
    let open = plugin.replace("bind = ", "fail = \"open\"\nbind = ");
    let open = open.replace("time_out_ms", "unanswered = \"fail\"\ntime_out_ms");
    drop(service);
    let mock = echo().await;
    let gateway = with(&mock, "webhook", &plugin).await;
    let answer = gateway.client("alice", "main").call("echo", json!({ "message": "hi" })).await;
    assert!(answer.text().contains("could not be asked"), "{answer:?}");
    assert!(mock.calls("echo").is_empty());
    let gateway = with(&mock, "webhook", &open).await;
    let answer = gateway.client("alice", "main").call("echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
}

#[tokio::test]
async fn a_webhook_whose_service_never_comes_to_an_end_refuses() {
    let dripping = || {
        let clock = tokio::time::interval(std::time::Duration::from_millis(50));
        axum::body::Body::from_stream(futures_util::stream::unfold(clock, async |mut clock| {
            clock.tick().await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), clock))
        }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(move || async move { dripping() });
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let service = Service { authority, asked: Arc::default(), task };
    // Every byte comes in time; the answer as a whole does not. Were the hook stopped at its own
    // end, the binding would let the call pass.
    let plugin = webhook(&service)
        .replace("bind = ", "fail = \"open\"\nbind = ")
        .replace("time_out_ms = 5000", "time_out_ms = 400");
    let mock = echo().await;
    let gateway = with(&mock, "webhook", &plugin).await;
    let answer = gateway.client("alice", "main").call("echo", json!({ "message": "hi" })).await;
    assert!(answer.text().contains("no answer in time"), "{answer:?}");
    assert!(mock.calls("echo").is_empty());
}
