//! What each event lets a plugin change, as the table in `wit/README.md` says.
//!
//! Nothing is dropped silently: what is not allowed is said, and fails the hook.

use std::borrow::Cow;

use tidegate_model::{Answer, Json, Verdict};
use tidegate_wire::json::{Kind, Member, Raw};

use crate::Event;

/// Members of a list's item that may be shown differently.
const LABELS: [&str; 3] = ["title", "description", "icons"];
/// Members of an elicitation that may differ.
const ELICITATION: [&str; 1] = ["message"];
/// Members of a sampling request that may differ.
const SAMPLING: [&str; 6] =
    ["messages", "systemPrompt", "maxTokens", "temperature", "stopSequences", "modelPreferences"];

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
        (_, Verdict::Ask(ask)) => schema(&ask.schema),
        (_, Verdict::Answer(result)) => finished(result),
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
    let (member, what) = match event {
        // A result of a tool may hold content, structured content, or both.
        Event::Call => return Ok(()),
        Event::Prompt => ("messages", "a `GetPromptResult`"),
        Event::Read => ("contents", "a `ReadResourceResult`"),
        Event::Completion => ("completion", "a `CompleteResult`"),
    };
    match Raw::from(new).get(member) {
        Some(_) => Ok(()),
        None => Err(format!("the replacement is no {what}: it has no `{member}`")),
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
    }
    Ok(())
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
    let (old, new) = (Raw::from(params), Raw::from(new));
    let all = old.members().chain(new.members());
    for key in all.map(|member| member.key).filter(|key| !free.contains(&&**key)) {
        let same = match (old.get(&key), new.get(&key)) {
            (Some(old), Some(new)) => is_same(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Err(format!("`{key}` of a question cannot be changed"));
        }
    }
    Ok(())
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

/// The requested schema of an elicitation is flat: an object of primitive properties.
fn schema(schema: &Json) -> Result<(), String> {
    fn kind(raw: Raw<'_>) -> Option<Cow<'_, str>> {
        raw.get("type").and_then(Raw::string)
    }
    let raw = Raw::from(schema);
    if kind(raw).as_deref() != Some("object") {
        return Err("the schema of a question is no object".to_owned());
    }
    let properties = raw.get("properties").filter(|it| it.kind() == Kind::Object);
    for Member { key, value, .. } in properties.into_iter().flat_map(Raw::members) {
        if matches!(kind(value).as_deref(), Some("object") | None) {
            return Err(format!("`{key}` of a question's schema has no primitive type"));
        }
    }
    Ok(())
}
