//! What the service says, read strictly: whatever is not a decision refuses.

use outgoing::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is to become of the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    /// This JSON instead: arguments, a result or an error.
    Replace(String),
    Refuse(String),
    /// This result, without asking the connector.
    Answer(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    decision: Word,
    /// With `replace` and `answer`.
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
    /// With `refuse`.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Proceed,
    Replace,
    Refuse,
    Answer,
}

const LONGEST_REASON: usize = 1000;

/// The decision in an answer. Every status but 200 refuses.
pub(crate) fn read(response: &Response) -> Result<Verdict, String> {
    if response.status != 200 {
        return Err(format!("The decision service answered with status {}.", response.status));
    }
    let wrong =
        |why: &str| format!("The decision service gave no decision that can be read: {why}.");
    let said: Said<'_> =
        serde_json::from_slice(&response.body).map_err(|error| wrong(&error.to_string()))?;
    if said.reason.is_some() && said.decision != Word::Refuse {
        return Err(wrong("`reason` goes with `refuse` only"));
    }
    let value = match (said.decision, said.value) {
        (Word::Proceed, None) => return Ok(Verdict::Proceed),
        (Word::Refuse, None) => {
            let reason = said.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
            let reason = reason.unwrap_or("The decision service refused this.");
            return Ok(Verdict::Refuse(reason.chars().take(LONGEST_REASON).collect()));
        }
        (Word::Proceed | Word::Refuse, Some(_)) => {
            return Err(wrong("`value` goes with `replace` and `answer` only"));
        }
        (Word::Replace | Word::Answer, None) => return Err(wrong("`value` is missing")),
        (Word::Replace | Word::Answer, Some(value)) => value,
    };
    if !value.get().starts_with('{') {
        return Err(wrong("`value` is no object"));
    }
    let json = value.get().to_owned();
    Ok(if said.decision == Word::Replace { Verdict::Replace(json) } else { Verdict::Answer(json) })
}
