//! What a legacy server tells of its own accord, over the stream of the gateway's own
//! session; and the choice between the eras.

use std::sync::Arc;

use http::StatusCode;
use tidegate_model::Answer;
use tokio::sync::{mpsc, watch};

use super::{
    Headers, HttpPeer,
    answer::{Ending, Kind, is_withdrawal, kind},
    feed::Feed,
    link::Link,
    pool::OWN,
    questions::Questions,
    session::Session,
};
use crate::{
    client::{
        Heard, Member, Notification, Outgoing, PeerError, Wanted,
        inbound::{self, Inbound},
        wanted::Tells,
    },
    mcp::method::Method,
};

/// Takes what is announced beside the stream for as long as somebody listens.
struct Listening<'a>(&'a Link);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listens(None);
    }
}

impl HttpPeer {
    /// Follows what the server tells of its own accord; see [`super::super::Peer::listen`].
    pub async fn listen(
        &self,
        wanted: watch::Receiver<Wanted>,
        headers: &Headers,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let session = self.session(OWN, headers).await?;
        let visit = session.enter(self.link.next_id(), None, headers);
        self.link.listens(Some(sink.clone()));
        let listening = Listening(&self.link);
        let heard = if session.is_legacy() {
            self.listen_legacy(&session, wanted, headers, sink).await
        } else {
            self.listen_modern(&session, wanted, headers, sink).await
        };
        drop((listening, visit));
        heard
    }

    async fn listen_legacy(
        &self,
        session: &Arc<Session>,
        wanted: watch::Receiver<Wanted>,
        headers: &Headers,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let tells = Tells::of(&session.info);
        if !tells.any() {
            return Ok(Heard::Nothing);
        }
        let reply = self.link.get(session, None).await?;
        match reply.status {
            StatusCode::METHOD_NOT_ALLOWED => return Ok(Heard::Nothing),
            StatusCode::NOT_FOUND => {
                self.forget(session, OWN);
                return Ok(Heard::Ended);
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(PeerError::Unauthorized(status.as_u16()));
            }
            status if !status.is_success() => {
                return Err(PeerError::Status { status: status.as_u16(), error: None });
            }
            _ => {}
        }
        if !matches!(kind(&reply.headers)?, Kind::Stream) {
            return Ok(Heard::Nothing);
        }
        let feed = Feed::new(&self.link, session, reply.body);
        tokio::select! {
            heard = self.follow(session, feed, sink) => heard,
            gone = self.keep_subscribed(session, wanted, headers), if tells.updates => gone,
        }
    }

    async fn follow(
        &self,
        session: &Arc<Session>,
        mut feed: Feed,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        let mut questions = Questions::new(&self.link, session);
        loop {
            match questions.beside(feed.next()).await {
                Ok(Some(Inbound::Notification(note))) if is_withdrawal(&note) => {}
                Ok(Some(Inbound::Notification(note))) if inbound::is_announcement(&note) => {
                    if inbound::is_list_change(&note) {
                        self.link.tick();
                    }
                    // A sink that nobody empties any more is no reason to stop counting.
                    drop(questions.beside(sink.send(note)).await);
                }
                Ok(Some(Inbound::Notification(_) | Inbound::Answer(..))) => {}
                // No client is behind this session.
                Ok(Some(Inbound::Question(asked))) => drop(questions.take(asked, None)),
                Ok(None) | Err(PeerError::Closed) => return Ok(Heard::Ended),
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps just the wanted resources subscribed, for as long as the session lives.
    async fn keep_subscribed(
        &self,
        session: &Arc<Session>,
        mut wanted: watch::Receiver<Wanted>,
        headers: &Headers,
    ) -> Result<Heard, PeerError> {
        loop {
            let resources = wanted.borrow_and_update().resources.clone();
            for (yes, uri) in session.to_subscribe(&resources) {
                let method =
                    if yes { Method::SubscribeResource } else { Method::UnsubscribeResource };
                let outgoing = Outgoing {
                    method: method.name(),
                    params: &[("uri", Member::Text(&uri))],
                    headers,
                    ..Outgoing::default()
                };
                match self.plain(session, &outgoing).await {
                    Ok(Ending::Answer(Answer::Result(_))) => {}
                    Ok(Ending::Answer(Answer::Error(_))) => {
                        tracing::debug!(method = method.name(), %uri, "the server refused");
                    }
                    Ok(Ending::Again(_)) => {
                        self.forget(session, OWN);
                        return Ok(Heard::Ended);
                    }
                    Err(error) => return Err(error),
                }
                session.subscribed(yes, uri);
            }
            if wanted.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
