//! What capabilities lead to on the stand: a store in memory that forgets with the case.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use bytes::Bytes;
use serde_json::Value;
use tidegate_model::{Clock, OrgId, PluginId, Secret, SystemClock, Timestamp, UserId, VmcpId};
use tidegate_store::{EmbeddedStore, FixedKeys, Store};
use tidegate_wasm::capabilities::{
    credential::CredentialHandle, facts::Facts, http::Hosts, state::KeyValue,
};

use super::file::CredentialsGiven;
use crate::{
    facts::FactBook,
    plugin_state::{Owner, PluginState},
};

/// Bytes of a plugin's state where nothing else is said, as in a plugin's file.
pub(super) const QUOTA: u64 = 1 << 20;

/// A clock that stands where the case says; the machine's where it says nothing.
#[derive(Debug)]
pub(crate) struct CaseClock(AtomicU64);

impl Default for CaseClock {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl CaseClock {
    /// Stands there from now on, or goes again.
    pub(crate) fn set(&self, millis: Option<u64>) {
        self.0.store(millis.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for CaseClock {
    fn now(&self) -> Timestamp {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => SystemClock.now(),
            millis => Timestamp::from_millis(millis),
        }
    }
}

/// The state and the facts of one case. They are the gateway's own, over a store of their own.
#[derive(Debug)]
pub(super) struct Doubles {
    space: Arc<dyn KeyValue>,
    facts: Arc<dyn Facts>,
}

impl Doubles {
    pub(super) async fn new(
        clock: &Arc<CaseClock>,
        (org, user, vmcp): (&OrgId, &UserId, &VmcpId),
    ) -> anyhow::Result<Self> {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        // Nothing of it outlives the process, so anybody may know the key.
        let keys = Arc::new(FixedKeys::new([[1; 32]]));
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory(keys, Arc::clone(&clock))?);
        store.ensure_org(org).await?;
        let owner = Owner::Plugin(PluginId::new("case")?);
        let space =
            PluginState::new(Arc::clone(&store), Arc::clone(&clock)).space(org, owner, QUOTA);
        let facts = FactBook::new(store, clock).of(org, user, vmcp).await?;
        Ok(Self { space, facts })
    }

    pub(super) fn space(&self) -> Arc<dyn KeyValue> {
        Arc::clone(&self.space)
    }

    pub(super) fn facts(&self) -> Arc<dyn Facts> {
        Arc::clone(&self.facts)
    }

    /// Puts there what the plugin finds.
    pub(super) async fn fill(
        &self,
        values: &BTreeMap<String, Value>,
        facts: &[String],
    ) -> anyhow::Result<()> {
        for (key, value) in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let set = self.space.set(key, Bytes::from(text), None).await;
            set.with_context(|| format!("`values`: `{key}` cannot be set"))?;
        }
        for fact in facts {
            let added = self.facts.add(fact).await;
            added.with_context(|| format!("`facts`: `{fact}` cannot be added"))?;
        }
        Ok(())
    }

    /// The values of these keys as they are now.
    pub(super) async fn values<'a>(
        &self,
        keys: impl Iterator<Item = &'a String>,
    ) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let mut found = BTreeMap::new();
        for key in keys {
            let value = self.space.get(key).await?;
            let text = value.map(|value| String::from_utf8_lossy(&value).into_owned());
            found.insert(key.clone(), text);
        }
        Ok(found)
    }
}

/// Handles for a case's credentials, towards its own hosts. One that is only named has the
/// secret `secret of NAME`.
pub(super) fn credentials(
    given: Option<&CredentialsGiven>,
    hosts: &Hosts,
) -> Arc<[CredentialHandle]> {
    let secrets: Vec<(String, String)> = match given {
        None => Vec::new(),
        Some(CredentialsGiven::Names(names)) => {
            names.iter().map(|name| (name.clone(), format!("secret of {name}"))).collect()
        }
        Some(CredentialsGiven::Secrets(secrets)) => secrets.clone().into_iter().collect(),
    };
    let handle = |(name, text): (String, String)| {
        CredentialHandle::new(&name, hosts.clone(), move || Some(Secret::new(text.clone())))
    };
    secrets.into_iter().map(handle).collect()
}
