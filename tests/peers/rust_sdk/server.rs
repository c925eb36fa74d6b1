//! The official Rust SDK as a server of both eras: everything in `offer.json`.
//!
//! Owns what the scripts `server.py` and `server.mjs` are for their SDKs; what a client must
//! see is the same.
#![expect(deprecated, reason = "a server of both eras has what only one of them still has")]

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
        CustomNotification, ErrorData, GetPromptRequestParams, GetPromptResponse, Implementation,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams,
        ReadResourceResponse, ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig,
        ServerNotification, ServerRequest, SetLevelRequestParams, SubscribeRequestParams,
        SubscriptionFilter, UnsubscribeRequestParams,
    },
    service::{NotificationContext, SubscriptionContext},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast};

use super::answers::{
    Asked, Context, OFFER, ask, complete, failed, modern, note, plain, spoken, texted, unknown,
};

const WATCHED: &str = "test://watched";
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

#[derive(Debug, Clone, Copy)]
enum Change {
    Lists,
    Watched,
}

/// What all sessions and requests have in common.
#[derive(Debug)]
struct Shared {
    more: AtomicBool,
    touched: AtomicBool,
    ended: Mutex<HashSet<String>>,
    changes: broadcast::Sender<Change>,
}

/// The server: one per legacy session, one per modern request.
#[derive(Debug, Clone)]
struct Walked {
    shared: Arc<Shared>,
    level: Arc<Mutex<String>>,
    uris: Arc<Mutex<HashSet<String>>>,
    /// What a listen request hears from the moment it is accepted.
    heard: Arc<Mutex<Option<broadcast::Receiver<Change>>>>,
}

/// An endless call: that it ended is remembered when this goes.
struct Endless(Arc<Shared>, String);

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.ended.lock().unwrap().insert(std::mem::take(&mut self.1));
    }
}

/// Serves at a port of its own until the test ends; the URL.
pub(in crate::peers) async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let shared = Arc::new(Shared {
        more: AtomicBool::default(),
        touched: AtomicBool::default(),
        ended: Mutex::default(),
        changes: broadcast::channel(64).0,
    });
    let walked = move || {
        let level = Arc::new(Mutex::new("debug".to_owned()));
        let (uris, heard) = (Arc::default(), Arc::default());
        Ok(Walked { shared: Arc::clone(&shared), level, uris, heard })
    };
    let service = StreamableHttpService::new(
        walked,
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

impl Walked {
    fn offered(&self, kind: &str) -> Vec<Value> {
        let entries = OFFER[format!("{kind}s")].as_array().cloned();
        let extra = self.shared.more.load(Ordering::SeqCst).then(|| OFFER["extra"][kind].clone());
        entries.into_iter().flatten().chain(extra).collect()
    }

    async fn log(&self, context: &Context) -> Result<CallToolResponse, ErrorData> {
        let rank = |name: &str| LEVELS.iter().position(|level| *level == name);
        let wanted = if modern(context) {
            let level =
                context.meta.log_level().and_then(|level| json!(level).as_str().and_then(rank));
            level.unwrap_or(LEVELS.len())
        } else {
            rank(&self.level.lock().unwrap()).unwrap_or_default()
        };
        for (level, words) in [("debug", "details"), ("info", "started"), ("warning", "careful")] {
            if rank(level) >= Some(wanted) {
                let params = json!({ "level": level, "logger": "walk", "data": words });
                let message = CustomNotification::new("notifications/message", Some(params));
                let message = ServerNotification::CustomNotification(message);
                context.peer.send_notification(message).await.map_err(failed)?;
            }
        }
        // An older server's lines travel on another stream than the answer: a question behind
        // them is answered when they have been read.
        if !modern(context) {
            let ping = ServerRequest::PingRequest(Default::default());
            context.peer.send_request(ping).await.map_err(failed)?;
        }
        texted("logged")
    }

    async fn progress(&self, context: &Context, done: f64, words: &str) -> Result<(), ErrorData> {
        let Some(token) = context.meta.get_progress_token() else { return Ok(()) };
        let params = ProgressNotificationParam::new(token, done).with_total(3.0);
        context.peer.notify_progress(params.with_message(words)).await.map_err(failed)
    }

    async fn steps(&self, context: &Context) -> Result<CallToolResponse, ErrorData> {
        for done in 1..=3 {
            self.progress(context, f64::from(done), &format!("step {done}")).await?;
        }
        texted("all three")
    }

    fn change(&self, more: bool) -> Result<CallToolResponse, ErrorData> {
        self.shared.more.store(more, Ordering::SeqCst);
        let _ = self.shared.changes.send(Change::Lists);
        texted("changed")
    }

    fn touch(&self) -> Result<CallToolResponse, ErrorData> {
        self.shared.touched.store(true, Ordering::SeqCst);
        let _ = self.shared.changes.send(Change::Watched);
        texted("touched")
    }
}

impl ServerHandler for Walked {
    fn get_info(&self) -> ServerConfig {
        let capabilities: ServerCapabilities = serde_json::from_value(json!({
            "completions": {},
            "logging": {},
            "prompts": { "listChanged": true },
            "resources": { "listChanged": true, "subscribe": true },
            "tools": { "listChanged": true },
        }))
        .unwrap();
        let name = Implementation::new("walked-rust", "1");
        ServerConfig::new(capabilities).with_server_info(name).with_instructions("Walk through.")
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut changes = self.shared.changes.subscribe();
        let uris = Arc::clone(&self.uris);
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                let peer = &context.peer;
                let told = match change {
                    Change::Watched if uris.lock().unwrap().contains(WATCHED) => {
                        let params = ResourceUpdatedNotificationParam::new(WATCHED);
                        peer.notify_resource_updated(params).await
                    }
                    Change::Watched => Ok(()),
                    Change::Lists => {
                        let _ = peer.notify_tool_list_changed().await;
                        let _ = peer.notify_prompt_list_changed().await;
                        peer.notify_resource_list_changed().await
                    }
                };
                if told.is_err() {
                    break;
                }
            }
        });
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // The SDK acknowledges before it calls `listen`: nothing in between must be missed.
        *self.heard.lock().unwrap() = Some(self.shared.changes.subscribe());
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let early = self.heard.lock().unwrap().take();
        let mut changes = early.unwrap_or_else(|| self.shared.changes.subscribe());
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // The sink refuses what the client has not asked for.
            let sink = context.sink();
            match change {
                Ok(Change::Lists) => {
                    let _ = sink.notify_tool_list_changed().await;
                    let _ = sink.notify_prompt_list_changed().await;
                    let _ = sink.notify_resource_list_changed().await;
                }
                Ok(Change::Watched) => drop(sink.notify_resource_updated(WATCHED).await),
                Err(_) => return Ok(()),
            }
        }
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        *self.level.lock().unwrap() = json!(request.level).as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    /// The one list that has more than a page.
    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let page = usize::try_from(OFFER["page"].as_u64().unwrap()).unwrap();
        let cursor = request.and_then(|request| request.cursor);
        let start: usize = cursor.map_or(Ok(0), |cursor| cursor.parse()).map_err(failed)?;
        let tools = self.offered("tool");
        let end = (start + page).min(tools.len());
        let mut members = json!({ "tools": tools[start.min(end)..end] });
        if end < tools.len() {
            members["nextCursor"] = json!(end.to_string());
        }
        complete(members)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let name = &*request.name;
        if let Some(answer) = plain(name, &arguments) {
            return answer;
        }
        let walk = arguments.get("walk").and_then(Value::as_str).unwrap_or_default();
        let keys = match name {
            "steps" => return self.steps(&context).await,
            "endless" => {
                let _endless = Endless(Arc::clone(&self.shared), walk.to_owned());
                self.progress(&context, 1.0, "started").await?;
                context.ct.cancelled().await;
                return texted("never");
            }
            "ended" => {
                return texted(&self.shared.ended.lock().unwrap().contains(walk).to_string());
            }
            "log" => return self.log(&context).await,
            "era" => return texted(if modern(&context) { "modern" } else { "legacy" }),
            "change" => return self.change(arguments.get("more") == Some(&json!(true))),
            "touch" => return self.touch(),
            "both" => vec!["sample", "ask"],
            "sample" | "ask" | "visit" | "roots" => vec![name],
            _ => return Err(unknown("tool", name)),
        };
        match ask(&context, &keys, (request.input_responses, request.request_state)).await? {
            Asked::Required(result) => Ok(result.into()),
            Asked::Answers(given) => {
                let words = keys.iter().zip(&given).map(|(key, answer)| spoken(key, answer));
                texted(&words.collect::<Vec<_>>().join(", "))
            }
        }
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        complete(json!({ "prompts": self.offered("prompt") }))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = json!(request.arguments);
        let hello = |words: String| json!({ "type": "text", "text": words });
        let content = match request.name.as_str() {
            "plain" => hello("Hello".to_owned()),
            "greeting" => {
                hello(format!("Hello, {}", arguments["name"].as_str().unwrap_or_default()))
            }
            "about" => json!({ "type": "resource", "resource": note() }),
            "personal" => {
                let given = (request.input_responses, request.request_state);
                match ask(&context, &["ask"], given).await? {
                    Asked::Required(result) => return Ok(GetPromptResponse::InputRequired(result)),
                    Asked::Answers(given) => {
                        let name = given[0]["content"]["name"].as_str().unwrap_or_default();
                        hello(format!("Hello, {name}"))
                    }
                }
            }
            name => return Err(unknown("prompt", name)),
        };
        let messages = json!([{ "role": "user", "content": content }]);
        Ok(GetPromptResponse::Complete(complete(json!({ "messages": messages }))?))
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let value = &request.argument.value;
        let names = OFFER["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let values: Vec<String> = if json!(request.r#ref)["type"] == "ref/prompt" {
            names.filter(|name| name.starts_with(value)).map(str::to_owned).collect()
        } else {
            (1..=3).map(|digit| format!("{value}{digit}")).collect()
        };
        let total = values.len();
        complete(json!({ "completion": { "values": values, "total": total, "hasMore": false } }))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        complete(json!({ "resources": self.offered("resource") }))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(json!({ "resourceTemplates": OFFER["templates"] }))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let text = |words: &str| json!({ "uri": uri, "mimeType": "text/plain", "text": words });
        let touched = self.shared.touched.load(Ordering::SeqCst);
        let content = match uri {
            "test://note" => note(),
            "test://pixel" => {
                json!({ "uri": uri, "mimeType": "application/octet-stream", "blob": "AAEC" })
            }
            WATCHED => text(if touched { "touched" } else { "untouched" }),
            _ => match uri.strip_prefix("test://items/") {
                Some(id) => text(&format!("item {id}")),
                None => return Err(unknown("resource", uri)),
            },
        };
        Ok(ReadResourceResponse::Complete(complete(json!({ "contents": [content] }))?))
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        self.uris.lock().unwrap().insert(request.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        self.uris.lock().unwrap().remove(&request.uri);
        Ok(())
    }
}
