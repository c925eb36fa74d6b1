//! What bound plugins wrote into their logs.

use std::sync::PoisonError;

use tidegate_model::PluginId;
use tidegate_wasm::Line;

use super::{Bindings, short};

impl Bindings {
    /// The last lines of a plugin: its version, what it is bound as, and the lines. `None`
    /// while no version of it is bound.
    pub(crate) fn lines(&self, id: &PluginId) -> Option<Vec<(String, &'static str, Vec<Line>)>> {
        let kept = self.plugins.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        let version = short(&kept.component);
        let interceptor = kept.binding.interceptor.map(|it| it.interceptor.lines(0));
        let customizer = kept.binding.customizer.map(|it| it.lines(0));
        let all = [("interceptor", interceptor), ("customizer", customizer)];
        Some(
            all.into_iter()
                .filter_map(|(kind, lines)| Some((version.clone(), kind, lines?)))
                .collect(),
        )
    }
}
