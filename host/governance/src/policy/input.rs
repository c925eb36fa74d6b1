//! What a policy set is compiled from, and what is wrong with it.
//!
//! Plain data: reading files and fetching tools is somebody else's work.

use std::{collections::BTreeMap, fmt, sync::Arc};

use model::{ConnectorId, Offer, OrgId, RevisionId, Tool, VirtualMcp};
use serde::Serialize;
use tidegate_model as model;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name for people, as it appears in problems (`policies/sales.cedar`).
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Everything one organisation's policies are compiled from.
#[derive(Debug, Clone, Copy)]
pub struct PolicyInput<'a> {
    /// The organisation.
    pub org: &'a OrgId,
    /// The revision that decisions are recorded under.
    pub revision: RevisionId,
    /// The policy files, in the order in which problems are to be reported.
    pub files: &'a [PolicyFile],
    /// What every connector offers that has a record; of tools, those that are approved.
    pub offers: &'a BTreeMap<ConnectorId, Arc<Offer>>,
    /// Tools that were approved once and are gone now, with their last definition. A policy
    /// that names one stays active and is flagged; nobody is permitted to call the tool.
    pub gone: &'a [Arc<Tool>],
    /// Connectors that are configured and whose tools have never been seen. A policy that
    /// names one of their tools is kept unchecked and flagged until they are.
    pub pending: &'a [ConnectorId],
    /// The virtual MCPs.
    pub vmcps: &'a [VirtualMcp],
}

/// One thing that is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The policy it was found in, where it could be told.
    pub policy: Option<String>,
    /// What is wrong, and what the person can do about it.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A fault in the schema itself, which no policy file is to blame for.
    pub(super) fn of_schema(message: &str) -> Self {
        Self {
            file: "schema.cedarschema".into(),
            line: 1,
            column: 1,
            policy: None,
            message: message.to_owned(),
            suggestion: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(name) = &self.suggestion {
            write!(f, "; did you mean `{name}`?")?;
        }
        Ok(())
    }
}

/// What a policy does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It permits, unless another forbids.
    Permit,
    /// It forbids.
    Forbid,
}

/// Whether a policy has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It is evaluated and recorded, and decides nothing (`@mode("shadow")`).
    Shadow,
}

/// One policy, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyInfo {
    /// Its `@id`, or `file:n` for the n-th policy of a file, from 1.
    pub id: String,
    /// The file it stands in.
    pub file: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// What it does.
    pub effect: Effect,
    /// Whether it does it.
    pub mode: Mode,
    /// The sentence shown when it refuses (`@reason`).
    pub reason: Option<String>,
    /// Why it is flagged, one sentence each; empty for one that is in order.
    pub flags: Vec<String>,
}
