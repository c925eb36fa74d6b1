//! The fixture as the SDK sees it: which method leads where.
//!
//! Owns the state that all sessions share, the capabilities of each era and the streams on
//! which changes of the lists are told. What the lists hold is in `listing` and `content`.
#![expect(deprecated, reason = "a server of both eras has what only one of them still has")]

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
        CompleteResult, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
        Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
        ReadResourceResponse, RequestStateCodec, ServerCapabilities, ServerConfig,
        SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
        UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
    task_manager::TaskManager,
};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{content, listing, tools};

/// Changes that nobody has picked up yet; far more than one scenario makes.
const CHANGES: usize = 64;
/// The key of sealed states. What it protects is gone with the process, and tests only.
const SEAL: &[u8] = b"the own key of this test program!";
/// The severities of log messages, least first.
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The revisions that the fixture speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Era {
    /// Up to 2025-11-25: `initialize` and sessions.
    Legacy,
    /// 2026-07-28: stateless.
    Modern,
    /// All of them.
    Both,
}

/// A list that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
}

/// What all sessions and requests have in common.
pub(crate) struct Shared {
    era: Era,
    changes: broadcast::Sender<Change>,
    /// The tool that `test_trigger_tool_change` adds and takes away is there.
    pub(crate) extra_tool: AtomicBool,
    /// The prompt that `test_trigger_prompt_change` adds and takes away is there.
    pub(crate) extra_prompt: AtomicBool,
    /// The tasks, for every client alike.
    pub(crate) tasks: TaskManager,
    /// Seals states that clients carry.
    pub(crate) seal: RequestStateCodec,
}

/// The server: one per legacy session, one per modern request.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The common state.
    pub(crate) shared: Arc<Shared>,
    level: Arc<Mutex<usize>>,
}

impl Shared {
    /// The state of a server that nobody has called yet.
    pub(crate) fn new(era: Era) -> Self {
        Self {
            era,
            changes: broadcast::channel(CHANGES).0,
            extra_tool: AtomicBool::new(false),
            extra_prompt: AtomicBool::new(false),
            tasks: TaskManager::new(),
            seal: RequestStateCodec::new(SEAL.to_vec()),
        }
    }

    /// Adds the entry to its list, or takes it away, and tells everybody who listens.
    pub(crate) fn toggle(&self, change: Change) {
        let entry = match change {
            Change::Tools => &self.extra_tool,
            Change::Prompts => &self.extra_prompt,
        };
        entry.fetch_xor(true, Ordering::SeqCst);
        // That nobody listens is no fault.
        let _ = self.changes.send(change);
    }

    fn capabilities(&self) -> Result<ServerCapabilities, serde_json::Error> {
        let extensions = match self.era {
            // Extensions are of 2026-07-28.
            Era::Legacy => Value::Null,
            Era::Modern | Era::Both => json!({ "io.modelcontextprotocol/tasks": {} }),
        };
        let capabilities = json!({
            "completions": {},
            "extensions": extensions,
            "logging": {},
            "prompts": { "listChanged": true },
            "resources": { "subscribe": true },
            "tools": { "listChanged": true },
        });
        serde_json::from_value(capabilities)
    }
}

impl Fixture {
    /// A server on the common state.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, level: Arc::default() }
    }

    /// Whether a log message of this severity is wanted for this request.
    pub(crate) fn logs(&self, severity: &str, context: &RequestContext<RoleServer>) -> bool {
        let rank = |name: &str| LEVELS.iter().position(|level| *level == name);
        let wanted = if is_modern(context) {
            context.meta.log_level().and_then(|level| rank(&name_of(level)))
        } else {
            Some(*self.level.lock().unwrap_or_else(PoisonError::into_inner))
        };
        wanted.is_some_and(|wanted| rank(severity) >= Some(wanted))
    }
}

/// Whether the request is of 2026-07-28 or later.
pub(crate) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn name_of(level: rmcp::model::LoggingLevel) -> String {
    let value = serde_json::to_value(level).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A value of the SDK from its JSON; a mistake of this program's is an internal error.
pub(crate) fn of_json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

impl ServerHandler for Fixture {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(match self.shared.era {
            Era::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
            Era::Modern => &[ProtocolVersion::V_2026_07_28],
            Era::Both => ProtocolVersion::KNOWN_VERSIONS,
        })
    }

    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("tidegate-conformance-fixture", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(self.shared.capabilities().unwrap_or_default()).with_server_info(name)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut changes = self.shared.changes.subscribe();
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                let told = match change {
                    Change::Tools => context.peer.notify_tool_list_changed().await,
                    Change::Prompts => context.peer.notify_prompt_list_changed().await,
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
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // The sink refuses what the client has not asked for.
            let _ = match change {
                Ok(Change::Tools) => context.sink().notify_tool_list_changed().await,
                Ok(Change::Prompts) => context.sink().notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let name = name_of(request.level);
        let rank = LEVELS.iter().position(|level| *level == name).unwrap_or_default();
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = rank;
        Ok(())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let extra = self.shared.extra_tool.load(Ordering::SeqCst);
        Ok(ListToolsResult::with_all_items(of_json(listing::tools(extra))?))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools: Vec<Tool> = of_json(listing::tools(true)).unwrap_or_default();
        tools.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tools::call(self, request, context).await
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let extra = self.shared.extra_prompt.load(Ordering::SeqCst);
        Ok(ListPromptsResult::with_all_items(of_json(listing::prompts(extra))?))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        content::prompt(request, &context).await
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        of_json(content::completion(&request.argument.value))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(of_json(listing::resources())?))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(of_json(listing::templates())?))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        content::resource(&request.uri)
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        content::resource(&request.uri).map(drop)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        content::resource(&request.uri).map(drop)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.shared.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }
}
