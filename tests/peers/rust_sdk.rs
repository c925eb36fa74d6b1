//! The official Rust SDK, as client and as server.
//!
//! Owns what is different from the scripts: it runs inside the test process. What must come
//! out is the same.

use std::sync::Arc;

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientRequest, ContentBlock,
        ErrorData, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
        ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService},
    transport::{
        StreamableHttpClientTransport, StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_client::StreamableHttpClientTransportConfig,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use super::{check_given_up, check_report, over, upstream};
use crate::support::{Era, Setup, patiently};

/// A client that passes progress on to the test.
#[derive(Debug, Clone)]
struct Follower(mpsc::UnboundedSender<[u64; 2]>);

impl ClientHandler for Follower {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let seen = [params.progress, params.total.unwrap_or_default()].map(|n| n as u64);
        let _ = self.0.send(seen);
    }
}

type Connected = RunningService<RoleClient, Follower>;

fn call(name: &str, arguments: Value) -> CallToolRequestParams {
    let arguments = arguments.as_object().unwrap().clone();
    CallToolRequestParams::new(name.to_owned()).with_arguments(arguments)
}

fn first_text(result: &CallToolResult) -> String {
    let result = serde_json::to_value(result).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The same walk as the scripts', with the same report.
async fn walk(
    client: Connected,
    mut progress: mpsc::UnboundedReceiver<[u64; 2]>,
    revision: &str,
) -> Value {
    let tools = client.list_all_tools().await.unwrap();
    let echoed = client.call_tool(call("echo", json!({ "message": "grüße" }))).await.unwrap();
    let stepped = client.call_tool(call("steps", json!({}))).await.unwrap();
    let mut steps = Vec::new();
    while steps.len() < 3 {
        steps.push(progress.recv().await.unwrap());
    }
    let failed = client.call_tool(call("fail", json!({}))).await.unwrap();

    let endless = ClientRequest::CallToolRequest(rmcp::model::CallToolRequest::new(call(
        "endless",
        json!({}),
    )));
    let handle =
        client.send_cancellable_request(endless, PeerRequestOptions::no_options()).await.unwrap();
    progress.recv().await.unwrap();
    handle.cancel(Some("enough".to_owned())).await.unwrap();
    let after = client.call_tool(call("echo", json!({ "message": "still there" }))).await.unwrap();

    let report = json!({
        "revision": revision,
        "tools": tools.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>(),
        "echo": first_text(&echoed),
        "stepped": first_text(&stepped),
        "steps": steps,
        "failed": [failed.is_error.unwrap_or_default(), first_text(&failed)],
        "cancelled": true,
        "after": first_text(&after),
    });
    client.cancel().await.unwrap();
    report
}

fn modes() -> [(ClientLifecycleMode, &'static str); 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let modern = ClientLifecycleMode::Discover { preferred_versions };
    [(ClientLifecycleMode::Initialize, "2025-11-25"), (modern, "2026-07-28")]
}

/// Takes a client through the walk at `url` and checks what came out.
async fn check(who: &str, url: String, key: &str, mode: ClientLifecycleMode, revision: &str) {
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(key);
    let transport = StreamableHttpClientTransport::from_config(config);
    let (sender, progress) = mpsc::unbounded_channel();
    let client = Follower(sender).serve_with_lifecycle(transport, mode);
    let client = patiently(who, client).await.unwrap();
    let report = patiently(who, walk(client, progress, revision)).await;
    check_report(who, &report, revision);
}

#[tokio::test]
async fn the_rust_sdk_works_in_both_eras() {
    for (mode, revision) in modes() {
        for era in [Era::Modern, Era::Legacy] {
            let who = format!("rmcp {revision} to a {era:?} upstream");
            let mock = upstream(era).await;
            let gateway = Setup::simple(&mock).start().await;
            let (url, key) = (gateway.url("main"), gateway.key("alice"));
            check(&who, url, key, mode.clone(), revision).await;
            check_given_up(&who, &mock).await;
        }
    }
}

/// The walk itself, with no gateway in between: what fails here is the walk.
#[tokio::test]
async fn the_rust_sdk_reports_what_the_upstream_does() {
    for (mode, revision) in modes() {
        let mock = upstream(Era::Both).await;
        check(revision, mock.url(), "none", mode, revision).await;
        check_given_up(revision, &mock).await;
    }
}

/// A server with one tool.
#[derive(Debug, Clone)]
struct Greeter;

impl ServerHandler for Greeter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        let schema = Arc::new(schema.as_object().unwrap().clone());
        Ok(ListToolsResult::with_all_items(vec![Tool::new("greet", "Greets.", schema)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let name = arguments.get("name").and_then(Value::as_str).unwrap_or("nobody");
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("Hello, {name}"))]).into())
    }
}

async fn greeter() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let service = StreamableHttpService::new(
        || Ok(Greeter),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

#[tokio::test]
async fn a_server_of_the_rust_sdk_works_in_both_eras() {
    let url = greeter().await;
    for era in ["auto", "modern", "legacy"] {
        let connector = format!(
            "kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\nera = \"{era}\"\n"
        );
        let gateway = over(&connector).await;
        let client = gateway.client("alice", "main");
        assert_eq!(client.tool_names().await, ["greet"], "{era}");
        let greeting = client.call("greet", json!({ "name": "Ada" })).await;
        assert_eq!(greeting.text(), "Hello, Ada", "{era}");
        let session = client.session("2025-06-18").await;
        assert_eq!(session.call("greet", json!({})).await.text(), "Hello, nobody", "{era}");
    }
}
