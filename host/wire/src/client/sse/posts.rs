//! Messages to a server, each by a POST of its own beside the stream.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use tokio::{sync::mpsc, time::timeout};

use crate::client::{PeerError, egress::Destination};

/// Messages that nobody waits for and that may wait to be posted.
const QUEUE: usize = 64;
/// Time for each of them.
const ASIDE: Duration = Duration::from_secs(5);
/// The largest body of an acknowledgement that is read; what it says means nothing.
const BODY: usize = 64 * 1024;

/// Where messages are posted.
#[derive(Debug)]
pub(in crate::client) struct Posts {
    place: Arc<Place>,
    aside: mpsc::Sender<Vec<u8>>,
}

struct Place {
    destination: Destination,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Place {
    /// Leaves the headers out: they may hold a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("origin", self.destination.origin()).finish_non_exhaustive()
    }
}

impl Posts {
    /// Posts to `destination` with these headers; a task does so with what nobody waits for.
    pub(super) fn new(destination: Destination, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let place = Arc::new(Place { destination, headers });
        let (aside, queue) = mpsc::channel(QUEUE);
        tokio::spawn(post_aside(Arc::clone(&place), queue));
        Self { place, aside }
    }

    /// Posts a message and sees it taken. Dropping the future closes the connection.
    pub(in crate::client) async fn send(&self, message: Vec<u8>) -> Result<(), PeerError> {
        self.place.post(message.into()).await
    }

    /// The queue of messages that nobody waits for; they are posted one after the other.
    pub(in crate::client) fn aside(&self) -> &mpsc::Sender<Vec<u8>> {
        &self.aside
    }
}

impl Place {
    async fn post(&self, message: Bytes) -> Result<(), PeerError> {
        let reply = self.destination.send(&Method::POST, &self.headers, &message).await?;
        let status = reply.status.as_u16();
        match status {
            200..=299 => {}
            401 | 403 => return Err(PeerError::unauthorized(&reply)),
            _ => return Err(PeerError::Status { status, error: None }),
        }
        // Read, so that the connection can be used again; not more than a little.
        if let Err(error) = reply.body.collect(BODY).await {
            tracing::debug!(%error, "the body of an acknowledgement could not be read");
        }
        Ok(())
    }
}

async fn post_aside(place: Arc<Place>, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = queue.recv().await {
        match timeout(ASIDE, place.post(message.into())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a message was not taken"),
            Err(_) => tracing::debug!("a message was not taken in time"),
        }
    }
}
