//! Results and error objects.

use std::borrow::Cow;

use super::{PeekError, key, params};
use crate::json::{Kind, Raw};

/// The `error` member of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorObject<'a> {
    /// The code.
    pub code: i64,
    /// The sentence.
    pub message: Cow<'a, str>,
    /// More, in the server's own words.
    pub data: Option<Raw<'a>>,
}

/// What a modern result says it is; see SEP-2322.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultType<'a> {
    /// The answer; also what a result without the member is.
    Complete,
    /// The server needs input first.
    InputRequired,
    /// The word of an extension.
    Other(Cow<'a, str>),
}

/// The members of any result that decide what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPeek<'a> {
    /// `resultType`.
    pub result_type: ResultType<'a>,
    /// Whether the member was there at all.
    pub has_result_type: bool,
    /// `nextCursor` of a list.
    pub next_cursor: Option<Cow<'a, str>>,
    /// `isError` of a tool's answer; absent means false.
    pub is_error: bool,
    /// `ttlMs` of a cacheable result, where it is a whole number.
    pub ttl_ms: Option<i64>,
    /// `cacheScope` of a cacheable result.
    pub cache_scope: Option<Cow<'a, str>>,
    /// `_meta`.
    pub meta: Option<Raw<'a>>,
}

/// Name and version of a client or server: for display only, never a security input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Implementation<'a> {
    /// The programmatic name; empty where it is missing.
    pub name: Cow<'a, str>,
    /// The name for people.
    pub title: Option<Cow<'a, str>>,
    /// The version; empty where it is missing.
    pub version: Cow<'a, str>,
}

/// The answer to `initialize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializeResult<'a> {
    /// The revision the server chose.
    pub protocol_version: Cow<'a, str>,
    /// What it can do.
    pub capabilities: Option<Raw<'a>>,
    /// Name and version.
    pub server_info: Option<Raw<'a>>,
    /// What it tells the model.
    pub instructions: Option<Cow<'a, str>>,
}

/// The answer to `server/discover`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverResult<'a> {
    /// The revisions it speaks, in its order; what is no string is left out.
    pub supported_versions: Vec<Cow<'a, str>>,
    /// What it can do.
    pub capabilities: Option<Raw<'a>>,
    /// Name and version, from `_meta`.
    pub server_info: Option<Raw<'a>>,
    /// What it tells the model.
    pub instructions: Option<Cow<'a, str>>,
}

impl<'a> ErrorObject<'a> {
    /// Reads an `error` member; none if it has no integer code or no message.
    pub fn read(error: Raw<'a>) -> Option<Self> {
        let code = error.get("code")?.integer()?;
        let message = error.get("message")?.string()?;
        Some(Self { code, message, data: error.get("data") })
    }
}

impl<'a> ResultPeek<'a> {
    /// Reads a `result` member.
    pub fn read(result: Raw<'a>) -> Result<Self, PeekError> {
        if result.kind() != Kind::Object {
            return Err(PeekError::Type("result", "an object"));
        }
        let mut peek = Self {
            result_type: ResultType::Complete,
            has_result_type: false,
            next_cursor: None,
            is_error: false,
            ttl_ms: None,
            cache_scope: None,
            meta: None,
        };
        for member in result.members() {
            let value = member.value;
            match &*member.key {
                "resultType" => {
                    let word = params::string(value, "resultType")?;
                    peek.has_result_type = true;
                    peek.result_type = match &*word {
                        "complete" => ResultType::Complete,
                        "input_required" => ResultType::InputRequired,
                        _ => ResultType::Other(word),
                    };
                }
                // Some servers write `null` for the last page.
                "nextCursor" if !value.is_null() => {
                    peek.next_cursor = Some(params::string(value, "nextCursor")?);
                }
                "isError" => peek.is_error = value.boolean().unwrap_or(false),
                "ttlMs" => peek.ttl_ms = value.integer(),
                "cacheScope" => peek.cache_scope = value.string(),
                "_meta" if value.kind() == Kind::Object => peek.meta = Some(value),
                _ => {}
            }
        }
        Ok(peek)
    }
}

impl<'a> Implementation<'a> {
    /// Reads a `clientInfo` or `serverInfo` object.
    pub fn read(info: Raw<'a>) -> Self {
        let text = |name| info.get(name).and_then(Raw::string);
        Self {
            name: text("name").unwrap_or_default(),
            title: text("title"),
            version: text("version").unwrap_or_default(),
        }
    }
}

impl<'a> InitializeResult<'a> {
    /// Reads a `result` member.
    pub fn read(result: Raw<'a>) -> Result<Self, PeekError> {
        let version = result.get("protocolVersion");
        let version = version.ok_or(PeekError::Missing("protocolVersion"))?;
        Ok(Self {
            protocol_version: params::string(version, "protocolVersion")?,
            capabilities: result.get("capabilities"),
            server_info: result.get("serverInfo"),
            instructions: result.get("instructions").and_then(Raw::string),
        })
    }
}

impl<'a> DiscoverResult<'a> {
    /// Reads a `result` member.
    pub fn read(result: Raw<'a>) -> Result<Self, PeekError> {
        let versions = result.get("supportedVersions");
        let versions = versions.ok_or(PeekError::Missing("supportedVersions"))?;
        if versions.kind() != Kind::Array {
            return Err(PeekError::Type("supportedVersions", "an array"));
        }
        Ok(Self {
            supported_versions: versions.elements().filter_map(Raw::string).collect(),
            capabilities: result.get("capabilities"),
            server_info: result.get("_meta").and_then(|meta| meta.get(key::SERVER_INFO)),
            instructions: result.get("instructions").and_then(Raw::string),
        })
    }
}
