//! Parameters of requests and notifications.

use std::borrow::Cow;

use super::{PeekError, folded};
use crate::{
    json::{Kind, Raw},
    mcp::{Level, envelope::Id},
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
    /// All other members, `inputResponses` and `requestState` apart.
    pub more: Vec<(Cow<'a, str>, Raw<'a>)>,
}

/// `prompts/get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetPromptParams<'a> {
    /// The prompt.
    pub name: Cow<'a, str>,
    /// Its arguments: an object, where there are any.
    pub arguments: Option<Raw<'a>>,
}

/// `resources/read`, `resources/subscribe` and `resources/unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceParams<'a> {
    /// The resource.
    pub uri: Cow<'a, str>,
}

/// What `completion/complete` is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionRef<'a> {
    /// `ref/prompt`: a prompt, by name.
    Prompt(Cow<'a, str>),
    /// `ref/resource`: a resource template, by its text.
    Template(Cow<'a, str>),
}

/// `completion/complete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteParams<'a> {
    /// What the argument belongs to.
    pub of: CompletionRef<'a>,
    /// The argument: an object with `name` and `value`, both strings.
    pub argument: Raw<'a>,
    /// What is known already: an object, where it was sent.
    pub context: Option<Raw<'a>>,
}

/// `tasks/get`, `tasks/result`, `tasks/update` and `tasks/cancel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskParams<'a> {
    /// The task.
    pub id: Cow<'a, str>,
    /// All other members, `_meta` apart.
    pub more: Vec<(Cow<'a, str>, Raw<'a>)>,
}

/// `logging/setLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLevelParams {
    /// The least severe line wanted.
    pub level: Level,
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
        const KNOWN: [&str; 5] = ["name", "arguments", "_meta", "inputResponses", "requestState"];
        let (mut name, mut arguments, mut meta) = (None, None, None);
        let mut more = Vec::new();
        for member in params.iter().flat_map(|params| params.members()) {
            match &*member.key {
                "name" => name = Some(string(member.value, "name")?),
                // Some libraries write `null` where they have no arguments.
                "arguments" if member.value.is_null() => {}
                "arguments" => arguments = Some(object(member.value, "arguments")?),
                "_meta" => meta = Some(object(member.value, "_meta")?),
                "inputResponses" | "requestState" => {}
                other => {
                    exact(other, &KNOWN)?;
                    more.push((member.key, member.value));
                }
            }
        }
        Ok(Self { name: name.ok_or(PeekError::Missing("name"))?, arguments, meta, more })
    }
}

impl<'a> GetPromptParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        const KNOWN: [&str; 5] = ["name", "arguments", "_meta", "inputResponses", "requestState"];
        let (mut name, mut arguments) = (None, None);
        for member in params.iter().flat_map(|params| params.members()) {
            match &*member.key {
                "name" => name = Some(string(member.value, "name")?),
                "arguments" if member.value.is_null() => {}
                "arguments" => arguments = Some(object(member.value, "arguments")?),
                other => exact(other, &KNOWN)?,
            }
        }
        Ok(Self { name: name.ok_or(PeekError::Missing("name"))?, arguments })
    }
}

impl<'a> ResourceParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        const KNOWN: [&str; 4] = ["uri", "_meta", "inputResponses", "requestState"];
        let mut uri = None;
        for member in params.iter().flat_map(|params| params.members()) {
            match &*member.key {
                "uri" => uri = Some(string(member.value, "uri")?),
                other => exact(other, &KNOWN)?,
            }
        }
        Ok(Self { uri: uri.ok_or(PeekError::Missing("uri"))? })
    }
}

impl<'a> CompleteParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        const KNOWN: [&str; 4] = ["ref", "argument", "context", "_meta"];
        for member in params.iter().flat_map(|params| params.members()) {
            exact(&member.key, &KNOWN)?;
        }
        let get = |name| params.and_then(|params| params.get(name));
        let of = object(get("ref").ok_or(PeekError::Missing("ref"))?, "ref")?;
        let of = match of.get("type").and_then(Raw::string).as_deref() {
            Some("ref/prompt") => {
                let name = of.get("name").ok_or(PeekError::Missing("ref.name"))?;
                CompletionRef::Prompt(string(name, "ref.name")?)
            }
            Some("ref/resource") => {
                let uri = of.get("uri").ok_or(PeekError::Missing("ref.uri"))?;
                CompletionRef::Template(string(uri, "ref.uri")?)
            }
            _ => return Err(PeekError::Type("ref.type", "`ref/prompt` or `ref/resource`")),
        };
        let argument = get("argument").ok_or(PeekError::Missing("argument"))?;
        let argument = object(argument, "argument")?;
        for name in ["name", "value"] {
            let value = argument.get(name).ok_or(PeekError::Missing("argument.name"))?;
            string(value, "argument.name and argument.value")?;
        }
        let context = get("context").filter(|context| !context.is_null());
        let context = context.map(|context| object(context, "context")).transpose()?;
        Ok(Self { of, argument, context })
    }
}

impl<'a> TaskParams<'a> {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'a>>) -> Result<Self, PeekError> {
        const KNOWN: [&str; 2] = ["taskId", "_meta"];
        let (mut id, mut more) = (None, Vec::new());
        for member in params.iter().flat_map(|params| params.members()) {
            match &*member.key {
                "taskId" => id = Some(string(member.value, "taskId")?),
                "_meta" => {}
                other => {
                    exact(other, &KNOWN)?;
                    more.push((member.key, member.value));
                }
            }
        }
        Ok(Self { id: id.ok_or(PeekError::Missing("taskId"))?, more })
    }
}

impl SetLevelParams {
    /// Reads the parameters.
    pub fn read(params: Option<Raw<'_>>) -> Result<Self, PeekError> {
        let level = params.and_then(|params| params.get("level"));
        let level = string(level.ok_or(PeekError::Missing("level"))?, "level")?;
        let level = Level::parse(&level);
        Ok(Self { level: level.ok_or(PeekError::Type("level", "a log level of RFC 5424"))? })
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
