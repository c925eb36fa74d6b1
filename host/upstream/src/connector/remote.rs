//! `remote`: an MCP server at a URL, over Streamable HTTP of either era or HTTP+SSE.
//!
//! The credential's header is attached last, and only if the origin that is dialled is the
//! one it is bound to.

mod way;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderName, HeaderValue};
use tidegate_model::{Answer, Call, ConnectorId};
use tidegate_wire::client::{
    Peer, PeerError, PeerInfo, egress::Rules, http::HttpSettings, sse::SseSettings,
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, Era, Exchange, Health, Listed, OpenError, Parts,
    RemoteSpec, Round, Transport, Update, Wanted, conversation, features, list::Source,
    listener::Listener, operation::Request,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, CredentialError, Injection, Refused, is_reserved},
};

use way::Way;

/// Longest a renewal may take before a server is listened to.
const LISTENING: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Remote {
    id: ConnectorId,
    credential: Arc<Credential>,
    way: Arc<Way>,
    listener: Listener,
    extensions: BTreeSet<String>,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

impl Remote {
    pub(super) fn open(
        id: ConnectorId,
        spec: &RemoteSpec,
        parts: &Parts,
    ) -> Result<Self, OpenError> {
        let rules = Rules {
            allow: spec.allow.clone(),
            connect_timeout: spec.connect_timeout,
            ..Rules::default()
        };
        let destination = parts.egress.destination(&spec.url, rules).map_err(OpenError::Url)?;
        let origin = destination.origin().clone();
        let secret = |reference: &str| parts.secrets.get(reference).cloned();
        let vault = parts.vault.as_ref();
        let credential =
            Credential::new(id.clone(), Some(origin), &spec.credential, vault, secret)?;
        let streamable = HttpSettings {
            era: spec.era.fixed(),
            headers: fixed_headers(spec)?,
            probe_timeout: spec.probe_timeout,
            answer_limit: spec.answer_limit,
            ..HttpSettings::default()
        };
        let sse = SseSettings {
            name: id.as_str().to_owned(),
            headers: streamable.headers.clone(),
            answer_limit: spec.answer_limit,
            ..SseSettings::default()
        };
        let transport = match spec.transport {
            // Modern servers are never of the older kind.
            Transport::Auto if spec.era == Era::Modern => Transport::StreamableHttp,
            transport => transport,
        };
        Ok(Self {
            id,
            credential: Arc::new(credential),
            way: Arc::new(Way::new(destination, streamable, sse, transport)),
            listener: Listener::new(),
            extensions: spec.extensions.clone(),
        })
    }

    fn headers(&self, injection: &Injection) -> Result<Headers, ConnectorError> {
        let dialled = self.way.origin();
        let headers = injection.headers_for(dialled).map_err(|_| ConnectorError::WrongOrigin)?;
        Ok(headers.to_vec())
    }

    fn source<'a>(&'a self, peer: &'a Peer, headers: &'a Headers) -> Source<'a> {
        Source { peer, connector: &self.id, headers }
    }

    async fn send(
        &self,
        call: &Call,
        injection: &Injection,
        exchange: Exchange,
    ) -> Result<Answer, ConnectorError> {
        let exchange = features::narrowed(exchange, &self.extensions);
        let request = Request::new(call, &exchange);
        let headers = self.headers(injection)?;
        let (peer, stale) = (self.way.peer(), self.way.changes());
        let source = self.source(&peer, &headers);
        let outcome = conversation::carry_out(source, &request, stale).await;
        let outcome = match &outcome {
            Ok(_) => outcome,
            Err(error) => match self.way.instead(&peer, error, &headers).await {
                Some(peer) => {
                    let source = self.source(&peer, &headers);
                    conversation::carry_out(source, &request, stale).await
                }
                None => outcome,
            },
        };
        self.mind_refusal(injection, outcome.as_ref().err()).await?;
        outcome
    }

    /// Sees to it that a credential which the server does not take is renewed or asked for.
    /// An error where somebody has to bring another one.
    async fn mind_refusal(
        &self,
        injection: &Injection,
        error: Option<&ConnectorError>,
    ) -> Result<(), CredentialError> {
        let Some(ConnectorError::Peer(PeerError::Unauthorized { status, challenge })) = error
        else {
            return Ok(());
        };
        let refused = Refused { status: *status, challenge: challenge.as_deref().map(Into::into) };
        match self.credential.refused(injection, &refused).await {
            Err(error @ CredentialError::Wanted { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(connector = %self.id, %error, "a refused credential cannot be noted");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn read(&self, proof: &Maintenance) -> Result<Listed, ConnectorError> {
        let injection = self.credential.maintain(proof).await?;
        let headers = self.headers(&injection)?;
        let features = |info: &PeerInfo| features::read(info, &self.extensions);
        let peer = self.way.peer();
        let outcome = self.source(&peer, &headers).read(features, proof.deadline()).await;
        let list = match &outcome {
            Ok(_) => outcome,
            Err(error) => match self.way.instead(&peer, error, &headers).await {
                Some(peer) => self.source(&peer, &headers).read(features, proof.deadline()).await,
                None => outcome,
            },
        };
        self.mind_refusal(&injection, list.as_ref().err()).await?;
        let list = list?;
        let way = Arc::clone(&self.way);
        let credential = Arc::clone(&self.credential);
        self.listener.begin(move |_| {
            let (way, credential) = (Arc::clone(&way), Arc::clone(&credential));
            async move {
                let injection = credential.to_listen(Instant::now() + LISTENING).await?;
                let headers = injection.headers_for(way.origin());
                let headers = headers.map_err(|_| ConnectorError::WrongOrigin)?.to_vec();
                Ok((way.peer(), headers))
            }
        });
        Ok(list)
    }
}

impl Connector for Remote {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(&'a self, proof: &'a Maintenance) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        self.read(proof).boxed()
    }

    fn call(
        &self,
        armed: Armed,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        let (call, injection, _) = armed.into_parts();
        async move { self.send(&call, &injection, exchange).await }.boxed()
    }

    fn health(&self) -> Health {
        Health { info: self.way.current().info(), ..Health::default() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.way.changes().subscribe()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.listener.updates()
    }

    fn follow(&self, wanted: Wanted) -> Round {
        self.listener.follow(features::followed(wanted, &self.extensions))
    }

    fn release(&self, affinity: Affinity) {
        self.way.current().release(affinity);
    }

    fn roots_changed(&self, affinity: Affinity) {
        self.way.current().roots_changed(affinity);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.listener.end();
            // A session belongs to its credential: the server may ask for it once more.
            let farewell = self.credential.farewell();
            let headers = self.headers(&farewell).unwrap_or_default();
            self.way.close(&headers).await;
        }
        .boxed()
    }
}

fn fixed_headers(spec: &RemoteSpec) -> Result<Headers, OpenError> {
    spec.headers
        .iter()
        .map(|(name, value)| {
            let bad = || OpenError::Header(name.clone());
            let parsed: HeaderName = name.parse().map_err(|_| bad())?;
            let is_secret = parsed == http::header::AUTHORIZATION || parsed == http::header::COOKIE;
            if is_reserved(&parsed) || is_secret {
                return Err(bad());
            }
            Ok((parsed, HeaderValue::from_str(value).map_err(|_| bad())?))
        })
        .collect()
}
