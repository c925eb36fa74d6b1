//! Approved tools: the record as it is kept, with the administrator's classes laid over.
//!
//! A record is the text of one `tools/list` result, so that reading it back is the same code
//! that reads a connector's list.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use tidegate_model::{ConnectorId, Json, Tool, ToolName};
use tidegate_wire::mcp::tools::Listing;

use crate::config::connector::ClassConfig;

/// The tools of a record, as a revision uses them.
pub(crate) fn approved(
    connector: &ConnectorId,
    record: &Json,
    classes: Option<&BTreeMap<String, ClassConfig>>,
) -> Arc<[Arc<Tool>]> {
    let mut listing = Listing::new(connector.clone());
    if let Err(error) = listing.add_page(record) {
        tracing::error!(connector = %connector, %error, "a tool record cannot be read; its tools are withheld");
    }
    let classed = |mut tool: Tool| {
        if let Some(class) = classes.and_then(|classes| classes.get(tool.name.as_str())) {
            tool.class.read_only = class.read_only.unwrap_or(tool.class.read_only);
            tool.class.destructive = class.destructive.unwrap_or(tool.class.destructive);
            tool.class.open_world = class.open_world.unwrap_or(tool.class.open_world);
        }
        Arc::new(tool)
    };
    listing.tools.into_iter().map(|listed| classed(listed.tool)).collect()
}

/// The record of a list of tools.
pub(crate) fn record<'a>(tools: impl Iterator<Item = &'a Tool>) -> Json {
    let mut text = Vec::from(&br#"{"tools":["#[..]);
    for (at, tool) in tools.enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(tool.definition.as_str().as_bytes());
    }
    text.extend_from_slice(b"]}");
    Json::from_checked(text.into())
}

/// The record of the tools that are in `earlier` records and not in the one of `now`; of
/// several definitions of one tool the first counts.
pub(crate) fn gone<'a>(
    connector: &ConnectorId,
    earlier: impl Iterator<Item = &'a Json>,
    now: &Json,
) -> Json {
    let mut known: HashSet<ToolName> =
        approved(connector, now, None).iter().map(|tool| tool.name.clone()).collect();
    let mut gone = Vec::new();
    for record in earlier {
        let tools = approved(connector, record, None);
        gone.extend(tools.iter().filter(|tool| known.insert(tool.name.clone())).cloned());
    }
    record(gone.iter().map(|tool| &**tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_vanished_is_remembered_until_it_is_back() {
        let connector = ConnectorId::new("crm").unwrap();
        let of = |names: &[&str]| {
            let tools: Vec<String> = names
                .iter()
                .map(|name| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#))
                .collect();
            Json::parse(format!(r#"{{"tools":[{}]}}"#, tools.join(","))).unwrap()
        };
        let first = gone(&connector, [&of(&["a", "b"])].into_iter(), &of(&["b"]));
        assert_eq!(first, of(&["a"]));
        let second = gone(&connector, [&of(&["b"]), &first].into_iter(), &of(&["c"]));
        assert_eq!(second, of(&["b", "a"]));
        let third = gone(&connector, [&of(&["c"]), &second].into_iter(), &of(&["a", "c"]));
        assert_eq!(third, of(&["b"]));
    }
}
