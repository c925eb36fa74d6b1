//! Rows and payloads, read as operations.

use std::{collections::VecDeque, path::Path, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tidegate_governance::audit::{Phase, Row, Status, mask::MASKED};
use tidegate_model::{
    Answer, ConnectorId, Json, OrgId, Timestamp, ToolName, TraceContext, UserId, VmcpId,
};
use tidegate_store::log::Reader;
use tidegate_wasm::Event;

use crate::{
    cases::{Recorded, scene::Scene},
    http::admin::Kept,
};

/// Characters that a row holds of a URI; a longer one was cut.
const LONGEST_URI: usize = 1_024;

/// Which rows are wanted.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) org: OrgId,
    pub(super) since: Timestamp,
    pub(super) vmcp: Option<VmcpId>,
    pub(super) connector: Option<ConnectorId>,
    pub(super) tool: Option<String>,
    pub(super) limit: usize,
}

/// A row with what is known of its operation.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Nothing where there is too little to go by.
    pub(super) operation: Option<Recorded>,
    /// Whether something of it was masked or cut.
    pub(super) inexact: bool,
    /// Why there is less than a whole payload.
    pub(super) lacking: Option<String>,
}

/// A payload as it was kept.
#[derive(Debug, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    /// The beginning of one that was too long.
    cut: Option<String>,
}

/// The newest rows that are wanted, oldest first, with their numbers.
pub(super) fn rows(log: &Path, chosen: &Chosen) -> anyhow::Result<Vec<(u64, Row)>> {
    let mut reader = Reader::new(log);
    let mut found = VecDeque::new();
    while let Some(entry) = reader.next()? {
        // A row of a newer gateway, for one, is nothing that could be replayed.
        let Ok(row) = Row::from_bytes(&entry.bytes) else { continue };
        if chosen.wants(&row) {
            found.push_back((entry.seq, row));
        }
        if found.len() > chosen.limit {
            found.pop_front();
        }
    }
    Ok(found.into())
}

impl Chosen {
    fn wants(&self, row: &Row) -> bool {
        let is_tool = |tool: &String| {
            let name = row.tool.as_ref().map(ToolName::as_str);
            name == Some(tool.as_str())
                || (name.is_some() && row.target().as_deref() == Some(tool.as_str()))
        };
        row.org == self.org
            && row.phase == Phase::Outcome
            && row.ts >= self.since
            && event(row).is_some()
            && row.target().is_some()
            && self.vmcp.as_ref().is_none_or(|vmcp| row.vmcp.as_ref() == Some(vmcp))
            && self.connector.as_ref().is_none_or(|one| row.connector.as_ref() == Some(one))
            && self.tool.as_ref().is_none_or(is_tool)
    }
}

fn event(row: &Row) -> Option<Event> {
    match row.method.as_str() {
        "tools/call" => Some(Event::Call),
        "prompts/get" => Some(Event::Prompt),
        "resources/read" => Some(Event::Read),
        "completion/complete" => Some(Event::Completion),
        _ => None,
    }
}

/// What a row and its payload tell.
pub(super) fn told(row: &Row, kept: Option<Kept>) -> Told {
    let (Some(event), Some(scene)) = (event(row), scene(row)) else {
        return Told { lacking: Some("its caller is not known".to_owned()), ..Told::default() };
    };
    let mut told = Told::default();
    let (mut arguments, mut answer) = (None, None);
    match kept {
        Some(Kept::Text(text)) => {
            let (of, inexact) = parts(&text);
            (arguments, answer) = (of.0, of.1.and_then(|result| answered(row, result)));
            told.inexact = inexact;
        }
        Some(Kept::Error(words)) => told.lacking = Some(words),
        None => told.lacking = Some("no payload was kept".to_owned()),
    }
    // There were none, or none that could be: nothing of them is missing.
    let bare = matches!(event, Event::Prompt | Event::Read) && row.arguments.is_none();
    if bare && row.status.is_some_and(|status| status != Status::Refused) {
        arguments = arguments.or_else(|| Some(Json::empty_object()));
    }
    told.inexact |= event == Event::Read && scene.target.chars().count() >= LONGEST_URI;
    if arguments.is_some() || answer.is_some() {
        told.operation = Some(Recorded { at: row.ts, event, scene, arguments, answer });
    }
    told
}

/// Arguments and result of a payload, and whether it is less than it was.
fn parts(text: &str) -> ((Option<Json>, Option<Json>), bool) {
    let json = |raw: &RawValue| Json::parse(raw.get().to_owned()).ok();
    match serde_json::from_str::<Payload<'_>>(text) {
        Ok(Payload { cut: Some(cut), .. }) => {
            // Arguments come first; they may have been whole before the cut.
            let rest = cut.strip_prefix("{\"arguments\":").unwrap_or_default();
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Box<RawValue>>();
            let arguments = values.next().and_then(Result::ok);
            let arguments = arguments.filter(|raw| raw.get().starts_with('{'));
            ((arguments.and_then(|raw| json(&raw)), None), true)
        }
        Ok(Payload { arguments, result, .. }) => {
            let masked = serde_json::from_str(text).is_ok_and(|tree| is_masked(&tree));
            ((arguments.and_then(json), result.and_then(json)), masked)
        }
        Err(_) => ((None, None), true),
    }
}

/// Whether a value below was replaced when it was kept, or part of one.
fn is_masked(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(is_masked),
        Value::Array(elements) => elements.iter().any(is_masked),
        Value::String(text) => text.contains(MASKED),
        _ => false,
    }
}

fn answered(row: &Row, result: Json) -> Option<Answer> {
    match row.status? {
        Status::Ok | Status::ToolError => Some(Answer::Result(result)),
        Status::UpstreamError => Some(Answer::Error(result)),
        Status::InputRequired | Status::Refused | Status::Abandoned => None,
    }
}

fn scene(row: &Row) -> Option<Scene> {
    let caller = row.caller.as_ref()?;
    let tool = row.tool.as_ref().map(ToolName::as_str);
    let target = tool.or(row.prompt.as_ref().map(AsRef::as_ref)).or(row.resource.as_deref())?;
    Some(Scene {
        id: row.id,
        org: row.org.clone(),
        vmcp: row.vmcp.clone()?,
        connector: row.connector.clone()?,
        target: target.to_owned(),
        user: UserId::clone(&caller.user),
        groups: Arc::clone(&caller.groups),
        client: row.client.clone(),
        trace: TraceContext::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_masked_or_cut_is_inexact() {
        let text = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().to_owned());
        for (payload, arguments, result, inexact) in [
            (
                r#"{"arguments":{"q":"x"},"result":{"n":1}}"#,
                Some(r#"{"q":"x"}"#),
                Some(r#"{"n":1}"#),
                false,
            ),
            (r#"{"arguments":{"q":"***"},"result":null}"#, Some(r#"{"q":"***"}"#), None, true),
            (
                r#"{"arguments":{},"result":{"a":["use *** now"]}}"#,
                Some("{}"),
                Some(r#"{"a":["use *** now"]}"#),
                true,
            ),
            (
                r#"{"cut":"{\"arguments\":{\"q\":1},\"resu","bytes":99}"#,
                Some(r#"{"q":1}"#),
                None,
                true,
            ),
            (r#"{"cut":"{\"arguments\":{\"q\":\"lo","bytes":99}"#, None, None, true),
            ("no json", None, None, true),
        ] {
            let (found, is_inexact) = parts(payload);
            let result = result.map(str::to_owned);
            assert_eq!(text(&found.0), arguments.map(str::to_owned), "{payload}");
            assert_eq!(text(&found.1), result, "{payload}");
            assert_eq!(is_inexact, inexact, "{payload}");
        }
    }
}
