//! What a component said, in the words of a case.

use serde_json::{Map, Value, json};
use tidegate_model::{Json, Verdict};
use tidegate_wasm::{BindError, CallError, Description, Failure, Shown, ToolEdit, Trap};

use super::difference::{plain, short};

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Said {
    /// An interceptor's verdict.
    Verdict(Verdict),
    /// What becomes of each item of a list.
    Shown(Vec<Shown>),
    /// A customizer's edits.
    Edits(Vec<ToolEdit>),
    /// A connector's result.
    Result(Value),
    /// None of these, by name and in words.
    Failure {
        /// `out_of_time`, `not_granted`, `unknown`, …
        name: String,
        /// What there is to say about it.
        words: String,
    },
}

impl Said {
    /// As a case's `expect` would have it.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Verdict(said) => verdict(said),
            Self::Shown(all) => all.iter().map(shown).collect(),
            Self::Edits(edits) => json!({ "result": edits.iter().map(edit).collect::<Vec<_>>() }),
            Self::Result(result) => json!({ "result": result }),
            Self::Failure { name, .. } => json!({ "failure": name }),
        }
    }

    /// In a line.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Failure { name, words } => format!("nothing: {name}: {}", plain(words)),
            other => short(&other.value()),
        }
    }

    /// What stands in place of what was given, where something does.
    pub(crate) fn replacement(&self) -> Option<Value> {
        match self {
            Self::Verdict(Verdict::Replace(json)) => Some(parsed(json)),
            _ => None,
        }
    }

    /// In a word, for counting.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Verdict(said) => said.name(),
            Self::Shown(_) => "shown",
            Self::Edits(_) => "edits",
            Self::Result(_) => "result",
            Self::Failure { name, .. } => name,
        }
    }

    pub(super) fn failed(failure: &Failure) -> Self {
        // The guest's own words stand for themselves in a trap that carries them.
        let words = match failure {
            Failure::Trap { trap: Trap::BadOutput(words), .. } => words.clone(),
            Failure::Trap { trap, .. } => trap.to_string(),
            Failure::Host { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Self::Failure { name: failure.name().to_owned(), words }
    }

    pub(super) fn unbound(error: &BindError) -> Self {
        let (name, words) = match error {
            BindError::NotGranted { capability, .. } => {
                ("not_granted", format!("it needs the capability `{capability}`"))
            }
            BindError::Config { source, .. } => ("config", source.to_string()),
            BindError::WrongKind { wanted, .. } => {
                ("wrong_kind", format!("it exports no {wanted}"))
            }
            BindError::Link { source, .. } => ("link", source.to_string()),
        };
        Self::Failure { name: name.to_owned(), words }
    }

    pub(super) fn called(result: Result<Json, CallError>) -> Self {
        let failure = |name: &str, words: String| Self::Failure { name: name.to_owned(), words };
        match result {
            Ok(json) => Self::Result(parsed(&json)),
            Err(CallError::Unknown) => failure("unknown", "there is no such thing".to_owned()),
            Err(CallError::InvalidArguments(words)) => failure("invalid_arguments", words),
            Err(CallError::Failed(words)) => failure("failed", words),
            Err(CallError::Failure(error)) => Self::failed(&error),
        }
    }

    pub(super) fn listed(items: &[Json]) -> Self {
        Self::Result(items.iter().map(parsed).collect())
    }

    pub(super) fn described(of: Description) -> Self {
        let mut said = json!({ "title": of.title, "version": of.version });
        if let (Some(words), Some(members)) = (of.instructions, said.as_object_mut()) {
            members.insert("instructions".to_owned(), words.into());
        }
        Self::Result(said)
    }
}

/// A verdict as a case's `expect` would have it.
pub(crate) fn verdict(said: &Verdict) -> Value {
    match said {
        Verdict::Proceed => json!("proceed"),
        Verdict::Replace(json) => json!({ "replace": parsed(json) }),
        Verdict::Refuse(words) => json!({ "refuse": words }),
        Verdict::Answer(json) => json!({ "answer": parsed(json) }),
        Verdict::Ask(ask) => {
            json!({ "ask": { "message": ask.message, "schema": parsed(&ask.schema) } })
        }
    }
}

fn shown(said: &Shown) -> Value {
    match said {
        Shown::Show => json!("show"),
        Shown::Hide => json!("hide"),
        Shown::Relabel(json) => json!({ "relabel": parsed(json) }),
    }
}

/// What an edit changes; what it leaves alone is left out.
fn edit(edit: &ToolEdit) -> Value {
    let changes = &edit.changes;
    let mut said = Map::new();
    said.insert("tool".to_owned(), edit.tool.as_str().into());
    let texts =
        [("name", &changes.name), ("title", &changes.title), ("description", &changes.description)];
    for (name, text) in texts {
        said.extend(text.as_ref().map(|text| (name.to_owned(), text.as_str().into())));
    }
    if changes.hidden {
        said.insert("hidden".to_owned(), true.into());
    }
    for (name, all) in [("defaults", &changes.defaults), ("locked", &changes.locked)] {
        if !all.is_empty() {
            let all = all.iter().map(|(name, json)| (name.clone(), parsed(json)));
            said.insert(name.to_owned(), Value::Object(all.collect()));
        }
    }
    let schema = edit.input_schema.as_ref().map(parsed);
    said.extend(schema.map(|schema| ("input-schema".to_owned(), schema)));
    Value::Object(said)
}

/// The value of a JSON text; the sandbox has checked it.
pub(super) fn parsed(json: &Json) -> Value {
    json.read().unwrap_or_default()
}
