//! A document's tools, the requests that calls come to, and what becomes of answers.

use outgoing::{Error, Response, double as network};
use serde_json::json;
use tidegate_plugin::double;

use super::*;

fn petstore() -> Value {
    serde_json::from_str(include_str!("../petstore.json")).unwrap()
}

fn configured(more: Value) -> OpenApi {
    let mut config = json!({ "document": petstore() });
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    OpenApi::configure(&config.to_string()).unwrap()
}

fn tool(connector: &OpenApi, name: &str) -> Value {
    let tools = connector.tools();
    let mut tools = tools.iter().map(|tool| serde_json::from_str::<Value>(tool).unwrap());
    tools.find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no tool {name}"))
}

fn call(connector: &OpenApi, name: &str, arguments: &Value) -> Result<Value, Failure> {
    let context = Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "pets".into(),
        target: name.into(),
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
        trace_parent: None,
    };
    let result = connector.call(&context, &arguments.to_string())?;
    Ok(serde_json::from_str(&result).unwrap())
}

fn answer(status: u16, kind: &str, body: &[u8]) -> Response {
    let headers = vec![("content-type".to_owned(), kind.to_owned())];
    Response { status, headers, body: body.to_vec() }
}

/// The one request that a call comes to.
fn request(more: Value, name: &str, arguments: &Value) -> outgoing::Request {
    network::answering(vec![Ok(answer(200, "application/json", b"{}"))]);
    call(&configured(more), name, arguments).unwrap();
    network::with(|network| network.requests.remove(0))
}

#[test]
fn operations_become_tools() {
    let connector = configured(json!({}));
    let names: Vec<String> = connector
        .tools()
        .iter()
        .map(|tool| serde_json::from_str::<Value>(tool).unwrap()["name"].as_str().unwrap().into())
        .collect();
    let expected = [
        "findPets",
        "post_login",
        "head_login",
        "listPets",
        "createPet",
        "getPet",
        "replacePet",
        "deletePet",
        "setNote",
        "photo",
        "tree",
    ];
    assert_eq!(names, expected);
    let left_out = connector.describe().instructions.unwrap();
    assert!(left_out.contains("upload: its body is multipart/form-data"), "{left_out}");
    assert!(left_out.contains("elsewhere: `other.json#/Pet` leads out"), "{left_out}");
}

#[test]
fn a_definition_says_what_goes_in_and_out() {
    let connector = configured(json!({}));
    let create = tool(&connector, "createPet");
    assert_eq!(create["title"], "Add a pet");
    let schema = &create["inputSchema"];
    assert_eq!(schema["required"], json!(["body"]));
    assert_eq!(schema["properties"]["body"]["$ref"], "#/$defs/NewPet");
    let pet = &schema["$defs"]["NewPet"];
    assert_eq!(pet["properties"]["id"], Value::Null, "read-only: {pet}");
    assert_eq!(pet["required"], json!(["name"]));
    assert_eq!(pet["properties"]["owner"]["type"], json!(["string", "null"]));
    assert_eq!(pet["properties"]["age"], json!({ "type": "integer", "exclusiveMinimum": 0 }));
    assert!(pet["properties"]["secret"].is_object(), "write-only goes in");
    let output = &create["outputSchema"];
    assert_eq!(output["type"], "object");
    assert_eq!(output["$defs"]["NewPet"]["properties"]["secret"], Value::Null);
    assert!(output["$defs"]["NewPet"]["properties"]["id"].is_object());
    let list = tool(&connector, "listPets");
    assert_eq!(list["outputSchema"]["properties"]["result"]["type"], "array");
    assert_eq!(list["inputSchema"]["properties"]["limit"]["description"], "How many");
    // Recursive schemas stay finite.
    let tree = tool(&connector, "tree");
    let children = &tree["outputSchema"]["$defs"]["Node"]["properties"]["children"]["items"];
    assert_eq!(children["$ref"], "#/$defs/Node");
}

#[test]
fn methods_are_annotations() {
    let connector = configured(json!({}));
    let table = [
        ("listPets", "readOnlyHint", json!(true)),
        ("deletePet", "destructiveHint", json!(true)),
        ("replacePet", "idempotentHint", json!(true)),
        ("createPet", "readOnlyHint", json!(false)),
        ("listPets", "destructiveHint", Value::Null),
    ];
    for (name, hint, expected) in table {
        assert_eq!(tool(&connector, name)["annotations"][hint], expected, "{name} {hint}");
    }
}

#[test]
fn filters_pick_operations() {
    let table = [
        (json!({ "include": ["*Pets"] }), 2),
        (json!({ "include": ["*Pets"], "exclude": ["find*"] }), 1),
        (json!({ "tags": ["notes"] }), 1),
        (json!({ "tags": ["none"] }), 0),
    ];
    for (more, expected) in table {
        assert_eq!(configured(more.clone()).tools().len(), expected, "{more}");
    }
}

#[test]
fn arguments_find_their_place_in_the_request() {
    let table = [
        ("getPet", json!({ "petId": 7 }), "GET", "/pets/7"),
        ("getPet", json!({ "petId": "a/b c?" }), "GET", "/pets/a%2Fb%20c%3F"),
        ("getPet", json!({ "petId": "a..b/.c/..." }), "GET", "/pets/a..b%2F.c%2F..."),
        ("listPets", json!({}), "GET", "/pets"),
        (
            "listPets",
            json!({ "limit": 5, "tags": ["a", "b"] }),
            "GET",
            "/pets?limit=5&tags=a&tags=b",
        ),
        ("listPets", json!({ "ids": [1, 2] }), "GET", "/pets?ids=1,2"),
        ("listPets", json!({ "piped": ["a", "b"] }), "GET", "/pets?piped=a%7Cb"),
        (
            "listPets",
            json!({ "filter": { "kind": "dog", "age": 3 } }),
            "GET",
            "/pets?filter%5Bage%5D=3&filter%5Bkind%5D=dog",
        ),
        (
            "listPets",
            json!({ "where": { "a": [1] } }),
            "GET",
            "/pets?where=%7B%22a%22%3A%5B1%5D%7D",
        ),
        ("listPets", json!({ "tags": ["a&b=c#"] }), "GET", "/pets?tags=a%26b%3Dc%23"),
        ("listPets", json!({ "raw": "a/b?c#d" }), "GET", "/pets?raw=a/b?c%23d"),
        (
            "findPets",
            json!({ "ids": [3, 4], "point": { "x": 1, "y": 2 } }),
            "GET",
            "/find/;ids=3;ids=4/.x,1,y,2",
        ),
        ("replacePet", json!({ "petId": "x" }), "PUT", "/pets/x"),
    ];
    for (name, arguments, method, path) in table {
        let request = request(json!({}), name, &arguments);
        assert_eq!(request.method, method, "{name}");
        assert_eq!(request.url, format!("https://pets.example.com/v1{path}"), "{name} {arguments}");
    }
}

#[test]
fn headers_and_cookies_and_bodies() {
    let header = |request: &outgoing::Request, name: &str| {
        let found = request.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let arguments = json!({ "petId": "1", "X-Trace": ["a", "b"], "session": "s p", "body": { "name": "Rex", "age": 2 } });
    let made = request(json!({ "headers": { "X-Team": "sales" } }), "replacePet", &arguments);
    assert_eq!(header(&made, "x-trace"), "a,b");
    assert_eq!(header(&made, "x-team"), "sales");
    assert_eq!(header(&made, "cookie"), "session=s%20p");
    assert_eq!(header(&made, "content-type"), "application/json");
    assert_eq!(made.body.as_deref(), Some(br#"{"age":2,"name":"Rex"}"#.as_slice()));
    let made =
        request(json!({}), "post_login", &json!({ "body": { "user": "a b", "role": ["x", "y"] } }));
    assert_eq!(made.body.as_deref(), Some(b"role=x&role=y&user=a%20b".as_slice()));
    assert_eq!(header(&made, "content-type"), "application/x-www-form-urlencoded");
    let made = request(
        json!({}),
        "setNote",
        &json!({ "petId": "1", "body_query": "q", "body": "p", "request_body": "it's" }),
    );
    assert_eq!(made.url, "https://pets.example.com/v1/pets/1/note?body=q");
    assert_eq!(made.body.as_deref(), Some(b"it's".as_slice()));
}

#[test]
fn a_cookie_stays_one_cookie_whatever_the_document_allows() {
    let document = json!({ "openapi": "3.1.0", "servers": [{ "url": "https://a.org" }],
        "paths": { "/x": { "get": { "operationId": "x", "parameters": [
            { "name": "c", "in": "cookie", "allowReserved": true, "schema": { "type": "string" } },
            { "name": "q", "in": "query", "allowReserved": true, "schema": { "type": "string" } },
        ] } } } });
    let made =
        request(json!({ "document": document }), "x", &json!({ "c": "1; admin=1,2", "q": "a;b" }));
    let cookie = made.headers.iter().find(|(name, _)| name == "cookie").unwrap();
    assert_eq!(cookie.1, "c=1%3B%20admin%3D1%2C2");
    assert_eq!(made.url, "https://a.org/x?q=a;b");
}

#[test]
fn schemas_whose_names_look_alike_stay_apart() {
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let document = json!({ "openapi": "3.1.0", "servers": [{ "url": "https://a.org" }],
        "paths": { "/x": { "post": { "operationId": "x", "requestBody": { "content": {
            "application/json": { "schema": { "type": "object", "properties": {
                "one": of("a-b"), "two": of("a.b"), "three": of("a-b") } } } } } } } },
        "components": { "schemas": {
            "a-b": { "type": "string" },
            "a.b": { "type": "object", "properties": { "again": of("a.b"), "other": of("a-b") } } } } });
    let tool = tool(&configured(json!({ "document": document })), "x");
    let schema = &tool["inputSchema"];
    let body = &schema["properties"]["body"]["properties"];
    let target = |reference: &Value| {
        let name = reference["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        schema["$defs"][name].clone()
    };
    assert_eq!(target(&body["one"])["type"], "string");
    assert_eq!(body["three"], body["one"]);
    let two = target(&body["two"]);
    assert_eq!(two["type"], "object");
    assert_eq!(two["properties"]["again"], body["two"]);
    assert_eq!(two["properties"]["other"], body["one"]);
}

#[test]
fn an_argument_cannot_leave_its_place() {
    let connector = configured(json!({}));
    let table = [
        ("getPet", json!({ "petId": ".." }), "`..`"),
        ("getPet", json!({ "petId": "." }), "`.`"),
        ("getPet", json!({ "petId": "x/../../admin" }), "`..`"),
        ("getPet", json!({ "petId": "x\\..\\..\\admin" }), "`..`"),
        ("getPet", json!({ "petId": "../admin" }), "`..`"),
        ("getPet", json!({ "petId": "x/." }), "`.`"),
        ("getPet", json!({ "petId": "x/%2E%2e%2Fadmin" }), "`..`"),
        ("getPet", json!({ "petId": "x/%252e./admin" }), "`..`"),
        ("getPet", json!({ "petId": "x/..;a/admin" }), "`..`"),
        ("getPet", json!({ "petId": "" }), "empty"),
        ("getPet", json!({}), "`petId` is missing"),
        ("getPet", json!({ "petId": 1, "more": 1 }), "`more`"),
        (
            "replacePet",
            json!({ "petId": 1, "X-Trace": "a\r\nHost: evil", "body": {} }),
            "line ends",
        ),
        ("createPet", json!({}), "`body` is missing"),
        ("post_login", json!({ "body": 1 }), "must be an object"),
    ];
    for (name, arguments, says) in table {
        network::answering(Vec::new());
        let failure = call(&connector, name, &arguments).unwrap_err();
        assert!(
            matches!(&failure, Failure::InvalidArguments(text) if text.contains(says)),
            "{failure:?}"
        );
        network::with(|network| assert!(network.requests.is_empty(), "{name}"));
    }
    assert!(matches!(call(&connector, "nothing", &json!({})), Err(Failure::Unknown)));
    assert!(matches!(call(&connector, "upload", &json!({})), Err(Failure::Unknown)));
}

#[test]
fn credentials_go_where_the_scheme_says_by_handle() {
    double::with(|double| double.credentials.insert("secret".to_owned()));
    let table = [
        ("key", "getPet", "x-api-key", "tgh_secret"),
        ("basic", "deletePet", "authorization", "Basic tgh_secret"),
        ("bearer", "replacePet", "authorization", "Bearer tgh_secret"),
        ("oauth", "createPet", "authorization", "Bearer tgh_secret"),
        ("jar", "tree", "cookie", "sid=tgh_secret"),
    ];
    for (scheme, name, header, value) in table {
        let made = request(
            json!({ "auth": { scheme: "secret" } }),
            name,
            &json!({ "petId": 1, "body": {} }).pick(name),
        );
        assert!(
            made.headers.contains(&(header.to_owned(), value.to_owned())),
            "{scheme}: {made:?}"
        );
    }
    let made = request(json!({ "auth": { "query": "secret" } }), "photo", &json!({ "petId": 1 }));
    assert_eq!(made.url, "https://pets.example.com/v1/pets/1/photo?api_key=tgh_secret");
    // An operation that names no security needs none.
    let made = request(json!({ "auth": { "key": "secret" } }), "listPets", &json!({}));
    assert!(!format!("{made:?}").contains("tgh_"), "{made:?}");
}

trait Pick {
    fn pick(self, name: &str) -> Value;
}

impl Pick for Value {
    /// Only the arguments that the operation has.
    fn pick(mut self, name: &str) -> Value {
        let members = self.as_object_mut().unwrap();
        if matches!(name, "createPet" | "tree") {
            members.remove("petId");
        }
        if !matches!(name, "createPet" | "replacePet") {
            members.remove("body");
        }
        self
    }
}

#[test]
fn a_credential_that_is_missing_is_said() {
    double::reset();
    let table =
        [(json!({}), "basic"), (json!({ "auth": { "basic": "gone" } }), "`gone` is not given")];
    for (more, says) in table {
        network::answering(Vec::new());
        let failure = call(&configured(more), "deletePet", &json!({ "petId": 1 })).unwrap_err();
        assert!(matches!(&failure, Failure::Failed(text) if text.contains(says)), "{failure:?}");
    }
}

#[test]
fn answers_become_results() {
    let big = br#"{"id":123456789012345678901234567890,"x":1.0}"#;
    let table: [(Response, &str, Value); 9] = [
        (
            answer(200, "application/json", big),
            "/content/0/text",
            json!(std::str::from_utf8(big).unwrap()),
        ),
        (answer(200, "application/problem+json", b"{\"a\":1}"), "/structuredContent/a", json!(1)),
        (answer(200, "application/json", b"{\"a\":1,\"a\":2}"), "/structuredContent/a", json!(2)),
        (answer(200, "application/json", b"no json"), "/content/0/text", json!("no json")),
        (answer(200, "text/plain; charset=utf-8", b"hello"), "/content/0/text", json!("hello")),
        (
            answer(200, "image/png", b"\x89PNG"),
            "/content/0",
            json!({ "type": "image", "data": "iVBORw==", "mimeType": "image/png" }),
        ),
        (
            answer(200, "application/pdf", b"%PDF-"),
            "/content/0/resource",
            json!({ "uri": "https://pets.example.com/v1/pets/1", "mimeType": "application/pdf", "blob": "JVBERi0=" }),
        ),
        (answer(204, "", b""), "/content/0/text", json!("HTTP 204, no content")),
        (
            answer(404, "application/json", b"{\"error\":\"gone\"}"),
            "/content/0/text",
            json!("HTTP 404: {\"error\":\"gone\"}"),
        ),
    ];
    let connector =
        configured(json!({ "server": "https://pets.example.com/v1/", "output_schemas": false }));
    for (response, pointer, expected) in table {
        let fails = response.status >= 400;
        network::answering(vec![Ok(response)]);
        double::with(|double| double.credentials.insert("k".to_owned()));
        let result = call(&connector, "getPet", &json!({ "petId": 1 })).unwrap();
        assert_eq!(result.pointer(pointer), Some(&expected), "{result}");
        assert_eq!(result["isError"] == true, fails, "{result}");
    }
}

#[test]
fn numbers_stay_what_they_are_and_lists_are_wrapped() {
    network::answering(vec![Ok(answer(200, "application/json", b" [12345678901234567890123] "))]);
    let context_call = configured(json!({}));
    let context = |name: &str| Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "pets".into(),
        target: name.into(),
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
        trace_parent: None,
    };
    let result = context_call.call(&context("listPets"), "{}").unwrap();
    assert!(
        result.ends_with(r#""structuredContent":{"result":[12345678901234567890123]}}"#),
        "{result}"
    );
}

#[test]
fn what_goes_wrong_on_the_way_is_told_apart() {
    let connector = configured(json!({ "max_response_kib": 1 }));
    network::answering(vec![Ok(answer(200, "text/plain", &[b'x'; 2000]))]);
    let result = call(&connector, "listPets", &json!({})).unwrap();
    assert!(
        result["isError"] == true
            && result["content"][0]["text"].as_str().unwrap().contains("1 KiB")
    );
    let redirect = Response {
        status: 302,
        headers: vec![("location".into(), "https://evil.example/".into())],
        body: Vec::new(),
    };
    network::answering(vec![Ok(redirect)]);
    let result = call(&connector, "listPets", &json!({})).unwrap();
    assert!(result["content"][0]["text"].as_str().unwrap().contains("not followed"), "{result}");
    for (error, says) in [(Error::Denied, "may not ask"), (Error::TimedOut, "in time")] {
        network::answering(vec![Err(error)]);
        let failure = call(&connector, "listPets", &json!({})).unwrap_err();
        assert!(matches!(&failure, Failure::Failed(text) if text.contains(says)), "{failure:?}");
    }
}

#[test]
fn the_document_may_be_text_and_what_is_wrong_with_it_is_said() {
    let text = json!({ "document": petstore().to_string() });
    assert_eq!(OpenApi::configure(&text.to_string()).unwrap().tools().len(), 11);
    let table = [
        (json!({ "document": "openapi: 3.0.0" }), "YAML"),
        (json!({ "document": { "swagger": "2.0" } }), "OpenAPI 3"),
        (json!({ "document": { "openapi": "3.1.0" } }), "`server`"),
        (json!({ "document": { "openapi": "3.1.0", "servers": [{ "url": "/v1" }] } }), "`/v1`"),
        (json!({ "document": petstore(), "auth": { "nobody": "x" } }), "`nobody`"),
        (json!({ "document": petstore(), "servr": "x" }), "servr"),
    ];
    for (config, says) in table {
        let error = OpenApi::configure(&config.to_string()).err().unwrap();
        assert!(error.contains(says), "{error}");
    }
    let variables = json!({ "document": { "openapi": "3.1.0",
        "servers": [{ "url": "https://{host}/v2/", "variables": { "host": { "default": "a.org" } } }] } });
    assert_eq!(
        OpenApi::configure(&variables.to_string()).unwrap().settings.server,
        "https://a.org/v2"
    );
}

#[test]
fn the_cases_hold() {
    cases::connector::<OpenApi>(env!("CARGO_MANIFEST_DIR"));
}
