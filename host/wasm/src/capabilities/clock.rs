//! The time of day, from the gateway's own clock, so that tests set it for guests as well.

use crate::state::State;

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now(state: &State) -> u64 {
    state.voice.clock.now().as_millis()
}
