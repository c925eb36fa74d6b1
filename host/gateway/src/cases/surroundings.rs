//! What a case says of its surroundings, with what is made up where it says nothing.

use anyhow::Context;
use tidegate_model::{CallId, ConnectorId, OrgId, Timestamp, TraceContext, UserId, VmcpId};
use tidegate_wasm::{Limits, ListKind};

use super::{
    file::{Case, CaseEvent, KindGiven},
    scene::Scene,
    stand::Chosen,
};

impl CaseEvent {
    /// Whether it is something that a connector does.
    pub(super) const fn is_connectors(self) -> bool {
        matches!(
            self,
            Self::Describe
                | Self::ListTools
                | Self::ListPrompts
                | Self::ListResources
                | Self::ListTemplates
                | Self::Call
                | Self::Prompt
                | Self::Read
        )
    }
}

impl KindGiven {
    pub(super) const fn kind(self) -> ListKind {
        match self {
            Self::Tools => ListKind::Tools,
            Self::Prompts => ListKind::Prompts,
            Self::Resources => ListKind::Resources,
            Self::ResourceTemplates => ListKind::Templates,
        }
    }
}

/// What a component may use: what somebody chose, or the case says, or what it gets where
/// its file says nothing.
pub(super) fn limits(case: &Case, chosen: &Chosen) -> Limits {
    let said = chosen.limits.as_ref().or(case.limits.as_ref());
    let limits = match case.event {
        CaseEvent::Edits => {
            let limits = said.cloned().unwrap_or_default().over(Limits::INTERCEPTOR);
            Limits {
                guest_time: Limits::CUSTOMIZER.guest_time.max(limits.guest_time),
                wall_time: Limits::CUSTOMIZER.wall_time.max(limits.wall_time),
                ..limits
            }
        }
        event if event.is_connectors() => {
            said.map_or(Limits::CONNECTOR, |limits| limits.over(Limits::CONNECTOR))
        }
        _ => said.cloned().unwrap_or_default().over(Limits::INTERCEPTOR),
    };
    Limits { spares: Some(chosen.spares), ..limits }
}

/// The MCP method that the hook is told.
pub(super) fn method(case: &Case) -> anyhow::Result<&'static str> {
    use CaseEvent as E;
    let possible: &[&'static str] = match case.event {
        E::BeforePrompt | E::AfterPrompt | E::Prompt => &["prompts/get"],
        E::BeforeRead | E::AfterRead | E::Read => &["resources/read"],
        E::BeforeCompletion | E::AfterCompletion => &["completion/complete"],
        E::OnQuestion => &["elicitation/create", "sampling/createMessage"],
        E::Shown => match case.kind {
            Some(KindGiven::Prompts) => &["prompts/list"],
            Some(KindGiven::Resources) => &["resources/list"],
            Some(KindGiven::ResourceTemplates) => &["resources/templates/list"],
            _ => &["tools/list"],
        },
        _ => &["tools/call"],
    };
    let said = case.context.method.as_deref();
    let found = possible.iter().copied().find(|name| said.is_none_or(|said| said == *name));
    found.with_context(|| {
        format!("`context.method`: the event `{}` is of {}", case.event, possible.join(" or "))
    })
}

pub(super) fn scene(case: &Case, at: Timestamp) -> anyhow::Result<Scene> {
    let given = &case.context;
    let of = |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
    let target = match case.event {
        // A case about everything need not name one thing.
        CaseEvent::BeforeCall
        | CaseEvent::AfterCall
        | CaseEvent::BeforePrompt
        | CaseEvent::AfterPrompt
            if given.target.is_empty() =>
        {
            "target".to_owned()
        }
        _ => given.target.clone(),
    };
    Ok(Scene {
        id: CallId::new(at, [0; 10]),
        org: OrgId::new(&of(&given.org, OrgId::default_org().as_str()))?,
        vmcp: VmcpId::new(&of(&given.vmcp, "main"))?,
        connector: ConnectorId::new(&of(&given.connector, "connector"))?,
        target,
        user: UserId::new(&of(&given.user, "somebody@example.com"))?,
        groups: given.groups.clone().into(),
        client: given.client.clone(),
        trace: TraceContext { traceparent: given.trace_parent.clone(), ..Default::default() },
    })
}
