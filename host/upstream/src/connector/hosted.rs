//! `hosted`: an MCP server that the gateway runs as a child process.
//!
//! One process serves every caller, unless the connector's file wants one for each client;
//! lists are read from the shared one in any case. It is started by the first who needs it, in a task of
//! its own, so that a caller who gives up does not end it for the others. When it ends, the
//! next call starts it again; when it keeps ending, only after a growing pause.

mod callers;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, Call, ConnectorId, Secret};
use tidegate_wire::client::{
    Peer, PeerInfo,
    stdio::{Command, StdioSettings},
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, EnvValue, Exchange, Health, HostedSpec, Listed, OpenError,
    Parts, Round, Update, Wanted, conversation, features, list::Source, listener::Listener,
    operation::Request,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, CredentialError},
};

use callers::Callers;
use process::Process;

/// What a child gets to see of the gateway's own environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

#[derive(Debug)]
pub(super) struct Hosted {
    id: ConnectorId,
    credential: Credential,
    process: Arc<Process>,
    /// Where each client has a process of its own.
    callers: Option<Arc<Callers>>,
    listener: Listener,
    extensions: BTreeSet<String>,
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
            id,
            credential,
            callers: spec.per_caller.then(|| Callers::new(command.clone(), settings.clone())),
            process: Arc::new(Process::new(command, settings)),
            listener: Listener::new(),
            extensions: spec.extensions.clone(),
        })
    }

    async fn send(&self, call: &Call, exchange: Exchange) -> Result<Answer, ConnectorError> {
        let exchange = features::narrowed(exchange, &self.extensions);
        let request = Request::new(call, &exchange);
        let process = match (&self.callers, exchange.affinity) {
            (Some(callers), Some(affinity)) => callers.process(affinity)?,
            _ => Arc::clone(&self.process),
        };
        let peer = Peer::Stdio(process.running().await?);
        let source = Source { peer: &peer, connector: &self.id, headers: &[] };
        conversation::carry_out(source, &request, self.process.changes()).await
    }

    async fn read(&self, proof: &Maintenance) -> Result<Listed, ConnectorError> {
        let peer = Peer::Stdio(self.process.running().await?);
        let source = Source { peer: &peer, connector: &self.id, headers: &[] };
        let features = |info: &PeerInfo| features::read(info, &self.extensions);
        let list = source.read(features, proof.deadline()).await?;
        let process = Arc::clone(&self.process);
        self.listener.begin(move |wanted| {
            let process = Arc::clone(&process);
            async move { process.to_listen_to(wanted).await.map(|peer| (Peer::Stdio(peer), Vec::new())) }
        });
        Ok(list)
    }
}

impl Connector for Hosted {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(&'a self, proof: &'a Maintenance) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        self.read(proof).boxed()
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
        self.process.changes().subscribe()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.listener.updates()
    }

    fn follow(&self, wanted: Wanted) -> Round {
        self.listener.follow(features::followed(wanted, &self.extensions))
    }

    fn release(&self, affinity: Affinity) {
        match &self.callers {
            Some(callers) => callers.release(affinity),
            None => {
                if let Some(peer) = self.process.current() {
                    Peer::Stdio(peer).release(affinity);
                }
            }
        }
    }

    fn roots_changed(&self, affinity: Affinity) {
        let process = match &self.callers {
            Some(callers) => callers.of(affinity),
            None => Some(Arc::clone(&self.process)),
        };
        if let Some(peer) = process.and_then(|process| process.current()) {
            Peer::Stdio(peer).roots_changed(affinity);
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.listener.end();
            if let Some(callers) = &self.callers {
                callers.close().await;
            }
            self.process.close().await;
        }
        .boxed()
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.process.shut();
        if let Some(callers) = &self.callers {
            callers.end();
        }
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
