//! Lines for the plugin's developer and the administrator.
//!
//! Written to the gateway's own log under the target `tidegate::plugin`, with the binding's
//! name and the call's id, and kept in the binding's own [`Lines`].

use std::sync::Arc;

use tidegate_model::Clock;

pub(crate) use crate::lines::LogLevel as Level;
use crate::{lines::Lines, state::State};

/// Longer lines are cut.
const LINE: usize = 4 << 10;

/// Where the lines of one binding go.
#[derive(Clone)]
pub(crate) struct Voice {
    pub(crate) plugin: Arc<str>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) fn write(state: &State, level: Level, message: &str) {
    state.voice.say(state.call.as_deref(), level, message);
}

impl Voice {
    /// Writes one line.
    pub(crate) fn say(&self, call: Option<&str>, level: Level, message: &str) {
        // Control characters would let a guest forge lines of the gateway's own log.
        let text: String = message
            .get(..message.floor_char_boundary(LINE))
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let plugin = &*self.plugin;
        let id = call.unwrap_or_default();
        match level {
            Level::Debug => {
                tracing::debug!(target: "tidegate::plugin", plugin, call = id, "{text}");
            }
            Level::Info => {
                tracing::info!(target: "tidegate::plugin", plugin, call = id, "{text}");
            }
            Level::Warn => {
                tracing::warn!(target: "tidegate::plugin", plugin, call = id, "{text}");
            }
            Level::Error => {
                tracing::error!(target: "tidegate::plugin", plugin, call = id, "{text}");
            }
        }
        self.lines.push(self.clock.now(), level, call, text);
    }
}
