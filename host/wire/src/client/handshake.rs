//! Finding out what a server speaks: what both transports say and read to that end.

use std::borrow::Cow;

use tidegate_model::{Answer, Json};

use super::{
    Outgoing, PeerError, PeerInfo, Profile,
    outgoing::{CLIENT_INFO, Member},
    peer::Fault,
};
use crate::{
    json::Raw,
    mcp::{
        code,
        envelope::notification,
        method::Method,
        peek::{DiscoverResult, ErrorObject, Implementation, InitializeResult},
        revision::{Era, Revision},
    },
};

/// What the answer to `server/discover` says about the era.
#[derive(Debug)]
pub(super) enum Probe {
    /// Modern, and all is known.
    Modern(PeerInfo),
    /// Legacy, or too old to say: `initialize` comes next.
    Legacy,
    /// Modern, but none of the revisions known here.
    Foreign(Vec<String>),
}

/// The revision of modern requests.
pub(super) const MODERN: Revision = Revision::LATEST;

/// The request of the probe.
pub(super) const DISCOVER: Outgoing<'static> = plain(Method::Discover.name());

const fn plain(method: &'static str) -> Outgoing<'static> {
    Outgoing {
        method,
        params: &[],
        meta: None,
        name: None,
        headers: &[],
        trace: None,
        exchange: None,
        given: None,
    }
}

/// The values of the `initialize` parameters, for a session that declares this much.
pub(super) fn initialize_params(profile: Profile) -> [Json; 3] {
    let quoted = format!("\"{}\"", Revision::LATEST_LEGACY.name());
    let mut capabilities = String::from("{");
    profile.write(&mut capabilities, true);
    capabilities.push('}');
    [quoted.as_str(), capabilities.as_str(), CLIENT_INFO]
        .map(|text| Json::from_checked(bytes::Bytes::copy_from_slice(text.as_bytes())))
}

/// The members of `initialize`, from [`initialize_params`].
pub(super) fn initialize_members(params: &[Json; 3]) -> [(&'static str, Member<'_>); 3] {
    let [version, capabilities, client] = params;
    [
        ("protocolVersion", Member::Json(version)),
        ("capabilities", Member::Json(capabilities)),
        ("clientInfo", Member::Json(client)),
    ]
}

/// The notification that ends the legacy handshake.
pub(super) fn initialized() -> Vec<u8> {
    let mut out = Vec::new();
    notification(&mut out, Method::Initialized.name(), None);
    out
}

/// The notification that the client's roots have changed.
pub(super) fn roots_changed() -> Vec<u8> {
    let mut out = Vec::new();
    notification(&mut out, Method::RootsChanged.name(), None);
    out
}

/// The notification that a request is no longer waited for.
pub(super) fn cancelled(id: u64) -> Vec<u8> {
    let params = format!(r#"{{"requestId":{id},"reason":"nobody waits for the answer any more"}}"#);
    let mut out = Vec::new();
    notification(&mut out, Method::Cancelled.name(), Some(Raw::from_checked(&params)));
    out
}

/// Reads the answer to `server/discover`.
pub(super) fn read_discover(answer: &Answer) -> Probe {
    match answer {
        Answer::Result(result) => match DiscoverResult::read(Raw::from(result)) {
            Ok(found) => {
                let versions = found.supported_versions;
                let known = versions.iter().filter_map(|name| Revision::parse(name));
                match known.max() {
                    Some(MODERN) => Probe::Modern(info(
                        MODERN,
                        found.server_info,
                        found.capabilities,
                        found.instructions.as_deref(),
                    )),
                    Some(_) => Probe::Legacy,
                    None => Probe::Foreign(names(versions.iter().map(AsRef::as_ref))),
                }
            }
            Err(_) => Probe::Legacy,
        },
        Answer::Error(error) => read_refusal(error),
    }
}

/// Reads an error that the probe met: only a modern code keeps to the modern era.
pub(super) fn read_refusal(error: &Json) -> Probe {
    let Some(error) = ErrorObject::read(Raw::from(error)) else { return Probe::Legacy };
    match error.code {
        code::UNSUPPORTED_PROTOCOL_VERSION => {}
        known if code::is_modern(known) => return Probe::Modern(info(MODERN, None, None, None)),
        _ => return Probe::Legacy,
    }
    let versions = listed(&error);
    let speaks_legacy = versions
        .iter()
        .filter_map(|name| Revision::parse(name))
        .any(|revision| revision.era() == Era::Legacy);
    if versions.iter().any(|name| name == MODERN.name()) {
        Probe::Modern(info(MODERN, None, None, None))
    } else if versions.is_empty() || speaks_legacy {
        Probe::Legacy
    } else {
        Probe::Foreign(names(versions.iter().map(AsRef::as_ref)))
    }
}

/// The revisions that a refusal of ours lists, for a message.
pub(super) fn supported(error: &ErrorObject<'_>) -> Vec<String> {
    names(listed(error).iter().map(AsRef::as_ref))
}

fn listed<'a>(error: &ErrorObject<'a>) -> Vec<Cow<'a, str>> {
    let supported = error.data.and_then(|data| data.get("supported"));
    supported.iter().flat_map(|list| list.elements()).filter_map(Raw::string).collect()
}

/// Reads the answer to `initialize`.
pub(super) fn read_initialize(answer: &Answer) -> Result<PeerInfo, PeerError> {
    const METHOD: &str = Method::Initialize.name();
    match answer {
        Answer::Result(result) => {
            let found = InitializeResult::read(Raw::from(result))
                .map_err(|error| Fault::Result { method: METHOD, why: error.to_string() })?;
            let revision = Revision::parse(&found.protocol_version)
                .filter(|revision| revision.era() == Era::Legacy)
                .ok_or_else(|| PeerError::Revision(names([found.protocol_version.as_ref()])))?;
            let instructions = found.instructions.as_deref();
            Ok(info(revision, found.server_info, found.capabilities, instructions))
        }
        Answer::Error(error) => Err(refusal(METHOD, error)),
    }
}

/// A JSON-RPC error in place of what `method` sets up.
pub(super) fn refusal(method: &'static str, error: &Json) -> PeerError {
    let error = ErrorObject::read(Raw::from(error));
    let message = error.map(|error| shorten(&error.message)).unwrap_or_default();
    PeerError::Refused { method, message }
}

fn info(
    revision: Revision,
    server: Option<Raw<'_>>,
    capabilities: Option<Raw<'_>>,
    instructions: Option<&str>,
) -> PeerInfo {
    let server = server.map(Implementation::read).unwrap_or_default();
    let named = |text: &str| (!text.is_empty()).then(|| shorten(text));
    PeerInfo {
        revision,
        name: named(&server.name),
        version: named(&server.version),
        capabilities: capabilities.map_or_else(Json::empty_object, Raw::to_json),
        instructions: instructions.map(str::to_owned),
    }
}

fn names<'a>(versions: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    versions.into_iter().take(16).map(shorten).collect()
}

/// Text of a server for a log or a status line: short, and without control characters.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
