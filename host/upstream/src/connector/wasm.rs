//! `wasm`: a component that is the server itself.
//!
//! Each call runs in a fresh instance, so there is no session, nothing to restart, and the
//! list changes only with the component or its configuration. What the component says went
//! wrong becomes the answer a server would have given; what it does wrong is an error.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, Call, ConnectorId, Features, Json, Operation, UserId};
use tidegate_wasm::{
    CallContext, CallError, Failure, GuestConnector, Interface, ListKind, ProgressSink,
};
use tidegate_wire::{
    client::{Notification, PeerError, peer::Fault},
    json::write_string,
    mcp::{code, lists::Entries, method::Method, peek::PeekError, tools::Listing},
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, Exchange, Health, List, Listed, Round, Update, Wanted,
    WasmSpec,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::Credential,
};

const TOOLS: &str = Method::ListTools.name();
const PROMPTS: &str = Method::ListPrompts.name();
const RESOURCES: &str = Method::ListResources.name();
const TEMPLATES: &str = Method::ListResourceTemplates.name();

#[derive(Debug)]
pub(super) struct Wasm {
    updates: broadcast::Sender<Update>,
    id: ConnectorId,
    credential: Credential,
    guest: Arc<GuestConnector>,
    changes: watch::Sender<u64>,
}

impl Wasm {
    pub(super) fn open(id: ConnectorId, spec: &WasmSpec) -> Self {
        let credential = Credential::none(id.clone());
        Self {
            updates: broadcast::Sender::new(64),
            id,
            credential,
            guest: Arc::clone(&spec.guest),
            changes: watch::Sender::new(0),
        }
    }

    async fn run(
        &self,
        call: Call,
        told: Option<CallContext>,
        exchange: Exchange,
    ) -> Result<Answer, ConnectorError> {
        let context = match told {
            Some(context) => context,
            None => nobody(&call)?,
        };
        let said = match &call.operation {
            Operation::CallTool(tool_call) => {
                let sink = exchange.progress.then(|| sink(exchange));
                self.guest.call(&context, &tool_call.arguments, sink).await
            }
            Operation::GetPrompt(prompt) => {
                let none = Json::empty_object();
                self.guest.prompt(&context, prompt.arguments.as_ref().unwrap_or(&none)).await
            }
            Operation::ReadResource(_) => self.guest.read(&context).await,
            other => return Ok(not_known(other.method())),
        };
        let is_tool = matches!(call.operation, Operation::CallTool(_));
        match said {
            Ok(result) => Ok(Answer::Result(result)),
            Err(CallError::Unknown) => Ok(unknown(&call.operation)),
            // As MCP wants it: the model reads what was wrong and can try again.
            Err(error @ (CallError::InvalidArguments(_) | CallError::Failed(_))) if is_tool => {
                Ok(failed(&error.to_string()))
            }
            Err(error @ CallError::InvalidArguments(_)) => {
                Ok(refusal(code::INVALID_PARAMS, &error.to_string()))
            }
            Err(error @ CallError::Failed(_)) => {
                Ok(refusal(code::INTERNAL_ERROR, &error.to_string()))
            }
            Err(CallError::Failure(Failure::Deadline { .. })) => Err(ConnectorError::Deadline),
            Err(CallError::Failure(failure)) => Err(failure.into()),
        }
    }
}

impl Wasm {
    async fn entries<T>(
        &self,
        none: impl FnOnce(ConnectorId) -> Entries<T>,
        kind: ListKind,
    ) -> Result<Entries<T>, ConnectorError> {
        let mut entries = none(self.id.clone());
        let page = self.page(kind).await?;
        entries.add_page(&page).map_err(|error| bad(of(kind).0, &error))?;
        Ok(entries)
    }

    /// What the guest offers of a kind, as the result of a list of one page.
    async fn page(&self, kind: ListKind) -> Result<Json, ConnectorError> {
        let member = of(kind).1;
        let items = self.guest.list(kind).await?;
        let mut page = format!(r#"{{"{member}":["#).into_bytes();
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                page.push(b',');
            }
            page.extend_from_slice(item.bytes());
        }
        page.extend_from_slice(b"]}");
        Ok(Json::from_checked(page.into()))
    }
}

/// The method of a list, and the member of its result that holds the entries.
const fn of(kind: ListKind) -> (&'static str, &'static str) {
    match kind {
        ListKind::Tools => (TOOLS, "tools"),
        ListKind::Prompts => (PROMPTS, "prompts"),
        ListKind::Resources => (RESOURCES, "resources"),
        ListKind::Templates => (TEMPLATES, "resourceTemplates"),
    }
}

fn bad(method: &'static str, error: &PeekError) -> PeerError {
    Fault::Result { method, why: error.to_string() }.into()
}

impl Connector for Wasm {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(
        &'a self,
        _proof: &'a Maintenance,
    ) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        async move {
            // First of all, since here a component says that its configuration is wrong.
            let what = self.guest.describe().await?;
            tracing::debug!(
                connector = self.id.as_str(),
                title = what.title,
                version = what.version,
                "the component said what it is"
            );
            let mut tools = Listing::new(self.id.clone());
            let page = self.page(ListKind::Tools).await?;
            tools.add_page(&page).map_err(|error| bad(TOOLS, &error))?;
            let mut listed = Listed::from(tools);
            let exports = self.guest.exports();
            listed.offer.features = Features {
                prompts: exports.has(Interface::Prompts),
                resources: exports.has(Interface::Resources),
                ..Features::default()
            };
            let prompts = self.entries(Entries::prompts, ListKind::Prompts).await;
            let resources = self.entries(Entries::resources, ListKind::Resources).await;
            let templates = self.entries(Entries::templates, ListKind::Templates).await;
            listed.offer.prompts = listed.take(Some(prompts), List::Prompts, PROMPTS);
            listed.offer.resources = listed.take(Some(resources), List::Resources, RESOURCES);
            listed.offer.templates = listed.take(Some(templates), List::Resources, TEMPLATES);
            Ok(listed)
        }
        .boxed()
    }

    fn call(
        &self,
        armed: Armed,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        let (call, _none, told) = armed.into_parts();
        self.run(call, told, exchange).boxed()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    fn follow(&self, _wanted: Wanted) -> Round {
        // It tells of nothing, and nobody waits for that.
        Round::default()
    }

    fn release(&self, _affinity: Affinity) {}

    fn roots_changed(&self, _affinity: Affinity) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        futures_util::future::ready(()).boxed()
    }
}

/// The context of a call that came without one: of a caller with no name and no groups, so
/// that a guest can never take it for more than it is.
fn nobody(call: &Call) -> Result<CallContext, ConnectorError> {
    let user = UserId::new("anonymous").map_err(|_| ConnectorError::Closed)?;
    Ok(CallContext::new(call, &user, Arc::from([]), None))
}

/// Turns reports into `notifications/progress`. The token is a place holder: whoever passes
/// the notification on puts the client's in.
fn sink(exchange: Exchange) -> ProgressSink {
    Arc::new(move |report| {
        let mut params =
            format!(r#"{{"progressToken":0,"progress":{}"#, report.progress).into_bytes();
        if let Some(total) = report.total {
            params.extend_from_slice(format!(r#","total":{total}"#).as_bytes());
        }
        if let Some(message) = &report.message {
            params.extend_from_slice(br#","message":"#);
            write_string(&mut params, message);
        }
        params.push(b'}');
        let params = Json::from_checked(params.into());
        let method = Method::Progress.name().to_owned();
        exchange.tell(Notification { method, params });
    })
}

/// A component completes nothing and has no tasks: what a server without the capability says.
fn not_known(method: &str) -> Answer {
    refusal(code::METHOD_NOT_FOUND, &format!("{method} is not known here"))
}

fn unknown(operation: &Operation) -> Answer {
    let name = operation.target();
    match operation {
        Operation::CallTool(_) => refusal(code::INVALID_PARAMS, &format!("unknown tool: {name}")),
        Operation::GetPrompt(_) => {
            refusal(code::INVALID_PARAMS, &format!("unknown prompt: {name}"))
        }
        _ => refusal(code::RESOURCE_NOT_FOUND, &format!("resource not found: {name}")),
    }
}

fn refusal(code: i64, message: &str) -> Answer {
    let mut error = format!(r#"{{"code":{code},"message":"#).into_bytes();
    write_string(&mut error, message);
    error.push(b'}');
    Answer::Error(Json::from_checked(error.into()))
}

fn failed(text: &str) -> Answer {
    let mut result = br#"{"content":[{"type":"text","text":"#.to_vec();
    write_string(&mut result, text);
    result.extend_from_slice(br#"}],"isError":true}"#);
    Answer::Result(Json::from_checked(result.into()))
}
