//! The stream of a session that belongs to no request.
//!
//! Tells what the client may hear of its own accord: lists that have changed, resources that
//! it subscribed to, tasks. Goes on for a while without a connection, so that a client that
//! comes back misses nothing.

use std::{sync::Arc, time::Duration};

use tidegate_model::Json;
use tidegate_wire::{
    json::Raw,
    mcp::{envelope, method::Method},
    server::Rejection,
};

use crate::{
    gateway::Gateway,
    http::mcp::admit::Admitted,
    notices::follower::{Follower, Told, Wanted},
    session::{
        Session,
        streams::{Reader, Writer},
    },
};

/// How long the stream waits for a client that has lost its connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the session's own stream, in place of the one it had.
pub(super) fn open(
    gateway: &Arc<Gateway>,
    admitted: &Admitted,
    session: &Arc<Session>,
) -> Result<Reader, Rejection> {
    let vmcp = admitted.published()?;
    let (reader, new) = session.own_stream();
    if let Some(writer) = new {
        if session.revision.has_priming_event() {
            writer.prime();
        }
        let wanted = Wanted { tools: true, prompts: true, resources: true, ..Wanted::default() };
        let follows = session.follows(gateway);
        let follower = Follower::over(gateway, &admitted.context, vmcp, wanted, follows);
        let (gateway, session) = (Arc::clone(gateway), Arc::clone(session));
        let tracker = gateway.detached.clone();
        tracker.spawn(tell(gateway, session, writer, follower));
    }
    Ok(reader)
}

/// Tells until the session, the caller's right or the process ends, or nobody listens.
async fn tell(
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    writer: Writer,
    mut follower: Follower,
) {
    loop {
        let next = async {
            // What has no room waits where it is, joined with what comes later.
            writer.room().await;
            follower.next().await
        };
        let told = tokio::select! {
            () = session.ended().cancelled() => return,
            () = gateway.stopping.cancelled() => return,
            () = writer.deserted(PATIENCE) => return writer.forget(),
            told = next => told,
        };
        match told {
            Some(told) => {
                if let Some(text) = message(&gateway, &session, told) {
                    writer.put(&text);
                }
            }
            None => return,
        }
    }
}

/// The notification; `None` for the task of somebody else.
fn message(gateway: &Gateway, session: &Session, told: Told) -> Option<Vec<u8>> {
    let (method, params) = match told {
        Told::ToolsChanged => (Method::ToolsChanged, None),
        Told::PromptsChanged => (Method::PromptsChanged, None),
        Told::ResourcesChanged => (Method::ResourcesChanged, None),
        Told::ResourceUpdated(params) => (Method::ResourceUpdated, Some(params)),
        Told::TaskStatus { connector, params } => {
            let params = super::tasks::status(gateway, session, connector, &params)?;
            (Method::TaskStatus, Some(params))
        }
    };
    let mut text = Vec::with_capacity(128 + params.as_ref().map_or(0, Json::len));
    envelope::notification(&mut text, method.name(), params.as_ref().map(Raw::from));
    Some(text)
}
