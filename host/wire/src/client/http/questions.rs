//! Questions of a legacy server, put to the client while reading goes on.
//!
//! Bounded on every side: so many at once, so many in one call, and none outlives its call.
//! Which call a question belongs to is for whoever reads the stream.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tidegate_model::{Answer, Json};

use super::{
    link::Link,
    session::{Session, UnderWay},
};
use crate::{
    client::{
        Notification,
        inbound::{self, Asked},
        peer::Fault,
    },
    json::Raw,
    mcp::{code, envelope::OwnedId, method::Method, peek::CancelledParams},
};

/// The most questions of one stream that clients are asked at once.
const AT_ONCE: usize = 16;
/// The most questions during one call.
const IN_ONE_CALL: usize = 64;

/// The questions that came over one stream and are not answered yet.
pub(super) struct Questions {
    link: Arc<Link>,
    session: Arc<Session>,
    asking: FuturesUnordered<BoxFuture<'static, u64>>,
    running: Vec<(u64, OwnedId, AbortHandle)>,
    count: u64,
}

impl Questions {
    pub(super) fn new(link: &Arc<Link>, session: &Arc<Session>) -> Self {
        Self {
            link: Arc::clone(link),
            session: Arc::clone(session),
            asking: FuturesUnordered::new(),
            running: Vec::new(),
            count: 0,
        }
    }

    /// Waits for `work`, and asks meanwhile.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(over) = self.asking.next(), if !self.asking.is_empty() => {
                    self.running.retain(|(number, ..)| *number != over);
                }
            }
        }
    }

    /// Puts a question to the client behind `call`, or answers it where it concerns no
    /// client. An error when the server has asked more during that call than anyone needs.
    pub(super) fn take(&mut self, asked: Asked, call: Option<UnderWay>) -> Result<(), Fault> {
        let method = Method::parse(&asked.method).filter(|method| {
            matches!(method, Method::CreateMessage | Method::Elicit | Method::ListRoots)
        });
        let (Some(method), Some(call)) = (method, call) else {
            self.answer_now(&asked.id, &inbound::own_answer(&asked.method));
            return Ok(());
        };
        if call.asked.fetch_add(1, Ordering::Relaxed) >= IN_ONE_CALL {
            return Err(Fault::TooManyRequests);
        }
        if self.running.iter().any(|(_, id, _)| *id == asked.id) {
            tracing::debug!(id = %asked.id, "the server asks twice under one id; the first counts");
        } else if self.running.len() >= AT_ONCE {
            self.answer_now(&asked.id, &busy());
        } else {
            self.put(method, asked, call);
        }
        Ok(())
    }

    /// The server does not want to know any more, where the notification says so.
    pub(super) fn withdraw(&mut self, note: &Notification) {
        let params = CancelledParams::read(Some(Raw::from(&note.params)));
        let Some(id) = params.ok().and_then(|params| params.request_id) else { return };
        for (_, asked, handle) in &self.running {
            if asked.borrow() == id {
                handle.abort();
            }
        }
    }

    fn put(&mut self, method: Method, asked: Asked, call: UnderWay) {
        self.count += 1;
        let number = self.count;
        let (handle, registration) = AbortHandle::new_pair();
        let (link, session) = (Arc::clone(&self.link), Arc::clone(&self.session));
        let id = asked.id.clone();
        let asking = async move {
            let answer = tokio::select! {
                answer = call.exchange.ask(method, asked.params) => answer,
                () = call.ended.cancelled() => return,
            };
            // What was answered arrives, even if the call is over before it is sent.
            let leave = link.turn().await;
            link.aside(&session, inbound::response(&asked.id, &answer), leave, "an answer");
        };
        let asking = Abortable::new(asking, registration).map(move |_| number);
        self.asking.push(asking.boxed());
        self.running.push((number, id, handle));
    }

    /// Answers at once, or not at all while too much is on its way: a server that asks and
    /// does not take answers gets none.
    fn answer_now(&self, id: &OwnedId, answer: &Answer) {
        match self.link.leave() {
            Some(leave) => {
                let reply = inbound::response(id, answer);
                self.link.aside(&self.session, reply, Some(leave), "an answer");
            }
            None => tracing::debug!(%id, "a question is left without an answer"),
        }
    }
}

fn busy() -> Answer {
    let text = format!(
        r#"{{"code":{},"message":"too many questions at once; ask again after an answer"}}"#,
        code::INTERNAL_ERROR
    );
    Answer::Error(Json::from_checked(text.into()))
}
