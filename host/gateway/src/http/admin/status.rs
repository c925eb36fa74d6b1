//! `/api/v1/status`: what the gateway is doing.

use serde::{Deserialize, Serialize};
use tidegate_model::OrgId;
use tidegate_upstream::connector::MachineHealth;
use utoipa::ToSchema;

use super::{asked::Asked, failed::Failed, route::Done};
use crate::{control::Control, figures::Reading};

/// One connector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ConnectorStatus {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) tools: usize,
    pub(crate) in_flight: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The machines of a hosted connector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) machines: Vec<MachineStatus>,
}

/// One machine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MachineStatus {
    /// Its name, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// `idle`, `starting`, `running`, `ended`, `failed` or `shut`.
    pub(crate) state: String,
    pub(crate) in_flight: usize,
    /// Starts of it and of the program in it, beyond the first.
    pub(crate) restarts: u64,
    /// What of the sandbox does not hold for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
}

/// One virtual MCP.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct VmcpStatus {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) tools: usize,
}

/// One plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PluginStatus {
    pub(crate) id: String,
    /// Empty while no version is in force.
    pub(crate) component: String,
    /// `enforce`, `observe`, `disabled` or `held`.
    pub(crate) state: String,
    /// What its versions did since the process began, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(crate) versions: Vec<Reading>,
}

/// One component that is being compiled.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CompilingStatus {
    /// Its file, or its hash.
    pub(crate) component: String,
    /// Bytes of its file.
    pub(crate) size: usize,
    /// Since so many seconds.
    pub(crate) seconds: u64,
    /// Of about so many, by what others took here.
    pub(crate) estimate: u64,
}

/// One policy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyStatus {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) flags: Vec<String>,
}

/// One organisation beside `default`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrganisationStatus {
    pub(crate) id: String,
    /// `serving` or `out of service`.
    pub(crate) state: String,
    pub(crate) vmcps: usize,
    /// Why it is out of service, or its last change was not taken.
    pub(crate) problems: Vec<String>,
}

/// The whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) url: String,
    /// The organisation that all else is about.
    pub(crate) org: String,
    pub(crate) revision: u64,
    pub(crate) sessions: usize,
    /// `ready`, or what is the matter.
    pub(crate) audit: String,
    /// What keeps the machines of hosted connectors from the rest of the computer.
    #[serde(default)]
    pub(crate) sandbox: String,
    pub(crate) connectors: Vec<ConnectorStatus>,
    pub(crate) vmcps: Vec<VmcpStatus>,
    pub(crate) plugins: Vec<PluginStatus>,
    /// Components that are being compiled, of all organisations, where the owner of the process
    /// asks about `default`. What needs them waits, nothing else does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) compiling: Vec<CompilingStatus>,
    pub(crate) policies: Vec<PolicyStatus>,
    /// What an administrator should know about.
    pub(crate) notices: Vec<String>,
    /// Why the last change was not taken; empty when it was.
    pub(crate) problems: Vec<String>,
    /// The others, where the owner of the process asks about `default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) organisations: Vec<OrganisationStatus>,
}

/// The status of one organisation.
pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<Status>, Failed> {
    let control = &asked.control;
    let (gateway, org, revision) = (&control.gateway, &control.org, &asked.revision);
    let is_default = org.id == OrgId::default_org();
    let url = gateway.public_url();
    let base = if is_default { url.clone() } else { format!("{url}/o/{}", org.id) };
    let mut connectors: Vec<ConnectorStatus> = revision
        .connectors
        .iter()
        .map(|(id, connector)| {
            let health = connector.health();
            let kind =
                revision.resources.connectors.get(id).map_or("", |config| config.kind.name());
            ConnectorStatus {
                id: id.to_string(),
                kind: kind.to_owned(),
                state: health.state.name().to_owned(),
                tools: revision.offers.get(id).map_or(0, |offer| offer.tools.len()),
                in_flight: health.in_flight,
                error: health.last_error,
                machines: health.machines.into_iter().map(machine).collect(),
            }
        })
        .collect();
    connectors.sort_by(|a, b| a.id.cmp(&b.id));
    let mut vmcps: Vec<VmcpStatus> = revision
        .snapshot
        .vmcps()
        .map(|vmcp| VmcpStatus {
            id: vmcp.vmcp.id.to_string(),
            title: vmcp.vmcp.title.clone(),
            url: format!("{base}/mcp/{}", vmcp.vmcp.id),
            tools: vmcp.tools.len(),
        })
        .collect();
    vmcps.sort_by(|a, b| a.id.cmp(&b.id));
    let policy = |policy: &tidegate_governance::policy::PolicyInfo| PolicyStatus {
        id: policy.id.clone(),
        file: policy.file.clone(),
        line: policy.line,
        flags: policy.flags.clone(),
    };
    let figures = &org.assembly.bindings.figures;
    let plugins = revision.resources.plugins.iter().map(|(id, config)| PluginStatus {
        id: id.to_string(),
        component: config
            .component
            .as_deref()
            .map_or_else(String::new, |path| path.display().to_string()),
        state: config.state().to_owned(),
        versions: figures.readings(id),
    });
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: revision.id.0,
        sessions: gateway.sessions.count_of(&org.id),
        audit: gateway.audit_state(),
        sandbox: gateway.foundation.machines.protection(),
        connectors,
        vmcps,
        plugins: plugins.collect(),
        // Whose a component is, it does not know.
        compiling: if is_default && asked.is_local() {
            org.assembly.bindings.compiling().into_iter().map(compiling).collect()
        } else {
            Vec::new()
        },
        policies: revision.policies.list().iter().map(policy).collect(),
        notices: {
            let keys = gateway.rotation.get().map(|it| it.notices(&org.id)).unwrap_or_default();
            revision.notices.iter().map(ToString::to_string).chain(keys).collect()
        },
        problems: if is_default && asked.is_local() {
            let folders = asked.organisations.problems();
            control.problems().iter().chain(&folders).map(ToString::to_string).collect()
        } else {
            control.problems().iter().map(ToString::to_string).collect()
        },
        organisations: if is_default && asked.is_local() { others(asked) } else { Vec::new() },
        org: org.id.to_string(),
        url,
    };
    Ok(Done::of(status))
}

fn machine(it: MachineHealth) -> MachineStatus {
    MachineStatus {
        id: it.id,
        state: it.state.to_owned(),
        in_flight: it.in_flight,
        restarts: it.restarts,
        missing: it.missing.into_iter().map(str::to_owned).collect(),
    }
}

fn compiling(it: tidegate_wasm::Compiling) -> CompilingStatus {
    CompilingStatus {
        component: it.name,
        size: it.size,
        seconds: it.since.elapsed().as_secs(),
        estimate: it.estimate.as_secs(),
    }
}

/// What is told of other organisations: enough to see which needs a look.
fn others(asked: &Asked) -> Vec<OrganisationStatus> {
    let one = |control: &Control| {
        let revision = control.org.revision();
        let state = if revision.is_some() { "serving" } else { "out of service" };
        OrganisationStatus {
            id: control.org.id.to_string(),
            state: state.to_owned(),
            vmcps: revision.map_or(0, |revision| revision.snapshot.vmcps().count()),
            problems: control.problems().iter().map(ToString::to_string).collect(),
        }
    };
    let all = asked.organisations.all();
    let others = all.iter().filter(|control| control.org.id != OrgId::default_org());
    others.map(|control| one(control)).collect()
}
