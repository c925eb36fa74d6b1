//! A case as it is written.
//!
//! Every member has its place; an unknown one, or one that its event has no use for, is an
//! error with its place, since a test that says nothing looks like one that passed.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::Json;
use tidegate_wasm::Capability;

use super::expectation;
use crate::config::plugin::PluginLimits;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CaseEvent {
    BeforeCall,
    AfterCall,
    BeforePrompt,
    AfterPrompt,
    BeforeRead,
    AfterRead,
    BeforeCompletion,
    AfterCompletion,
    Shown,
    OnQuestion,
    Edits,
    Describe,
    ListTools,
    ListPrompts,
    ListResources,
    ListTemplates,
    Call,
    Prompt,
    Read,
}

impl CaseEvent {
    /// The spelling in cases.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BeforeCall => "before-call",
            Self::AfterCall => "after-call",
            Self::BeforePrompt => "before-prompt",
            Self::AfterPrompt => "after-prompt",
            Self::BeforeRead => "before-read",
            Self::AfterRead => "after-read",
            Self::BeforeCompletion => "before-completion",
            Self::AfterCompletion => "after-completion",
            Self::Shown => "shown",
            Self::OnQuestion => "on-question",
            Self::Edits => "edits",
            Self::Describe => "describe",
            Self::ListTools => "list-tools",
            Self::ListPrompts => "list-prompts",
            Self::ListResources => "list-resources",
            Self::ListTemplates => "list-templates",
            Self::Call => "call",
            Self::Prompt => "prompt",
            Self::Read => "read",
        }
    }

    /// What the event has to say of the operation, by the names of a case's members: those it
    /// needs, those it may have.
    const fn members(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::BeforeCall | Self::BeforePrompt => {
                (&[], &["arguments", "replies", "state", "expect_state"])
            }
            Self::BeforeRead => (&[], &["replies", "state", "expect_state"]),
            Self::BeforeCompletion => (&["arguments"], &["expect_state"]),
            Self::AfterCall | Self::AfterPrompt | Self::AfterRead | Self::AfterCompletion => {
                (&["answer"], &["state"])
            }
            Self::Shown => (&["kind", "items"], &[]),
            Self::OnQuestion => (&["params"], &[]),
            Self::Edits => (&["tools"], &[]),
            Self::Call | Self::Prompt => (&[], &["arguments"]),
            Self::Describe
            | Self::ListTools
            | Self::ListPrompts
            | Self::ListResources
            | Self::ListTemplates
            | Self::Read => (&[], &[]),
        }
    }
}

impl fmt::Display for CaseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who does what where; what is left out is made up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Given {
    pub(crate) org: Option<String>,
    pub(crate) vmcp: Option<String>,
    pub(crate) connector: Option<String>,
    pub(crate) target: String,
    pub(crate) method: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) client: Option<String>,
    pub(crate) trace_parent: Option<String>,
}

/// The answer of a connector.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerGiven {
    Result(Json),
    Error(Json),
}

impl AnswerGiven {
    /// Its text, of whichever kind it is.
    pub(crate) fn json(&self) -> &Json {
        match self {
            Self::Result(json) | Self::Error(json) => json,
        }
    }
}

/// What the person says to a question.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyGiven {
    Accept(Json),
    Decline,
    Cancel,
}

/// Which list is shown.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KindGiven {
    Tools,
    Prompts,
    Resources,
    ResourceTemplates,
}

/// Credentials by name, with or without their secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a list of names, or an object of names with secrets")]
pub(crate) enum CredentialsGiven {
    Names(Vec<String>),
    Secrets(BTreeMap<String, String>),
}

/// One request that is expected, and how it is answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) request: Wanted,
    /// Without one the connection breaks.
    pub(crate) response: Option<Response>,
}

/// A request, as far as it is told apart from others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) method: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
}

/// A recorded answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    #[serde(default = "ok")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: String,
}

fn ok() -> u16 {
    200
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it shows; the file's name where it has none.
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) event: CaseEvent,
    #[serde(default)]
    pub(crate) context: Given,
    pub(crate) config: Option<Json>,
    /// What is granted; all that the component imports where it is left out.
    pub(crate) grants: Option<Vec<Capability>>,
    pub(crate) limits: Option<PluginLimits>,
    pub(crate) arguments: Option<Json>,
    pub(crate) answer: Option<AnswerGiven>,
    pub(crate) state: Option<String>,
    pub(crate) replies: Option<Vec<ReplyGiven>>,
    pub(crate) kind: Option<KindGiven>,
    pub(crate) items: Option<Vec<Json>>,
    pub(crate) params: Option<Json>,
    pub(crate) tools: Option<Vec<Json>>,
    /// The clock, in milliseconds since 1970.
    pub(crate) now: Option<u64>,
    #[serde(default)]
    pub(crate) facts: Vec<String>,
    #[serde(default)]
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) credentials: Option<CredentialsGiven>,
    #[serde(default)]
    pub(crate) http: Vec<Exchange>,
    pub(crate) expect: Option<Value>,
    pub(crate) expect_state: Option<String>,
    pub(crate) expect_facts: Option<Vec<String>>,
    pub(crate) expect_values: Option<BTreeMap<String, Value>>,
    pub(crate) expect_lines: Option<Vec<String>>,
    pub(crate) expect_requests: Option<Vec<Wanted>>,
}

impl Case {
    /// Reads a file; an error says what is wrong where.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
        let mut case = Self::parse(&text).with_context(|| format!("`{shown}` is no case"))?;
        if case.name.is_empty() {
            let stem = path.file_stem().unwrap_or_default();
            case.name = stem.to_string_lossy().into_owned();
        }
        Ok(case)
    }

    /// Reads a text.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let case: Self = serde_path_to_error::deserialize(&mut reader)?;
        reader.end()?;
        case.check()?;
        Ok(case)
    }

    /// Whether anything is expected of it at all.
    pub(crate) fn expects(&self) -> bool {
        self.expect.is_some()
            || self.expect_state.is_some()
            || self.expect_facts.is_some()
            || self.expect_values.is_some()
            || self.expect_lines.is_some()
            || self.expect_requests.is_some()
    }

    fn check(&self) -> anyhow::Result<()> {
        let event = self.event;
        let there = [
            ("arguments", self.arguments.is_some()),
            ("answer", self.answer.is_some()),
            ("state", self.state.is_some()),
            ("replies", self.replies.is_some()),
            ("kind", self.kind.is_some()),
            ("items", self.items.is_some()),
            ("params", self.params.is_some()),
            ("tools", self.tools.is_some()),
            ("expect_state", self.expect_state.is_some()),
        ];
        let (needed, possible) = event.members();
        for (name, is_there) in there {
            if is_there && !needed.contains(&name) && !possible.contains(&name) {
                bail!("`{name}`: the event `{event}` has no such thing; remove it");
            }
            if !is_there && needed.contains(&name) {
                bail!("`{name}` is missing: the event `{event}` is about it");
            }
        }
        let objects =
            [("config", &self.config), ("arguments", &self.arguments), ("params", &self.params)];
        for (name, json) in objects {
            if json.as_ref().is_some_and(|json| !json.as_str().starts_with('{')) {
                bail!("`{name}` is no object");
            }
        }
        if let Some(expect) = &self.expect {
            expectation::check(event, expect).map_err(|why| anyhow::anyhow!("`expect`: {why}"))?;
        }
        Ok(())
    }
}
