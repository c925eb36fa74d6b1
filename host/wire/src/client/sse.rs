//! A legacy MCP server over HTTP with server sent events (revision 2024-11-05).
//!
//! A GET opens a stream whose first event names the URL that messages are posted to; every
//! answer and everything else comes on the stream. One such connection serves one client:
//! its affinity, what it can do, and the headers that opened it, so that neither state nor
//! credential nor question of one client meets another. The gateway's own requests have a
//! connection of their own. A lost connection fails the calls under way on it; the next
//! request opens another.

mod connection;
mod pool;
mod posts;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tidegate_model::Answer;
use tokio::sync::{mpsc, watch};

use super::{
    Affinity, Heard, Notification, Outgoing, PeerError, PeerInfo, Profile, Wanted,
    egress::Destination,
};

pub(super) use posts::Posts;

use connection::Connection;
use pool::{Key, Lease, Pool, Slot};

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseSettings {
    /// Its name in the log.
    pub name: String,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time for opening the stream and for `initialize` together.
    pub setup_timeout: Duration,
    /// The largest event in bytes.
    pub answer_limit: usize,
    /// The most connections at once; one that is not in use makes room for another.
    pub connections: usize,
    /// How long a connection is kept without a request on it.
    pub keep_idle: Duration,
}

impl Default for SseSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            headers: Vec::new(),
            setup_timeout: Duration::from_secs(20),
            answer_limit: 16 << 20,
            connections: 256,
            keep_idle: Duration::from_secs(600),
        }
    }
}

type Headers = [(HeaderName, HeaderValue)];

/// A server at one URL.
#[derive(Debug)]
pub struct SsePeer {
    destination: Destination,
    settings: SseSettings,
    pool: Arc<Pool>,
    info: RwLock<Option<Arc<PeerInfo>>>,
    changes: watch::Sender<u64>,
}

impl SsePeer {
    /// A server that nothing was sent to yet.
    pub fn new(destination: Destination, settings: SseSettings) -> Self {
        Self {
            pool: Arc::new(Pool::new(settings.connections, settings.keep_idle)),
            destination,
            settings,
            info: RwLock::new(None),
            changes: watch::Sender::new(0),
        }
    }

    /// Opens the gateway's own connection, to find out whether the server is of this kind.
    /// One that is not is an error at once: a status other than success, another content
    /// type, or a first event other than `endpoint`. One that says nothing is given up after
    /// [`SseSettings::setup_timeout`].
    pub async fn connect(
        destination: Destination,
        settings: SseSettings,
        headers: &Headers,
    ) -> Result<Self, PeerError> {
        let peer = Self::new(destination, settings);
        let slot = peer.slot(None, headers)?;
        peer.connection(&slot).await?;
        drop(slot);
        Ok(peer)
    }

    /// Asks and waits for the answer; opens the connection of the client first where there
    /// is none. The headers of the request are part of what tells connections apart: they
    /// open it and go with every message on it.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        let slot = self.slot(Some(outgoing), outgoing.headers)?;
        let connection = self.connection(&slot).await?;
        match connection.channel.request(outgoing).await {
            // The server does not know the connection any more, and did not look further.
            Err(PeerError::Status { status: 404, .. }) => {
                connection.channel.close();
                self.connection(&slot).await?.channel.request(outgoing).await
            }
            outcome => outcome,
        }
    }

    /// Follows what the server tells on the gateway's own connection; see
    /// [`super::Peer::listen`]. Beyond a thousand notifications that `sink` has not taken,
    /// more are lost.
    pub async fn listen(
        &self,
        wanted: watch::Receiver<Wanted>,
        headers: &Headers,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let slot = self.slot(None, headers)?;
        let connection = self.connection(&slot).await?;
        connection.channel.listen(wanted, sink).await
    }

    /// Ends the connections of `affinity`; calls under way on them fail.
    pub fn release(&self, affinity: Affinity) {
        self.pool.release(affinity);
    }

    /// Tells the server on the connections of `affinity` that the roots have changed.
    pub fn roots_changed(&self, affinity: Affinity) {
        for connection in self.pool.of(affinity) {
            connection.channel.roots_changed(affinity);
        }
    }

    /// What the server said about itself when the gateway's own connection was set up, else
    /// any.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts list changes and new connections of the gateway's own.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends all connections; calls under way fail.
    pub fn close(&self) {
        self.pool.close();
    }

    /// The slot of whoever asks; without a request the gateway's own.
    fn slot(&self, outgoing: Option<&Outgoing<'_>>, headers: &Headers) -> Result<Lease, PeerError> {
        let exchange = outgoing.and_then(|outgoing| outgoing.exchange);
        let (affinity, profile) =
            exchange.map_or((None, Profile::ALL), |client| (client.affinity, client.can.profile));
        self.pool.lease(Key { affinity, profile, headers: headers.to_vec() })
    }

    /// The connection of a slot; opened by the first who needs it while the others wait.
    async fn connection(&self, slot: &Slot) -> Result<Arc<Connection>, PeerError> {
        let mut place = slot.connection.lock().await;
        if let Some(connection) = place.as_ref().filter(|held| !held.channel.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        *place = None;
        let (key, changes) = (&slot.key, self.changes.clone());
        let opened = Connection::open(&self.destination, &self.settings, slot, changes);
        let connection = Arc::new(opened.await?);
        let is_own = key.affinity.is_none() && key.profile == Profile::ALL;
        {
            let mut info = self.info.write().unwrap_or_else(PoisonError::into_inner);
            if is_own || info.is_none() {
                *info = connection.channel.info();
            }
        }
        if is_own {
            self.changes.send_modify(|count| *count += 1);
        }
        *place = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl Drop for SsePeer {
    fn drop(&mut self) {
        self.pool.close();
    }
}

#[cfg(test)]
mod tests;
