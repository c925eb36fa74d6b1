//! The stream of one client's session at a legacy server, for what the server does not tie
//! to a request.
//!
//! Open while a client that can be asked, or wants log lines, has calls under way, and a
//! little longer. Questions go to the call that began last; without one they are refused.
//! What is missed between two streams is missed: only calls under way matter here.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    answer::{Kind, is_withdrawal, kind},
    feed::Feed,
    link::Link,
    questions::Questions,
    session::{Ear, Session},
};
use crate::client::{
    Exchange, Notification, Profile,
    inbound::{self, Inbound},
};

/// How long a call waits for the stream to be open, before it is sent all the same.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long the stream is kept without calls.
const LINGER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
/// How often the stream is opened again before it is left to the next call.
const TRIES: u32 = 8;

/// Sees that the session is listened to while a call of `exchange` is under way in it, as
/// far as that is of any use.
pub(super) async fn open_for(link: &Arc<Link>, session: &Arc<Session>, exchange: &Exchange) {
    let can_be_met = exchange.can.profile != Profile::NONE || exchange.level.is_some();
    let has_stream = session.is_legacy() && session.personal && session.id.is_some();
    if !can_be_met
        || !has_stream
        || exchange.events.is_none()
        || link.streamless.load(Ordering::Relaxed)
    {
        return;
    }
    let mut ear = session.ear(|| {
        let (opened, open) = watch::channel(false);
        let task = listen(Arc::clone(link), Arc::clone(session), opened);
        Ear { task: tokio::spawn(task).abort_handle(), open }
    });
    if link.late.load(Ordering::Relaxed) {
        return;
    }
    // An ear that gave up counts as open: there is nothing to wait for.
    if timeout(HEAD_START, ear.open.wait_for(|open| *open)).await.is_err() {
        link.late.store(true, Ordering::Relaxed);
    }
}

async fn listen(link: Arc<Link>, session: Arc<Session>, opened: watch::Sender<bool>) {
    let quiet = async {
        loop {
            sleep(LINGER).await;
            if session.gives_up_ear(LINGER) {
                return;
            }
        }
    };
    tokio::select! {
        () = quiet => {}
        () = follow_on(&link, &session, &opened) => {}
    }
}

async fn follow_on(link: &Arc<Link>, session: &Arc<Session>, opened: &watch::Sender<bool>) {
    for _ in 0..TRIES {
        let reply = match link.get(session, None).await {
            Ok(reply) => reply,
            Err(error) => return tracing::debug!(%error, "a session cannot be listened to"),
        };
        let is_stream = matches!(kind(&reply.headers), Ok(Kind::Stream));
        match reply.status {
            status if status.is_success() && is_stream => {}
            status if is_final(status) => return link.streamless.store(true, Ordering::Relaxed),
            status => return tracing::debug!(%status, "a session cannot be listened to"),
        }
        opened.send_replace(true);
        follow(link, session, Feed::new(link, session, reply.body)).await;
        sleep(PAUSE).await;
    }
}

/// Whether the server says so that it has no such stream for anybody. It is believed until
/// the gateway's own session begins anew. (400 may be about the session alone: servers built
/// on older SDK examples say it of one that they do not know.)
fn is_final(status: StatusCode) -> bool {
    let refused =
        [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_ACCEPTABLE, StatusCode::NOT_IMPLEMENTED];
    status.is_success() || refused.contains(&status)
}

async fn follow(link: &Arc<Link>, session: &Arc<Session>, mut feed: Feed) {
    let mut questions = Questions::new(link, session);
    loop {
        match questions.beside(feed.next()).await {
            Ok(Some(Inbound::Notification(note))) if is_withdrawal(&note) => {
                questions.withdraw(&note);
            }
            Ok(Some(Inbound::Notification(note))) => note_aside(link, session, note),
            Ok(Some(Inbound::Question(asked))) => {
                if let Err(fault) = questions.take(asked, session.latest()) {
                    tracing::debug!(%fault, "a question is left without an answer");
                }
            }
            Ok(Some(Inbound::Answer(..))) => {
                tracing::debug!("an answer came apart from its request; ignored");
            }
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "a session is not heard any more"),
        }
    }
}

/// A notification that came apart from any request.
fn note_aside(link: &Link, session: &Session, note: Notification) {
    if inbound::is_list_change(&note) {
        // Which list it was, the gateway's own session hears too.
        link.tick();
    } else if inbound::is_announcement(&note) {
        link.announce(note);
    } else {
        let call = match inbound::progress_token(&note) {
            Some(id) => session.call(id),
            None if note.method == "notifications/progress" => None,
            None => session.latest(),
        };
        if let Some(call) = call {
            call.exchange.tell(note);
        }
    }
}
