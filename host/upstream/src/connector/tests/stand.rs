//! The scripted server, set up in each way that a connector can reach it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tidegate_model::ConnectorId;
use tidegate_wire::{
    client::egress::{AddressPolicy, Egress, Resolver},
    sandbox::Mechanisms,
};

use crate::machine::{Backend, Local, LocalSettings, Machine, MachineError, MachineSpec};

use super::{super::*, call, value};

#[expect(dead_code, reason = "the tests of wire use the rest")]
#[path = "../../../../wire/src/client/mock.rs"]
pub(crate) mod mock;
#[path = "../../../examples/stdio_peer/server.rs"]
mod server;

pub(super) mod sse;

use mock::{Act, Mock, Seen};
pub(super) use server::Era as Speaks;
use server::{Later, Server, Step};

/// How the server is reached, and what it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Remote(Speaks),
    Hosted(Speaks),
    /// A legacy server over HTTP+SSE, which is found out.
    Sse,
}

pub(super) const KINDS: [Kind; 5] = [
    Kind::Remote(Speaks::Modern),
    Kind::Remote(Speaks::Legacy),
    Kind::Hosted(Speaks::Modern),
    Kind::Hosted(Speaks::Legacy),
    Kind::Sse,
];

impl Kind {
    pub(super) fn is_legacy(self) -> bool {
        matches!(self, Self::Remote(Speaks::Legacy) | Self::Hosted(Speaks::Legacy) | Self::Sse)
    }

    pub(super) fn is_hosted(self) -> bool {
        matches!(self, Self::Hosted(_))
    }

    /// Whether all answers come the same way, told apart by their ids alone.
    pub(super) fn shares_a_channel(self) -> bool {
        matches!(self, Self::Hosted(_) | Self::Sse)
    }
}

/// A connector and the server behind it.
pub(super) struct Stand {
    kind: Kind,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) mock: Option<Mock>,
}

impl Stand {
    pub(super) async fn open(kind: Kind) -> Self {
        let mock = match kind {
            Kind::Remote(era) => Some(serve(era).await),
            Kind::Hosted(_) | Kind::Sse => None,
        };
        let spec = match (kind, &mock) {
            (Kind::Hosted(era), _) => ConnectorSpec::Hosted(peer(era, &[])),
            (Kind::Sse, _) => ConnectorSpec::Remote(on_loopback(sse::Server::start().await.url)),
            (Kind::Remote(_), mock) => ConnectorSpec::Remote(at(mock.as_ref().unwrap())),
        };
        let id = ConnectorId::new("crm").unwrap();
        let connector = open(id, &spec, &parts(&[])).unwrap();
        Self { kind, connector, mock }
    }

    /// Until the server has a call of `hang` before it.
    pub(super) async fn until_hanging(&self) {
        match &self.mock {
            Some(mock) => {
                let hangs = |seen: &Seen| seen.at("/params/name") == "hang";
                mock.until(|mock| mock.seen().iter().any(hangs)).await;
            }
            None => self.until_seen(|seen| seen["hanging"] != 0).await,
        }
    }

    /// Until the server knows that nobody waits for `hang`.
    pub(super) async fn until_cancelled(&self) {
        match (self.kind, &self.mock) {
            (Kind::Remote(Speaks::Modern), Some(mock)) => {
                mock.until(|mock| mock.gone() >= 1).await;
            }
            (_, Some(mock)) => {
                let told = |seen: &Seen| seen.at("/method") == "notifications/cancelled";
                mock.until(|mock| mock.seen().iter().any(told)).await;
            }
            (_, None) => {
                self.until_seen(|seen| {
                    seen["cancelled"].as_array().is_some_and(|ids| !ids.is_empty())
                })
                .await;
            }
        }
    }

    async fn until_seen(&self, done: impl Fn(&Value) -> bool) {
        while !done(&value(&call(&self.connector, "seen", "{}").await.unwrap())) {}
    }
}

/// The parts of a connector on this machine.
pub(super) fn parts(secrets: &[(&str, &str)]) -> Parts {
    let secret = |(name, value): &(&str, &str)| {
        ((*name).to_owned(), tidegate_model::Secret::new((*value).to_owned()))
    };
    Parts {
        egress: Egress::new(Resolver::System, None).unwrap(),
        secrets: secrets.iter().map(secret).collect(),
        environment: BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("GATEWAY_SECRET".to_owned(), "canary".to_owned()),
        ]),
        vault: None,
        org: "default".to_owned(),
        machines: Some(Arc::new(Machines::new())),
    }
}

/// Machines on this computer, with a data directory that is gone with them.
#[derive(Debug)]
pub(super) struct Machines {
    local: Local,
    data: PathBuf,
    _dir: tempfile::TempDir,
}

impl Machines {
    pub(super) fn new() -> Self {
        Self::with(Mechanisms::detect("/usr/bin:/bin"), None)
    }

    /// With these mechanisms and, where it is given, this data directory.
    pub(super) fn with(mechanisms: Mechanisms, data: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data.unwrap_or_else(|| dir.path().to_owned());
        let exe = std::env::current_exe().unwrap();
        let settings = LocalSettings::beside(&exe, &data, mechanisms);
        assert!(settings.bridge.is_some(), "build it: cargo build --workspace --bins");
        Self { local: Local::new(settings), data, _dir: dir }
    }

    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.data.clone()
    }
}

impl Backend for Machines {
    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Machine, MachineError>> {
        self.local.start(spec)
    }

    fn stop<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        self.local.stop(id)
    }

    fn list(&self) -> Vec<String> {
        self.local.list()
    }

    fn protection(&self) -> String {
        self.local.protection()
    }
}

/// A description of the server behind `mock`.
pub(super) fn at(mock: &Mock) -> RemoteSpec {
    on_loopback(mock.url())
}

/// A description of a server on this machine.
pub(super) fn on_loopback(url: String) -> RemoteSpec {
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    RemoteSpec { allow, ..RemoteSpec::at(url) }
}

/// A description of the server as a child process.
pub(super) fn peer(era: Speaks, more: &[&str]) -> HostedSpec {
    let exe = std::env::current_exe().unwrap();
    let program: PathBuf = exe.parent().unwrap().parent().unwrap().join("examples/stdio_peer");
    assert!(program.exists(), "build it: cargo build -p tidegate-upstream --examples");
    let era = if era == Speaks::Legacy { "legacy" } else { "modern" };
    let args = std::iter::once(era).chain(more.iter().copied()).map(str::to_owned);
    HostedSpec::command(program.to_str().unwrap(), args)
}

/// Serves the scripted server over HTTP.
pub(super) async fn serve(era: Speaks) -> Mock {
    let server = Mutex::new(Server::new(era));
    Mock::start(move |seen, _| {
        let message: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        if seen.method == "GET" && era == Speaks::Legacy {
            let followed = |seen: &Seen| seen.at("/method") == "resources/subscribe";
            let mut acts = vec![Act::stream(), Act::Met(followed)];
            let told = server::tells(&serde_json::json!({}), &["test://one".into()]);
            acts.extend(told.iter().map(act));
            acts.push(Act::Hang);
            return acts;
        }
        if seen.method != "POST" {
            return vec![Act::reply(405, &[], "")];
        }
        let opening = matches!(message["method"].as_str(), Some("initialize" | "server/discover"));
        if era == Speaks::Legacy && !opening && seen.header("mcp-session-id") != Some("s1") {
            return vec![Act::reply(400, &[], "no session")];
        }
        let mut steps = server.lock().unwrap().take(&message);
        if message["method"] == "resources/subscribe" {
            // The rest is for the stream of the session.
            steps.truncate(1);
        }
        if message["id"].is_null() || message["method"].is_null() {
            return vec![Act::accepted()];
        }
        acts(&steps, opening && era == Speaks::Legacy)
    })
    .await
}

fn acts(steps: &[Step], session: bool) -> Vec<Act> {
    let mut headers = vec![("content-type", "application/json")];
    if session {
        headers.push(("mcp-session-id", "s1"));
    }
    match steps {
        [Step::Say(message)] => vec![Act::reply(200, &headers, &message.to_string())],
        [Step::Junk(text)] => vec![Act::reply(200, &headers, text)],
        [Step::Die] => vec![Act::Close],
        [Step::Hang] => vec![Act::Hang],
        steps => {
            let mut acts = vec![Act::stream()];
            acts.extend(steps.iter().map(act));
            acts.push(Act::end());
            acts
        }
    }
}

fn act(step: &Step) -> Act {
    match step {
        Step::Say(message) => Act::event(&message.to_string()),
        Step::Junk(text) => Act::event(text),
        Step::Answered(id) => Act::Answered(id.clone()),
        Step::Die => Act::Close,
        Step::Hang => Act::Hang,
    }
}
