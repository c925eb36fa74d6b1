//! Components: read, compiled once per content, bound with configuration and grants.
//!
//! A binding whose component, configuration and settings are the same is kept from revision
//! to revision, so a change of policy does not touch a guest.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, Json, PluginId, Tool, ToolName, VmcpId};
use tidegate_wasm::{
    Binding, Capability, Component, Customizer, Grants, Interceptor, Limits, Sandbox,
};

use crate::{
    config::{
        Problem,
        plugin::{BindConfig, PluginConfig},
        problem::sentence,
        vmcp::tool_ref,
    },
    plugin::Bound,
};

/// One plugin as a revision uses it.
#[derive(Debug, Clone)]
pub(crate) struct PluginBinding {
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
    hash: [u8; 32],
    binding: PluginBinding,
}

/// Reads and binds components.
#[derive(Debug)]
pub(crate) struct Bindings {
    sandbox: Sandbox,
    components: Mutex<HashMap<[u8; 32], Component>>,
    plugins: Mutex<HashMap<PluginId, Kept>>,
}

impl PluginBinding {
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
    /// Binds nothing yet.
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, components: Mutex::default(), plugins: Mutex::default() }
    }

    /// Reads a component file; compiled only when its content is new.
    pub(crate) async fn component(&self, path: &Path, file: &Path) -> Result<Component, Problem> {
        let fault =
            |why: String| Problem::of(file, format!("component `{}`: {why}", path.display()));
        let bytes = tokio::fs::read(path).await.map_err(|error| fault(sentence(&error)))?;
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let known =
            self.components.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        if let Some(component) = known {
            return Ok(component);
        }
        let component =
            self.sandbox.load(Bytes::from(bytes)).await.map_err(|error| fault(sentence(&error)))?;
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, component.clone());
        Ok(component)
    }

    /// Binds all plugins of a configuration.
    pub(crate) async fn plugins(
        &self,
        dir: &Path,
        configs: &BTreeMap<PluginId, PluginConfig>,
    ) -> Result<Vec<PluginBinding>, Vec<Problem>> {
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for (id, config) in configs {
            let file = dir.join("plugins").join(format!("{id}.toml"));
            match self.plugin(id, config, file).await {
                Ok(binding) => all.push(binding),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    async fn plugin(
        &self,
        id: &PluginId,
        config: &PluginConfig,
        file: PathBuf,
    ) -> Result<PluginBinding, Problem> {
        let component = self.component(&config.component, &file).await?;
        let known = self.plugins.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(kept) = known
            && kept.config == *config
            && kept.hash == *component.sha256()
        {
            return Ok(kept.binding);
        }
        let binding = bind(id, config, &component, file)?;
        let kept =
            Kept { config: config.clone(), hash: *component.sha256(), binding: binding.clone() };
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), kept);
        Ok(binding)
    }
}

fn bind(
    id: &PluginId,
    config: &PluginConfig,
    component: &Component,
    file: PathBuf,
) -> Result<PluginBinding, Problem> {
    let fault = |why: String| Problem::of(&file, why);
    let text = settings(&config.config).map_err(fault)?;
    let grants = grants(&config.grants).map_err(fault)?;
    let exports = component.exports();
    let is_interceptor = exports.before_call || exports.after_call;
    if !is_interceptor && !exports.customize {
        return Err(fault("the component is neither an interceptor nor a customizer".into())
            .with_help("use a connector component in `connectors/`"));
    }
    let binding =
        |limits: Limits| Binding { name: id.as_str(), component, config: &text, grants, limits };
    let of_calls = limits(config, Duration::from_millis(config.limits.time_ms));
    let interceptor = is_interceptor.then(|| Interceptor::new(&binding(of_calls))).transpose();
    let interceptor = interceptor.map_err(|error| fault(sentence(&error)))?;
    // A customizer runs when the catalogue is compiled, and nobody waits for it.
    let of_catalogs = Limits {
        wall_time: Limits::CUSTOMIZER.wall_time,
        ..limits(config, Limits::CUSTOMIZER.guest_time)
    };
    let customizer = exports.customize.then(|| Customizer::new(&binding(of_catalogs))).transpose();
    let customizer = customizer.map_err(|error| fault(sentence(&error)))?;
    let scopes: Result<Vec<_>, String> = config.bind.iter().map(Scope::read).collect();
    let scopes = scopes.map_err(fault)?;
    let hash: String =
        component.sha256().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let bound = |interceptor| {
        Arc::new(Bound {
            plugin: id.clone(),
            hash,
            mode: config.mode,
            fail: config.fail,
            interceptor: Arc::new(interceptor),
        })
    };
    Ok(PluginBinding {
        interceptor: interceptor.map(bound),
        customizer: customizer.map(Arc::new),
        scopes,
        file,
    })
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

fn limits(config: &PluginConfig, guest_time: Duration) -> Limits {
    let limits = &config.limits;
    let bytes = |units: u64, shift: u32| usize::try_from(units << shift).unwrap_or(usize::MAX);
    Limits {
        guest_time,
        memory: bytes(limits.memory_mib, 20),
        output: bytes(limits.output_kib, 10),
        ..Limits::INTERCEPTOR
    }
}
