//! `requestState`: what the gateway has to know when a client repeats a request.
//!
//! Sealed for the person, the virtual MCP and everything of the request that must not change
//! between the rounds; opaque to the client.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, Json, VmcpId};

use super::{super::Reference, Context, ParkedId, Target};
use crate::{
    gateway::Gateway,
    seal::{Binding, NoRandomness, Purpose},
};

/// How long a person may take for one round.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// What a state says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// A modern server asked: its own state, for it alone.
    #[serde(rename = "u")]
    Upstream {
        /// The server.
        connector: ConnectorId,
        /// As it gave it.
        state: Option<String>,
        /// What plugins answered in the client's place, by name: a JSON object.
        #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
        answered: Option<String>,
    },
    /// The call waits here.
    #[serde(rename = "p")]
    Parked {
        /// Under this name.
        id: ParkedId,
    },
    /// A legacy server refused until the person has visited URLs.
    #[serde(rename = "a")]
    Again {
        /// The names under which they were asked.
        keys: Vec<String>,
        /// The words of the refusal.
        words: String,
    },
}

/// Seals a state for the request for `target`.
pub(super) fn seal(
    gateway: &Gateway,
    context: &Context,
    vmcp: &VmcpId,
    target: &Target,
    state: &State,
) -> Result<String, NoRandomness> {
    let request = digest(target);
    let binding = Binding { caller: &context.caller, vmcp, request: Some(&request) };
    let payload = serde_json::to_vec(state).unwrap_or_default();
    let expiry = gateway.clock.now().after(LIFETIME);
    gateway.seals.seal(Purpose::RequestState, &binding, &payload, Some(expiry))
}

/// Opens what [`seal`] made for the same person, virtual MCP and request, if it is not too
/// old and, where it holds a server's state, was not used.
pub(super) fn open(
    gateway: &Gateway,
    context: &Context,
    vmcp: &VmcpId,
    target: &Target,
    handle: &str,
) -> Option<State> {
    let request = digest(target);
    let binding = Binding { caller: &context.caller, vmcp, request: Some(&request) };
    let now = gateway.clock.now();
    let payload = gateway.seals.open(Purpose::RequestState, &binding, handle, now)?;
    let state = serde_json::from_slice(&payload).ok()?;
    // What a server said is told to it once. A parked call has a name for each round, and a
    // repeat after URLs tells nobody anything.
    let is_good = match state {
        State::Upstream { .. } => gateway.spent.take(&context.caller, handle, now),
        State::Parked { .. } | State::Again { .. } => true,
    };
    is_good.then_some(state)
}

/// The digest of all that must be the same in every round: method, name and arguments as
/// they were written.
pub(super) fn digest(target: &Target) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(target.method().as_bytes());
    let mut json = |json: Option<&Json>| match json {
        None => part(b""),
        Some(json) => part(json.bytes()),
    };
    match target {
        Target::Tool { name, arguments, more } => {
            json(Some(arguments));
            for (key, value) in more {
                part(key.as_bytes());
                part(value.bytes());
            }
            part(name.as_bytes());
        }
        Target::Prompt { name, arguments } => {
            json(arguments.as_ref());
            part(name.as_bytes());
        }
        Target::Resource { uri } => part(uri.as_bytes()),
        Target::Complete { of, argument, context } => {
            json(Some(argument));
            json(context.as_ref());
            match of {
                Reference::Prompt(name) | Reference::Template(name) => part(name.as_bytes()),
            }
        }
        Target::Task { id, .. } => part(id.as_bytes()),
    }
    hash.finalize().into()
}
