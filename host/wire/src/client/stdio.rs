//! An MCP server that reads and writes lines, mostly a child process.
//!
//! Many requests run over one pair of streams, told apart by ids of our own. Lines that are
//! no messages are counted and skipped. Buffers are bounded on every side: a server that
//! does not read makes its callers wait, one that floods is read no further than it is
//! dealt with.

mod child;
mod lines;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidegate_model::{Answer, Secret};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use super::{
    Outgoing, PeerError, PeerInfo,
    handshake::{self, DISCOVER, MODERN, Probe},
    inbound,
};
use crate::mcp::{method::Method, revision::Era};

use child::Child;
use lines::Lines;

/// A program and all that it gets to see.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program: a path, or a name looked up in the `PATH` of `env`.
    pub program: String,
    /// Its arguments; no shell touches them.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, Secret)>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
}

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioSettings {
    /// Its name in the log.
    pub name: String,
    /// The era, where it shall not be found out.
    pub era: Option<Era>,
    /// Time for `server/discover` before `initialize` is tried.
    pub probe_timeout: Duration,
    /// Time for the whole set-up.
    pub setup_timeout: Duration,
    /// The largest message in bytes.
    pub answer_limit: usize,
}

/// A server that has been set up.
#[derive(Debug)]
pub struct StdioPeer {
    lines: Arc<Lines>,
    child: Option<Child>,
    info: OnceLock<Arc<PeerInfo>>,
}

impl StdioPeer {
    /// Starts a process in a group of its own and sets the session up with it.
    ///
    /// Dropping the peer, or the future before it is done, ends the process group.
    pub async fn spawn(command: &Command, settings: &StdioSettings) -> Result<Self, PeerError> {
        let (child, stdin, stdout) = Child::spawn(command, &settings.name)?;
        let lines = Lines::start(stdout, stdin, settings, child.stopping());
        Self { lines, child: Some(child), info: OnceLock::new() }.begun(settings).await
    }

    /// Sets a session up over two streams.
    pub async fn over(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        settings: &StdioSettings,
    ) -> Result<Self, PeerError> {
        let lines = Lines::start(reader, writer, settings, Default::default());
        Self { lines, child: None, info: OnceLock::new() }.begun(settings).await
    }

    /// Asks and waits for the answer.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        let revision = self.info.get().map_or(MODERN, |info| info.revision);
        let answer = self.lines.ask(outgoing, revision).await?;
        inbound::judge(&answer, revision, outgoing.exchange)?;
        Ok(answer)
    }

    /// What the server said about itself.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        self.info.get().cloned()
    }

    /// Counts list changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.lines.changes()
    }

    /// Whether its streams have ended.
    pub fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Lines that were no messages.
    pub fn junk_lines(&self) -> u64 {
        self.lines.junk()
    }

    /// Ends it: its stdin is closed, then its group gets SIGTERM, then SIGKILL. Returns when
    /// it is gone, within five seconds.
    pub async fn close(&self) {
        self.lines.stop();
        if let Some(child) = &self.child {
            child.gone().await;
        }
    }

    async fn begun(self, settings: &StdioSettings) -> Result<Self, PeerError> {
        let set_up = match settings.era {
            Some(Era::Legacy) => timeout(settings.setup_timeout, self.initialize()).await,
            Some(Era::Modern) => timeout(settings.setup_timeout, self.discover()).await,
            None => timeout(settings.setup_timeout, self.find_out(settings.probe_timeout)).await,
        };
        let info = match set_up {
            Ok(info) => info?,
            Err(_) => return Err(PeerError::Silent(Method::Initialize.name())),
        };
        tracing::debug!(
            connector = settings.name,
            revision = info.revision.name(),
            "session set up"
        );
        self.info.get_or_init(|| Arc::new(info));
        Ok(self)
    }

    async fn discover(&self) -> Result<PeerInfo, PeerError> {
        match self.probe().await? {
            Probe::Modern(info) => Ok(info),
            Probe::Foreign(versions) => Err(PeerError::Revision(versions)),
            Probe::Legacy => Err(PeerError::Revision(vec!["initialize".to_owned()])),
        }
    }

    async fn probe(&self) -> Result<Probe, PeerError> {
        Ok(handshake::read_discover(&self.lines.ask(&DISCOVER, MODERN).await?))
    }

    /// Modern first; legacy when that is not understood, or not answered. A server that is
    /// only slow to start may answer both: then the first answer of use counts.
    async fn find_out(&self, probe_timeout: Duration) -> Result<PeerInfo, PeerError> {
        let mut probe = std::pin::pin!(self.probe());
        let found = match timeout(probe_timeout, &mut probe).await {
            Ok(found) => found?,
            Err(_) => {
                let mut legacy = std::pin::pin!(self.initialize());
                tokio::select! {
                    info = &mut legacy => match info {
                        Err(PeerError::Refused { .. } | PeerError::Revision(_)) => probe.await?,
                        settled => return settled,
                    },
                    found = &mut probe => match found? {
                        Probe::Legacy => return legacy.await,
                        found => found,
                    },
                }
            }
        };
        match found {
            Probe::Modern(info) => Ok(info),
            Probe::Foreign(versions) => Err(PeerError::Revision(versions)),
            Probe::Legacy => self.initialize().await,
        }
    }

    async fn initialize(&self) -> Result<PeerInfo, PeerError> {
        let values = handshake::initialize_params();
        let params = handshake::initialize_members(&values);
        let method = Method::Initialize.name();
        let outgoing = Outgoing { method, params: &params, ..Outgoing::default() };
        let answer =
            self.lines.ask(&outgoing, crate::mcp::revision::Revision::LATEST_LEGACY).await?;
        let info = handshake::read_initialize(&answer)?;
        self.lines.tell(handshake::initialized()).await?;
        Ok(info)
    }
}

impl Drop for StdioPeer {
    fn drop(&mut self) {
        self.lines.stop();
    }
}

#[cfg(test)]
mod tests;
