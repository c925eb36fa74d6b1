//! One round of a modern client: from its request to its answer, or to what it is asked.
//!
//! Drives the call, writes what is told for this very request, and parks the call when it
//! asks. Dropping a round cancels the call.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tidegate_wire::{
    client::{Exchange, Notification, Profile},
    json::Raw,
    mcp::{Era, Level, OwnedId, method::Method},
};
use tokio::sync::mpsc;

use super::{
    super::{
        admit::{Admitted, nothing_here},
        respond::WAITING,
        running::{Ended, Running, failed, rejected, response},
    },
    Taking, event,
};
use crate::{
    call::{
        self, Done, Request, Target,
        hop::Related,
        park::{
            live::{Live, Step},
            table,
        },
    },
    gateway::Gateway,
    http::stream,
};

/// By how much the server's question outlives the parked call, so that the call is given up
/// as a whole and not answered in the client's place.
const GRACE: Duration = Duration::from_secs(30);

/// What comes next for the client.
#[derive(Debug)]
pub(super) enum Next {
    /// An event.
    Event(Bytes),
    /// Nothing so far.
    Quiet,
    /// The response.
    Over(Ended),
}

/// One round.
#[derive(Debug)]
pub(super) struct Round {
    gateway: Arc<Gateway>,
    admitted: Arc<Admitted>,
    target: Target,
    id: OwnedId,
    profile: Profile,
    patience: Duration,
    ear: Ear,
    /// The call, until it is over or parked.
    live: Option<Live>,
}

/// What this request wants to be told.
#[derive(Debug)]
struct Ear {
    token: Option<Box<str>>,
    level: Option<Level>,
}

impl Round {
    /// The first round: runs the operation.
    pub(super) fn begin(
        gateway: Arc<Gateway>,
        call: Running,
        exchange: Exchange,
        taking: Taking,
    ) -> Self {
        let Running { admitted, request, id, .. } = call;
        let (sender, inbox) = mpsc::channel(WAITING);
        let mut round = Self::over(gateway, admitted, &request, id, &exchange, taking);
        let mut exchange = Exchange {
            events: Some(sender),
            progress: round.ear.token.is_some(),
            level: round.ear.level,
            patience: exchange.patience + GRACE,
            ..exchange
        };
        if !may_ask(&request.target) {
            exchange.can.profile = Profile::NONE;
        }
        let (gateway, admitted) = (Arc::clone(&round.gateway), Arc::clone(&round.admitted));
        let running = async move {
            let vmcp = admitted.published().ok()?;
            // Whoever does not want it any more drops it.
            let never = std::future::pending();
            Some(call::run(&gateway, &admitted.context, vmcp, request, exchange, never).await)
        };
        round.live = Some(Live::new(Box::pin(running), inbox));
        round
    }

    /// A further round of a call that was parked.
    pub(super) fn again(
        gateway: Arc<Gateway>,
        call: Running,
        exchange: Exchange,
        live: Live,
        taking: Taking,
    ) -> Self {
        let Running { admitted, request, id, .. } = call;
        let round = Self::over(gateway, admitted, &request, id, &exchange, taking);
        Self { live: Some(live), ..round }
    }

    fn over(
        gateway: Arc<Gateway>,
        admitted: Admitted,
        request: &Request,
        id: OwnedId,
        exchange: &Exchange,
        taking: Taking,
    ) -> Self {
        let ear = match taking.events {
            true => Ear { token: taking.token, level: exchange.level },
            false => Ear { token: None, level: None },
        };
        Self {
            gateway,
            admitted: Arc::new(admitted),
            target: request.target.clone(),
            id,
            profile: exchange.can.profile,
            patience: exchange.patience,
            ear,
            live: None,
        }
    }

    /// What comes next; [`Next::Quiet`] where that takes longer than `quiet`. Not to be asked
    /// again after [`Next::Over`].
    pub(super) async fn next(&mut self, quiet: Duration) -> Next {
        loop {
            let Some(live) = &mut self.live else {
                return Next::Over(rejected(&self.id, &failed()));
            };
            match live.next(quiet).await {
                Step::Quiet => return Next::Quiet,
                Step::Told(note) => {
                    if let Some(message) = self.ear.message(&note) {
                        return Next::Event(event(&message));
                    }
                }
                Step::Asks => {
                    let Some(live) = self.live.take() else { continue };
                    match table::park(&self.gateway, self.round(), live).await {
                        Ok(result) => {
                            let id = self.id.borrow();
                            return Next::Over(Ended::result(id, &result));
                        }
                        Err(live) => self.live = Some(live),
                    }
                }
                Step::Ended(done) => {
                    self.live = None;
                    return Next::Over(self.ended(done));
                }
            }
        }
    }

    fn ended(&self, done: Option<Done>) -> Ended {
        let Some(Done { id, outcome }) = done else {
            return rejected(&self.id, &nothing_here());
        };
        let in_tool = matches!(self.target, Target::Tool { .. });
        response(self.id.borrow(), id, outcome, Era::Modern, in_tool)
    }

    fn round(&self) -> table::Round<'_> {
        table::Round {
            context: &self.admitted.context,
            vmcp: &self.admitted.vmcp,
            target: &self.target,
            profile: self.profile,
            patience: self.patience,
        }
    }
}

impl Ear {
    /// The message for the client; `None` where this request did not ask for it, or where its
    /// era has no such notification on a request's stream.
    fn message(&self, note: &Notification) -> Option<Vec<u8>> {
        let wanted = match Method::parse(&note.method) {
            // What is not of the core protocol is between the client and the server.
            None | Some(Method::Progress) => true,
            Some(Method::LogMessage) => {
                let level = Raw::from(&note.params).get("level").and_then(Raw::string);
                // A line without a known level counts as the most severe.
                let level = level.and_then(|name| Level::parse(&name)).unwrap_or(Level::Emergency);
                self.level.is_some_and(|least| level >= least)
            }
            Some(_) => false,
        };
        // Tasks of a legacy server are none of a modern client's.
        let message = || stream::message(note, self.token.as_deref(), Related::Unknown);
        wanted.then(message).flatten()
    }
}

/// Whether a server may ask its client while it carries this out (SEP-2322).
fn may_ask(target: &Target) -> bool {
    match target {
        Target::Tool { .. } | Target::Prompt { .. } | Target::Resource { .. } => true,
        Target::Complete { .. } | Target::Task { .. } => false,
    }
}
