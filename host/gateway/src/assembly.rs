//! From resources to a revision: whole or not at all.
//!
//! Reads components, opens connectors (keeping those whose description has not changed),
//! runs customizers, compiles catalogue and policies. Serialised by its caller; the request
//! path never comes here.

pub(crate) mod bindings;
mod chains;
pub(crate) mod connectors;
pub(crate) mod customize;
pub(crate) mod offers;
pub(crate) mod offline;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_governance::{
    catalog::{self, CatalogInput},
    policy::{self, PolicyFile, PolicyInput},
};
use tidegate_identity::{Settings, method::api_key::ApiKeys};
use tidegate_model::{ConnectorId, Offer, OrgId, RevisionId, Tool, VirtualMcp};
use tidegate_upstream::connector::Connector;
use tidegate_wasm::Capability;

use crate::{
    config::{Problem, Resources, directory, identity, key, plugin::PluginConfig},
    notices::view::Views,
    records::Records,
    revision::Revision,
};
use bindings::Bindings;
use connectors::Connectors;
use customize::{LastGood, customize};

/// Offers by connector, as a revision uses them.
pub(crate) type Offers = BTreeMap<ConnectorId, Arc<Offer>>;

/// What makes revisions; lives as long as the process.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) bindings: Bindings,
    pub(crate) connectors: Connectors,
    /// Records of connectors, pinned names, applied resources.
    pub(crate) records: Records,
    /// What customizers did last, for when one fails.
    pub(crate) edits: LastGood,
    /// Tools on one page of a list.
    pub(crate) page: usize,
}

/// What a revision is made from.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The organisation.
    pub(crate) org: OrgId,
    /// The number of the revision.
    pub(crate) id: RevisionId,
    /// Where resource files are, for the names in problems.
    pub(crate) dir: PathBuf,
    /// The resources.
    pub(crate) resources: Resources,
}

impl Assembly {
    /// Makes a revision, or says everything that is wrong.
    pub(crate) async fn assemble(&self, plan: Plan) -> Result<Revision, Vec<Problem>> {
        let Plan { org, id, dir, resources } = plan;
        let faults = directory::check(&dir, &resources);
        if !faults.is_empty() {
            return Err(faults);
        }
        let vmcps = virtual_mcps(&org, &dir, &resources)?;
        let keys = api_keys(&org, &dir, &resources)?;
        let settings = settings(&dir, &resources)?;
        let plugins = self.bindings.plugins(&dir, &resources.plugins).await?;
        let opened = self.connectors.open(&dir, &resources.connectors, &self.bindings).await?;
        let offers = self.offers(&org, &resources, &opened).await?;
        let customized = customize(&org, &vmcps, &plugins, &offers, &self.edits).await;
        let pinned = self.records.pinned(&org).await.map_err(|error| store_fault(&dir, &error))?;
        let gone = self.gone(&org, &opened).await?;
        let known = Known { offers: &offers, gone: &gone };
        let policies = compile_policies(&org, id, &resources, &vmcps, known)?;
        let before = pinned.clone();
        let pending = opened.keys().filter(|id| !offers.contains_key(*id)).cloned().collect();
        let not_customized: Vec<_> =
            customized.failed.iter().map(|failed| failed.notice.clone()).collect();
        let (edits, good) = customized.take();
        let input = CatalogInput { vmcps, offers: offers.clone(), pending, pinned, edits };
        let compiled = catalog::compile(org.clone(), id, input);
        self.records
            .pin(&org, &before, &compiled.pinned)
            .await
            .map_err(|error| store_fault(&dir, &error))?;
        let chains = chains::chains(&plugins, compiled.snapshot.vmcps());
        let notes = |plugin: &PluginConfig| {
            plugin.grants.iter().any(|grant| grant == Capability::Facts.name())
        };
        self.edits.keep(good);
        Ok(Revision {
            id,
            is_whole: not_customized.is_empty(),
            has_facts: policies.looks_at_facts() || resources.plugins.values().any(notes),
            offers,
            chains,
            snapshot: compiled.snapshot,
            notices: compiled.notices.into_iter().chain(not_customized).collect(),
            policies,
            keys,
            settings: Arc::new(settings),
            connectors: opened,
            resources: Arc::new(resources),
            visible: crate::call::list::VisibleCache::default(),
            views: Views::default(),
            page: self.page,
        })
    }

    /// The offer of every connector that has a record, as the record has it.
    async fn offers(
        &self,
        org: &OrgId,
        resources: &Resources,
        opened: &HashMap<ConnectorId, Arc<dyn Connector>>,
    ) -> Result<Offers, Vec<Problem>> {
        let mut offers = Offers::new();
        for id in opened.keys() {
            let record = self.records.offer(org, id).await;
            let Some(record) = record.map_err(|error| store_fault(Path::new("store"), &error))?
            else {
                continue;
            };
            let classes = resources.connectors.get(id).map(|connector| &connector.tools);
            offers.insert(id.clone(), Arc::new(offers::approved(id, &record, classes)));
        }
        Ok(offers)
    }

    /// The tools that connectors had once, so that policies about them stay in force.
    async fn gone(
        &self,
        org: &OrgId,
        opened: &HashMap<ConnectorId, Arc<dyn Connector>>,
    ) -> Result<Vec<Arc<Tool>>, Vec<Problem>> {
        let mut gone = Vec::new();
        for id in opened.keys() {
            let record = self.records.gone(org, id).await;
            let record = record.map_err(|error| store_fault(Path::new("store"), &error))?;
            if let Some(record) = record {
                gone.extend(offers::approved(id, &record, None).tools.iter().cloned());
            }
        }
        Ok(gone)
    }
}

fn store_fault(dir: &Path, error: &(dyn std::error::Error + 'static)) -> Vec<Problem> {
    vec![Problem::of(dir, format!("the store failed: {error}"))]
}

fn virtual_mcps(
    org: &OrgId,
    dir: &Path,
    resources: &Resources,
) -> Result<Vec<VirtualMcp>, Vec<Problem>> {
    let made = resources.vmcps.iter().map(|(id, config)| {
        let file = dir.join("vmcps").join(format!("{id}.toml"));
        config
            .to_model(org.clone(), id.clone())
            .map_err(|message| vec![Problem::of(&file, message)])
    });
    made.collect()
}

fn api_keys(org: &OrgId, dir: &Path, resources: &Resources) -> Result<ApiKeys, Vec<Problem>> {
    let made = resources.keys.iter().map(|(id, config)| {
        let file = dir.join("keys").join(format!("{id}.toml"));
        config
            .to_record(org.clone(), id.clone())
            .map_err(|message| vec![Problem::of(&file, message)])
    });
    let records = made.collect::<Result<Vec<_>, _>>()?;
    let clients = resources.identity.iter().flat_map(|identity| identity.clients.values());
    let agents = clients.filter_map(|client| client.agent.as_deref());
    if let Some(record) = key::mistaken(&records, agents) {
        let file = dir.join("keys").join(format!("{}.toml", record.id));
        let user = &record.user;
        let message = format!("`{user}` is a user here and an agent in another key or a client");
        return Err(vec![Problem::of(&file, message)]);
    }
    Ok(ApiKeys::new(records))
}

/// How people and clients sign in, with secrets fetched.
fn settings(dir: &Path, resources: &Resources) -> Result<Settings, Vec<Problem>> {
    let Some(config) = &resources.identity else { return Ok(Settings::default()) };
    let file = dir.join(identity::FILE);
    let problem = |(message, help): identity::Fault| Problem::of(&file, message).with_help(help);
    config.to_settings().map_err(|faults| faults.into_iter().map(problem).collect())
}

/// What policies may speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// What connectors offer.
    pub(crate) offers: &'a Offers,
    /// The tools that they had once.
    pub(crate) gone: &'a [Arc<Tool>],
}

/// Compiles the policies against what is known.
pub(crate) fn compile_policies(
    org: &OrgId,
    revision: RevisionId,
    resources: &Resources,
    vmcps: &[VirtualMcp],
    known: Known<'_>,
) -> Result<policy::Policies, Vec<Problem>> {
    let files: Vec<PolicyFile> = resources
        .policies
        .iter()
        .map(|(name, text)| PolicyFile { name: format!("policies/{name}"), text: text.clone() })
        .collect();
    let is_unseen = |id: &&ConnectorId| !known.offers.contains_key(*id);
    let pending: Vec<ConnectorId> =
        resources.connectors.keys().filter(is_unseen).cloned().collect();
    let input = PolicyInput {
        org,
        revision,
        files: &files,
        offers: known.offers,
        gone: known.gone,
        pending: &pending,
        vmcps,
    };
    policy::compile(&input).map_err(|problems| problems.into_iter().map(of_policy).collect())
}

fn of_policy(problem: policy::Problem) -> Problem {
    Problem {
        file: problem.file,
        at: Some((problem.line, problem.column)),
        message: problem.message,
        help: problem.suggestion.map(|name| format!("did you mean `{name}`?")),
    }
}
