//! What a server said it can do, and which extensions are carried to it and from it.
//!
//! An extension is a contract between client and server that the gateway stands between:
//! only those that the connector's file names are let through, in both directions.

use std::collections::BTreeSet;

use tidegate_model::{Features, Json};
use tidegate_wire::{
    client::{Exchange, PeerInfo, Wanted},
    json::{Kind, Raw},
    mcp::{Era, method::TASKS_EXTENSION},
};

/// The extensions that are carried unless a connector's file says otherwise: those the
/// gateway knows how to map.
pub const EXTENSIONS: [&str; 2] = [TASKS_EXTENSION, "io.modelcontextprotocol/ui"];

/// [`EXTENSIONS`] as a setting.
pub(super) fn default_extensions() -> BTreeSet<String> {
    EXTENSIONS.map(str::to_owned).into()
}

/// Reads what a server said when its session was set up, with the extensions of `carried`.
pub(super) fn read(info: &PeerInfo, carried: &BTreeSet<String>) -> Features {
    let modern = info.revision.era() == Era::Modern;
    let tasks = Raw::from(&info.capabilities).get("tasks");
    Features {
        modern,
        prompts: info.declares(&["prompts"]),
        resources: info.declares(&["resources"]),
        subscribe: info.declares(&["resources", "subscribe"]),
        completions: info.declares(&["completions"]),
        logging: info.declares(&["logging"]),
        // Tasks as a capability of their own were an experiment of 2025-11-25.
        tasks: tasks
            .filter(|tasks| !modern && tasks.kind() == Kind::Object)
            .map(|tasks| tasks.within(&info.capabilities)),
        extensions: extensions(&info.capabilities, carried),
    }
}

/// The client as the server gets to hear it: without extensions that are not carried.
pub(super) fn narrowed(mut exchange: Exchange, carried: &BTreeSet<String>) -> Exchange {
    exchange.can.extensions.retain(|(name, _)| carried.contains(&**name));
    exchange
}

/// What the server is asked to tell of: without tasks where their extension is not carried.
pub(super) fn followed(mut wanted: Wanted, carried: &BTreeSet<String>) -> Wanted {
    if !carried.contains(TASKS_EXTENSION) {
        wanted.tasks.clear();
    }
    wanted
}

fn extensions(capabilities: &Json, carried: &BTreeSet<String>) -> Vec<(Box<str>, Json)> {
    let declared = Raw::from(capabilities).get("extensions");
    let members = declared.into_iter().flat_map(Raw::members);
    members
        .filter(|member| member.value.kind() == Kind::Object && carried.contains(&*member.key))
        .map(|member| (Box::from(&*member.key), member.value.within(capabilities)))
        .collect()
}
