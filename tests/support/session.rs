//! A client session of the revisions before 2026-07-28.
//!
//! Owns `initialize`, the session id and the version header. Everything else is the
//! [`Client`]'s.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Method;
use serde_json::{Value, json};

use super::{Client, EventStream, Response, Rpc};

/// An initialized session.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    revision: String,
    /// The session id, where the server gave one.
    pub(crate) id: Option<String>,
    /// The result of `initialize`.
    pub(crate) initialized: Value,
    next: AtomicU64,
}

impl Session {
    /// Initializes at `revision`; fails the test where that is refused.
    pub(crate) async fn open(client: Client, revision: &str) -> Self {
        Self::open_as(client, revision, json!({})).await
    }

    /// The same, with these capabilities.
    pub(crate) async fn open_as(client: Client, revision: &str, capabilities: Value) -> Self {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": capabilities,
            "clientInfo": { "name": "tidegate-tests", "version": "1" },
        });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let response = client.send(Method::POST, &[], body.to_string()).await;
        let id = Some(response.header("mcp-session-id")).filter(|id| !id.is_empty());
        let session = Self {
            client,
            revision: revision.to_owned(),
            id: id.map(str::to_owned),
            initialized: response.rpc().result().clone(),
            next: AtomicU64::new(1),
        };
        session.notify("notifications/initialized", json!({})).await;
        session
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![("mcp-protocol-version", self.revision.as_str())];
        headers.extend(self.id.as_deref().map(|id| ("mcp-session-id", id)));
        headers
    }

    fn message(&self, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// Sends any body.
    pub(crate) async fn send(&self, method: Method, body: String) -> Response {
        self.client.send(method, &self.headers(), body).await
    }

    /// A request and its answer.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Rpc {
        let message = self.message(method, params).to_string();
        self.send(Method::POST, message).await.rpc()
    }

    /// A request, whose answer is read while it arrives.
    pub(crate) async fn request_stream(&self, method: &str, params: Value) -> EventStream {
        let message = self.message(method, params).to_string();
        self.client.stream(Method::POST, &self.headers(), message).await
    }

    /// The stream that belongs to no request, or what follows the event `last` on its own.
    pub(crate) async fn listen(&self, last: Option<&str>) -> EventStream {
        let mut headers = self.headers();
        headers.extend(last.map(|last| ("last-event-id", last)));
        self.client.stream(Method::GET, &headers, "").await
    }

    /// Answers a question of the server: `outcome` is a `result` or an `error` member.
    pub(crate) async fn answer(&self, question: &Value, outcome: Value) -> Response {
        let mut message = outcome;
        message["jsonrpc"] = json!("2.0");
        message["id"] = question["id"].clone();
        self.send(Method::POST, message.to_string()).await
    }

    /// Posts any body; the answer is read while it arrives.
    pub(crate) async fn send_stream(&self, body: String) -> EventStream {
        self.client.stream(Method::POST, &self.headers(), body).await
    }

    /// A notification.
    pub(crate) async fn notify(&self, method: &str, params: Value) -> Response {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.send(Method::POST, message.to_string()).await
    }

    /// `tools/call`.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Rpc {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// The names on the first page of `tools/list`.
    pub(crate) async fn tool_names(&self) -> Vec<String> {
        let list = self.request("tools/list", json!({})).await;
        let tools = list.result()["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends the session.
    pub(crate) async fn close(&self) -> Response {
        self.send(Method::DELETE, String::new()).await
    }
}
