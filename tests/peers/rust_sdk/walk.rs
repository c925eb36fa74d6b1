//! The official Rust SDK as a client that walks through everything in `offer.json`.
//!
//! Owns what the scripts `walk.py` and `walk.mjs` are for their SDKs; the report is the same.
#![expect(deprecated, reason = "a client of both eras has what only one of them still has")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient, ServiceError,
    model::{
        CallToolRequest, CallToolRequestParams, ClientConfig, ClientRequest,
        CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
        ErrorData, GetPromptRequestParams, ListRootsResult, LoggingMessageNotificationParam,
        PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
        ReadResourceRequestParams, ResourceUpdatedNotificationParam, ServerNotification,
        SubscribeRequestParams, SubscriptionFilter,
    },
    service::{
        NotificationContext, PeerRequestOptions, RequestContext, RunningService, Subscription,
    },
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{eventually, patiently};

/// The lists that change, and the entry that comes and goes.
const EXTRAS: [(&str, &str); 3] =
    [("tools", "extra"), ("prompts", "extra"), ("resources", "test://extra")];

/// The parts of a walk, in their order.
const PARTS: [&str; 10] = [
    "lists",
    "tools",
    "links",
    "prompts",
    "resources",
    "completion",
    "unknown",
    "asked",
    "changes",
    "log",
];

/// Which part of the offer is walked through, and how it is named there.
#[derive(Debug, Clone, Default)]
pub(in crate::peers) struct Target {
    /// The endpoint.
    pub(in crate::peers) url: String,
    /// What is in front of names.
    pub(in crate::peers) name: String,
    /// What is in front of URIs.
    pub(in crate::peers) uri: String,
}

/// A client that says what it is asked, and remembers what it is told.
#[derive(Debug, Clone)]
struct Walker {
    logged: Arc<Mutex<Vec<Value>>>,
    heard: Arc<Mutex<BTreeSet<String>>>,
    progress: mpsc::UnboundedSender<Value>,
}

impl Walker {
    fn hear(&self, what: &str) {
        self.heard.lock().unwrap().insert(what.to_owned());
    }
}

type Told = NotificationContext<RoleClient>;
type Asked = RequestContext<RoleClient>;

fn of_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl ClientHandler for Walker {
    fn get_info(&self) -> ClientConfig {
        of_json(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {},
            },
            "clientInfo": { "name": "tidegate-tests", "version": "1" },
        }))
    }

    async fn create_message(
        &self,
        _params: CreateMessageRequestParams,
        _context: Asked,
    ) -> Result<CreateMessageResult, ErrorData> {
        let content = json!({ "type": "text", "text": "serendipity" });
        Ok(of_json(json!({ "role": "assistant", "content": content, "model": "walker" })))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: Asked,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = json!(request);
        Ok(of_json(if asked["mode"] == "url" {
            let right = asked["url"] == "https://example.com/sign-in";
            json!({ "action": if right { "accept" } else { "decline" } })
        } else if asked["requestedSchema"]["properties"]["name"].is_object() {
            json!({ "action": "accept", "content": { "name": "Ada" } })
        } else {
            json!({ "action": "decline" })
        }))
    }

    async fn list_roots(&self, _context: Asked) -> Result<ListRootsResult, ErrorData> {
        Ok(of_json(json!({ "roots": [{ "uri": "file:///walk", "name": "walk" }] })))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _context: Told) {
        let total = params.total.unwrap_or_default() as u64;
        let _ = self.progress.send(json!([params.progress as u64, total, params.message]));
    }

    async fn on_logging_message(&self, params: LoggingMessageNotificationParam, _context: Told) {
        self.logged.lock().unwrap().push(json!([params.level, params.data]));
    }

    async fn on_resource_updated(&self, params: ResourceUpdatedNotificationParam, _: Told) {
        self.hear(&params.uri);
    }

    async fn on_resource_list_changed(&self, _context: Told) {
        self.hear("resources");
    }

    async fn on_tool_list_changed(&self, _context: Told) {
        self.hear("tools");
    }

    async fn on_prompt_list_changed(&self, _context: Told) {
        self.hear("prompts");
    }
}

struct Walk {
    target: Target,
    modern: bool,
    walker: Walker,
    progress: mpsc::UnboundedReceiver<Value>,
    client: RunningService<RoleClient, Walker>,
}

/// Takes a client through everything; what it saw.
pub(in crate::peers) async fn walk(target: &Target, key: Option<&str>, modern: bool) -> Value {
    let mut config = StreamableHttpClientTransportConfig::with_uri(target.url.as_str());
    if let Some(key) = key {
        config = config.auth_header(key);
    }
    let transport = StreamableHttpClientTransport::from_config(config);
    let (sender, progress) = mpsc::unbounded_channel();
    let walker = Walker { logged: Arc::default(), heard: Arc::default(), progress: sender };
    let mode = if modern {
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
    } else {
        ClientLifecycleMode::Initialize
    };
    let client = walker.clone().serve_with_lifecycle(transport, mode);
    let client = patiently("a client of the Rust SDK", client).await.unwrap();
    let mut walk = Walk { target: target.clone(), modern, walker, progress, client };
    let report = walk.all().await;
    walk.client.cancel().await.unwrap();
    report
}

fn code<T>(outcome: Result<T, ServiceError>) -> Value {
    match outcome {
        Ok(_) => Value::Null,
        Err(ServiceError::McpError(error)) => json!(error.code),
        Err(error) => json!(error.to_string()),
    }
}

/// Without the prefix, where it is there.
fn short(text: &Value, prefix: &str) -> String {
    let text = text.as_str().unwrap_or_default();
    text.strip_prefix(prefix).unwrap_or(text).to_owned()
}

impl Walk {
    fn uri(&self, uri: &str) -> String {
        format!("{}{uri}", self.target.uri)
    }

    fn params(&self, tool: &str, arguments: Value) -> CallToolRequestParams {
        let name = format!("{}{tool}", self.target.name);
        of_json(json!({ "name": name, "arguments": arguments }))
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        json!(self.client.call_tool(self.params(tool, arguments)).await.unwrap())
    }

    async fn said(&self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await["content"][0]["text"].clone()
    }

    async fn read(&self, uri: &str) -> Result<Value, ServiceError> {
        let read = self.client.read_resource(ReadResourceRequestParams::new(uri)).await?;
        Ok(json!(read)["contents"][0].clone())
    }

    async fn prompt(&self, name: &str, arguments: Value) -> Result<Value, ServiceError> {
        let name = format!("{}{name}", self.target.name);
        let params: GetPromptRequestParams =
            of_json(json!({ "name": name, "arguments": arguments }));
        Ok(json!(self.client.get_prompt(params).await?)["messages"][0]["content"].clone())
    }

    /// All entries of a list that are behind the prefix, without it, and the pages.
    async fn every(&self, list: &str) -> (Vec<String>, u64) {
        let (mut found, mut pages, mut cursor) = (Vec::new(), 0, Value::Null);
        let (field, prefix) = match list {
            "tools" | "prompts" => ("name", &self.target.name),
            "resources" => ("uri", &self.target.uri),
            _ => ("uriTemplate", &self.target.uri),
        };
        loop {
            let params: Option<PaginatedRequestParams> =
                (!cursor.is_null()).then(|| of_json(json!({ "cursor": cursor })));
            let page = match list {
                "tools" => json!(self.client.list_tools(params).await.unwrap()),
                "prompts" => json!(self.client.list_prompts(params).await.unwrap()),
                "resources" => json!(self.client.list_resources(params).await.unwrap()),
                _ => json!(self.client.list_resource_templates(params).await.unwrap()),
            };
            let entries = page[list].as_array().unwrap().iter().map(|entry| &entry[field]);
            // A name that nobody else has needs no prefix.
            let own = entries.filter(|one| {
                *one == "extra" || one.as_str().unwrap().starts_with(prefix.as_str())
            });
            found.extend(own.map(|one| short(one, prefix)));
            pages += 1;
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                return (found, pages);
            }
        }
    }

    async fn lists(&self) -> Value {
        let (tools, pages) = self.every("tools").await;
        json!({
            "tools": tools,
            "prompts": self.every("prompts").await.0,
            "resources": self.every("resources").await.0,
            "templates": self.every("resourceTemplates").await.0,
            "pages": pages,
        })
    }

    async fn tools(&mut self) -> Value {
        let failed = self.call("fail", json!({})).await;
        let stepped = self.said("steps", json!({})).await;
        let mut steps = Vec::new();
        while steps.len() < 3 {
            steps.push(self.progress.recv().await.unwrap());
        }
        json!({
            "echo": self.said("echo", json!({ "message": "grüße" })).await,
            "structured": self.call("forecast", json!({ "city": "Oslo" })).await["structuredContent"],
            "failed": [failed["isError"], failed["content"][0]["text"]],
            "stepped": stepped,
            "steps": steps,
            "cancelled": self.cancelled().await,
        })
    }

    /// Cancels a call that would not end, and waits for the server to have noticed.
    async fn cancelled(&mut self) -> bool {
        static WALKS: AtomicU64 = AtomicU64::new(0);
        let walk = format!("rust {}", WALKS.fetch_add(1, Ordering::Relaxed));
        let request = CallToolRequest::new(self.params("endless", json!({ "walk": walk })));
        let request = ClientRequest::CallToolRequest(request);
        let options = PeerRequestOptions::no_options();
        let handle = self.client.send_cancellable_request(request, options).await.unwrap();
        self.progress.recv().await.unwrap();
        handle.cancel(Some("enough".to_owned())).await.unwrap();
        eventually("the server to notice", || async {
            let ended = self.said("ended", json!({ "walk": walk })).await;
            (ended == "true").then_some(true)
        })
        .await
    }

    async fn logged(&self) -> Value {
        let mut params = self.params("log", json!({}));
        if self.modern {
            params.meta = Some(of_json(json!({ "io.modelcontextprotocol/logLevel": "info" })));
        } else {
            self.client.set_level(of_json(json!({ "level": "info" }))).await.unwrap();
        }
        self.client.call_tool(params).await.unwrap();
        // The SDK handles notifications beside the answer, not before it.
        eventually("the log", || async {
            let logged = self.walker.logged.lock().unwrap();
            (logged.len() >= 2).then(|| json!(*logged))
        })
        .await
    }

    async fn links(&self) -> Value {
        let answer = self.call("links", json!({})).await;
        let (link, embedded) = (&answer["content"][0], &answer["content"][1]);
        let followed = self.read(link["uri"].as_str().unwrap()).await.unwrap();
        let linked = [&link["uri"], &embedded["resource"]["uri"]];
        json!({
            "linked": linked.map(|uri| short(uri, &self.target.uri)),
            "followed": followed["text"],
        })
    }

    async fn prompts(&self) -> Value {
        let about = self.prompt("about", json!({})).await.unwrap();
        json!({
            "plain": self.prompt("plain", json!({})).await.unwrap()["text"],
            "greeting": self.prompt("greeting", json!({ "name": "Ada" })).await.unwrap()["text"],
            "about": short(&about["resource"]["uri"], &self.target.uri),
            "personal": self.prompt("personal", json!({})).await.unwrap()["text"],
        })
    }

    async fn resources(&self) -> Value {
        let note = self.read(&self.uri("test://note")).await.unwrap();
        json!({
            "text": note["text"],
            "uri": short(&note["uri"], &self.target.uri),
            "blob": self.read(&self.uri("test://pixel")).await.unwrap()["blob"],
            "item": self.read(&self.uri("test://items/7")).await.unwrap()["text"],
        })
    }

    async fn completion(&self) -> Value {
        let prompt = format!("{}greeting", self.target.name);
        let template = self.uri("test://items/{id}");
        let names = self.client.complete_prompt_simple(prompt, "name", "A").await.unwrap();
        let ids = self.client.complete_resource_simple(template, "id", "4").await.unwrap();
        json!({ "names": names, "ids": ids })
    }

    async fn unknown(&self) -> Value {
        let tool = self.client.call_tool(self.params("missing", json!({}))).await;
        json!({
            "no_tool": code(tool),
            "no_prompt": code(self.prompt("missing", json!({})).await),
            "no_resource": code(self.read(&self.uri("test://missing")).await),
        })
    }

    async fn asked(&self) -> Value {
        let mut answers = json!({});
        for tool in ["sample", "ask", "visit", "roots", "both"] {
            answers[tool] = self.said(tool, json!({})).await;
        }
        answers
    }

    /// What a modern server tells on the stream that was asked for.
    fn follow(&self, mut subscription: Subscription) {
        let walker = self.walker.clone();
        tokio::spawn(async move {
            while let Ok(Some(told)) = subscription.next().await {
                match told {
                    ServerNotification::ResourceUpdatedNotification(told) => {
                        walker.hear(&told.params.uri);
                    }
                    ServerNotification::ToolListChangedNotification(_) => walker.hear("tools"),
                    ServerNotification::PromptListChangedNotification(_) => walker.hear("prompts"),
                    ServerNotification::ResourceListChangedNotification(_) => {
                        walker.hear("resources");
                    }
                    _ => {}
                }
            }
        });
    }

    async fn heard(&self, wanted: &[&str]) {
        eventually("what is to be told", || async {
            let heard = self.walker.heard.lock().unwrap();
            wanted.iter().all(|one| heard.contains(*one)).then_some(())
        })
        .await;
    }

    async fn changes(&self) -> Value {
        let watched = self.uri("test://watched");
        if self.modern {
            let filter = SubscriptionFilter::builder()
                .tools_list_changed()
                .prompts_list_changed()
                .resources_list_changed()
                .resource_subscription(&watched)
                .build();
            self.follow(self.client.listen(filter).await.unwrap());
        } else {
            self.client.subscribe(SubscribeRequestParams::new(&watched)).await.unwrap();
        }
        self.said("touch", json!({})).await;
        self.heard(&[&watched]).await;
        let heard = self.change(true).await;
        self.change(false).await;
        let short = heard.iter().map(|one| one.strip_prefix(&self.target.uri).unwrap_or(one));
        json!({ "heard": short.collect::<BTreeSet<_>>() })
    }

    /// Makes the lists longer or shorter; done when that was told and can be seen.
    async fn change(&self, more: bool) -> BTreeSet<String> {
        let kinds = EXTRAS.map(|(kind, _)| kind);
        self.walker.heard.lock().unwrap().retain(|one| !kinds.contains(&one.as_str()));
        self.said("change", json!({ "more": more })).await;
        self.heard(&kinds).await;
        self.settled(more).await;
        self.walker.heard.lock().unwrap().clone()
    }

    async fn settled(&self, more: bool) {
        eventually("the lists", || async {
            let lists = self.lists().await;
            let has = |(kind, entry): (&str, &str)| {
                lists[kind].as_array().unwrap().contains(&json!(entry)) == more
            };
            EXTRAS.into_iter().all(has).then_some(())
        })
        .await;
    }

    /// What the server says it can do, in words.
    fn capabilities(&self) -> Vec<String> {
        let info = self.client.peer_info().unwrap();
        let said = json!(info.capabilities);
        let mut words = Vec::new();
        for (name, inner) in
            said.as_object().unwrap().iter().filter(|(name, _)| *name != "extensions")
        {
            words.push(name.clone());
            let flags = ["listChanged", "subscribe"].into_iter();
            let set = flags.filter(|flag| inner[*flag] == true);
            words.extend(set.map(|flag| format!("{name}.{flag}")));
        }
        words.sort();
        words
    }

    async fn all(&mut self) -> Value {
        // Another walk at the same server may just be over, or have ended half-way.
        self.said("change", json!({ "more": false })).await;
        self.settled(false).await;
        let revision = self.client.peer_info().unwrap().protocol_version.clone();
        let mut report = json!({
            "revision": revision,
            "capabilities": self.capabilities(),
            "server": self.said("era", json!({})).await,
        });
        for part in PARTS {
            let work = timeout(Duration::from_secs(20), self.part(part));
            // The report says which part did not come to its end.
            let said = work.await.unwrap_or_else(|_| json!({ part: "took too long" }));
            report.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        }
        report
    }

    async fn part(&mut self, name: &str) -> Value {
        match name {
            "lists" => self.lists().await,
            "tools" => self.tools().await,
            "links" => self.links().await,
            "prompts" => self.prompts().await,
            "resources" => self.resources().await,
            "completion" => self.completion().await,
            "unknown" => self.unknown().await,
            "asked" => self.asked().await,
            "changes" => self.changes().await,
            _ => json!({ "logged": self.logged().await }),
        }
    }
}
