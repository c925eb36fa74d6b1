//! From bindings to chains: which interceptor runs where, in which order.

use std::{collections::HashMap, sync::Arc};

use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::{ConnectorId, VmcpId};
use tidegate_wasm::{Event, Interface};

use super::bindings::PluginBinding;
use crate::plugin::{
    Bound, Chain, Chains,
    chains::{Others, Viewer, VmcpChains},
};

/// The chains of interceptors around everything that is published.
pub(super) fn chains<'a>(
    plugins: &[PluginBinding],
    vmcps: impl Iterator<Item = &'a PublishedVmcp>,
) -> Chains {
    let mut chains = Chains::default();
    if plugins.iter().all(|plugin| plugin.interceptor.is_none()) {
        return chains;
    }
    // Most bindings name their virtual MCP, and there may be very many of both.
    let mut bound: HashMap<Option<&VmcpId>, Vec<&PluginBinding>> = HashMap::new();
    for plugin in plugins {
        for place in plugin.vmcps() {
            bound.entry(place).or_default().push(plugin);
        }
    }
    let everywhere = bound.remove(&None).unwrap_or_default();
    for vmcp in vmcps {
        let id = &vmcp.vmcp.id;
        let named = bound.get(&Some(id)).into_iter().flatten();
        let here: Vec<&PluginBinding> = everywhere.iter().chain(named).copied().collect();
        chains.set(id.clone(), of_vmcp(&here, vmcp));
    }
    chains
}

fn of_vmcp(plugins: &[&PluginBinding], vmcp: &PublishedVmcp) -> VmcpChains {
    let id = &vmcp.vmcp.id;
    let around = vmcp.tools.iter().map(|tool| {
        let bound = in_order(plugins, |plugin| plugin.order(id, &tool.tool));
        Chain::new(Event::Call, &bound)
    });
    let tools = around.collect();
    let mut others = HashMap::new();
    let mut viewers = Vec::new();
    for connector in &vmcp.vmcp.connectors {
        let bound = in_order(plugins, |plugin| plugin.order_elsewhere(id, connector));
        others.insert(connector.clone(), Others::new(&bound));
        let of_connector = viewers_of(plugins, vmcp, connector);
        if !of_connector.is_empty() {
            viewers.push((connector.clone(), of_connector.into()));
        }
    }
    VmcpChains { tools, others, viewers }
}

/// Those who decide what is shown of a connector. A plugin that is bound to tools alone is
/// shown those alone.
fn viewers_of(
    plugins: &[&PluginBinding],
    vmcp: &PublishedVmcp,
    connector: &ConnectorId,
) -> Vec<Viewer> {
    let id = &vmcp.vmcp.id;
    let looking = plugins
        .iter()
        .copied()
        .filter(|plugin| plugin.interceptor.as_ref().is_some_and(shows))
        .filter(|plugin| plugin.touches(id, connector));
    let tools_of = |plugin: &PluginBinding| -> Vec<(usize, i32)> {
        let of_connector =
            vmcp.tools.iter().enumerate().filter(|(_, one)| one.tool.connector == *connector);
        of_connector
            .filter_map(|(place, one)| Some((place, plugin.order(id, &one.tool)?)))
            .collect()
    };
    let mut all: Vec<(i32, Viewer)> = Vec::new();
    for plugin in looking {
        let Some(bound) = plugin.interceptor.clone() else { continue };
        if let Some(order) = plugin.order_elsewhere(id, connector) {
            all.push((order, Viewer { bound, tools: None }));
            continue;
        }
        let tools = tools_of(plugin);
        if let Some(order) = tools.iter().map(|(_, order)| *order).min() {
            let tools = tools.into_iter().map(|(place, _)| place).collect();
            all.push((order, Viewer { bound, tools: Some(tools) }));
        }
    }
    all.sort_by(|(a, one), (b, other)| {
        a.cmp(b).then_with(|| one.bound.plugin.cmp(&other.bound.plugin))
    });
    all.into_iter().map(|(_, viewer)| viewer).collect()
}

fn shows(bound: &Arc<Bound>) -> bool {
    bound.interceptor.has(Interface::Shown)
}

/// The interceptors for which there is an order, in it; those of the same order run in the
/// order of their names.
fn in_order(
    plugins: &[&PluginBinding],
    order: impl Fn(&PluginBinding) -> Option<i32>,
) -> Vec<Arc<Bound>> {
    let bound = plugins.iter().filter_map(|plugin| {
        let order = order(plugin)?;
        Some((order, Arc::clone(plugin.interceptor.as_ref()?)))
    });
    let mut bound: Vec<(i32, Arc<Bound>)> = bound.collect();
    bound.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.plugin.cmp(&other.plugin)));
    bound.into_iter().map(|(_, bound)| bound).collect()
}
