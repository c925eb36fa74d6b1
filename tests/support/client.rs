//! A small MCP client over HTTP/1.1.
//!
//! [`Client::send`] sends any request whatever; [`Client::request`] and what builds on it
//! speak revision 2026-07-28. Checks nothing that a test might want to look at.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Incoming, header::HeaderMap};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{Session, patiently};

/// Talks to one path of one listener, as one caller.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The listener.
    pub(crate) address: SocketAddr,
    /// The path of the endpoint.
    pub(crate) path: String,
    /// The API key.
    pub(crate) key: Option<String>,
}

/// A whole HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// A JSON-RPC answer with the HTTP status it came with.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The whole message.
    pub(crate) message: Value,
    /// Messages that came before it on the same stream.
    pub(crate) before: Vec<Value>,
}

impl Rpc {
    /// The `result`; fails the test where there is none.
    pub(crate) fn result(&self) -> &Value {
        self.message.get("result").unwrap_or_else(|| panic!("no result: {self:?}"))
    }

    /// The code of the `error`; fails the test where there is none.
    pub(crate) fn code(&self) -> i64 {
        let code = self.message.pointer("/error/code").and_then(Value::as_i64);
        code.unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// The text of the first content block, of a refusal or of an answer alike; the message
    /// of an error.
    pub(crate) fn text(&self) -> &str {
        let text = self.message.pointer("/result/content/0/text");
        let text = text.or_else(|| self.message.pointer("/error/message"));
        text.and_then(Value::as_str).unwrap_or_else(|| panic!("no text: {self:?}"))
    }

    /// Whether the result says that the tool failed.
    pub(crate) fn is_tool_error(&self) -> bool {
        self.message.pointer("/result/isError") == Some(&Value::Bool(true))
    }
}

impl Response {
    /// The body as JSON; fails the test where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    /// The value of a header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The JSON-RPC messages in the body, whether it is one message or an event stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if !self.header("content-type").starts_with("text/event-stream") {
            return vec![self.json()];
        }
        let text = String::from_utf8_lossy(&self.body);
        text.split("\n\n").filter_map(event_message).collect()
    }

    /// The last message, as the answer to a request.
    pub(crate) fn rpc(&self) -> Rpc {
        let mut before = self.messages();
        let message = before.pop().unwrap_or_else(|| panic!("no message: {self:?}"));
        Rpc { status: self.status, message, before }
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its id, where it has one.
    pub(crate) id: Option<String>,
    /// How long to wait before coming back, where it says so.
    pub(crate) retry: Option<u64>,
    /// The JSON in its data, where there is any.
    pub(crate) message: Option<Value>,
}

impl Event {
    /// Reads the lines of one event; none where there is nothing but a comment.
    fn read(text: &str) -> Option<Self> {
        let field = |name: &'static str| {
            let lines = text.lines().filter_map(move |line| line.strip_prefix(name));
            lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        };
        let data = field("data:").collect::<Vec<_>>().join("\n");
        let event = Self {
            id: field("id:").next_back(),
            retry: field("retry:").next_back().map(|millis| millis.parse().unwrap()),
            message: (!data.is_empty()).then(|| serde_json::from_str(&data).unwrap()),
        };
        let is_comment = event.id.is_none() && event.retry.is_none() && event.message.is_none();
        (!is_comment).then_some(event)
    }
}

/// The JSON in the `data` lines of one event, where it has any.
fn event_message(event: &str) -> Option<Value> {
    Event::read(event)?.message
}

/// A response that is still arriving.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// The id of the last event that was read.
    pub(crate) last: Option<String>,
    body: Incoming,
    buffer: String,
}

impl EventStream {
    /// The next message; `None` after the last. Dropping the stream closes the connection.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.next_event().await?.message {
                return Some(message);
            }
        }
    }

    /// The whole body as JSON, where it is no stream of events after all.
    pub(crate) async fn whole(self) -> Value {
        let text = patiently("a body", self.body.collect()).await.unwrap().to_bytes();
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// The next event, with or without a message; `None` after the last.
    pub(crate) async fn next_event(&mut self) -> Option<Event> {
        patiently("the next event", async {
            loop {
                while let Some(end) = self.buffer.find("\n\n") {
                    let event: String = self.buffer.drain(..end + 2).collect();
                    if let Some(event) = Event::read(&event) {
                        self.last = event.id.clone().or(self.last.take());
                        return Some(event);
                    }
                }
                let frame = self.body.frame().await?.ok()?;
                let data = frame.into_data().unwrap_or_default();
                self.buffer.push_str(std::str::from_utf8(&data).unwrap());
            }
        })
        .await
    }
}

/// Parameters with the `_meta` that revision 2026-07-28 wants on every request.
pub(crate) fn modern_params(mut params: Value) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "tidegate-tests", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    match params.get_mut("_meta").and_then(Value::as_object_mut) {
        // What a test says itself counts.
        Some(own) => {
            for (key, value) in meta.as_object().unwrap() {
                own.entry(key).or_insert_with(|| value.clone());
            }
        }
        None => params["_meta"] = meta,
    }
    params
}

impl Client {
    /// Somebody without a key.
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        Self { address, path: path.to_owned(), key: None }
    }

    /// The same with a key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Sends any request on a connection of its own and reads the whole response. `headers`
    /// replace those set by default.
    pub(crate) async fn send(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let body = body.into();
        patiently("a response", async {
            let response = self.start(method, headers, body).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Response { status: parts.status, headers: parts.headers, body }
        })
        .await
    }

    /// The same; the response is read while it arrives.
    pub(crate) async fn stream(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> EventStream {
        let response = patiently("a head", self.start(method, headers, body.into())).await;
        let (parts, body) = response.unwrap().into_parts();
        let (status, headers) = (parts.status, parts.headers);
        EventStream { status, headers, last: None, body, buffer: String::new() }
    }

    async fn start(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<hyper::Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(&self.path);
        let all = request.headers_mut().unwrap();
        let mut set = |name: &str, value: &str| {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            all.insert(name, value.parse().unwrap());
        };
        set("host", &self.address.to_string());
        set("content-type", "application/json");
        set("accept", "application/json, text/event-stream");
        if let Some(key) = &self.key {
            set("authorization", &format!("Bearer {key}"));
        }
        for (name, value) in headers {
            set(name, value);
        }
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(request.body(Full::new(body)).unwrap()).await
    }

    /// The headers that mirror a modern request.
    pub(crate) fn modern_headers<'a>(
        method: &'a str,
        params: &'a Value,
    ) -> Vec<(&'a str, &'a str)> {
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        let name =
            ["name", "uri", "taskId"].iter().find_map(|member| params.get(*member)?.as_str());
        headers.extend(name.map(|name| ("mcp-name", name)));
        headers
    }

    /// A request of revision 2026-07-28.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Rpc {
        let params = modern_params(params);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = Self::modern_headers(method, &params);
        self.send(Method::POST, &headers, body.to_string()).await.rpc()
    }

    /// The same; the answer is read while it arrives.
    pub(crate) async fn request_stream(&self, method: &str, params: Value) -> EventStream {
        let params = modern_params(params);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = Self::modern_headers(method, &params);
        self.stream(Method::POST, &headers, body.to_string()).await
    }

    /// `tools/call`.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Rpc {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// `tools/list`, all pages.
    pub(crate) async fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let page = self.request("tools/list", params).await;
            let result = page.result();
            tools.extend(result["tools"].as_array().unwrap().iter().cloned());
            match result.get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return tools,
            }
        }
    }

    /// The names of all tools, in the order of the list.
    pub(crate) async fn tool_names(&self) -> Vec<String> {
        let tools = self.tools().await;
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Opens a session of an older revision.
    pub(crate) async fn session(&self, revision: &str) -> Session {
        Session::open(self.clone(), revision).await
    }
}
