//! What can be known of a configuration without its upstreams and without a store.

use std::{
    fmt::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_model::{OrgId, PluginId, RevisionId};
use tidegate_upstream::{Maintenance, armed::Duty};
use tidegate_wasm::Sandbox;
use tidegate_wire::client::egress::Egress;

use super::{
    Known, Offers, api_keys,
    bindings::Bindings,
    compile_policies,
    connectors::Connectors,
    customize::{LastGood, customize},
    virtual_mcps,
};
use crate::{
    config::{Problem, Resources, connector::ConnectorKind, directory, plugin::PluginConfig},
    signature::Trust,
};

/// Longest a component may take to list its tools.
const LISTING: Duration = Duration::from_secs(30);

/// Checks resources of an organisation, whose folder is `dir`, as far as they can be checked
/// offline, their components in `sandbox`, which reach others by `egress`; a report for people
/// if all is well.
pub(crate) async fn check(
    (org, dir): (&OrgId, &Path),
    resources: &Resources,
    trust: Trust,
    (sandbox, egress): (Sandbox, Arc<Egress>),
) -> Result<String, Vec<Problem>> {
    let faults = directory::check(dir, resources);
    if !faults.is_empty() {
        return Err(faults);
    }
    let vmcps = virtual_mcps(org, dir, resources)?;
    api_keys(org, dir, resources)?;
    let bindings = Bindings::new(sandbox).trusting(trust);
    let plugins = bindings.plugins(dir, &resources.plugins).await?;
    let offers = component_offers(dir, resources, (&bindings, egress)).await?;
    customize(org, &vmcps, &plugins, &offers, &LastGood::default()).await.whole()?;
    let known = Known { offers: &offers, gone: &[] };
    let policies = compile_policies(org, RevisionId(1), resources, &vmcps, known)?;
    let mut report = format!(
        "{} connectors, {} virtual MCPs, {} plugins, {} keys, {} policies: all in order",
        resources.connectors.len(),
        vmcps.len(),
        plugins.len(),
        resources.keys.len(),
        policies.list().len()
    );
    for policy in policies.list().iter().filter(|policy| !policy.flags.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(
            report,
            "\n{}:{} {}: {}",
            policy.file,
            policy.line,
            policy.id,
            policy.flags.join("; ")
        );
    }
    Ok(report)
}

/// Checks what one plugin has to do with: its component, settings and grants, and its edits of
/// the tools of connectors that are components. That the resources fit together is checked.
pub(crate) async fn check_plugin(
    (org, dir): (&OrgId, &Path),
    resources: &Resources,
    id: &PluginId,
    (bindings, egress): (&Bindings, Arc<Egress>),
) -> Result<(), Vec<Problem>> {
    let vmcps = virtual_mcps(org, dir, resources)?;
    let of_it = |(name, _): &(&PluginId, &PluginConfig)| *name == id;
    let alone = resources.plugins.iter().filter(of_it);
    let alone = alone.map(|(name, config)| (name.clone(), config.clone())).collect();
    let plugins = bindings.plugins(dir, &alone).await?;
    if plugins.iter().any(|plugin| plugin.customizer.is_some()) {
        let offers = component_offers(dir, resources, (bindings, egress)).await?;
        customize(org, &vmcps, &plugins, &offers, &LastGood::default()).await.whole()?;
    }
    Ok(())
}

/// What the connectors offer that are components: the others are not asked.
async fn component_offers(
    dir: &Path,
    resources: &Resources,
    (bindings, egress): (&Bindings, Arc<Egress>),
) -> Result<Offers, Vec<Problem>> {
    let connectors = Connectors::new(egress, std::collections::BTreeMap::new(), None);
    let components = resources
        .connectors
        .iter()
        .filter(|(_, config)| config.kind == ConnectorKind::Wasm)
        .map(|(id, config)| (id.clone(), config.clone()))
        .collect();
    let opened = connectors.open(dir, &components, bindings).await?;
    let mut offers = Offers::new();
    for (id, connector) in opened {
        let file = dir.join("connectors").join(format!("{id}.toml"));
        let proof = Maintenance::new(Duty::Test, Instant::now() + LISTING);
        let list = connector.list(&proof).await;
        let list = list.map_err(|error| vec![Problem::of(&file, error.to_string())])?;
        let record = super::offers::record(&list.offer);
        let classes = resources.connectors.get(&id).map(|config| &config.tools);
        offers.insert(id.clone(), Arc::new(super::offers::approved(&id, &record, classes)));
    }
    Ok(offers)
}
