//! Parameters of requests and notifications.

use std::borrow::Cow;

use super::{PeekError, folded};
use crate::{
    json::{Kind, Raw},
    mcp::envelope::Id,
};

/// `tools/call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallToolParams<'a> {
    /// The tool.
    pub name: Cow<'a, str>,
    /// Its arguments: an object, where there are any.
    pub arguments: Option<Raw<'a>>,
    /// `_meta`: an object, where there is one.
    pub meta: Option<Raw<'a>>,
}

/// A list request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListParams<'a> {
    /// Where to go on; the empty string is a cursor too.
    pub cursor: Option<Cow<'a, str>>,
}

/// `notifications/cancelled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledParams<'a> {
    /// The request nobody waits for any more; 2025-11-25 lets tasks leave it out.
    pub request_id: Option<Id<'a>>,
    /// Why, for the log.
    pub reason: Option<Cow<'a, str>>,
}

/// `notifications/progress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressParams<'a> {
    /// The token of the request it is about.
    pub token: Id<'a>,
    /// How far, as written.
    pub progress: Raw<'a>,
    /// How far it goes, as written.
    pub total: Option<Raw<'a>>,
    /// For the person.
    pub message: Option<Cow<'a, str>>,
}

/// `initialize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializeParams<'a> {
    /// The revision the client would like.
    pub protocol_version: Cow<'a, str>,
    /// What it can do.
    pub capabilities: Option<Raw<'a>>,
    /// Name and version.
    pub client_info: Option<Raw<'a>>,
}

/// The `_meta` member of parameters, if it is an object.
pub fn params_meta(params: Option<Raw<'_>>) -> Result<Option<Raw<'_>>, PeekError> {
    params.and_then(|params| params.get("_meta")).map(|meta| object(meta, "_meta")).transpose()
}

impl<'a> CallToolParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        const KNOWN: [&str; 3] = ["name", "arguments", "_meta"];
        let (mut name, mut arguments, mut meta) = (None, None, None);
        for member in params.iter().flat_map(|params| params.members()) {
            match &*member.key {
                "name" => name = Some(string(member.value, "name")?),
                // Some libraries write `null` where they have no arguments.
                "arguments" if member.value.is_null() => {}
                "arguments" => arguments = Some(object(member.value, "arguments")?),
                "_meta" => meta = Some(object(member.value, "_meta")?),
                other => exact(other, &KNOWN)?,
            }
        }
        Ok(Self { name: name.ok_or(PeekError::Missing("name"))?, arguments, meta })
    }
}

impl<'a> ListParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        let cursor = params.and_then(|params| params.get("cursor"));
        Ok(Self { cursor: cursor.map(|cursor| string(cursor, "cursor")).transpose()? })
    }
}

impl<'a> CancelledParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        let get = |name| params.and_then(|params| params.get(name));
        let request_id = get("requestId").map(|raw| id(raw, "requestId")).transpose()?;
        Ok(Self { request_id, reason: get("reason").and_then(Raw::string) })
    }
}

impl<'a> ProgressParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        let get = |name| params.and_then(|params| params.get(name));
        let number = |raw: Raw<'a>, name| match raw.kind() {
            Kind::Number => Ok(raw),
            _ => Err(PeekError::Type(name, "a number")),
        };
        let token = get("progressToken").ok_or(PeekError::Missing("progressToken"))?;
        let progress = get("progress").ok_or(PeekError::Missing("progress"))?;
        Ok(Self {
            token: id(token, "progressToken")?,
            progress: number(progress, "progress")?,
            total: get("total").map(|total| number(total, "total")).transpose()?,
            message: get("message").and_then(Raw::string),
        })
    }
}

impl<'a> InitializeParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        let get = |name| params.and_then(|params| params.get(name));
        let version = get("protocolVersion").ok_or(PeekError::Missing("protocolVersion"))?;
        let maybe = |name| get(name).map(|raw| object(raw, name)).transpose();
        Ok(Self {
            protocol_version: string(version, "protocolVersion")?,
            capabilities: maybe("capabilities")?,
            client_info: maybe("clientInfo")?,
        })
    }
}

pub(super) fn string<'a>(raw: Raw<'a>, name: &'static str) -> Result<Cow<'a, str>, PeekError> {
    raw.string().ok_or(PeekError::Type(name, "a string"))
}

pub(super) fn object<'a>(raw: Raw<'a>, name: &'static str) -> Result<Raw<'a>, PeekError> {
    match raw.kind() {
        Kind::Object => Ok(raw),
        _ => Err(PeekError::Type(name, "an object")),
    }
}

fn id<'a>(raw: Raw<'a>, name: &'static str) -> Result<Id<'a>, PeekError> {
    Id::read(raw).ok_or(PeekError::Type(name, "a string or an integer"))
}

fn exact(found: &str, known: &[&'static str]) -> Result<(), PeekError> {
    match folded(found, known) {
        None => Ok(()),
        Some(meant) => Err(PeekError::Case { found: found.chars().take(80).collect(), meant }),
    }
}
