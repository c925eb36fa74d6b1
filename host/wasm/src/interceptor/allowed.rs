//! What each event lets a plugin change, as the table in `wit/README.md` says.
//!
//! Nothing is dropped silently: what is not allowed is said, and fails the hook.

mod asked;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashMap};

use tidegate_model::{Answer, Json, Verdict};
use tidegate_wire::json::{Kind, Raw};

use crate::Event;

/// Members of a list's item that may be shown differently.
const LABELS: [&str; 3] = ["title", "description", "icons"];
/// Members of an elicitation that may differ.
const ELICITATION: [&str; 1] = ["message"];
/// Members of a sampling request that may differ.
const SAMPLING: [&str; 6] =
    ["messages", "systemPrompt", "maxTokens", "temperature", "stopSequences", "modelPreferences"];

/// Members of a question that is replaced.
const MEMBERS: usize = 1_000;

/// Holds a verdict on the way in to the rules of its event.
pub(super) fn before(event: Event, arguments: &Json, verdict: &Verdict) -> Result<(), String> {
    match (event, verdict) {
        (Event::Read, Verdict::Replace(_)) => {
            Err("reading a resource has no arguments that could be replaced".to_owned())
        }
        (Event::Completion, Verdict::Ask(_)) => Err("nobody is asked while they type".to_owned()),
        (Event::Completion, Verdict::Replace(new)) => {
            let name = |json| Raw::from(json).get("name").and_then(Raw::string);
            if name(arguments) == name(new) {
                Ok(())
            } else {
                Err("a completion keeps the name of its argument".to_owned())
            }
        }
        (_, Verdict::Ask(ask)) => asked::check(ask),
        (_, Verdict::Answer(result)) => {
            finished(result)?;
            whole(event, result, "answer")
        }
        _ => Ok(()),
    }
}

/// A result that asks would be a question in the connector's name.
fn finished(result: &Json) -> Result<(), String> {
    let raw = Raw::from(result);
    let is_type = |kind: &str| kind == "input_required";
    match raw.get("resultType").and_then(Raw::string) {
        Some(kind) if is_type(&kind) => {
            Err("a plugin asks with the decision `ask`, not with a result".to_owned())
        }
        _ => Ok(()),
    }
}

/// Holds a verdict on the way back to the rules of its event.
pub(super) fn after(event: Event, answer: &Answer, verdict: &Verdict) -> Result<(), String> {
    let new = match (answer, verdict) {
        (Answer::Result(_), Verdict::Replace(new)) => new,
        (Answer::Error(_), Verdict::Replace(new)) => return error(new),
        _ => return Ok(()),
    };
    finished(new)?;
    whole(event, new, "replacement")
}

/// A result has the member that its method's results have.
fn whole(event: Event, result: &Json, named: &str) -> Result<(), String> {
    let (member, what) = match event {
        // A result of a tool may hold content, structured content, or both.
        Event::Call => return Ok(()),
        Event::Prompt => ("messages", "GetPromptResult"),
        Event::Read => ("contents", "ReadResourceResult"),
        Event::Completion => ("completion", "CompleteResult"),
    };
    match Raw::from(result).get(member) {
        Some(_) => Ok(()),
        None => Err(format!("the {named} is no `{what}`: it has no `{member}`")),
    }
}

/// What takes the place of an error is one.
fn error(new: &Json) -> Result<(), String> {
    let raw = Raw::from(new);
    let code = raw.get("code").and_then(Raw::integer);
    match (code, raw.get("message").and_then(Raw::string)) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err("the replacement is no JSON-RPC error object".to_owned()),
    }
}

/// Whether these members of an item may be shown differently.
pub(super) fn relabel(members: &Json) -> Result<(), String> {
    for member in Raw::from(members).members() {
        if !LABELS.contains(&&*member.key) {
            return Err(format!("`{}` of an item cannot be shown differently", member.key));
        }
        let fits = match &*member.key {
            "icons" => is_icons(member.value),
            _ => member.value.kind() == Kind::String,
        };
        if !fits {
            return Err(format!("`{}` of an item has another type", member.key));
        }
    }
    Ok(())
}

/// Icons are objects that say where the picture is.
fn is_icons(raw: Raw<'_>) -> bool {
    let is_icon = |icon: Raw<'_>| icon.get("src").is_some_and(|src| src.kind() == Kind::String);
    raw.kind() == Kind::Array && raw.elements().all(is_icon)
}

/// Holds a verdict about a question of this method to its rules.
pub(super) fn question(method: &str, params: &Json, verdict: &Verdict) -> Result<(), String> {
    let new = match verdict {
        Verdict::Replace(new) => new,
        Verdict::Answer(result) => return answered(method, result),
        _ => return Ok(()),
    };
    let free: &[&str] = match method {
        "elicitation/create" => &ELICITATION,
        "sampling/createMessage" => &SAMPLING,
        _ => &[],
    };
    let mut old = bound(Raw::from(params), free)?;
    let changed = |key: &str| Err(format!("`{key}` of a question cannot be changed"));
    for (key, new) in bound(Raw::from(new), free)? {
        if !old.remove(&key).is_some_and(|old| is_same(old, new)) {
            return changed(&key);
        }
    }
    old.keys().next().map_or(Ok(()), |left_out| changed(left_out))
}

/// The members that have to stay.
fn bound<'a>(params: Raw<'a>, free: &[&str]) -> Result<HashMap<Cow<'a, str>, Raw<'a>>, String> {
    if params.members().nth(MEMBERS).is_some() {
        return Err(format!("a question of more than {MEMBERS} members cannot be changed"));
    }
    let bound = params.members().filter(|member| !free.contains(&&*member.key));
    Ok(bound.map(|member| (member.key, member.value)).collect())
}

/// Holds what a plugin answers in the person's or the model's place to the method's result.
fn answered(method: &str, result: &Json) -> Result<(), String> {
    let raw = Raw::from(result);
    let fits = match method {
        "elicitation/create" => {
            let action = raw.get("action").and_then(Raw::string);
            action.is_some_and(|action| ["accept", "decline", "cancel"].contains(&&*action))
        }
        _ => ["role", "content", "model"].iter().all(|member| raw.get(member).is_some()),
    };
    if fits { Ok(()) } else { Err(format!("the answer is no result of `{method}`")) }
}

/// The same value, perhaps written differently: not every guest keeps the text.
fn is_same(one: Raw<'_>, other: Raw<'_>) -> bool {
    let value = |raw: Raw<'_>| raw.read::<serde_json::Value>().ok();
    one.as_str() == other.as_str() || value(one) == value(other)
}
