//! Getting to know each other: `initialize` (legacy) and `server/discover` (modern).

use http::StatusCode;
use serde_json::{Value, json};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::Json;
use tidegate_wire::{
    client::ClientCan,
    json::Raw,
    mcp::{
        Revision, code,
        peek::{InitializeParams, key},
    },
    server::Rejection,
};

use super::{client_can, lists::TTL_MS, offered::Offered};
use crate::{call::Context, gateway::Gateway};

/// A session that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The result of `initialize`.
    pub(crate) result: Json,
    /// The session's id.
    pub(crate) session: Box<str>,
}

/// Opens a legacy session.
pub(crate) fn initialize(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    revision: Revision,
    params: &InitializeParams<'_>,
) -> Result<Opened, Rejection> {
    let client = client_name(params.client_info);
    let can = params.capabilities.map_or_else(ClientCan::default, client_can);
    let session = gateway
        .sessions
        .open(&context.caller, &vmcp.vmcp.id, revision, (client.as_deref(), can), context.at)
        .map_err(|refused| {
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, code::SERVER_ERROR, refused.to_string())
        })?;
    let mut result = json!({
        "protocolVersion": revision.name(),
        "capabilities": Offered::to(context, vmcp, revision).capabilities(),
        "serverInfo": server_info(vmcp, revision),
    });
    instruct(&mut result, vmcp);
    Ok(Opened { result: Json::of(&result).unwrap_or_default(), session })
}

/// The name in a `clientInfo`; display only.
pub(crate) fn client_name(info: Option<Raw<'_>>) -> Option<String> {
    let name = info?.get("name")?.string()?;
    Some(name.chars().filter(|c| !c.is_control()).take(120).collect())
}

/// The result of `server/discover`.
pub(super) fn discover(vmcp: &PublishedVmcp, offered: &Offered) -> Json {
    let revisions = [
        Revision::V2026_07_28,
        Revision::V2025_11_25,
        Revision::V2025_06_18,
        Revision::V2025_03_26,
    ];
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": revisions.map(Revision::name),
        "capabilities": offered.capabilities(),
        "ttlMs": TTL_MS,
        "cacheScope": "private",
        "_meta": {key::SERVER_INFO: server_info(vmcp, Revision::V2026_07_28)},
    });
    instruct(&mut result, vmcp);
    Json::of(&result).unwrap_or_default()
}

fn server_info(vmcp: &PublishedVmcp, revision: Revision) -> Value {
    let mut info = json!({"name": "tidegate", "version": env!("CARGO_PKG_VERSION")});
    if revision >= Revision::V2025_06_18
        && let Some(info) = info.as_object_mut()
    {
        info.insert("title".into(), vmcp.vmcp.title.as_str().into());
    }
    info
}

fn instruct(result: &mut Value, vmcp: &PublishedVmcp) {
    if let (Some(result), Some(text)) = (result.as_object_mut(), &vmcp.vmcp.instructions) {
        result.insert("instructions".into(), text.as_str().into());
    }
}
