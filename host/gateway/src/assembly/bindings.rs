//! Components: read, compiled once per content, bound with configuration and grants.
//!
//! A binding whose component, configuration, secrets and settings are the same is kept from
//! revision to revision, so a change of policy does not touch a guest.

pub(crate) mod components;
mod lines;
pub(crate) mod reach;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_model::{ConnectorId, Json, PluginId, Tool, ToolName, VmcpId};
use tidegate_wasm::{
    Binding, Capability, Compiling, Component, Customizer, Grants, Interceptor, Limits, Reach,
    Sandbox,
};

use crate::{
    config::{
        Problem,
        plugin::{BindConfig, ModeSetting, PluginConfig},
        problem::sentence,
        vmcp::tool_ref,
    },
    figures::Figures,
    plugin::Bound,
    plugin_state::Owner,
    signature::Trust,
};
use components::{Components, Pin};
pub(crate) use reach::{Outside, Wanted};

/// One plugin as a revision uses it.
#[derive(Debug, Clone)]
pub(crate) struct PluginBinding {
    /// Which one.
    pub(crate) id: PluginId,
    /// Whether what it does has an effect.
    pub(crate) mode: ModeSetting,
    /// Its file, for problems.
    pub(crate) file: PathBuf,
    /// As an interceptor, where its component is one.
    pub(crate) interceptor: Option<Arc<Bound>>,
    /// As a customizer, where its component is one.
    pub(crate) customizer: Option<Arc<Customizer>>,
    scopes: Vec<Scope>,
}

/// One place where a plugin runs.
#[derive(Debug, Clone)]
struct Scope {
    vmcp: Option<VmcpId>,
    connector: Option<ConnectorId>,
    tool: Option<ToolName>,
    order: i32,
}

/// A plugin as it was bound last, and what it was bound from.
#[derive(Debug, Clone)]
struct Kept {
    config: PluginConfig,
    component: [u8; 32],
    secrets: [u8; 32],
    binding: PluginBinding,
}

/// Reads and binds components.
#[derive(Debug)]
pub(crate) struct Bindings {
    components: Components,
    outside: Outside,
    plugins: Mutex<HashMap<PluginId, Kept>>,
    /// What the plugins did.
    pub(crate) figures: Arc<Figures>,
}

impl PluginBinding {
    /// The virtual MCPs where it is bound, each once; none stands for all of them, alone.
    pub(crate) fn vmcps(&self) -> BTreeSet<Option<&VmcpId>> {
        let places: BTreeSet<_> = self.scopes.iter().map(|scope| scope.vmcp.as_ref()).collect();
        if places.contains(&None) { BTreeSet::from([None]) } else { places }
    }

    /// Whether it may run for some tool of that connector in that virtual MCP.
    pub(crate) fn touches(&self, vmcp: &VmcpId, connector: &ConnectorId) -> bool {
        self.scopes.iter().any(|scope| scope.is_within(vmcp, connector))
    }

    /// Whether it runs for that tool.
    pub(crate) fn is_bound(&self, vmcp: &VmcpId, tool: &Tool) -> bool {
        self.order(vmcp, tool).is_some()
    }

    /// Its place in the order around that tool; the first binding that fits counts.
    pub(crate) fn order(&self, vmcp: &VmcpId, tool: &Tool) -> Option<i32> {
        let fits = |scope: &&Scope| {
            scope.is_within(vmcp, &tool.connector)
                && scope.tool.as_ref().is_none_or(|name| *name == tool.name)
        };
        self.scopes.iter().find(fits).map(|scope| scope.order)
    }

    /// Its place in the order around what is no tool of that connector: bindings to single
    /// tools do not count.
    pub(crate) fn order_elsewhere(&self, vmcp: &VmcpId, connector: &ConnectorId) -> Option<i32> {
        let fits = |scope: &&Scope| scope.is_within(vmcp, connector) && scope.tool.is_none();
        self.scopes.iter().find(fits).map(|scope| scope.order)
    }
}

impl Scope {
    fn read(config: &BindConfig) -> Result<Self, String> {
        let (connector, tool) = match &config.tool {
            Some(text) => tool_ref(text).map(|(connector, tool)| (Some(connector), Some(tool)))?,
            None => (None, None),
        };
        let named = config.connector.as_deref().map(ConnectorId::new).transpose();
        let vmcp = config.vmcp.as_deref().map(VmcpId::new).transpose();
        Ok(Self {
            vmcp: vmcp.map_err(|bad| bad.to_string())?,
            connector: named.map_err(|bad| bad.to_string())?.or(connector),
            tool,
            order: config.order,
        })
    }

    fn is_within(&self, vmcp: &VmcpId, connector: &ConnectorId) -> bool {
        self.vmcp.as_ref().is_none_or(|name| name == vmcp)
            && self.connector.as_ref().is_none_or(|name| name == connector)
    }
}

impl Bindings {
    /// Binds nothing yet; trusts every component, and leads nowhere.
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self {
            components: Components::new(sandbox, Trust::default()),
            outside: Outside::default(),
            plugins: Mutex::default(),
            figures: Arc::default(),
        }
    }

    /// Runs only what is trusted.
    pub(crate) fn trusting(self, trust: Trust) -> Self {
        Self { components: self.components.trusting(trust), ..self }
    }

    /// Lets granted capabilities lead there.
    pub(crate) fn reaching(self, outside: Outside) -> Self {
        Self { outside, ..self }
    }

    /// Counts what plugins do there.
    pub(crate) fn counting(self, figures: Arc<Figures>) -> Self {
        Self { figures, ..self }
    }

    /// What is being compiled, for whichever organisation.
    pub(crate) fn compiling(&self) -> Vec<Compiling> {
        self.components.compiling()
    }

    /// What the capabilities of a component lead to, with a fingerprint of its secrets.
    pub(crate) fn reach(
        &self,
        owner: Owner,
        wanted: Wanted<'_>,
        file: &Path,
    ) -> Result<(Reach, [u8; 32]), Problem> {
        let (secrets, fingerprint) = self.outside.secrets(wanted.credentials, file)?;
        let reach = self.outside.reach(owner, wanted, secrets);
        Ok((reach.map_err(|why| Problem::of(file, why))?, fingerprint))
    }

    /// Reads a component that no plugin file describes; compiled only when its content is new.
    pub(crate) async fn component(&self, path: &Path, file: &Path) -> Result<Component, Problem> {
        self.components.load(path, file, Pin { by_anybody: true, ..Pin::default() }).await
    }

    /// Reads the component of a plugin file.
    pub(crate) async fn pinned(
        &self,
        path: &Path,
        file: &Path,
        pin: Pin<'_>,
    ) -> Result<Component, Problem> {
        self.components.load(path, file, pin).await
    }

    /// Binds all plugins of a configuration that are in force.
    pub(crate) async fn plugins(
        &self,
        dir: &Path,
        configs: &BTreeMap<PluginId, PluginConfig>,
    ) -> Result<Vec<PluginBinding>, Vec<Problem>> {
        self.components.begin();
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for (id, config) in configs {
            let Some(path) = config.in_force() else { continue };
            let file = dir.join("plugins").join(format!("{id}.toml"));
            match self.plugin(id, config, path, file).await {
                Ok(binding) => all.push(binding),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut kept = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|id, _| configs.get(id).is_some_and(|config| config.in_force().is_some()));
        drop(kept);
        Ok(all)
    }

    async fn plugin(
        &self,
        id: &PluginId,
        config: &PluginConfig,
        path: &Path,
        file: PathBuf,
    ) -> Result<PluginBinding, Problem> {
        let digest = config.digest.as_deref();
        let pin = Pin { digest, signed_by: config.signed_by.as_deref(), by_anybody: false };
        let component = self.components.load(path, &file, pin).await?;
        let wanted =
            Wanted { http: &config.http, credentials: &config.credentials, state: config.state };
        let (reach, secrets) = self.reach(Owner::Plugin(id.clone()), wanted, &file)?;
        let known = self.plugins.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(kept) = known
            && kept.config == *config
            && kept.component == *component.sha256()
            && kept.secrets == secrets
        {
            return Ok(kept.binding);
        }
        let binding = self.bind(id, config, &component, reach, file)?;
        let kept = Kept {
            config: config.clone(),
            component: *component.sha256(),
            secrets,
            binding: binding.clone(),
        };
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), kept);
        Ok(binding)
    }

    fn bind(
        &self,
        id: &PluginId,
        config: &PluginConfig,
        component: &Component,
        reach: Reach,
        file: PathBuf,
    ) -> Result<PluginBinding, Problem> {
        let fault = |why: String| Problem::of(&file, why);
        let text = settings(&config.config).map_err(fault)?;
        let grants = grants(&config.grants).map_err(fault)?;
        let exports = component.exports();
        let is_interceptor = exports.is_interceptor();
        if !is_interceptor && !exports.is_customizer() {
            return Err(fault("the component is neither an interceptor nor a customizer".into())
                .with_help("use a connector component in `connectors/`"));
        }
        let name = id.as_str();
        let binding = |limits: Limits| {
            let reach = reach.clone();
            Binding { name, component, config: &text, grants, limits, reach }
        };
        let of_calls = config.limits.over(Limits::INTERCEPTOR);
        let interceptor = is_interceptor.then(|| Interceptor::new(&binding(of_calls))).transpose();
        let interceptor = interceptor.map_err(|error| fault(sentence(&error)))?;
        // A customizer runs when the catalogue is compiled, and nobody waits for it.
        let of_catalogs = Limits {
            guest_time: Limits::CUSTOMIZER.guest_time.max(of_calls.guest_time),
            wall_time: Limits::CUSTOMIZER.wall_time.max(of_calls.wall_time),
            ..of_calls
        };
        let customizer = exports.is_customizer().then(|| Customizer::new(&binding(of_catalogs)));
        let customizer = customizer.transpose().map_err(|error| fault(sentence(&error)))?;
        let scopes: Result<Vec<_>, String> = config.bind.iter().map(Scope::read).collect();
        let scopes = scopes.map_err(fault)?;
        Ok(PluginBinding {
            id: id.clone(),
            mode: config.mode,
            interceptor: interceptor.map(|it| Arc::new(self.bound(id, config, component, it))),
            customizer: customizer.map(Arc::new),
            scopes,
            file,
        })
    }

    fn bound(
        &self,
        id: &PluginId,
        config: &PluginConfig,
        component: &Component,
        interceptor: Interceptor,
    ) -> Bound {
        let hash = short(component.sha256());
        let figures = self.figures.of(id, &hash);
        let interceptor = Arc::new(interceptor);
        let asked = Arc::clone(&interceptor);
        let running = figures.running(Box::new(move || asked.counts()));
        Bound {
            plugin: id.clone(),
            hash,
            mode: config.mode,
            fail: config.fail,
            interceptor,
            figures,
            _running: running,
        }
    }
}

/// The version that people see: the first bytes of a component's hash, in hexadecimal.
pub(crate) fn short(hash: &[u8; 32]) -> String {
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The configuration of a component as JSON text.
pub(crate) fn settings(
    config: &serde_json::Map<String, serde_json::Value>,
) -> Result<Json, String> {
    Json::of(config).map_err(|error| error.to_string())
}

/// The capabilities of these names.
pub(crate) fn grants(names: &[String]) -> Result<Grants, String> {
    let granted: Result<Vec<Capability>, _> =
        names.iter().map(|name| name.parse::<Capability>()).collect();
    granted.map(|granted| granted.into_iter().collect()).map_err(|unknown| unknown.to_string())
}
