//! The resources of one organisation: everything but `gateway.toml`.
//!
//! The same type for all three doors: a watched directory, `tidegate apply`, the admin API.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use tidegate_model::{ConnectorId, KeyId, PluginId, VmcpId};

use super::{
    connector::ConnectorConfig, identity::IdentityConfig, key::KeyConfig, plugin::PluginConfig,
    vmcp::VmcpConfig,
};

/// All resources, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// `connectors/*.toml`.
    pub connectors: BTreeMap<ConnectorId, ConnectorConfig>,
    /// `vmcps/*.toml`.
    pub vmcps: BTreeMap<VmcpId, VmcpConfig>,
    /// `plugins/*.toml`.
    pub plugins: BTreeMap<PluginId, PluginConfig>,
    /// `keys/*.toml`.
    pub keys: BTreeMap<KeyId, KeyConfig>,
    /// `policies/*.cedar`: file name and text.
    pub policies: BTreeMap<String, String>,
    /// `identity.toml`; everything is as by default without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityConfig>,
}

/// What happened to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is different.
    Changed,
    /// It is gone.
    Removed,
}

/// One resource that differs between two sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// `connector`, `vmcp`, `plugin`, `key`, `policy` or `identity`.
    pub resource: String,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        write!(f, "{sign} {} {}", self.resource, self.name)
    }
}

impl Resources {
    /// What changes from `self` to `new`, sorted.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        compare("connector", &self.connectors, &new.connectors, &mut changes);
        compare("vmcp", &self.vmcps, &new.vmcps, &mut changes);
        compare("plugin", &self.plugins, &new.plugins, &mut changes);
        compare("key", &self.keys, &new.keys, &mut changes);
        compare("policy", &self.policies, &new.policies, &mut changes);
        compare("identity", &named(&self.identity), &named(&new.identity), &mut changes);
        changes.sort();
        changes
    }

    /// The names that both sets hold, as `resource name`.
    pub fn shared_names(&self, other: &Self) -> Vec<String> {
        let mut shared = Vec::new();
        overlap("connector", &self.connectors, &other.connectors, &mut shared);
        overlap("vmcp", &self.vmcps, &other.vmcps, &mut shared);
        overlap("plugin", &self.plugins, &other.plugins, &mut shared);
        overlap("key", &self.keys, &other.keys, &mut shared);
        overlap("policy", &self.policies, &other.policies, &mut shared);
        overlap("identity", &named(&self.identity), &named(&other.identity), &mut shared);
        shared
    }

    /// Both sets together; `self` wins where a name is in both.
    #[must_use]
    pub fn over(&self, under: &Self) -> Self {
        let mut all = under.clone();
        all.connectors.extend(self.connectors.clone());
        all.vmcps.extend(self.vmcps.clone());
        all.plugins.extend(self.plugins.clone());
        all.keys.extend(self.keys.clone());
        all.policies.extend(self.policies.clone());
        all.identity = self.identity.clone().or(all.identity);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.connectors.len()
            + self.vmcps.len()
            + self.plugins.len()
            + self.keys.len()
            + self.policies.len()
            + usize::from(self.identity.is_some())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The one resource of its kind, under the name that changes give it.
fn named(identity: &Option<IdentityConfig>) -> BTreeMap<&'static str, &IdentityConfig> {
    identity.iter().map(|config| ("settings", config)).collect()
}

fn compare<K: Ord + fmt::Display, V: PartialEq>(
    resource: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    changes: &mut Vec<Change>,
) {
    let mut push = |name: &K, kind| {
        changes.push(Change { resource: resource.to_owned(), name: name.to_string(), kind });
    };
    for (name, value) in new {
        match old.get(name) {
            None => push(name, ChangeKind::Added),
            Some(before) if before != value => push(name, ChangeKind::Changed),
            Some(_) => {}
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        push(name, ChangeKind::Removed);
    }
}

fn overlap<K: Ord + fmt::Display, V>(
    resource: &str,
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    shared: &mut Vec<String>,
) {
    shared.extend(
        one.keys()
            .filter(|name| other.contains_key(*name))
            .map(|name| format!("{resource} {name}")),
    );
}
