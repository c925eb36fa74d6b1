//! What an audit row says: canonical JSON (RFC 8785), one object per row.
//!
//! Members stand in canonical order and absent ones are left out. Arguments and results
//! appear as size and keyed digest only; payloads are kept apart and referenced by hash.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_model::{
    CallId, ConnectorId, KeyId, OrgId, PluginId, PromptName, RefusalCode, RevisionId, Timestamp,
    Timings, ToolName, UserId, VmcpId,
};

/// The version of the row format; readers refuse a newer one.
pub const ROW_VERSION: u16 = 1;

/// Size and keyed digest of arguments or a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Bytes of the text.
    pub bytes: u64,
    /// HMAC-SHA256 of the text under the log's own key, in hexadecimal.
    pub hmac: String,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Groups at the time of the call.
    #[serde(default, skip_serializing_if = "slice_is_empty")]
    pub groups: Arc<[String]>,
    /// The API key, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// How the caller signed in.
    pub sign_in: String,
    /// The person or agent.
    pub user: UserId,
}

/// What one plugin said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginNote {
    /// The hook: `before_call`, `after_call`, the same of `prompt`, `read` and `completion`,
    /// `shown` or `on_question`.
    pub event: String,
    /// First bytes of the component's SHA-256, in hexadecimal: the version that ran.
    pub hash: String,
    /// Microseconds it took.
    pub micros: u32,
    /// The plugin.
    pub plugin: PluginId,
    /// The verdict, or how it failed; `observed:` before it where it had no effect, what the
    /// person replied after it (`ask:accept`).
    pub verdict: String,
}

/// Whether a row announces a call or closes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A call that is not read-only is about to leave.
    Intent,
    /// An operation has ended.
    Outcome,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The upstream answered; a task it made of the call is an answer too.
    Ok,
    /// The upstream asks for input before it answers (`resultType: input_required`).
    InputRequired,
    /// The upstream answered with a tool error (`isError`).
    ToolError,
    /// The upstream answered with a JSON-RPC error.
    UpstreamError,
    /// The gateway refused; see `code`.
    Refused,
    /// There is no answer: the client cancelled or went away, or the process ended.
    Abandoned,
}

/// One row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Size and digest of the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Digest>,
    /// The published name that was asked for, where nothing of that name was found for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Who called; absent before authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Actor>,
    /// The client's own name for itself; display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<RefusalCode>,
    /// The connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<ConnectorId>,
    /// The operation's id.
    pub id: CallId,
    /// The MCP method, or `admin/…`.
    pub method: String,
    /// How many more notes of plugins there were than `plugins` holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_plugins: u32,
    /// Free text for admin actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The organisation.
    pub org: OrgId,
    /// Hash of the payload kept beside the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Intent or outcome.
    pub phase: Phase,
    /// What plugins said, in the order they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginNote>,
    /// The policies that decided.
    #[serde(default, skip_serializing_if = "slice_is_empty")]
    pub policies: Arc<[String]>,
    /// The prompt's original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptName>,
    /// The original URI of the resource, or the text of the template (cut to 1,024 characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<str>>,
    /// Size and digest of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Digest>,
    /// The configuration revision.
    pub revision: RevisionId,
    /// Shadow policies that would have refused.
    #[serde(default, skip_serializing_if = "slice_is_empty")]
    pub shadow: Arc<[String]>,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// How it ended; absent on an intent row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Microseconds per stage.
    #[serde(default, skip_serializing_if = "no_timings")]
    pub timings: Timings,
    /// The tool's original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
    /// The W3C trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Milliseconds since 1970 when the operation began (an intent row: when it was about to leave).
    pub ts: Timestamp,
    /// The version of this format.
    pub v: u16,
    /// The virtual MCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmcp: Option<VmcpId>,
}

impl Row {
    /// Makes it the row of an operation that ended without an answer.
    pub(super) fn abandon(&mut self) {
        self.status = Some(Status::Abandoned);
        self.code = Some(RefusalCode::Cancelled);
    }

    /// An empty outcome row.
    pub fn new(id: CallId, ts: Timestamp, org: OrgId, method: &str) -> Self {
        Self {
            arguments: None,
            asked: None,
            caller: None,
            client: None,
            code: None,
            connector: None,
            id,
            method: method.to_owned(),
            more_plugins: 0,
            note: None,
            org,
            payload: None,
            phase: Phase::Outcome,
            plugins: Vec::new(),
            policies: Arc::from([]),
            prompt: None,
            resource: None,
            result: None,
            revision: RevisionId::default(),
            shadow: Arc::from([]),
            source: None,
            status: None,
            timings: Timings::default(),
            tool: None,
            trace: None,
            ts,
            v: ROW_VERSION,
            vmcp: None,
        }
    }

    /// The canonical text.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Vec::with_capacity(768);
        self.serialize(&mut serde_json::Serializer::new(&mut text))?;
        Ok(text)
    }

    /// What the operation was about, as `connector/` with the original name of the tool or
    /// prompt or the URI of the resource; `None` where that never came out.
    pub fn target(&self) -> Option<String> {
        let tool = self.tool.as_ref().map(ToolName::as_str);
        let prompt = self.prompt.as_ref().map(PromptName::as_str);
        let name = tool.or(prompt).or(self.resource.as_deref())?;
        Some(format!("{}/{name}", self.connector.as_ref()?))
    }

    /// Reads a row back.
    pub fn from_bytes(text: &[u8]) -> Result<Self, BadRow> {
        let row: Self = serde_json::from_slice(text).map_err(BadRow::NotARow)?;
        if row.v > ROW_VERSION { Err(BadRow::Newer(row.v)) } else { Ok(row) }
    }
}

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadRow {
    /// The bytes are no row.
    #[error("not an audit row")]
    NotARow(#[source] serde_json::Error),
    /// The row was written by a newer gateway.
    #[error("the row has format version {0}, newer than this program reads; update tidegate")]
    Newer(u16),
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn slice_is_empty(list: &Arc<[String]>) -> bool {
    list.is_empty()
}

fn no_timings(timings: &Timings) -> bool {
    timings.iter().next().is_none()
}

/// Serialises a digest's bytes as hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Stage;

    fn assert_sorted(value: &serde_json::Value) {
        if let Some(members) = value.as_object() {
            assert!(members.keys().is_sorted(), "{:?}", members.keys());
            members.values().for_each(assert_sorted);
        }
    }

    #[test]
    fn rows_are_canonical_and_read_back() {
        let id = CallId::new(Timestamp::from_millis(5), [1; 10]);
        let mut row = Row::new(id, Timestamp::from_millis(5), OrgId::default_org(), "tools/call");
        for stage in Stage::ALL {
            row.timings.add(stage, std::time::Duration::from_micros(3));
        }
        row.note = Some("a\u{7}\n\"é".into());
        row.status = Some(Status::Refused);
        row.code = Some(RefusalCode::PolicyDenied);
        row.policies = Arc::from(["p".to_owned()]);
        row.connector = Some(ConnectorId::new("crm").unwrap());
        row.prompt = Some(PromptName::new("summary").unwrap());
        row.resource = Some("file:///a".into());
        row.tool = Some(ToolName::new("find").unwrap());
        let text = row.to_bytes().unwrap();
        let tree: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_sorted(&tree);
        assert!(!text.contains(&b' '), "canonical text has no white space");
        let read = Row::from_bytes(&text).unwrap();
        assert_eq!(read.code, Some(RefusalCode::PolicyDenied));
        assert_eq!(read.timings, row.timings);
        let newer = String::from_utf8(text).unwrap().replace("\"v\":1", "\"v\":2");
        assert!(matches!(Row::from_bytes(newer.as_bytes()), Err(BadRow::Newer(2))));
    }
}
