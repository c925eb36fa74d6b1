//! `wasm`: a component that is the server itself.
//!
//! Each call runs in a fresh instance, so there is no session, nothing to restart, and the
//! list changes only with the component or its configuration. What the component says went
//! wrong becomes the answer a server would have given; what it does wrong is an error.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, Call, ConnectorId, Json, Operation, UserId};
use tidegate_wasm::{CallContext, CallError, Failure, GuestConnector, ProgressSink};
use tidegate_wire::{
    client::{Notification, PeerError, peer::Fault},
    json::write_string,
    mcp::{code, method::Method, tools::Listing},
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, Exchange, Health, Listed, Round, Update, Wanted, WasmSpec,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::Credential,
};

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
        let Operation::CallTool(tool_call) = &call.operation else {
            return Ok(not_known(call.operation.method()));
        };
        let context = match told {
            Some(context) => context,
            None => nobody(&call)?,
        };
        let sink = exchange.progress.then(|| sink(exchange));
        match self.guest.call(&context, &tool_call.arguments, sink).await {
            Ok(result) => Ok(Answer::Result(result)),
            Err(CallError::UnknownTool) => Ok(unknown_tool(tool_call.tool.name.as_str())),
            // As MCP wants it: the model reads what was wrong and can try again.
            Err(error @ (CallError::InvalidArguments(_) | CallError::Failed(_))) => {
                Ok(failed(&error.to_string()))
            }
            Err(CallError::Failure(Failure::Deadline { .. })) => Err(ConnectorError::Deadline),
            Err(CallError::Failure(failure)) => Err(failure.into()),
        }
    }
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
            let tools = self.guest.list_tools().await?;
            let mut page = br#"{"tools":["#.to_vec();
            for (place, tool) in tools.iter().enumerate() {
                if place > 0 {
                    page.push(b',');
                }
                page.extend_from_slice(tool.bytes());
            }
            page.extend_from_slice(b"]}");
            let mut listing = Listing::new(self.id.clone());
            listing.add_page(&Json::from_checked(page.into())).map_err(|error| {
                let method = Method::ListTools.name();
                PeerError::from(Fault::Result { method, why: error.to_string() })
            })?;
            Ok(listing.into())
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

/// Components offer tools alone for now: what a server without the capability says.
fn not_known(method: &str) -> Answer {
    error(code::METHOD_NOT_FOUND, &format!("{method} is not known here"))
}

fn unknown_tool(name: &str) -> Answer {
    error(code::INVALID_PARAMS, &format!("unknown tool: {name}"))
}

fn error(code: i64, message: &str) -> Answer {
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
