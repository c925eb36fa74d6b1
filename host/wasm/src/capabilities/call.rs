//! The call being served: whether it is over, and how far it is. Needs no grant.

use crate::{Progress, state::State};

/// Longer messages are cut.
const MESSAGE: usize = 1 << 10;

pub(crate) fn cancelled(state: &State) -> bool {
    state.is_over().is_some()
}

/// Milliseconds until the hook is stopped.
pub(crate) fn remaining(state: &State) -> u32 {
    u32::try_from(state.remaining().as_millis()).unwrap_or(u32::MAX)
}

pub(crate) fn progress(state: &State, progress: f64, total: Option<f64>, message: Option<String>) {
    let Some(sink) = &state.progress else { return };
    // JSON has no infinities, and a client can do nothing with them.
    if !progress.is_finite() {
        return;
    }
    let message = message.map(|mut text| {
        text.truncate(text.floor_char_boundary(MESSAGE));
        text
    });
    sink(Progress { progress, total: total.filter(|total| total.is_finite()), message });
}
