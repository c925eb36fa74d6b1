//! `hosted`: an MCP server that the gateway runs as a child process.
//!
//! One process serves every caller. It is started by the first who needs it, in a task of
//! its own, so that a caller who gives up does not end it for the others. When it ends, the
//! next call starts it again; when it keeps ending, only after a growing pause.

mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, Call, ConnectorId, Operation, Secret};
use tidegate_wire::{
    client::{
        Member, Outgoing, Peer,
        stdio::{Command, StdioSettings},
    },
    mcp::method::Method,
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, EnvValue, Exchange, Health, HostedSpec, Listed, OpenError,
    Parts, Update, list,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, CredentialError},
};

use process::Process;

/// What a child gets to see of the gateway's own environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

#[derive(Debug)]
pub(super) struct Hosted {
    updates: broadcast::Sender<Update>,
    id: ConnectorId,
    credential: Credential,
    process: Arc<Process>,
}

impl Hosted {
    pub(super) fn open(
        id: ConnectorId,
        spec: &HostedSpec,
        parts: &Parts,
    ) -> Result<Self, OpenError> {
        let has_nul = |text: &str| text.contains('\0');
        if spec.command.is_empty() || has_nul(&spec.command) {
            return Err(OpenError::Command(spec.command.escape_default().to_string()));
        }
        if let Some(bad) = spec.args.iter().find(|arg| has_nul(arg)) {
            return Err(OpenError::Command(bad.escape_default().to_string()));
        }
        let command = Command {
            program: spec.command.clone(),
            args: spec.args.clone(),
            env: environment(spec, parts)?,
            cwd: spec.cwd.clone(),
        };
        let settings = StdioSettings {
            name: id.as_str().to_owned(),
            era: spec.era.fixed(),
            probe_timeout: spec.probe_timeout,
            setup_timeout: spec.start_timeout,
            answer_limit: spec.answer_limit,
        };
        let credential = Credential::none(id.clone());
        Ok(Self {
            updates: broadcast::Sender::new(64),
            id,
            credential,
            process: Arc::new(Process::new(command, settings)),
        })
    }

    async fn send(&self, call: &Call, exchange: Exchange) -> Result<Answer, ConnectorError> {
        let Operation::CallTool(tool_call) = &call.operation else {
            return Err(ConnectorError::Closed);
        };
        let name = tool_call.tool.name.as_str();
        let outgoing = Outgoing {
            method: Method::CallTool.name(),
            params: &[
                ("name", Member::Text(name)),
                ("arguments", Member::Json(&tool_call.arguments)),
            ],
            meta: call.meta.as_ref(),
            name: Some(name),
            trace: Some(&call.trace),
            exchange: Some(&exchange),
            given: call.given.as_ref(),
            ..Outgoing::default()
        };
        Ok(self.process.running().await?.request(&outgoing).await?)
    }
}

impl Connector for Hosted {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(
        &'a self,
        _proof: &'a Maintenance,
    ) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        async move {
            let peer = Peer::Stdio(self.process.running().await?);
            list::read(&peer, &self.id, &[]).await
        }
        .boxed()
    }

    fn call(
        &self,
        armed: Armed,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        let (call, _none, _) = armed.into_parts();
        async move { self.send(&call, exchange).await }.boxed()
    }

    fn health(&self) -> Health {
        self.process.health()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.process.changes()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    fn follow(&self, _wanted: BTreeSet<Box<str>>) {}

    fn release(&self, _affinity: Affinity) {}

    fn roots_changed(&self, _affinity: Affinity) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        self.process.close().boxed()
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.process.shut();
    }
}

fn environment(spec: &HostedSpec, parts: &Parts) -> Result<Vec<(String, Secret)>, OpenError> {
    let mut env = BTreeMap::new();
    for name in INHERITED {
        if let Some(value) = parts.environment.get(name) {
            env.insert(name.to_owned(), Secret::new(value.clone()));
        }
    }
    for (name, value) in &spec.env {
        let secret = match value {
            EnvValue::Plain(text) => Secret::new(text.clone()),
            EnvValue::Secret(reference) => parts
                .secrets
                .get(reference)
                .map(|secret| Secret::new(secret.expose().trim_end_matches(['\r', '\n']).into()))
                .ok_or_else(|| CredentialError::Missing(reference.clone()))?,
        };
        if name.is_empty() || name.contains(['=', '\0']) || secret.expose().contains('\0') {
            return Err(OpenError::Environment(name.escape_default().to_string()));
        }
        env.insert(name.clone(), secret);
    }
    Ok(env.into_iter().collect())
}
