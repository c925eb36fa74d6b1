//! A scriptable MCP server over Streamable HTTP that remembers what it received.
//!
//! Owns discovery, sessions and lists of both eras; what a tool answers is a test's closure.
//! As strict as a real server where the gateway could get something wrong: a modern-only one
//! refuses `initialize`, a legacy-only one refuses everything without a session.

use std::{
    collections::VecDeque,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, body::Incoming, header::HeaderMap, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};

use super::reply::{self, Body, Reply, message, text_result, whole};

/// The revisions a mock speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25 and before, with sessions.
    Legacy,
    /// 2026-07-28.
    Modern,
    /// Whatever it is asked in.
    Both,
}

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Its HTTP method.
    pub(crate) http: Method,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, byte for byte.
    pub(crate) body: Bytes,
    /// The body as JSON, `null` where it is none.
    pub(crate) message: Value,
}

impl Received {
    /// The JSON-RPC method, empty where there is none.
    pub(crate) fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }

    /// The name in the parameters, empty where there is none.
    pub(crate) fn name(&self) -> &str {
        self.message["params"]["name"].as_str().unwrap_or_default()
    }

    /// The value of a header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

const TASKS: &str = "io.modelcontextprotocol/tasks";

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A tool of a mock.
#[derive(Clone)]
pub(crate) struct MockTool {
    definition: Value,
    script: Script,
}

impl fmt::Debug for MockTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.definition.fmt(f)
    }
}

impl MockTool {
    /// A tool with any definition and any answer.
    pub(crate) fn new(
        definition: Value,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self { definition, script: Arc::new(script) }
    }

    /// A tool `name` that takes any arguments and answers with them as text.
    pub(crate) fn echo(name: &str) -> Self {
        let definition = json!({
            "name": name,
            "description": "Returns its arguments.",
            "inputSchema": { "type": "object", "properties": { "message": { "type": "string" } } },
            "annotations": { "readOnlyHint": true },
        });
        Self::new(definition, |received| {
            Reply::Text(received.message["params"]["arguments"].to_string())
        })
    }

    /// The same, answering `reply` each time.
    pub(crate) fn answering(name: &str, reply: Reply) -> Self {
        Self { script: Arc::new(move |_| reply.clone()), ..Self::echo(name) }
    }
}

#[derive(Debug)]
struct Shared {
    era: Era,
    tools: Mutex<Vec<MockTool>>,
    page: AtomicUsize,
    received: Mutex<Vec<Received>>,
    /// Counts what was received.
    arrivals: watch::Sender<usize>,
    resources: Mutex<Vec<String>>,
    /// Whether it has the tasks extension.
    has_tasks: AtomicBool,
    /// What is told of its own accord.
    news: broadcast::Sender<Value>,
    sessions: AtomicUsize,
    /// The methods of the requests that were given up.
    abandoned: Mutex<Vec<String>>,
}

/// A running mock; ends with this value.
#[derive(Debug)]
pub(crate) struct Mock {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Mock {
    /// Starts one with these tools.
    pub(crate) async fn start(era: Era, tools: Vec<MockTool>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::on(listener, era, tools)
    }

    /// Starts one on a port that another had, once that is gone.
    pub(crate) async fn start_at(address: SocketAddr, era: Era, tools: Vec<MockTool>) -> Self {
        let listener = super::eventually("the port to be free", || async {
            TcpListener::bind(address).await.ok()
        })
        .await;
        Self::on(listener, era, tools)
    }

    fn on(listener: TcpListener, era: Era, tools: Vec<MockTool>) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            era,
            tools: Mutex::new(tools),
            page: AtomicUsize::new(usize::MAX),
            received: Mutex::default(),
            arrivals: watch::Sender::default(),
            resources: Mutex::default(),
            has_tasks: AtomicBool::new(false),
            news: broadcast::Sender::new(64),
            sessions: AtomicUsize::new(0),
            abandoned: Mutex::default(),
        });
        let listener = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, listener }
    }

    /// The URL of its endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Lists other tools from now on.
    pub(crate) fn set_tools(&self, tools: Vec<MockTool>) {
        *self.shared.tools.lock().unwrap() = tools;
    }

    /// Lists this many tools on a page from now on.
    pub(crate) fn set_page(&self, tools: usize) {
        self.shared.page.store(tools, Ordering::Relaxed);
    }

    /// Has these resources, which can be subscribed to; to be said before anybody connects.
    pub(crate) fn set_resources(&self, uris: &[&str]) {
        *self.shared.resources.lock().unwrap() = uris.iter().map(|&uri| uri.into()).collect();
    }

    /// Has the tasks extension, and tells of those tasks alone that a listener asks for; to be
    /// said before anybody connects.
    pub(crate) fn set_tasks(&self) {
        self.shared.has_tasks.store(true, Ordering::Relaxed);
    }

    /// Tells this notification to everybody who listens at this moment; how many.
    pub(crate) fn tell(&self, method: &str, params: Value) -> usize {
        let note = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.shared.news.send(note).unwrap_or(0)
    }

    /// Everything received so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The calls of `tool` received so far.
    pub(crate) fn calls(&self, tool: &str) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|one| one.method() == "tools/call" && one.name() == tool);
        received
    }

    /// Forgets every session, as a server that was started anew.
    pub(crate) fn forget_sessions(&self) {
        self.shared.sessions.fetch_add(1_000, Ordering::Relaxed);
    }

    /// How many requests were given up by the other side before they were answered.
    pub(crate) fn abandoned(&self) -> usize {
        self.given_up().len()
    }

    /// The methods of those requests.
    pub(crate) fn given_up(&self) -> Vec<String> {
        self.shared.abandoned.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // The connections end with the listener: a mock that is dropped is gone as a whole.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(request, Arc::clone(&shared)));
            let server = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is part of what is tested.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// Counts a request as abandoned when it goes away before its answer.
struct Pending {
    shared: Arc<Shared>,
    method: String,
    answered: bool,
}

impl Pending {
    fn answered(&mut self, answered: bool) {
        self.answered |= answered;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.abandoned.lock().unwrap().push(std::mem::take(&mut self.method));
        }
    }
}

async fn serve(request: Request<Incoming>, shared: Arc<Shared>) -> std::io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, 64 << 20).collect().await;
    let body = body.map_err(std::io::Error::other)?.to_bytes();
    let received = Received {
        http: parts.method,
        headers: parts.headers,
        message: serde_json::from_slice(&body).unwrap_or_default(),
        body,
    };
    shared.received.lock().unwrap().push(received.clone());
    shared.arrivals.send_modify(|count| *count += 1);
    // Whoever only listens gives up nothing when it goes; nor does who waits for no answer.
    let method = received.method().to_owned();
    let waits = received.message.get("id").is_some() && method != "subscriptions/listen";
    let mut pending = Pending { shared: Arc::clone(&shared), method, answered: !waits };
    match answer(&shared, &received).await {
        Ok(response) if waits => Ok(watched(response, pending)),
        other => {
            pending.answered(true);
            other
        }
    }
}

/// The same response, which counts as abandoned where its body is dropped before its end.
fn watched(response: Response<Body>, mut pending: Pending) -> Response<Body> {
    response.map(|body| {
        let mut body = Box::pin(body);
        let frames = futures_util::stream::poll_fn(move |context| {
            let frame = hyper::body::Body::poll_frame(body.as_mut(), context);
            let ended = matches!(frame, std::task::Poll::Ready(None));
            pending.answered(ended || hyper::body::Body::is_end_stream(&body));
            frame
        });
        http_body_util::StreamBody::new(frames).boxed_unsync()
    })
}

async fn answer(shared: &Arc<Shared>, received: &Received) -> std::io::Result<Response<Body>> {
    if received.http == Method::DELETE && shared.era != Era::Modern {
        return Ok(whole(204, "text/plain", Bytes::new()));
    }
    if received.http == Method::GET && shared.era != Era::Modern {
        return Ok(reply::events(news(shared, None)));
    }
    if received.http != Method::POST {
        return Ok(whole(405, "text/plain", Bytes::new()));
    }
    let modern = received
        .message
        .pointer("/params/_meta")
        .is_some_and(|meta| meta.get("io.modelcontextprotocol/protocolVersion").is_some());
    let id = &received.message["id"];
    match (shared.era, modern) {
        (Era::Legacy, true) | (Era::Legacy | Era::Both, false) => {
            legacy(shared, received, id).await
        }
        (Era::Modern | Era::Both, true) => by_method(shared, received, id, 404).await,
        (Era::Modern, false) => {
            let data = json!({ "supported": ["2026-07-28"], "requested": "2025-11-25" });
            let error = json!({ "code": -32022, "message": "unsupported", "data": data });
            Ok(message(400, &json!({ "jsonrpc": "2.0", "id": id, "error": error })))
        }
    }
}

async fn legacy(
    shared: &Arc<Shared>,
    received: &Received,
    id: &Value,
) -> std::io::Result<Response<Body>> {
    let session = format!("session-{}", shared.sessions.load(Ordering::Relaxed));
    if received.method() == "initialize" {
        let wanted = received.message["params"]["protocolVersion"].as_str();
        let known = ["2025-03-26", "2025-06-18", "2025-11-25"];
        let revision = wanted.filter(|wanted| known.contains(wanted)).unwrap_or("2025-11-25");
        let result = json!({
            "protocolVersion": revision,
            "capabilities": capabilities(shared),
            "serverInfo": { "name": "mock", "version": "1" },
        });
        let mut response = Reply::Result(result).into_response(id).await?;
        response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
        return Ok(response);
    }
    match received.header("mcp-session-id") {
        "" => Ok(whole(400, "text/plain", "no session".into())),
        other if other != session => Ok(whole(404, "text/plain", "unknown session".into())),
        _ => by_method(shared, received, id, 200).await,
    }
}

/// What it says that it can do.
fn capabilities(shared: &Shared) -> Value {
    let mut all = json!({ "tools": { "listChanged": true } });
    if !shared.resources.lock().unwrap().is_empty() {
        all["resources"] = json!({ "subscribe": true, "listChanged": true });
    }
    if shared.has_tasks.load(Ordering::Relaxed) {
        all["extensions"] = json!({ TASKS: {} });
    }
    let tools = shared.tools.lock().unwrap();
    if tools.iter().any(|tool| tool.definition.get("execution").is_some()) {
        all["tasks"] = json!({ "cancel": {}, "requests": { "tools": { "call": {} } } });
    }
    all
}

/// What is told from now on; to a listen request what it asked for, with its mark.
fn news(
    shared: &Shared,
    listen: Option<Value>,
) -> impl Stream<Item = Value> + Send + 'static + use<> {
    stream::unfold((shared.news.subscribe(), listen), |(mut news, listen)| async move {
        loop {
            let mut note = news.recv().await.ok()?;
            if let Some(listen) = &listen {
                if !asks_for(listen, &note) {
                    continue;
                }
                let mark = listen["id"].clone();
                note["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = mark;
            }
            return Some((note, (news, listen)));
        }
    })
}

/// Whether this listen request asks for this: all there is, but of tasks those alone that it
/// names, as a client that takes them.
fn asks_for(listen: &Value, note: &Value) -> bool {
    let params = &listen["params"];
    let can = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    let ids = params["notifications"]["taskIds"].as_array();
    let is_named = || ids.is_some_and(|ids| ids.contains(&note["params"]["taskId"]));
    note["method"] != "notifications/tasks" || can["extensions"][TASKS].is_object() && is_named()
}

/// A call that asks its client.
struct Asking {
    shared: Arc<Shared>,
    id: Value,
    left: VecDeque<Value>,
    asked: Option<Value>,
    answers: Vec<Value>,
}

/// Asks one question after the other, and answers with what came back.
fn asking(
    shared: &Arc<Shared>,
    id: &Value,
    questions: Vec<Value>,
) -> impl Stream<Item = Value> + Send + 'static + use<> {
    let (shared, id) = (Arc::clone(shared), id.clone());
    let asking = Asking { shared, id, left: questions.into(), asked: None, answers: Vec::new() };
    stream::unfold(Some(asking), |asking| async move {
        let mut asking = asking?;
        if let Some(asked) = asking.asked.take() {
            asking.answers.push(answer_to(&asking.shared, &asked["id"]).await);
        }
        if let Some(next) = asking.left.pop_front() {
            asking.asked = Some(next.clone());
            return Some((next, Some(asking)));
        }
        let result = text_result(&Value::from(asking.answers).to_string());
        Some((reply::answer(&asking.id, "result", &result), None))
    })
}

/// The `result` or `error` with which the client answered this question.
async fn answer_to(shared: &Shared, id: &Value) -> Value {
    let mut arrivals = shared.arrivals.subscribe();
    loop {
        let is_answer = |one: &&Received| one.message["id"] == *id && one.method().is_empty();
        let found = shared.received.lock().unwrap().iter().find(is_answer).cloned();
        if let Some(found) = found {
            let outcome = found.message.get("result").or_else(|| found.message.get("error"));
            return outcome.cloned().unwrap_or_default();
        }
        arrivals.changed().await.unwrap();
    }
}

async fn by_method(
    shared: &Arc<Shared>,
    received: &Received,
    id: &Value,
    unknown: u16,
) -> std::io::Result<Response<Body>> {
    let is_response = received.message.get("method").is_none();
    if id.is_null() || is_response {
        return Ok(whole(202, "text/plain", Bytes::new()));
    }
    match received.method() {
        "server/discover" if unknown == 404 => {
            let result = json!({
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": capabilities(shared),
                "ttlMs": 0,
                "cacheScope": "public",
            });
            Reply::Result(result).into_response(id).await
        }
        "ping" if unknown == 200 => Reply::Result(json!({})).into_response(id).await,
        "subscriptions/listen" if unknown == 404 => {
            let accepted = &received.message["params"]["notifications"];
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            let acknowledged = json!({
                "jsonrpc": "2.0",
                "method": "notifications/subscriptions/acknowledged",
                "params": { "notifications": accepted, "_meta": meta },
            });
            let news = news(shared, Some(received.message.clone()));
            Ok(reply::events(stream::iter([acknowledged]).chain(news)))
        }
        "resources/list" => Reply::Result(resources(shared)).into_response(id).await,
        "resources/subscribe" | "resources/unsubscribe" if unknown == 200 => {
            Reply::Result(json!({})).into_response(id).await
        }
        "tools/list" => Reply::Result(list(shared, received)).into_response(id).await,
        "tools/call" => {
            let tools = shared.tools.lock().unwrap().clone();
            let tool = tools.iter().find(|tool| tool.definition["name"] == received.name());
            match tool {
                Some(tool) => match (tool.script)(received) {
                    Reply::Ask(questions) => Ok(reply::events(asking(shared, id, questions))),
                    reply => reply.into_response(id).await,
                },
                None => {
                    let error = json!({ "code": -32602, "message": "unknown tool" });
                    Reply::Error(error).into_response(id).await
                }
            }
        }
        // Any other method is what a tool of that name answers.
        other if shared.tools.lock().unwrap().iter().any(|it| it.definition["name"] == other) => {
            let tools = shared.tools.lock().unwrap().clone();
            let tool = tools.iter().find(|tool| tool.definition["name"] == other).unwrap();
            (tool.script)(received).into_response(id).await
        }
        _ => {
            let error = json!({ "code": -32601, "message": "unknown method" });
            Ok(message(unknown, &json!({ "jsonrpc": "2.0", "id": id, "error": error })))
        }
    }
}

fn resources(shared: &Shared) -> Value {
    let uris = shared.resources.lock().unwrap();
    let resources: Vec<_> = uris.iter().map(|uri| json!({ "uri": uri, "name": uri })).collect();
    json!({
        "resultType": "complete",
        "resources": resources,
        "ttlMs": 0,
        "cacheScope": "public",
    })
}

fn list(shared: &Shared, received: &Received) -> Value {
    let tools = shared.tools.lock().unwrap();
    let page = shared.page.load(Ordering::Relaxed);
    let cursor = received.message["params"]["cursor"].as_str();
    let from: usize = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let to = from.saturating_add(page).min(tools.len());
    let definitions = tools.get(from..to).unwrap_or_default().iter();
    let definitions: Vec<&Value> = definitions.map(|tool| &tool.definition).collect();
    let mut result = json!({
        "resultType": "complete",
        "tools": definitions,
        "ttlMs": 0,
        "cacheScope": "public",
    });
    if to < tools.len() {
        result["nextCursor"] = json!(to.to_string());
    }
    result
}
