//! What a legacy server tells of its own accord, over the stream of the gateway's own
//! session; and the choice between the eras.

use std::{pin::pin, sync::Arc};

use http::StatusCode;
use tidegate_model::Answer;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Headers, HttpPeer,
    answer::{Ending, Kind, is_withdrawal, kind},
    feed::Feed,
    link::{ASIDE, Link},
    pool::OWN,
    questions::Questions,
    session::Session,
};
use crate::{
    client::{
        Heard, Member, Notification, Outgoing, PeerError, Wanted,
        egress::Reply,
        inbound::{self, Inbound},
        trial::Trial,
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
        let mut getting = pin!(self.link.get(session, None));
        let early = timeout(self.link.settings.setup_timeout, &mut getting).await;
        let hearing = async {
            let reply = match early {
                Ok(reply) => reply?,
                // Some send the head of the stream with its first event.
                Err(_) => getting.await?,
            };
            self.hear(session, reply, sink).await
        };
        tokio::select! {
            biased;
            heard = hearing => heard,
            gone = self.keep_subscribed(session, wanted, headers), if tells.updates => gone,
        }
    }

    /// Follows the stream of the session, if this is one.
    async fn hear(
        &self,
        session: &Arc<Session>,
        reply: Reply,
        sink: &mpsc::Sender<Notification>,
    ) -> Result<Heard, PeerError> {
        match reply.status {
            StatusCode::METHOD_NOT_ALLOWED => return Ok(Heard::Nothing),
            StatusCode::NOT_FOUND => {
                self.forget(session, OWN);
                return Ok(Heard::Ended);
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(PeerError::unauthorized(&reply));
            }
            status if !status.is_success() => {
                return Err(PeerError::Status { status: status.as_u16(), error: None });
            }
            _ => {}
        }
        if !matches!(kind(&reply.headers)?, Kind::Stream) {
            return Ok(Heard::Nothing);
        }
        self.follow(session, Feed::new(&self.link, session, reply.body), sink).await
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

    /// Keeps just the wanted resources subscribed, for as long as the session lives. One
    /// that the server does not take, or not in time, holds up no other for long.
    async fn keep_subscribed(
        &self,
        session: &Arc<Session>,
        mut wanted: watch::Receiver<Wanted>,
        headers: &Headers,
    ) -> Result<Heard, PeerError> {
        let mut trial = Trial::begin(Tells::of(&session.info));
        let mut is_wishing = true;
        loop {
            let round = wanted.borrow_and_update().round.clone();
            let resources = trial.next(&wanted.borrow()).resources.clone();
            for (yes, uri) in session.to_subscribe(&resources) {
                let method =
                    if yes { Method::SubscribeResource } else { Method::UnsubscribeResource };
                let outgoing = Outgoing {
                    method: method.name(),
                    params: &[("uri", Member::Text(&uri))],
                    headers,
                    ..Outgoing::default()
                };
                match timeout(ASIDE, self.plain(session, &outgoing)).await {
                    Ok(Ok(Ending::Answer(Answer::Result(_)))) => {}
                    Ok(Ok(Ending::Again(_))) => {
                        self.forget(session, OWN);
                        return Ok(Heard::Ended);
                    }
                    outcome => {
                        let method = method.name();
                        tracing::debug!(method, %uri, ?outcome, "refused or not answered");
                        if yes {
                            trial.leave_out(uri);
                            continue;
                        }
                    }
                }
                session.subscribed(yes, uri);
            }
            round.settle();
            tokio::select! {
                changed = wanted.changed(), if is_wishing => is_wishing = changed.is_ok(),
                () = trial.again() => {}
            }
        }
    }
}
