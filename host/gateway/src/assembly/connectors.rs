//! Connectors, opened once and kept as long as their description and secrets stay the same.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, OrgId, Secret};
use tidegate_upstream::{
    connector::{
        self, Connector, ConnectorSpec, EnvValue, Era, GuardSpec, HostedSpec, Parts, RemoteSpec,
        Transport, WasmSpec,
    },
    credential::{CredentialSpec, Vault},
    machine::Backend,
};
use tidegate_wasm::{Binding, GuestConnector, Limits};
use tidegate_wire::client::egress::{AddressPolicy, Egress};

use super::bindings::{self, Bindings, Wanted};
use crate::{
    config::{
        Problem,
        auth::AuthConfig,
        connector::{AddressSetting, ConnectorConfig, ConnectorKind, EraSetting, TransportSetting},
        problem::sentence,
        reference::Reference,
    },
    plugin_state::Owner,
};

/// Time for `server/discover` before `initialize` is tried.
const PROBE: Duration = Duration::from_secs(3);

/// How long a change waits for machines that take the place of others.
const WARM: Duration = Duration::from_secs(10);

/// A connector that is open, and what it was opened with.
#[derive(Debug)]
struct Opened {
    spec: ConnectorSpec,
    secrets: [u8; 32],
    connector: Arc<dyn Connector>,
}

/// Opens connectors and keeps them.
#[derive(Debug)]
pub(crate) struct Connectors {
    egress: Arc<Egress>,
    environment: BTreeMap<String, String>,
    vault: Option<Arc<Vault>>,
    org: String,
    machines: Option<Arc<dyn Backend>>,
    open: Mutex<HashMap<ConnectorId, Opened>>,
}

impl Connectors {
    /// Opens none yet; `environment` is the gateway's own, `vault` their organisation's, which
    /// only connectors that are components can do without.
    pub(crate) fn new(
        egress: Arc<Egress>,
        environment: BTreeMap<String, String>,
        vault: Option<Arc<Vault>>,
    ) -> Self {
        let (org, machines) = (String::new(), None);
        Self { egress, environment, vault, org, machines, open: Mutex::default() }
    }

    /// With what runs machines for hosted connectors of `org`; without, none can be opened.
    pub(crate) fn hosting(mut self, org: &OrgId, machines: Arc<dyn Backend>) -> Self {
        (self.org, self.machines) = (org.as_str().to_owned(), Some(machines));
        self
    }

    /// All connectors of a configuration, opened or kept. What is no longer described stays
    /// open until [`Connectors::take_others`], since a revision in use may need it.
    pub(crate) async fn open(
        &self,
        dir: &Path,
        configs: &BTreeMap<ConnectorId, ConnectorConfig>,
        bindings: &Bindings,
    ) -> Result<HashMap<ConnectorId, Arc<dyn Connector>>, Vec<Problem>> {
        let mut all = HashMap::new();
        let mut problems = Vec::new();
        for (id, config) in configs {
            let file = dir.join("connectors").join(format!("{id}.toml"));
            match self.one(id, config, bindings, &file).await {
                Ok(connector) => {
                    all.insert(id.clone(), connector);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    /// Takes out the connectors whose names `keep` does not hold, for closing.
    pub(crate) fn take_others(
        &self,
        keep: &HashMap<ConnectorId, Arc<dyn Connector>>,
    ) -> Vec<Arc<dyn Connector>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<ConnectorId> =
            open.keys().filter(|id| !keep.contains_key(*id)).cloned().collect();
        gone.iter().filter_map(|id| open.remove(id)).map(|opened| opened.connector).collect()
    }

    async fn one(
        &self,
        id: &ConnectorId,
        config: &ConnectorConfig,
        bindings: &Bindings,
        file: &Path,
    ) -> Result<Arc<dyn Connector>, Problem> {
        let spec = spec(id, config, bindings, file).await?;
        let (secrets, fingerprint) = resolve(&spec, file)?;
        if let Some(kept) = self.kept(id, &spec, fingerprint) {
            return Ok(kept);
        }
        let parts = Parts {
            egress: Arc::clone(&self.egress),
            secrets,
            environment: self.environment.clone(),
            vault: self.vault.clone(),
            org: self.org.clone(),
            machines: self.machines.clone(),
        };
        let connector = connector::open(id.clone(), &spec, &parts)
            .map_err(|error| Problem::of(file, sentence(&error)))?;
        if self.is_open(id) {
            // The one before serves on until this one can.
            drop(tokio::time::timeout(WARM, connector.warm()).await);
        }
        let opened = Opened { spec, secrets: fingerprint, connector: Arc::clone(&connector) };
        let before =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), opened);
        if let Some(before) = before {
            close_later(before.connector);
        }
        Ok(connector)
    }

    fn is_open(&self, id: &ConnectorId) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn kept(
        &self,
        id: &ConnectorId,
        spec: &ConnectorSpec,
        secrets: [u8; 32],
    ) -> Option<Arc<dyn Connector>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open.get(id)?;
        (opened.spec == *spec && opened.secrets == secrets).then(|| Arc::clone(&opened.connector))
    }
}

/// Closes a connector once the calls that may still use it are over.
pub(crate) fn close_later(connector: Arc<dyn Connector>) {
    tokio::spawn(async move {
        // The revision that held it is gone once nobody else shares it.
        while Arc::strong_count(&connector) > 1 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        connector.close().await;
    });
}

/// The secrets that a description refers to, and a digest of them to notice a change.
fn resolve(
    spec: &ConnectorSpec,
    file: &Path,
) -> Result<(BTreeMap<String, Secret>, [u8; 32]), Problem> {
    let mut secrets = BTreeMap::new();
    let mut hash = Sha256::new();
    for reference in spec.secrets() {
        let secret = Reference::try_from(reference.to_owned())
            .and_then(|reference| reference.resolve())
            .map_err(|error| Problem::of(file, sentence(&error)))?;
        hash.update(Sha256::digest(secret.expose().as_bytes()));
        secrets.insert(reference.to_owned(), secret);
    }
    Ok((secrets, hash.finalize().into()))
}

async fn spec(
    id: &ConnectorId,
    config: &ConnectorConfig,
    bindings: &Bindings,
    file: &Path,
) -> Result<ConnectorSpec, Problem> {
    let limits = &config.limits;
    let guard =
        GuardSpec { concurrency: limits.concurrency, queue: limits.queue, ..GuardSpec::default() };
    let era = match config.era {
        EraSetting::Auto => Era::Auto,
        EraSetting::Legacy => Era::Legacy,
        EraSetting::Modern => Era::Modern,
    };
    Ok(match config.kind {
        ConnectorKind::Remote => ConnectorSpec::Remote(RemoteSpec {
            url: config.url.clone().unwrap_or_default(),
            credential: credential(config),
            allow: addresses(config),
            era,
            transport: match config.transport {
                TransportSetting::Auto => Transport::Auto,
                TransportSetting::StreamableHttp => Transport::StreamableHttp,
                TransportSetting::Sse => Transport::Sse,
            },
            extensions: config.extensions.clone(),
            headers: BTreeMap::new(),
            connect_timeout: Duration::from_secs(10),
            probe_timeout: PROBE,
            answer_limit: limits.answer,
            guard,
        }),
        ConnectorKind::Hosted => ConnectorSpec::Hosted(HostedSpec {
            command: config.command.clone().unwrap_or_default(),
            args: config.args.clone(),
            env: config.env.iter().map(|(name, value)| (name.clone(), env_value(value))).collect(),
            cwd: config.cwd.clone(),
            per_caller: config.per_caller,
            machines: config.machine.count,
            sandbox: config.machine.spec(),
            idle_stop: config.machine.idle(),
            credential: credential(config),
            era,
            extensions: config.extensions.clone(),
            probe_timeout: PROBE,
            start_timeout: Duration::from_secs(60),
            answer_limit: limits.answer,
            guard,
        }),
        ConnectorKind::Wasm => ConnectorSpec::Wasm(wasm(id, config, bindings, file, guard).await?),
    })
}

fn credential(config: &ConnectorConfig) -> CredentialSpec {
    config.auth.as_ref().map(AuthConfig::spec).unwrap_or_default()
}

fn env_value(text: &str) -> EnvValue {
    match Reference::try_from(text.to_owned()) {
        Ok(_) => EnvValue::Secret(text.to_owned()),
        Err(_) => EnvValue::Plain(text.to_owned()),
    }
}

/// A component as a connector: read, bound and linked.
async fn wasm(
    id: &ConnectorId,
    config: &ConnectorConfig,
    bindings: &Bindings,
    file: &Path,
    guard: GuardSpec,
) -> Result<WasmSpec, Problem> {
    let fault = |why: String| Problem::of(file, why);
    let path = config.component.as_deref().unwrap_or(Path::new(""));
    let component = bindings.component(path, file).await?;
    let text = bindings::settings(&config.config).map_err(fault)?;
    let grants = bindings::grants(&config.grants).map_err(fault)?;
    let wanted =
        Wanted { http: &config.http, credentials: &config.credentials, state: config.state };
    let (reach, secrets) = bindings.reach(Owner::Connector(id.clone()), wanted, file)?;
    let wall_time = Duration::from_millis(config.limits.timeout_ms);
    let limits = Limits { wall_time, output: config.limits.answer, ..Limits::CONNECTOR };
    let binding =
        Binding { name: id.as_str(), component: &component, config: &text, grants, limits, reach };
    let guest = GuestConnector::new(&binding).map_err(|error| fault(sentence(&error)))?;
    Ok(WasmSpec {
        component: *component.sha256(),
        reach: fingerprint(config, secrets),
        config: text,
        grants,
        limits,
        guest: Arc::new(guest),
        guard,
    })
}

/// Changes with whatever the component's capabilities lead to.
fn fingerprint(config: &ConnectorConfig, secrets: [u8; 32]) -> [u8; 32] {
    let places = format!("{:?} {:?} {:?}", config.http, config.credentials, config.state);
    Sha256::new_with_prefix(places).chain_update(secrets).finalize().into()
}

fn addresses(config: &ConnectorConfig) -> AddressPolicy {
    AddressPolicy {
        loopback: config.allow.contains(&AddressSetting::Loopback),
        private: config.allow.contains(&AddressSetting::Private),
        ..AddressPolicy::default()
    }
}
