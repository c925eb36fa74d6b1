//! Which transport leads to a server at a URL.
//!
//! Streamable HTTP of either era comes first. Where it is not understood at all, HTTP+SSE
//! (2024-11-05) is tried; what worked is kept until it fails.

use std::sync::{Arc, Once, PoisonError, RwLock};

use http::{HeaderName, HeaderValue};
use tidegate_wire::client::{
    Peer, PeerError,
    egress::{Destination, Origin},
    http::{HttpPeer, HttpSettings},
    peer::Fault,
    sse::{SsePeer, SseSettings},
};
use tokio::sync::{Mutex, watch};

use crate::connector::{ConnectorError, Transport};

/// A server at a URL, by whichever transport it takes.
#[derive(Debug)]
pub(super) struct Way {
    destination: Destination,
    settings: SseSettings,
    transport: Transport,
    http: Arc<HttpPeer>,
    sse: RwLock<Option<Arc<SsePeer>>>,
    finding: Mutex<()>,
    changes: watch::Sender<u64>,
    begun: Once,
}

impl Way {
    /// Nothing is sent yet. With [`Transport::Auto`] HTTP+SSE is looked for where Streamable
    /// HTTP is not understood.
    pub(super) fn new(
        destination: Destination,
        streamable: HttpSettings,
        settings: SseSettings,
        transport: Transport,
    ) -> Self {
        let http = Arc::new(HttpPeer::new(destination.clone(), streamable));
        let sse = (transport == Transport::Sse)
            .then(|| Arc::new(SsePeer::new(destination.clone(), settings.clone())));
        Self {
            destination,
            settings,
            transport,
            http,
            sse: RwLock::new(sse),
            finding: Mutex::default(),
            changes: watch::Sender::new(0),
            begun: Once::new(),
        }
    }

    /// The origin that is dialled.
    pub(super) fn origin(&self) -> &Origin {
        self.destination.origin()
    }

    /// The server, by the transport that is known to work, or that comes first.
    pub(super) fn current(&self) -> Peer {
        let sse = self.sse.read().unwrap_or_else(PoisonError::into_inner).clone();
        sse.map_or_else(|| Peer::Http(Arc::clone(&self.http)), Peer::Sse)
    }

    /// [`Way::current`], to be asked something: from now on its ticks are counted.
    pub(super) fn peer(&self) -> Peer {
        let peer = self.current();
        self.begun.call_once(|| {
            self.forward(self.http.changes());
            if let Peer::Sse(sse) = &peer {
                self.forward(sse.changes());
            }
        });
        peer
    }

    /// The server by another transport, after a request to `tried` failed with `error`; none
    /// where the failure stands.
    pub(super) async fn instead(
        &self,
        tried: &Peer,
        error: &ConnectorError,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Option<Peer> {
        let ConnectorError::Peer(error) = error else { return None };
        match (self.transport, tried) {
            (Transport::Auto, Peer::Http(_)) if matches!(error, PeerError::NotStreamable(_)) => {
                self.find(headers).await
            }
            // Perhaps another server has taken its place: the next request finds out.
            (Transport::Auto, Peer::Sse(failed)) if is_other_server(error) => {
                let mut sse = self.sse.write().unwrap_or_else(PoisonError::into_inner);
                sse.take_if(|held| Arc::ptr_eq(held, failed));
                None
            }
            _ => None,
        }
    }

    /// Looks whether the server speaks HTTP+SSE. Of several who want to know, one looks.
    async fn find(&self, headers: &[(HeaderName, HeaderValue)]) -> Option<Peer> {
        let _finding = self.finding.lock().await;
        if let found @ Peer::Sse(_) = self.peer() {
            return Some(found);
        }
        let opened = SsePeer::connect(self.destination.clone(), self.settings.clone(), headers);
        match opened.await {
            Ok(found) => {
                let found = Arc::new(found);
                self.forward(found.changes());
                self.changes.send_modify(|count| *count += 1);
                *self.sse.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&found));
                Some(Peer::Sse(found))
            }
            Err(error) => {
                tracing::debug!(%error, "the server does not speak HTTP+SSE either");
                None
            }
        }
    }

    /// Counts the times that lists may have changed, whichever way that was heard.
    pub(super) fn changes(&self) -> &watch::Sender<u64> {
        &self.changes
    }

    /// Ends sessions and connections.
    pub(super) async fn close(&self, headers: &[(HeaderName, HeaderValue)]) {
        let sse = self.sse.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sse) = sse {
            sse.close();
        }
        self.http.close(headers).await;
    }

    /// Passes the ticks of a peer on for as long as it lives.
    fn forward(&self, mut news: watch::Receiver<u64>) {
        let changes = self.changes.clone();
        let mut known = *news.borrow_and_update();
        tokio::spawn(async move {
            while news.changed().await.is_ok() {
                let now = *news.borrow_and_update();
                changes.send_modify(|count| *count += now.saturating_sub(known));
                known = now;
            }
        });
    }
}

/// Whether an error of HTTP+SSE says that something else answers at the URL by now.
fn is_other_server(error: &PeerError) -> bool {
    match error {
        PeerError::Status { status, .. } => matches!(status, 400 | 404 | 405),
        PeerError::Protocol(Fault::ContentType(_) | Fault::Stream(_)) => true,
        _ => false,
    }
}
