//! `_meta`: the reserved keys, of requests, results and notifications.

use std::borrow::Cow;

use tidegate_model::TraceContext;

use crate::json::Raw;

/// The reserved keys of `_meta`.
pub mod key {
    /// The revision this request speaks (modern, required).
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Name and version of the client (modern).
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// What the client can do (modern, required).
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// The least severe log line wanted (modern).
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Name and version of the server, on results (modern).
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The listen request that a notification belongs to (modern).
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// The task that a message belongs to (2025-11-25).
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
    /// The token for progress notifications.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// W3C trace context (SEP-414).
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace state.
    pub const TRACESTATE: &str = "tracestate";
    /// W3C baggage.
    pub const BAGGAGE: &str = "baggage";

    /// The keys that belong to one hop: never passed on, set anew where they are needed.
    pub const OF_ONE_HOP: [&str; 7] = [
        PROTOCOL_VERSION,
        CLIENT_INFO,
        CLIENT_CAPABILITIES,
        LOG_LEVEL,
        SERVER_INFO,
        SUBSCRIPTION_ID,
        PROGRESS_TOKEN,
    ];
}

/// The reserved members of a `_meta` object, as they are; all optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// [`key::PROTOCOL_VERSION`], where it is a string.
    pub protocol_version: Option<Cow<'a, str>>,
    /// [`key::CLIENT_INFO`].
    pub client_info: Option<Raw<'a>>,
    /// [`key::CLIENT_CAPABILITIES`].
    pub client_capabilities: Option<Raw<'a>>,
    /// [`key::LOG_LEVEL`], where it is a string.
    pub log_level: Option<Cow<'a, str>>,
    /// [`key::SERVER_INFO`].
    pub server_info: Option<Raw<'a>>,
    /// [`key::SUBSCRIPTION_ID`].
    pub subscription_id: Option<Raw<'a>>,
    /// [`key::PROGRESS_TOKEN`].
    pub progress_token: Option<Raw<'a>>,
    /// [`key::TRACEPARENT`], where it is a string.
    pub traceparent: Option<Cow<'a, str>>,
    /// [`key::TRACESTATE`], where it is a string.
    pub tracestate: Option<Cow<'a, str>>,
    /// [`key::BAGGAGE`], where it is a string.
    pub baggage: Option<Cow<'a, str>>,
    /// Whether any modern request key is there: the sign of the modern era.
    pub is_modern: bool,
}

impl<'a> Meta<'a> {
    /// Reads the text of a `_meta` member.
    pub fn read(meta: Raw<'a>) -> Self {
        let mut found = Self::default();
        for member in meta.members() {
            let value = member.value;
            match &*member.key {
                key::PROTOCOL_VERSION => {
                    found.protocol_version = value.string();
                    found.is_modern = true;
                }
                key::CLIENT_CAPABILITIES => {
                    found.client_capabilities = Some(value);
                    found.is_modern = true;
                }
                key::CLIENT_INFO => {
                    found.client_info = Some(value);
                    found.is_modern = true;
                }
                key::LOG_LEVEL => found.log_level = value.string(),
                key::SERVER_INFO => found.server_info = Some(value),
                key::SUBSCRIPTION_ID => found.subscription_id = Some(value),
                key::PROGRESS_TOKEN => found.progress_token = Some(value),
                key::TRACEPARENT => found.traceparent = value.string(),
                key::TRACESTATE => found.tracestate = value.string(),
                key::BAGGAGE => found.baggage = value.string(),
                _ => {}
            }
        }
        found
    }

    /// Reads the `_meta` member of parameters or of a result; empty where there is none.
    pub fn of(parent: Option<Raw<'a>>) -> Self {
        parent.and_then(|parent| parent.get("_meta")).map_or_else(Self::default, Self::read)
    }

    /// The trace context, to be carried on.
    pub fn trace(&self) -> TraceContext {
        let owned = |text: &Option<Cow<'a, str>>| text.as_deref().map(str::to_owned);
        TraceContext {
            traceparent: owned(&self.traceparent),
            tracestate: owned(&self.tracestate),
            baggage: owned(&self.baggage),
        }
    }
}
