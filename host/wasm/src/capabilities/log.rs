//! Lines for the plugin's developer and the administrator.
//!
//! Written to the gateway's own log under the target `tidegate::plugin`, with the binding's
//! name and the call's id.

use crate::state::State;

/// Longer lines are cut.
const LINE: usize = 4 << 10;

/// How much a line matters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

pub(crate) fn write(state: &State, level: Level, message: &str) {
    line(&state.plugin, state.call.as_deref(), level, message);
}

pub(crate) fn line(plugin: &str, call: Option<&str>, level: Level, message: &str) {
    // Control characters would let a guest forge lines of the gateway's own log.
    let text: String = message
        .get(..message.floor_char_boundary(LINE))
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let call = call.unwrap_or_default();
    match level {
        Level::Debug => tracing::debug!(target: "tidegate::plugin", plugin, call, "{text}"),
        Level::Info => tracing::info!(target: "tidegate::plugin", plugin, call, "{text}"),
        Level::Warn => tracing::warn!(target: "tidegate::plugin", plugin, call, "{text}"),
        Level::Error => tracing::error!(target: "tidegate::plugin", plugin, call, "{text}"),
    }
}
