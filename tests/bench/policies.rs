//! The policies that the bench judges by.
//!
//! Owns the text only. Five policies for every tool, each for another group and with a
//! condition on the arguments, as an organisation with many teams writes them; exactly one
//! of the five for `echo` and `put` is for the group of the bench's caller.

use std::fmt::Write as _;

use crate::upstream::tool_name;

/// The group of the bench's caller.
pub(crate) const GROUP: &str = "bench";
/// Policies for each tool.
pub(crate) const PER_TOOL: usize = 5;

/// One policy that permits everything.
pub(crate) fn permit_all() -> String {
    "permit (principal, action, resource);\n".into()
}

/// `count` policies over the tools of `connector`, which must have `count` / 5 tools, and one
/// that lets the bench's caller in.
pub(crate) fn realistic(connector: &str, count: usize) -> String {
    let mut text = format!(
        "permit (principal in Group::\"{GROUP}\", action in [Action::\"connect\", \
         Action::\"list\"], resource);\n"
    );
    for index in 0..count {
        let tool = tool_name(index / PER_TOOL);
        let group = match index % PER_TOOL {
            0 => GROUP.to_owned(),
            nth => format!("team-{:03}", (index / PER_TOOL * PER_TOOL + nth) % 40),
        };
        let _ = writeln!(
            text,
            "@id(\"bench-{index}\")\npermit (\n  principal in Group::\"{group}\",\n  action == \
             Action::\"{connector}/{tool}\",\n  resource\n) when {{ context.input.message != \
             \"forbidden-{index}\" }};"
        );
    }
    text
}
