//! `hosted`: an MCP server that the gateway runs itself, in machines.
//!
//! The program speaks stdio to the bridge in its machine; calls go to the bridge over a
//! private socket, each with a token ([`slot`], [`fleet`]). One process in each machine
//! serves every caller, unless the connector's file wants one for each client or a credential
//! is somebody's own: then each has a child of its own, kept apart by a key ([`child`]).
//! Machines are started by the first who needs one, in a task of its own, so that a caller
//! who gives up does not end it for the others.

mod child;
mod condition;
mod fleet;
mod slot;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderName, HeaderValue, Method};
use tidegate_model::{Answer, Call, ConnectorId, Secret};
use tidegate_wire::client::{Peer, PeerError, PeerInfo, http::HttpSettings};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, EnvValue, Exchange, Health, HostedSpec, Listed,
    MachineHealth, MachineLines, OpenError, Parts, Round, Update, Wanted, conversation, features,
    list::Source, listener::Listener, operation::Request,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, CredentialError, Injection, Owner},
    machine::{MachineSpec, Program},
};

use child::Child;
use fleet::{Choice, Fleet};
use slot::{Plan, Running};

/// What a program gets to see of the gateway's own environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// The most children with an environment of their own in one machine.
const CHILDREN: usize = 64;
/// How long such a child is kept that nobody uses.
const CHILD_IDLE: Duration = Duration::from_secs(600);
/// How long a program that cannot be started is left alone, where it is not said.
const LATER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Hosted {
    id: ConnectorId,
    credential: Arc<Credential>,
    fleet: Arc<Fleet>,
    per_caller: bool,
    listener: Listener,
    extensions: BTreeSet<String>,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

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
        let machine = MachineSpec {
            org: parts.org.clone(),
            connector: id.as_str().to_owned(),
            program: Program {
                command: spec.command.clone(),
                args: spec.args.clone(),
                env: environment(spec, parts)?,
                cwd: spec.cwd.clone(),
            },
            sandbox: spec.sandbox.clone(),
            answer_limit: spec.answer_limit,
            children: CHILDREN,
            child_idle: CHILD_IDLE,
            start_timeout: spec.start_timeout,
        };
        let http = HttpSettings {
            era: spec.era.fixed(),
            probe_timeout: spec.probe_timeout,
            setup_timeout: spec.start_timeout,
            answer_limit: spec.answer_limit,
            ..HttpSettings::default()
        };
        let backend = parts.machines.clone().ok_or(OpenError::NoMachines)?;
        let plan = Plan { backend, machine, http };
        let secret = |reference: &str| parts.secrets.get(reference).cloned();
        let vault = parts.vault.as_ref();
        let credential = Credential::new(id.clone(), None, &spec.credential, vault, secret)?;
        Ok(Self {
            id,
            credential: Arc::new(credential),
            fleet: Fleet::new(plan, spec.machines, spec.per_caller, spec.idle_stop),
            per_caller: spec.per_caller,
            listener: Listener::new(),
            extensions: spec.extensions.clone(),
        })
    }

    async fn send(
        &self,
        call: &Call,
        injection: &Injection,
        exchange: Exchange,
    ) -> Result<Answer, ConnectorError> {
        let mut exchange = features::narrowed(exchange, &self.extensions);
        let chosen = self.fleet.choose(exchange.affinity).await?;
        let child = self.child(injection, exchange.affinity, chosen.number)?;
        if let (Some(child), None) = (&child, exchange.affinity) {
            // A child of somebody's own is no place for the session of everybody.
            exchange.affinity = Some(child.affinity());
        }
        let headers = said_along(child.as_ref(), injection, exchange.affinity)?;
        let request = Request::new(call, &exchange);
        let mut outcome = self.carry_out(&chosen, &request, &headers).await;
        if let Err(error) = &outcome
            && error.nothing_sent()
            && chosen.number.is_none()
            && chosen.running.machine.is_gone()
        {
            // It was lost before it heard of the call, and nothing is kept there.
            let chosen = self.fleet.choose(None).await?;
            outcome = self.carry_out(&chosen, &request, &headers).await;
        }
        outcome
    }

    async fn carry_out(
        &self,
        chosen: &Choice,
        request: &Request<'_>,
        headers: &Headers,
    ) -> Result<Answer, ConnectorError> {
        let _visit = chosen.running.visit();
        let peer = Peer::Http(Arc::clone(&chosen.running.peer));
        let source = Source { peer: &peer, connector: &self.id, headers };
        let mut outcome = conversation::carry_out(source, request, self.fleet.changes()).await;
        if matches!(&outcome, Err(error) if was_hasty(error)) {
            outcome = conversation::carry_out(source, request, self.fleet.changes()).await;
        }
        match outcome {
            Err(error) => Err(explained(error, &chosen.running).await),
            outcome => outcome,
        }
    }

    /// The child for a call; none where the one process of the machine serves it.
    fn child(
        &self,
        injection: &Injection,
        affinity: Option<Affinity>,
        number: Option<u64>,
    ) -> Result<Option<Child>, ConnectorError> {
        let material = injection.for_machine().map_err(|_| ConnectorError::WrongOrigin)?;
        let own = affinity.zip(number).filter(|_| self.per_caller);
        Ok(Child::of(injection.owner(), material, own))
    }

    async fn read(&self, proof: &Maintenance) -> Result<Listed, ConnectorError> {
        let injection = self.credential.maintain(proof).await?;
        let child = self.child(&injection, None, None)?;
        let headers = said_along(child.as_ref(), &injection, None)?;
        let running = self.fleet.any().await?;
        let _visit = running.visit();
        let peer = Peer::Http(Arc::clone(&running.peer));
        let source = Source { peer: &peer, connector: &self.id, headers: &headers };
        let features = |info: &PeerInfo| features::read(info, &self.extensions);
        let mut list = source.read(features, proof.deadline()).await;
        if matches!(&list, Err(error) if was_hasty(error)) {
            list = source.read(features, proof.deadline()).await;
        }
        let list = match list {
            Ok(list) => list,
            Err(error) => return Err(explained(error, &running).await),
        };
        let (fleet, credential) = (Arc::clone(&self.fleet), Arc::clone(&self.credential));
        self.listener.begin(move |wanted| {
            let (fleet, credential) = (Arc::clone(&fleet), Arc::clone(&credential));
            async move {
                let running = fleet.to_listen_to(wanted).await?;
                let deadline = std::time::Instant::now() + LISTENING;
                let injection = credential.to_listen(deadline).await?;
                let material = injection.for_machine().map_err(|_| ConnectorError::WrongOrigin)?;
                let child = Child::of(injection.owner(), material, None);
                let headers = said_along(child.as_ref(), &injection, None)?;
                Ok((Peer::Http(Arc::clone(&running.peer)), headers))
            }
        });
        Ok(list)
    }
}

/// Time for the credential to listen with.
const LISTENING: Duration = Duration::from_secs(30);

/// What goes along with every request of a call: which child is meant and what it is started
/// with, whose request it is, and a credential that is a header.
fn said_along(
    child: Option<&Child>,
    injection: &Injection,
    affinity: Option<Affinity>,
) -> Result<Headers, ConnectorError> {
    let material = injection.for_machine().map_err(|_| ConnectorError::WrongOrigin)?;
    let mut headers: Headers = material.map(|held| held.headers.clone()).unwrap_or_default();
    headers.extend(child.into_iter().flat_map(Child::headers));
    headers.extend(affinity.map(child::client));
    Ok(headers)
}

/// Whether a program that was slow to start may have been taken for one of the other era: by
/// the time that it refused `initialize` it runs, and can be asked again. It never saw the
/// request itself.
fn was_hasty(error: &ConnectorError) -> bool {
    matches!(error, ConnectorError::Peer(PeerError::Refused { .. } | PeerError::Revision(_)))
}

/// What an error of the bridge says, in terms of the program behind it.
async fn explained(error: ConnectorError, running: &Running) -> ConnectorError {
    let (status, said) = match &error {
        ConnectorError::Peer(PeerError::Status { status, error: said }) => (*status, said.as_ref()),
        // The token is not taken: whatever answers there is not the machine that was started.
        ConnectorError::Peer(PeerError::Unauthorized { status: 401, .. }) => {
            running.machine.stop.cancel();
            return PeerError::Closed.into();
        }
        _ => return error,
    };
    match status {
        // There is no program to hand the request to.
        503 => {
            let condition = running.look().await.unwrap_or_default();
            let what = said.and_then(child::sentence).or_else(|| condition.last.clone());
            let what = what.unwrap_or_else(|| "the server process cannot be started".to_owned());
            let source = std::io::ErrorKind::Other.into();
            ConnectorError::Start {
                error: Arc::new(PeerError::Spawn { what, source }),
                retry_after: condition.retry_after().unwrap_or(LATER),
            }
        }
        // It went away with the request in its hands.
        502 => {
            running.look().await;
            PeerError::Closed.into()
        }
        _ => error,
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
        let (call, injection, _) = armed.into_parts();
        async move { self.send(&call, &injection, exchange).await }.boxed()
    }

    fn health(&self) -> Health {
        let slots = self.fleet.slots();
        let machines: Vec<_> = slots
            .iter()
            .map(|slot| {
                let running = slot.current();
                let condition = running.as_ref().map(|it| it.condition()).unwrap_or_default();
                MachineHealth {
                    id: running.as_ref().map(|running| running.machine.id.clone()),
                    state: slot.word(),
                    in_flight: running.as_ref().map_or(0, |running| running.under_way()),
                    restarts: slot.starts().saturating_sub(1) + condition.starts.saturating_sub(1),
                    junk_lines: condition.junk_lines,
                    missing: running.map(|it| it.machine.missing.clone()).unwrap_or_default(),
                }
            })
            .collect();
        let info = self.fleet.current().iter().find_map(|running| running.info());
        Health {
            restarts: machines.iter().map(|machine| machine.restarts).sum(),
            junk_lines: machines.iter().map(|machine| machine.junk_lines).sum(),
            machines,
            info,
            ..Health::default()
        }
    }

    fn logs(&self) -> Vec<MachineLines> {
        let lines = |running: Arc<Running>| MachineLines {
            id: running.machine.id.clone(),
            lines: running.machine.log.lines(),
            dropped: running.machine.log.dropped(),
        };
        self.fleet.current().into_iter().map(lines).collect()
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.fleet.any().await {
                tracing::warn!(connector = %self.id, %error, "no machine is ready yet");
            }
        }
        .boxed()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.fleet.changes().subscribe()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.listener.updates()
    }

    fn follow(&self, wanted: Wanted) -> Round {
        self.listener.follow(features::followed(wanted, &self.extensions))
    }

    fn release(&self, affinity: Affinity) {
        for running in self.fleet.current() {
            running.peer.release(affinity);
        }
        let pinned = self.fleet.release(affinity).filter(|_| self.per_caller);
        let Some((running, number)) = pinned else { return };
        // One with a credential besides goes when it is idle: whose it is, is not known here.
        let Some(child) = Child::of(&Owner::Shared, None, Some((affinity, number))) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let Ok(children) = running.machine.server.follow(child::CHILDREN) else { return };
            let headers: Headers = child.headers().into_iter().collect();
            let nothing = Bytes::new();
            if let Err(error) = children.send(&Method::DELETE, &headers, &nothing).await {
                tracing::debug!(%error, "the process of a client that is gone stays until it is idle");
            }
        });
    }

    fn roots_changed(&self, affinity: Affinity) {
        let pinned = self.fleet.of(affinity).map(|(running, _)| running);
        let all = || self.fleet.current();
        for running in pinned.map_or_else(all, |running| vec![running]) {
            running.peer.roots_changed(affinity);
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.listener.end();
            self.fleet.close().await;
        }
        .boxed()
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.fleet.shut();
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
