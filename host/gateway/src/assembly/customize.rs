//! Runs customizers, and says what holds where one fails.
//!
//! What an upstream offers must not keep the rest of a configuration from taking effect, so a
//! customizer that fails costs at most the tools that it was to edit: they keep its last good
//! edits, and what has none is withheld. Knows nothing of names or of what is published.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_governance::catalog::{CustomizerEdit, Notice};
use tidegate_model::{
    ConnectorId, OrgId, PluginId, Tool, ToolName, ToolOverride, VirtualMcp, VmcpId,
};
use tidegate_wasm::{Failure, Scope, ToolEdit};

use super::{Offers, bindings::PluginBinding};
use crate::config::{Problem, plugin::ModeSetting};

/// A tool as it is published through one virtual MCP.
type Place = (VmcpId, ConnectorId, ToolName);

/// What customizers did, for each virtual MCP, connector and original name; in the order in
/// which it is laid over the tool.
pub(super) type Edits = HashMap<Place, Vec<CustomizerEdit>>;

/// What one customizer last did at one place: every tool that it was shown, with its edit if
/// it made one.
type Good = BTreeMap<ToolName, Option<CustomizerEdit>>;

/// The last good edits of every customizer, by place.
type AllGood = HashMap<(PluginId, VmcpId, ConnectorId), Arc<Good>>;

/// The last good edits, from revision to revision; a process begins without any.
#[derive(Debug, Default)]
pub(crate) struct LastGood(Mutex<AllGood>);

/// What came of running all customizers.
#[derive(Debug, Default)]
pub(super) struct Customized {
    /// What is laid over the tools, each with its place in the order; customizers of the same
    /// order come in the order of their names.
    edits: HashMap<Place, Vec<(i32, CustomizerEdit)>>,
    /// The customizers that failed, and what holds instead.
    pub(super) failed: Vec<Failed>,
    good: AllGood,
}

/// A customizer that failed at one place.
#[derive(Debug)]
pub(super) struct Failed {
    /// The plugin's file.
    pub(super) file: PathBuf,
    /// What an administrator is told.
    pub(super) notice: Notice,
    why: Failure,
}

impl Failed {
    /// As a fault of the configuration, for checks before it takes effect.
    pub(super) fn problem(&self) -> Problem {
        Problem::of(&self.file, self.why.to_string())
    }
}

impl LastGood {
    /// Takes over what was good of a revision that takes effect.
    pub(super) fn keep(&self, customized: AllGood) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = customized;
    }

    fn of(&self, place: &(PluginId, VmcpId, ConnectorId)) -> Option<Arc<Good>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }
}

impl Customized {
    /// The edits, and what is good of them for the next time.
    pub(super) fn take(self) -> (Edits, AllGood) {
        let in_order = |mut edits: Vec<(i32, CustomizerEdit)>| {
            edits.sort_by_key(|(order, _)| *order);
            edits.into_iter().map(|(_, edit)| edit).collect()
        };
        let edits = self.edits.into_iter().map(|(place, edits)| (place, in_order(edits)));
        (edits.collect(), self.good)
    }

    /// An error where any customizer failed that is not only observed.
    pub(super) fn whole(&self) -> Result<(), Vec<Problem>> {
        let problems: Vec<Problem> = self.failed.iter().map(Failed::problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Runs every customizer over the tools of every place where it is bound. Each is shown the
/// tools as their connectors gave them; where several edit one, the order of their bindings
/// says whose edit comes last.
pub(super) async fn customize(
    org: &OrgId,
    vmcps: &[VirtualMcp],
    plugins: &[PluginBinding],
    offers: &Offers,
    last: &LastGood,
) -> Customized {
    let mut all = Customized::default();
    for plugin in plugins.iter().filter(|plugin| plugin.customizer.is_some()) {
        for vmcp in vmcps {
            for connector in &vmcp.connectors {
                if !plugin.touches(&vmcp.id, connector) {
                    continue;
                }
                let Some(offer) = offers.get(connector) else { continue };
                let is_bound = |tool: &&Arc<Tool>| plugin.is_bound(&vmcp.id, tool);
                let bound: Vec<_> = offer.tools.iter().filter(is_bound).cloned().collect();
                let scope =
                    Scope { org: org.clone(), vmcp: vmcp.id.clone(), connector: connector.clone() };
                at(plugin, scope, &bound, last, &mut all).await;
            }
        }
    }
    all
}

/// Runs one customizer at one place.
async fn at(
    plugin: &PluginBinding,
    scope: Scope,
    bound: &[Arc<Tool>],
    last: &LastGood,
    all: &mut Customized,
) {
    let Some(customizer) = &plugin.customizer else { return };
    let definitions: Vec<_> = bound.iter().map(|tool| tool.definition.clone()).collect();
    let made = customizer.edits(&scope, &definitions).await;
    if plugin.mode == ModeSetting::Observe {
        return observed(&plugin.id, &scope, made);
    }
    let place = (plugin.id.clone(), scope.vmcp.clone(), scope.connector.clone());
    let good = match made {
        Ok(made) => Some(Arc::new(good(bound, made))),
        Err(why) => {
            let good = last.of(&place);
            let withheld = bound
                .iter()
                .filter(|tool| good.as_ref().is_none_or(|good| !good.contains_key(&tool.name)))
                .count();
            let notice = Notice::NotCustomized {
                plugin: plugin.id.clone(),
                vmcp: scope.vmcp.clone(),
                connector: scope.connector.clone(),
                withheld,
                why: why.to_string(),
            };
            all.failed.push(Failed { file: plugin.file.clone(), notice, why });
            good
        }
    };
    for tool in bound {
        let edit = match good.as_deref().and_then(|good| good.get(&tool.name)) {
            Some(Some(edit)) => edit.clone(),
            Some(None) => continue,
            // Nobody knows what it would have done to this one.
            None => withheld(),
        };
        let key = (scope.vmcp.clone(), scope.connector.clone(), tool.name.clone());
        let order = plugin.order(&scope.vmcp, tool).unwrap_or_default();
        all.edits.entry(key).or_default().push((order, edit));
    }
    all.good.extend(good.map(|good| (place, good)));
}

/// The edits by tool; those of tools that it was not shown are left out.
fn good(bound: &[Arc<Tool>], made: Vec<ToolEdit>) -> Good {
    let mut good: Good = bound.iter().map(|tool| (tool.name.clone(), None)).collect();
    for edit in made {
        if let Some(place) = good.get_mut(&edit.tool) {
            *place = Some(CustomizerEdit { change: edit.changes, input_schema: edit.input_schema });
        }
    }
    good
}

fn withheld() -> CustomizerEdit {
    let change = ToolOverride { hidden: true, ..ToolOverride::default() };
    CustomizerEdit { change, input_schema: None }
}

/// Tells what an observed customizer would do. Values may be secrets, so only names are told.
fn observed(plugin: &PluginId, scope: &Scope, made: Result<Vec<ToolEdit>, Failure>) {
    let Scope { vmcp, connector, .. } = scope;
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::warn!(%plugin, %vmcp, %connector, %error, "an observed customizer failed");
            return;
        }
    };
    for edit in made {
        let ToolOverride { name, title, description, hidden, defaults, locked } = &edit.changes;
        let texts = [("title", title), ("description", description)];
        let texts = texts.into_iter().filter(|(_, text)| text.is_some()).map(|(member, _)| member);
        let schema = edit.input_schema.as_ref().map(|_| "inputSchema");
        let changes: Vec<&str> = texts.chain(schema).collect();
        tracing::info!(
            %plugin, %vmcp, %connector, tool = %edit.tool, ?name, hidden, ?changes,
            defaults = ?defaults.keys().collect::<Vec<_>>(),
            locked = ?locked.keys().collect::<Vec<_>>(),
            "an observed customizer would edit this tool"
        );
    }
}
