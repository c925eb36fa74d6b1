//! `tools/list` results, taken apart without being rebuilt.
//!
//! Each tool is a slice of the answer it came in. One bad entry never costs the others: it
//! is set aside with the reason. Names are the upstream's; publishing is the catalogue's.

use std::collections::HashSet;

use tidegate_model::{ConnectorId, Json, Tool, ToolClass, ToolName};

use super::{
    header::{BadAnnotation, HeaderParams},
    peek::{PeekError, ResultPeek},
};
use crate::json::{Kind, Raw};

/// A tool, with what is worked out once from its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTool {
    /// The tool.
    pub tool: Tool,
    /// Its arguments that are mirrored in headers.
    pub header_params: HeaderParams,
}

/// An entry that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tool {} of the list{} was left out: {reason}", .index + 1, .name.as_ref().map(|name| format!(" (`{name}`)")).unwrap_or_default())]
pub struct SkippedTool {
    /// Its place among all entries of all pages, from 0.
    pub index: usize,
    /// Its name, where it has one, cut to 80 characters.
    pub name: Option<String>,
    /// Why.
    pub reason: SkipReason,
}

/// Why an entry was set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It is no object.
    #[error("it is no object")]
    NotAnObject,
    /// It has no name that is a string.
    #[error("it has no name")]
    NoName,
    /// Its name cannot be used.
    #[error(transparent)]
    Name(#[from] tidegate_model::BadName),
    /// It has no input schema that is an object.
    #[error("its `inputSchema` is not an object")]
    InputSchema,
    /// Its output schema is no object.
    #[error("its `outputSchema` is not an object")]
    OutputSchema,
    /// An earlier entry has the same name.
    #[error("an earlier tool has the same name")]
    Duplicate,
    /// Its header annotations cannot be followed (SEP-2243 says to drop such tools).
    #[error(transparent)]
    Annotation(#[from] BadAnnotation),
}

/// The tools of one connector, gathered a page at a time.
#[derive(Debug)]
pub struct Listing {
    connector: ConnectorId,
    names: HashSet<ToolName>,
    seen: usize,
    /// The usable ones, in the upstream's order.
    pub tools: Vec<ListedTool>,
    /// The others.
    pub skipped: Vec<SkippedTool>,
}

impl Listing {
    /// No page yet.
    pub fn new(connector: ConnectorId) -> Self {
        let (tools, skipped) = (Vec::new(), Vec::new());
        Self { connector, names: HashSet::new(), seen: 0, tools, skipped }
    }

    /// Adds the `result` of one `tools/list`; the cursor of the next page, if there is one.
    ///
    /// Fails only if the result is no list at all; what was gathered stays.
    pub fn add_page(&mut self, result: &Json) -> Result<Option<String>, PeekError> {
        let raw = Raw::from(result);
        let peek = ResultPeek::read(raw)?;
        let tools = raw.get("tools").ok_or(PeekError::Missing("tools"))?;
        if tools.kind() != Kind::Array {
            return Err(PeekError::Type("tools", "an array"));
        }
        for entry in tools.elements() {
            self.add(result, entry);
            self.seen += 1;
        }
        Ok(peek.next_cursor.map(std::borrow::Cow::into_owned))
    }

    fn add(&mut self, page: &Json, entry: Raw<'_>) {
        match self.read(page, entry) {
            Ok(listed) => {
                self.names.insert(listed.tool.name.clone());
                self.tools.push(listed);
            }
            Err(reason) => {
                let name = entry.get("name").and_then(Raw::string);
                let name = name.map(|name| name.chars().take(80).collect());
                self.skipped.push(SkippedTool { index: self.seen, name, reason });
            }
        }
    }

    fn read(&self, page: &Json, entry: Raw<'_>) -> Result<ListedTool, SkipReason> {
        let listed = tool(&self.connector, page, entry)?;
        if self.names.contains(&listed.tool.name) {
            return Err(SkipReason::Duplicate);
        }
        Ok(listed)
    }
}

/// Reads one tool definition; `entry` is best a part of `page`, whose buffer is then shared.
pub fn tool(
    connector: &ConnectorId,
    page: &Json,
    entry: Raw<'_>,
) -> Result<ListedTool, SkipReason> {
    if entry.kind() != Kind::Object {
        return Err(SkipReason::NotAnObject);
    }
    let (mut name, mut input, mut output, mut annotations) = (None, None, None, None);
    for member in entry.members() {
        match &*member.key {
            "name" => name = member.value.string(),
            "inputSchema" => input = Some(member.value),
            "outputSchema" => output = Some(member.value),
            "annotations" => annotations = Some(member.value),
            _ => {}
        }
    }
    let name = ToolName::new(&name.ok_or(SkipReason::NoName)?)?;
    let is_object = |schema: &Raw<'_>| schema.kind() == Kind::Object;
    let input = input.filter(is_object).ok_or(SkipReason::InputSchema)?;
    // Some servers write `null` for a schema they do not have.
    let output = output.filter(|schema| !schema.is_null());
    if !output.as_ref().is_none_or(is_object) {
        return Err(SkipReason::OutputSchema);
    }
    Ok(ListedTool {
        header_params: HeaderParams::compile(input)?,
        tool: Tool {
            connector: connector.clone(),
            name,
            definition: entry.within(page),
            input_schema: input.within(page),
            output_schema: output.map(|schema| schema.within(page)),
            class: annotations.map_or_else(ToolClass::default, class),
        },
    })
}

/// What a tool's `annotations` say; whatever is missing or no boolean counts as the worst.
pub fn class(annotations: Raw<'_>) -> ToolClass {
    let hint = |name, default| annotations.get(name).and_then(Raw::boolean).unwrap_or(default);
    let worst = ToolClass::default();
    let read_only = hint("readOnlyHint", worst.read_only);
    ToolClass {
        read_only,
        // The specification gives this one a meaning only for tools that write.
        destructive: !read_only && hint("destructiveHint", worst.destructive),
        idempotent: hint("idempotentHint", worst.idempotent),
        open_world: hint("openWorldHint", worst.open_world),
    }
}

#[cfg(test)]
mod tests;
