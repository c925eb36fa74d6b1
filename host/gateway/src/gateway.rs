//! The long-lived parts of the process, assembled here only.
//!
//! A [`Gateway`] is what every request and job shares. It holds the organisations behind one
//! atomic swap, each with its current revision behind another; nothing else in it changes
//! shape while it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use tidegate_governance::audit::{Audit, Index, Record};
use tidegate_identity::login::password::Passwords;
use tidegate_model::{CallId, Clock, OrgId, Stage, VmcpId};
use tidegate_store::log::{Log, LogHealth};
use tidegate_wire::{json::Limits, server::HostPolicy};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    call::{Context, cursor::Cursors, park::table::Parking},
    config::ProcessConfig,
    facts::FactBook,
    http::pace::{Pace, Slots},
    jobs::rotate::Rotation,
    metrics::Metrics,
    notices::Notices,
    organisation::{Foundation, Organisation},
    places::Places,
    plugin_state::PluginState,
    records::Records,
    revision::Revision,
    seal::Seals,
    session::Sessions,
    spent::Spent,
};

/// Most listen streams of one person.
const LISTENING: usize = 32;

/// Everything that lives as long as the process.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// What the process was started with.
    pub(crate) config: ProcessConfig,
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The audit log.
    pub(crate) audit: Arc<Audit>,
    /// Sessions of legacy clients.
    pub(crate) sessions: Sessions,
    /// List cursors.
    pub(crate) cursors: Cursors,
    /// Handles that clients hold.
    pub(crate) seals: Seals,
    /// Request states that were used.
    pub(crate) spent: Spent,
    /// What plugins noted of callers' sessions.
    pub(crate) facts: FactBook,
    /// What plugins keep between calls.
    pub(crate) plugin_state: Arc<PluginState>,
    /// Calls that wait for their modern clients.
    pub(crate) parking: Parking,
    /// Room for listen streams of modern clients.
    pub(crate) listening: Arc<Places>,
    /// Works out digests of passwords.
    pub(crate) passwords: Arc<Passwords>,
    /// How often one address may knock where anybody can.
    pub(crate) pace: Pace,
    /// Fetches of client documents that are under way, by who asked for them.
    pub(crate) fetches: Arc<Slots>,
    /// Which hosts and pages may speak to the public listener.
    pub(crate) hosts: HostPolicy,
    /// The URL by which clients reach the public listener.
    pub(crate) url: String,
    /// Limits on a request's JSON.
    pub(crate) json_limits: Limits,
    /// What organisations are built on.
    pub(crate) foundation: Foundation,
    /// The index over the audit log, once the job has opened it.
    pub(crate) index: tokio::sync::Mutex<Option<Index>>,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// What replaces the keys of the store; set once, at start.
    pub(crate) rotation: OnceLock<Arc<Rotation>>,
    /// Cancelled when the process is told to stop.
    pub(crate) stopping: CancellationToken,
    /// Calls that live without their connection.
    pub(crate) detached: TaskTracker,
    /// Cancelled when calls that did not finish in time must end.
    pub(crate) cut: CancellationToken,
    /// The organisations that are there now.
    organisations: ArcSwap<BTreeMap<OrgId, Arc<Organisation>>>,
}

/// The parts a [`Gateway`] is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: ProcessConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) cursors: Cursors,
    pub(crate) seals: Seals,
    pub(crate) facts: FactBook,
    pub(crate) plugin_state: Arc<PluginState>,
    pub(crate) hosts: HostPolicy,
    pub(crate) url: String,
    pub(crate) foundation: Foundation,
}

impl Gateway {
    /// Puts the parts together, with no organisation yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = &parts.config.limits;
        Self {
            sessions: Sessions::new(limits.sessions),
            json_limits: Limits { bytes: limits.body, depth: limits.depth, ..Limits::REQUEST },
            passwords: Arc::new(Passwords::new(Arc::clone(&parts.clock))),
            clock: parts.clock,
            audit: parts.audit,
            cursors: parts.cursors,
            seals: parts.seals,
            spent: Spent::new(crate::call::park::LIFETIME),
            facts: parts.facts,
            plugin_state: parts.plugin_state,
            parking: Parking::default(),
            listening: Places::new(LISTENING, usize::MAX),
            pace: Pace::default(),
            fetches: Arc::default(),
            hosts: parts.hosts,
            url: parts.url,
            metrics: Metrics::new(Arc::clone(&parts.foundation.figures)),
            foundation: parts.foundation,
            index: tokio::sync::Mutex::default(),
            rotation: OnceLock::new(),
            stopping: CancellationToken::new(),
            detached: TaskTracker::new(),
            cut: CancellationToken::new(),
            organisations: ArcSwap::default(),
            config: parts.config,
        }
    }

    /// The current revision of an organisation; `None` for one that does not exist or is out
    /// of service.
    pub(crate) fn revision(&self, org: &str) -> Option<Arc<Revision>> {
        self.organisations.load().get(org)?.revision()
    }

    /// An organisation, in service or not.
    pub(crate) fn organisation(&self, org: &str) -> Option<Arc<Organisation>> {
        self.organisations.load().get(org).cloned()
    }

    /// All organisations, in service or not.
    pub(crate) fn organisations(&self) -> Vec<Arc<Organisation>> {
        self.organisations.load().values().cloned().collect()
    }

    /// Adds an organisation, in place of one of its name.
    pub(crate) fn add(&self, organisation: Arc<Organisation>) {
        self.organisations.rcu(|known| {
            let mut all = BTreeMap::clone(known);
            all.insert(organisation.id.clone(), Arc::clone(&organisation));
            all
        });
    }

    /// Removes an organisation: from now on it looks as if it had never been there, and its
    /// sessions have ended. Its connectors are `control`'s to close.
    pub(crate) fn remove(&self, org: &OrgId) {
        self.organisations.rcu(|known| {
            let mut all = BTreeMap::clone(known);
            all.remove(org);
            all
        });
        self.sessions.dismiss(org);
    }

    /// Runs what an organisation's connectors and revisions tell past `look`; for one that is
    /// gone a hub on which nobody speaks.
    pub(crate) fn with_notices<T>(&self, org: &OrgId, look: impl FnOnce(&Notices) -> T) -> T {
        match self.organisations.load().get(org) {
            Some(organisation) => look(&organisation.notices),
            None => look(&Notices::default()),
        }
    }

    /// What is kept in the store, by organisation.
    pub(crate) fn records(&self) -> &Records {
        &self.foundation.records
    }

    /// Opens the audit record of one operation.
    pub(crate) fn open_record(&self, context: &Context, vmcp: &VmcpId, method: &str) -> Record {
        let mut random = [0_u8; 10];
        // Without randomness ids still sort and differ by time; nothing relies on their secrecy.
        if getrandom::fill(&mut random).is_err() {
            tracing::error!("the system has no randomness for call ids");
        }
        let id = CallId::new(context.at, random);
        let mut record = self.audit.open(id, context.caller.org().clone(), method);
        record.caller(&context.caller);
        record.origin(context.source, context.client.as_deref());
        record.vmcp(vmcp, context.revision.id);
        record.trace(context.trace.traceparent.as_deref());
        record.stage(Stage::Authenticate, context.authenticated_in);
        record
    }

    /// The URL by which clients reach the public listener, without a final slash.
    pub(crate) fn public_url(&self) -> String {
        self.url.trim_end_matches('/').to_owned()
    }

    /// Whether the audit log takes rows, in words.
    pub(crate) fn audit_state(&self) -> String {
        match self.audit.log().map(Log::health) {
            None => "off".to_owned(),
            Some(LogHealth::Ready) => "ready".to_owned(),
            Some(health) => format!("{health:?}"),
        }
    }
}
