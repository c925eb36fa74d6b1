//! An MCP server that reads and writes lines, mostly a child process.
//!
//! Many requests of many clients run over one pair of streams, told apart by ids of our own
//! (`channel`). Lines that are no messages are counted and skipped. Buffers are
//! bounded on every side: a server that does not read makes its callers wait, one that
//! floods is read no further than it is dealt with.
//!
//! A legacy server has one session for everybody and is told of a client that can do all
//! that the gateway can carry; what a client cannot do is refused in its name.

pub(crate) mod child;
pub(crate) mod lines;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidegate_model::{Answer, Secret};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Affinity, Heard, Notification, Outgoing, PeerError, PeerInfo, Profile, Wanted,
    channel::Channel,
    handshake::{self, DISCOVER, MODERN, Probe},
};
use crate::mcp::{method::Method, revision::Era};

use child::Child;

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
    channel: Arc<Channel>,
    child: Option<Child>,
}

impl StdioPeer {
    /// Starts a process in a group of its own and sets the session up with it.
    ///
    /// Dropping the peer, or the future before it is done, ends the process group.
    pub async fn spawn(command: &Command, settings: &StdioSettings) -> Result<Self, PeerError> {
        let (child, stdin, stdout) = Child::spawn(command, &settings.name)?;
        let channel = lines::start(stdout, stdin, settings, child.stopping());
        Self { channel, child: Some(child) }.begun(settings).await
    }

    /// Sets a session up over two streams.
    pub async fn over(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        settings: &StdioSettings,
    ) -> Result<Self, PeerError> {
        let channel = lines::start(reader, writer, settings, Default::default());
        Self { channel, child: None }.begun(settings).await
    }

    /// Asks and waits for the answer. Questions of a legacy server meanwhile are put to the
    /// client of the call, as long as calls of no other client are under way.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        self.channel.request(outgoing).await
    }

    /// Follows what the server tells of its own accord; see [`super::Peer::listen`]. Beyond
    /// a thousand notifications that `sink` has not taken, more are lost: the streams are
    /// everybody's, and nobody's answer waits for them.
    pub async fn listen(
        &self,
        wanted: watch::Receiver<Wanted>,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        self.channel.listen(wanted, sink).await
    }

    /// The client behind `affinity` is gone. The process is not its own, so nothing ends but
    /// what is remembered of it.
    pub fn release(&self, affinity: Affinity) {
        self.channel.forget(affinity);
    }

    /// Tells a legacy server that the roots have changed, if `affinity` is the only one with
    /// calls under way, or without any the only one that ever had some: a server with one
    /// session for everybody would otherwise ask somebody else.
    pub fn roots_changed(&self, affinity: Affinity) {
        self.channel.roots_changed(affinity);
    }

    /// What the server said about itself.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        self.channel.info()
    }

    /// Counts list changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.channel.changes()
    }

    /// Whether its streams have ended.
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Lines that were no messages, or none that the era allows.
    pub fn junk_lines(&self) -> u64 {
        self.channel.junk()
    }

    /// Ends it: its stdin is closed, then its group gets SIGTERM, then SIGKILL. Returns when
    /// it is gone, within five seconds.
    pub async fn close(&self) {
        self.channel.stop();
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
        self.channel.settle(info);
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
        Ok(handshake::read_discover(&self.channel.ask(&DISCOVER, MODERN).await?))
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
        self.channel.initialize(Profile::ALL).await
    }
}

impl Drop for StdioPeer {
    fn drop(&mut self) {
        self.channel.stop();
    }
}

#[cfg(test)]
mod tests;
