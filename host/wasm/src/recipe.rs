//! What the instances of one binding are made of.
//!
//! Makes stores with all bounds in place; whose hook an instance serves is said later.

use std::{fmt, sync::Arc, time::Instant};

use wasmtime::Store;

use crate::{
    Grants, Limits, Reach, capabilities::log::Voice, lines::Lines, sandbox::Shared, state::State,
};

/// Room for the parts of a returned value that are not its text.
const SLACK: usize = 64 << 10;

/// See the module.
pub(crate) struct Recipe {
    pub(crate) shared: Arc<Shared>,
    pub(crate) voice: Arc<Voice>,
    pub(crate) limits: Limits,
    /// Places in the pool that one instance takes.
    pub(crate) places: u32,
    grants: Grants,
    reach: Reach,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipe").field(&self.voice.plugin).finish()
    }
}

impl Recipe {
    pub(crate) fn new(
        name: &str,
        limits: Limits,
        (grants, reach): (Grants, Reach),
        (shared, places): (&Arc<Shared>, u32),
    ) -> Self {
        let voice = Voice {
            plugin: name.into(),
            lines: Arc::new(Lines::default()),
            clock: Arc::clone(&shared.clock),
        };
        Self { shared: Arc::clone(shared), voice: Arc::new(voice), limits, places, grants, reach }
    }

    /// A store that serves nobody yet.
    pub(crate) fn store(&self, deadline: Instant) -> Store<State> {
        let granted = (self.grants, &self.reach);
        let shared = (&self.shared.lane, &self.shared.memory);
        let state = State::new(&self.voice, &self.limits, granted, shared, deadline);
        let mut store = Store::new(&self.shared.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_max_component_handles(self.limits.handles);
        store.epoch_deadline_callback(|mut store| store.data_mut().tick());
        self.refuel(&mut store);
        store
    }

    /// Gives what is counted inside the engine anew, before a guest runs.
    pub(crate) fn refuel(&self, store: &mut Store<State>) {
        store.set_hostcall_fuel(self.limits.output.saturating_add(SLACK));
        store.set_epoch_deadline(1);
    }
}
