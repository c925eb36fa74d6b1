//! A guest that sends in every way, against servers on loopback.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tidegate_model::{
    Call, CallId, ConnectorId, Json, Operation, OrgId, Secret, Timestamp, Tool, ToolCall,
    ToolClass, ToolName, TraceContext, UserId, VmcpId,
};
use tidegate_wire::client::egress::Resolver;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    Binding, CacheKey, CacheSettings, CallContext, CallError, Capability, Failure, Grants,
    GuestConnector, Limits, Reach, Sandbox, Settings, Trap,
    capabilities::credential::CredentialHandle,
};

#[path = "../../../../wire/src/client/mock.rs"]
#[expect(dead_code, reason = "another crate's tests use the rest")]
mod mock;

use mock::{Act, Mock, Seen};

mod secrets;

const CANARY: &str = "canary-6d1f/+x";

fn context(tool: &str) -> CallContext {
    let tool = Tool {
        connector: ConnectorId::new("web").unwrap(),
        name: ToolName::new(tool).unwrap(),
        definition: Json::empty_object(),
        input_schema: Json::empty_object(),
        output_schema: None,
        class: ToolClass::default(),
    };
    let call = Call {
        id: CallId::new(Timestamp::from_millis(1), [2; 10]),
        org: OrgId::default_org(),
        user: tidegate_model::UserId::new("ae@example.com").unwrap(),
        vmcp: VmcpId::new("sales").unwrap(),
        operation: Operation::CallTool(ToolCall {
            tool: Arc::new(tool),
            arguments: Json::empty_object(),
            more: Vec::new(),
        }),
        meta: None,
        given: None,
        trace: TraceContext {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            ..TraceContext::default()
        },
        deadline: std::time::Instant::now() + Duration::from_secs(60),
        pause: Default::default(),
    };
    let user = UserId::new("ae@example.com").unwrap();
    CallContext::new(&call, &user, Arc::from([]), None)
}

/// The sample as a connector. Its one credential, `key`, is for the last of its hosts.
struct Bench {
    connector: GuestConnector,
}

fn loopback() -> AddressPolicy {
    AddressPolicy { loopback: true, ..AddressPolicy::default() }
}

fn reach(allow: AddressPolicy, hosts: &[&str]) -> Reach {
    let egress = Egress::new(Resolver::System, None).unwrap();
    let hosts = Hosts::parse(hosts).unwrap();
    let last = Hosts::parse(hosts.patterns().last().map(ToString::to_string)).unwrap();
    let key = CredentialHandle::new("key", last, || Some(Secret::new(CANARY.into())));
    Reach {
        http: Some(Arc::new(HttpReach::new(egress, allow, hosts))),
        credentials: Arc::from([key]),
        ..Reach::default()
    }
}

fn grants() -> Grants {
    [Capability::Http, Capability::Credential].into_iter().collect()
}

impl Bench {
    async fn new(reach: Reach, limits: Limits) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
        let path = folder.join("http-sample.wasm");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}: run `cargo xtask guests`", path.display())
        });
        let cache = CacheSettings { folder: folder.join(".cache"), key: CacheKey::new([7; 32]) };
        let settings = Settings { cache: Some(cache), ..Settings::default() };
        let component = Sandbox::new(settings).unwrap().load(bytes.into()).await.unwrap();
        let config = Json::empty_object();
        let binding = Binding {
            name: "web",
            component: &component,
            config: &config,
            grants: grants(),
            limits,
            reach,
        };
        Self { connector: GuestConnector::new(&binding).unwrap() }
    }

    /// May reach `hosts` on loopback.
    async fn to(hosts: &[&str]) -> Self {
        Self::new(reach(loopback(), hosts), Limits::CONNECTOR).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        let arguments = Json::of(&arguments).unwrap();
        let result = self.connector.call(&context(tool), &arguments, None).await?;
        let mut result: Value = result.read().unwrap();
        Ok(result["structuredContent"].take())
    }

    /// The code with which a request failed.
    async fn refusal(&self, tool: &str, arguments: Value) -> String {
        match self.call(tool, arguments.clone()).await {
            Err(CallError::Failed(text)) => text,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    async fn trap(&self, tool: &str, arguments: Value) -> Trap {
        match self.call(tool, arguments).await {
            Err(CallError::Failure(Failure::Trap { trap, .. })) => trap,
            other => panic!("{other:?}"),
        }
    }
}

fn authority(mock: &Mock) -> String {
    mock.address().to_string()
}

/// Says back all that it got: in a header, in the body, in pieces.
fn echo(seen: &Seen) -> Vec<Act> {
    let header = seen.header("authorization").unwrap_or("none").to_owned();
    let whole = format!("{} {} {:?} {}", seen.method, seen.path, seen.headers, seen.body);
    let mut acts = vec![Act::raw(format!(
        "HTTP/1.1 200 OK\r\nx-echo: {header}\r\ntransfer-encoding: chunked\r\n\r\n"
    ))];
    acts.extend(whole.as_bytes().chunks(7).map(|piece| {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        Act::raw(chunk)
    }));
    acts.push(Act::end());
    acts
}

#[tokio::test]
async fn requests_go_only_where_the_list_says() {
    let mock = Mock::start(|seen, _| echo(seen)).await;
    let (here, port) = (authority(&mock), mock.address().port());
    let bench = Bench::to(&["api.example.com", "*.example.org", &here]).await;
    let sent = bench
        .call("fetch", json!({ "authority": here, "path": "/a?b=%20", "headers": [["x-a", "1"]] }))
        .await
        .unwrap();
    assert_eq!(sent["status"], 200);
    let seen = mock.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/a?b=%20"));
    assert_eq!(seen.header("host"), Some(here.as_str()));
    assert_eq!(seen.header("x-a"), Some("1"));
    assert!(seen.header("traceparent").is_some_and(|it| it.contains("-0af7651916cd43dd8448")));
    let one = mock.connections();
    for (request, code) in [
        (json!({ "authority": format!("localhost:{port}") }), "HttpRequestDenied"),
        (json!({ "authority": "127.0.0.1" }), "HttpRequestDenied"),
        (json!({ "authority": "127.0.0.1:1" }), "HttpRequestDenied"),
        (json!({ "authority": "example.org", "scheme": "https" }), "HttpRequestDenied"),
        (json!({ "authority": "api.example.com.evil.org" }), "HttpRequestDenied"),
        (json!({ "authority": "169.254.169.254" }), "HttpRequestDenied"),
        (json!({ "authority": format!("api.example.com@{here}") }), "HttpRequestUriInvalid"),
        (json!({ "authority": "" }), "authority"),
        (json!({ "authority": here, "scheme": "ftp" }), "HttpProtocolError"),
        (json!({ "authority": here, "method": "CONNECT" }), "HttpRequestMethodInvalid"),
        (json!({ "authority": here, "method": "TRACE" }), "HttpRequestMethodInvalid"),
        (json!({ "authority": here, "path": format!("/{}", "x".repeat(9 << 10)) }), "UriTooLong"),
        (json!({ "authority": here, "path": "http://127.0.0.1:1/" }), "path"),
    ] {
        let refusal = bench.refusal("fetch", request.clone()).await;
        assert!(refusal.contains(code), "{request}: {refusal}");
    }
    assert_eq!(mock.connections(), one, "nothing was dialled");
    let nothing = Bench::new(Reach::default(), Limits::CONNECTOR).await;
    let refusal = nothing.refusal("fetch", json!({ "authority": here })).await;
    assert!(refusal.contains("HttpRequestDenied"), "{refusal}");
    assert_eq!(mock.seen().len(), 1);
}

#[tokio::test]
async fn private_addresses_need_leave() {
    let mock = Mock::start(|seen, _| echo(seen)).await;
    let port = mock.address().port();
    let resolver = Resolver::Fixed(Arc::new(|host| {
        Ok(vec![if host == "plain.test" { "1.1.1.1" } else { "127.0.0.1" }.parse().unwrap()])
    }));
    let egress = Egress::new(resolver, None).unwrap();
    let here = authority(&mock);
    let (rebind, plain) = (format!("rebind.test:{port}"), format!("plain.test:{port}"));
    let hosts = Hosts::parse([&here, &rebind, &plain]).unwrap();
    let http = HttpReach::new(egress, AddressPolicy::default(), hosts);
    let reach = Reach { http: Some(Arc::new(http)), ..Reach::default() };
    let bench = Bench::new(reach, Limits::CONNECTOR).await;
    for (authority, code) in [
        (&here, "DestinationIpProhibited"),
        (&rebind, "DestinationIpProhibited"),
        // Public, and without encryption.
        (&plain, "HttpRequestDenied"),
    ] {
        let refusal = bench.refusal("fetch", json!({ "authority": authority })).await;
        assert!(refusal.contains(code), "{authority}: {refusal}");
    }
    assert_eq!(mock.connections(), 0);
    // What was refused is written down for the administrator, by name.
    let lines = bench.connector.lines(0);
    assert!(lines.iter().any(|line| line.text.contains("rebind.test")), "{lines:?}");
}

#[tokio::test]
async fn redirects_are_left_to_the_guest() {
    let mock = Mock::start(|_, _| vec![Act::reply(307, &[("location", "/there")], "")]).await;
    let here = authority(&mock);
    let sent = Bench::to(&[&here]).await.call("fetch", json!({ "authority": here })).await.unwrap();
    assert_eq!(sent["status"], 307);
    assert!(sent["headers"].to_string().contains("/there"), "{sent}");
    assert_eq!(mock.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_is_read_while_it_is_written() {
    let mock = Mock::start(|seen, _| match seen.path.as_str() {
        "/stream" => vec![
            Act::stream(),
            Act::chunk("one"),
            Act::Met(|seen| seen.path == "/seen?one"),
            Act::chunk("two"),
            Act::end(),
        ],
        _ => vec![Act::json(200, "1")],
    })
    .await;
    let here = authority(&mock);
    let relayed = Bench::to(&[&here]).await.call("relay", json!({ "authority": here })).await;
    assert_eq!(relayed.unwrap(), "200 onetwo");
}

async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&seen).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{text} never came: {so_far}");
    }
}

#[tokio::test]
async fn a_request_leaves_while_it_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let bench = Bench::to(&[&here]).await;
    let server = async {
        let (mut upload, _) = listener.accept().await.unwrap();
        read_until(&mut upload, "first").await;
        // The guest asks for this over a connection of its own, and waits for it.
        let (mut other, _) = listener.accept().await.unwrap();
        read_until(&mut other, "/seen?first").await;
        other.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let rest = read_until(&mut upload, "0\r\n\r\n").await;
        assert!(rest.contains("second"), "{rest}");
        upload.write_all(b"HTTP/1.1 201 Made\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    };
    let (sent, ()) = tokio::join!(bench.call("upload", json!({ "authority": here })), server);
    let sent = sent.unwrap();
    assert_eq!((&sent["status"], &sent["body"]), (&json!(201), &json!("done")));
}

#[tokio::test]
async fn huge_headers_end_the_guest_or_the_request_and_nothing_else() {
    let mock = Mock::start(|_, _| {
        let many: String = (0..40_000).map(|at| format!("x-{at}: y\r\n")).collect();
        vec![Act::raw(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"))]
    })
    .await;
    let here = authority(&mock);
    let bench = Bench::to(&[&here]).await;
    assert_eq!(bench.call("headers", json!({ "count": 20, "size": 100 })).await.unwrap(), 20);
    for (count, size) in [(1, 40 << 10), (40_000, 1), (100, 1 << 10)] {
        let trap = bench.trap("headers", json!({ "count": count, "size": size })).await;
        assert!(matches!(trap, Trap::BadOutput(_)), "{count} × {size}: {trap:?}");
    }
    let refusal = bench.refusal("fetch", json!({ "authority": here })).await;
    assert!(refusal.contains("HttpProtocolError"), "{refusal}");
}

#[tokio::test]
async fn headers_of_the_connection_are_the_hosts() {
    let mock = Mock::start(|seen, _| echo(seen)).await;
    let here = authority(&mock);
    let bench = Bench::to(&[&here]).await;
    for name in [
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "proxy-authorization",
        "proxy-x",
        "tidegate-call",
        "Host",
    ] {
        let request = json!({ "authority": here, "headers": [[name, "x"]] });
        let refusal = bench.refusal("fetch", request).await;
        assert!(refusal.contains("Forbidden"), "{name}: {refusal}");
    }
    assert_eq!(mock.seen().len(), 0);
}

#[tokio::test]
async fn eight_requests_are_under_way_and_no_more() {
    let mock = Mock::start(|_, _| vec![Act::Hang]).await;
    let here = authority(&mock);
    let bench = Bench::to(&[&here]).await;
    let request = json!({ "authority": here, "count": 12, "refused": 4 });
    let ended = bench.call("many", request).await.unwrap();
    let ended = ended.as_array().unwrap();
    assert_eq!(ended.len(), 4);
    assert!(ended.iter().all(|code| code.to_string().contains("ConnectionLimitReached")));
    // The guest is gone, and so is what it began.
    mock.until(|mock| mock.gone() == mock.connections()).await;
}

#[tokio::test]
async fn a_deadline_ends_the_request_with_the_guest() {
    let mock = Mock::start(|_, _| vec![Act::Hang]).await;
    let here = authority(&mock);
    let limits = Limits { wall_time: Duration::from_millis(300), ..Limits::CONNECTOR };
    let bench = Bench::new(reach(loopback(), &[&here]), limits).await;
    let trap = bench.trap("fetch", json!({ "authority": here })).await;
    assert!(matches!(trap, Trap::OutOfTime(_)), "{trap:?}");
    mock.until(|mock| mock.gone() == 1 && mock.connections() == 1).await;
}

#[tokio::test]
async fn a_dropped_call_closes_what_it_was_reading() {
    let mock = Mock::start(|_, _| vec![Act::stream(), Act::chunk("one"), Act::Hang]).await;
    let here = authority(&mock);
    let bench = Bench::to(&[&here]).await;
    tokio::select! {
        ended = bench.call("fetch", json!({ "authority": here })) => panic!("{ended:?}"),
        () = mock.until(|mock| mock.seen().len() == 1) => {}
    }
    mock.until(|mock| mock.gone() == 1).await;
}

#[tokio::test]
async fn calls_of_the_interface_count() {
    let limits = Limits { host_calls: 100, ..Limits::CONNECTOR };
    let bench = Bench::new(reach(loopback(), &[]), limits).await;
    let trap = bench.trap("calls", json!({})).await;
    assert!(matches!(trap, Trap::TooManyHostCalls(100)), "{trap:?}");
}

#[tokio::test]
async fn of_many_destinations_the_newest_are_kept() {
    let egress = Egress::new(Resolver::System, None).unwrap();
    let hosts = Hosts::parse(["*.example.org"]).unwrap();
    let http = HttpReach::new(egress, AddressPolicy::default(), hosts);
    let of = |n| Origin::split(&format!("https://h{n}.example.org/")).unwrap().0;
    for n in 0..DESTINATIONS + 2 {
        http.destination(&of(n), Care::Usual).unwrap();
        http.destination(&of(n), Care::Usual).unwrap();
    }
    let known = http.known.lock().unwrap();
    let kept: Vec<_> = known.iter().map(|((origin, _), _)| origin.clone()).collect();
    assert_eq!(kept, (2..DESTINATIONS + 2).map(of).collect::<Vec<_>>());
}
