//! How answers travel: who answers which client, and what both eras share.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tidegate_identity::Resource;
use tidegate_model::{Json, OrgId, VmcpId};
use tidegate_wire::{
    client::Exchange,
    mcp::{Id, OwnedId, code, envelope},
    server::{self, Accept, Rejection},
};
use tokio_util::sync::CancellationToken;

use super::{
    Place,
    admit::Admitted,
    legacy,
    modern::{self, Taking},
    running::{self, Running},
};
use crate::{
    call::{
        Request,
        methods::{self, Reply, Spoken},
        park::ParkedId,
    },
    gateway::Gateway,
    session::Session,
};

/// How long a call may be quiet before its answer becomes a stream that can be kept alive.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Notifications that may wait for a slow client; further ones are dropped.
pub(super) const WAITING: usize = 64;

/// A whole body.
pub(super) fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(Body::from)
}

/// A result, at once.
pub(super) fn result(id: Option<Id<'_>>, result: &Json) -> Response<Body> {
    let Some(id) = id else { return whole(server::accepted()) };
    let mut text = Vec::with_capacity(result.len() + 64);
    envelope::result(&mut text, id, result);
    whole(server::json(StatusCode::OK, Bytes::from(text)))
}

/// 401, the same for every reason and whether there is such a virtual MCP or not; only whether
/// a credential was presented makes a difference.
pub(super) fn sign_in(gateway: &Gateway, place: Place<'_>, presented: bool) -> Response<Body> {
    let words = "a valid access token or API key is needed in `Authorization: Bearer`";
    let rejection = Rejection::new(StatusCode::UNAUTHORIZED, code::SERVER_ERROR, words);
    let mut response = whole(rejection.respond(None));
    // What cannot be the name of one has no metadata.
    let named = OrgId::new(place.org).ok().zip(VmcpId::new(place.vmcp).ok());
    let challenge = named.and_then(|(org, vmcp)| gateway.challenge(&org, &Resource::Vmcp(vmcp)));
    let challenge = challenge.map(|challenge| match presented {
        true => challenge.invalid(),
        false => challenge.missing(),
    });
    let challenge = challenge.and_then(|text| HeaderValue::from_str(&text).ok());
    let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer realm=\"tidegate\""));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// An operation on its way to an answer.
pub(super) struct Calling {
    call: Running,
    /// The client behind it.
    exchange: Exchange,
    /// The session, and the token by which it cancels this call.
    session: Option<(Arc<Session>, CancellationToken)>,
    /// The client's progress token, as JSON text.
    token: Option<Box<str>>,
    /// Whether the client takes events.
    events: bool,
}

impl Calling {
    /// Takes a call on; refused where its id is in use in the session.
    pub(super) fn new(
        admitted: Admitted,
        request: Request,
        spoken: &Spoken<'_>,
        id: Id<'_>,
        accept: Accept,
    ) -> Result<Self, Rejection> {
        let id = id.into_owned();
        let session = match &spoken.session {
            None => None,
            Some(session) => {
                Some((Arc::clone(session), session.begin(id.clone()).ok_or_else(in_use)?))
            }
        };
        Ok(Self {
            exchange: methods::exchange(&admitted.context, &admitted.vmcp, spoken),
            call: Running { admitted, request, revision: spoken.revision, id },
            session,
            token: spoken.meta.progress_token.map(|token| token.as_str().into()),
            events: accept.events,
        })
    }

    /// Goes on with a parked call of a modern client, whose questions get `responses`.
    pub(super) async fn resume(
        self,
        gateway: Arc<Gateway>,
        parked: ParkedId,
        responses: Json,
    ) -> Response<Body> {
        let Self { call, exchange, token, events, .. } = self;
        let taking = Taking { token, events };
        modern::resume(gateway, call, exchange, (parked, responses), taking).await
    }

    /// Runs the call and answers in the way of the client's era.
    pub(super) async fn respond(self, gateway: Arc<Gateway>) -> Response<Body> {
        let Self { call, exchange, session, token, events } = self;
        match session {
            None => modern::respond(gateway, call, exchange, Taking { token, events }).await,
            Some(session) => legacy::respond(gateway, call, exchange, session, token, events).await,
        }
    }
}

/// The answer to one message of a batch; `None` where it gets none.
pub(super) async fn in_batch(
    gateway: &Arc<Gateway>,
    admitted: &Admitted,
    spoken: &Spoken<'_>,
    incoming: &methods::Incoming<'_>,
) -> Option<Vec<u8>> {
    let id = incoming.message.id();
    let rejected = |id: OwnedId, rejection| Some(running::rejected(&id, &rejection).text);
    let vmcp = match admitted.published() {
        Ok(vmcp) => vmcp,
        Err(rejection) => return rejected(id?.into_owned(), rejection),
    };
    match methods::dispatch(gateway, &admitted.context, vmcp, spoken, incoming).await {
        Err(rejection) => rejected(id?.into_owned(), rejection),
        // Batches are of one legacy revision, which knows neither.
        Ok(Reply::Accepted | Reply::Listen | Reply::Resume(..)) => None,
        Ok(Reply::Result(result)) => {
            let mut text = Vec::new();
            envelope::result(&mut text, id?, &result);
            Some(text)
        }
        Ok(Reply::Call(request)) => {
            let (id, session) = (id?.into_owned(), spoken.session.clone()?);
            let Some(cancelled) = session.begin(id.clone()) else {
                return rejected(id, in_use());
            };
            let (admitted, revision) = (admitted.clone(), spoken.revision);
            // The answers travel together, so nothing can be asked before them.
            let exchange =
                legacy::unasked(methods::exchange(&admitted.context, &admitted.vmcp, spoken));
            let call = Running { admitted, request: *request, revision, id };
            let ended =
                legacy::detached(call, Arc::clone(gateway), exchange, session, cancelled).await;
            Some(ended.text)
        }
    }
}

fn in_use() -> Rejection {
    Rejection::invalid("a request with this id is under way in this session; use another id")
}
