//! Bound customizers: edits of tools, once per catalogue.

use std::collections::BTreeMap;

use tidegate_model::{ConnectorId, Json, OrgId, ToolName, ToolOverride, VmcpId};

use crate::{
    BindError, Binding, Counts, Exports, Failure, Line, Trap,
    counters::Said,
    hook::{Prepared, run},
    output::{self, Shape},
};

/// Whose tools are edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The organisation.
    pub org: OrgId,
    /// The virtual MCP they are published through.
    pub vmcp: VmcpId,
    /// The connector that offers them.
    pub connector: ConnectorId,
}

/// What a customizer changes on one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolEdit {
    /// The tool's original name.
    pub tool: ToolName,
    /// Name, title, description, visibility, defaults and locks.
    pub changes: ToolOverride,
    /// An input schema in place of the tool's own.
    pub input_schema: Option<Json>,
}

/// A [`ToolEdit`] whose texts have not been checked yet.
#[derive(Debug)]
pub(crate) struct RawEdit {
    pub(crate) tool: String,
    pub(crate) name: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) hidden: bool,
    pub(crate) defaults: Vec<(String, String)>,
    pub(crate) locked: Vec<(String, String)>,
    pub(crate) input_schema: Option<String>,
}

/// A component bound to edit tools.
#[derive(Debug)]
pub struct Customizer {
    prepared: Prepared,
}

impl Customizer {
    /// Links the component.
    pub fn new(binding: &Binding<'_>) -> Result<Self, BindError> {
        let prepared = binding.prepare("customizer", "`customize`", Exports::is_customizer)?;
        Ok(Self { prepared })
    }

    /// The binding's name.
    pub fn name(&self) -> &str {
        &self.prepared.name
    }

    /// How often it ran.
    pub fn counts(&self) -> Counts {
        self.prepared.counts()
    }

    /// What it said last, in lines with numbers above `since`, oldest first.
    pub fn lines(&self, since: u64) -> Vec<Line> {
        self.prepared.lines(since)
    }

    /// Asks for the edits of `tools`, the definitions as their connector gave them. At most
    /// one edit per tool comes back. What the guest calls an error is a
    /// [`Trap::BadOutput`] with its text.
    pub async fn edits(&self, scope: &Scope, tools: &[Json]) -> Result<Vec<ToolEdit>, Failure> {
        let prepared = &self.prepared;
        let texts: Vec<&str> = tools.iter().map(Json::as_str).collect();
        let config = prepared.config.as_str();
        run!(prepared, None, None, edits(scope, config, &texts), |edits| {
            Ok((Said::Done, self.all_checked(edits)?))
        })
    }

    fn all_checked(&self, edits: Result<Vec<RawEdit>, String>) -> Result<Vec<ToolEdit>, Failure> {
        let prepared = &self.prepared;
        let mut checked = BTreeMap::new();
        for edit in edits.map_err(|text| bad(prepared, text))? {
            let edit = self.checked(edit)?;
            if let Some(twice) = checked.insert(edit.tool.clone(), edit) {
                let text = format!("it edits the tool `{}` twice", twice.tool);
                return Err(bad(prepared, text));
            }
        }
        Ok(checked.into_values().collect())
    }

    fn checked(&self, edit: RawEdit) -> Result<ToolEdit, Failure> {
        let prepared = &self.prepared;
        let tool = ToolName::new(&edit.tool).map_err(|error| bad(prepared, error.to_string()))?;
        let settings = |list: Vec<(String, String)>| {
            list.into_iter()
                .map(|(name, text)| Ok((name, output::json(prepared, text, Shape::Any)?)))
                .collect::<Result<BTreeMap<_, _>, Failure>>()
        };
        let changes = ToolOverride {
            name: edit.name,
            title: edit.title,
            description: edit.description,
            hidden: edit.hidden,
            defaults: settings(edit.defaults)?,
            locked: settings(edit.locked)?,
        };
        let input_schema = edit
            .input_schema
            .map(|text| output::json(prepared, text, Shape::Object))
            .transpose()?;
        Ok(ToolEdit { tool, changes, input_schema })
    }
}

fn bad(prepared: &Prepared, text: String) -> Failure {
    prepared.fault(Trap::BadOutput(text))
}
