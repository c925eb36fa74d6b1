//! The long-lived parts of one organisation, and what they are made from.
//!
//! Owns what is never shared between organisations: connectors, bound plugins with their
//! figures, the hub of notices, the revision in effect. What is keyed by organisation or by
//! content belongs to the process (sandbox, store, way out) and comes from [`Foundation`].
//! Which organisations there are is `control::organisations`' to find.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwapOption;
use tidegate_identity::Settings;
use tidegate_model::{Clock, ConnectorId, OrgId};
use tidegate_upstream::{
    connector::List,
    credential::{Vault, oauth::registration::ClientIdentity},
    machine::Backend,
};
use tidegate_wasm::Sandbox;
use tidegate_wire::client::egress::Egress;
use tokio_util::sync::CancellationToken;

use crate::{
    assembly::{
        Assembly,
        bindings::{Bindings, Outside},
        connectors::Connectors,
        customize::LastGood,
    },
    figures::AllFigures,
    gateway::Gateway,
    identity::{Identity, IdentityError},
    notices::Notices,
    plugin_state::PluginState,
    records::Records,
    revision::Revision,
    signature::Trust,
};

/// What every organisation is built on.
#[derive(Debug)]
pub(crate) struct Foundation {
    /// Where components run; compiled ones are shared by content.
    pub(crate) sandbox: Sandbox,
    /// Whose components may run.
    pub(crate) trust: Trust,
    /// What components keep, by organisation.
    pub(crate) plugin_state: Arc<PluginState>,
    /// The way out.
    pub(crate) egress: Arc<Egress>,
    /// The gateway's own environment, of which hosted connectors get a few.
    pub(crate) environment: BTreeMap<String, String>,
    /// What runs hosted connectors.
    pub(crate) machines: Arc<dyn Backend>,
    /// Where the gateway is reached.
    pub(crate) url: String,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// What is kept in the store, by organisation.
    pub(crate) records: Records,
    /// What plugins did, by organisation.
    pub(crate) figures: Arc<AllFigures>,
    /// Tools on one page of a list.
    pub(crate) page: usize,
}

/// One organisation of this process.
#[derive(Debug)]
pub(crate) struct Organisation {
    /// Its name.
    pub(crate) id: OrgId,
    /// What makes its revisions.
    pub(crate) assembly: Assembly,
    /// What its connectors and revisions tell of their own accord.
    pub(crate) notices: Notices,
    /// Cancelled when it is removed: whatever works for it alone ends then.
    pub(crate) ended: CancellationToken,
    current: ArcSwapOption<Revision>,
    identity: OnceLock<Arc<Identity>>,
}

impl Foundation {
    /// The gateway as a client of the authorization servers of an organisation's connectors.
    fn client(&self, org: &OrgId) -> ClientIdentity {
        let base = match *org == OrgId::default_org() {
            true => self.url.clone(),
            false => format!("{}/o/{org}", self.url),
        };
        ClientIdentity { redirect_uri: format!("{base}/connect/callback"), document: None }
    }

    /// An organisation with no configuration yet. Must be called within a tokio runtime.
    pub(crate) fn organisation(&self, id: OrgId) -> Organisation {
        let outside = Outside {
            state: Some((id.clone(), Arc::clone(&self.plugin_state))),
            egress: Some(Arc::clone(&self.egress)),
        };
        let ended = CancellationToken::new();
        let vault = Vault::new(
            id.clone(),
            self.records.shared_store(),
            Arc::clone(&self.clock),
            Arc::clone(&self.egress),
            self.client(&id),
        );
        tokio::spawn(ended.clone().run_until_cancelled_owned(Arc::clone(&vault).follow()));
        let connectors =
            Connectors::new(Arc::clone(&self.egress), self.environment.clone(), Some(vault))
                .hosting(&id, Arc::clone(&self.machines));
        let assembly = Assembly {
            bindings: Bindings::new(self.sandbox.clone())
                .trusting(self.trust.clone())
                .reaching(outside)
                .counting(self.figures.of(&id)),
            connectors,
            records: self.records.clone(),
            edits: LastGood::default(),
            page: self.page,
        };
        Organisation {
            id,
            assembly,
            notices: Notices::default(),
            ended,
            current: ArcSwapOption::empty(),
            identity: OnceLock::new(),
        }
    }
}

impl Organisation {
    /// The revision in effect; `None` before the first, and once it is removed.
    pub(crate) fn revision(&self) -> Option<Arc<Revision>> {
        self.current.load_full()
    }

    /// Its identity; `None` before the first revision.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.get().cloned()
    }

    /// Opens its identity, or has it take over changed settings.
    pub(crate) async fn identify(
        &self,
        gateway: &Arc<Gateway>,
        settings: &Arc<Settings>,
    ) -> Result<(), IdentityError> {
        if let Some(identity) = self.identity.get() {
            identity.settings_changed(settings);
            return Ok(());
        }
        let opened = Identity::open(gateway, &self.id, settings, &self.ended).await?;
        // Revisions are made one at a time, so nobody else has opened it meanwhile.
        let _ = self.identity.set(opened);
        Ok(())
    }

    /// Puts a revision into effect and says so, together with the lists that connectors have
    /// announced and that are in it.
    pub(crate) fn install(
        &self,
        revision: Revision,
        announced: Vec<(ConnectorId, List)>,
    ) -> Arc<Revision> {
        let revision = Arc::new(revision);
        self.current.store(Some(Arc::clone(&revision)));
        self.notices.revised(&revision.connectors, announced);
        revision
    }

    /// Nothing is in effect any more; whoever listens is told to look, and finds nothing.
    pub(crate) fn withdraw(&self) {
        self.ended.cancel();
        self.current.store(None);
        self.notices.revised(&std::collections::HashMap::new(), Vec::new());
    }
}
