//! `remote`: an MCP server at a URL, over Streamable HTTP of either era.
//!
//! The credential's header is attached last, and only if the origin that is dialled is the
//! one it is bound to.

mod listener;

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderName, HeaderValue};
use tidegate_model::{Answer, Call, ConnectorId, Operation};
use tidegate_wire::{
    client::{
        Member, Outgoing, Peer,
        egress::Rules,
        http::{HttpPeer, HttpSettings},
    },
    json::Raw,
    mcp::{header::HeaderParams, method::Method},
};
use tokio::sync::{broadcast, watch};

use super::{
    Affinity, Connector, ConnectorError, Exchange, Health, Listed, OpenError, Parts, RemoteSpec,
    Update, list,
};
use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, Injection, is_reserved},
};

#[derive(Debug)]
pub(super) struct Remote {
    updates: broadcast::Sender<Update>,
    id: ConnectorId,
    credential: Credential,
    http: Arc<HttpPeer>,
    peer: Peer,
    listener: Listener,
}

use listener::Listener;

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
        let credential = Credential::new(id.clone(), origin, &spec.credential, secret)?;
        let settings = HttpSettings {
            era: spec.era.fixed(),
            headers: fixed_headers(spec)?,
            probe_timeout: spec.probe_timeout,
            answer_limit: spec.answer_limit,
            ..HttpSettings::default()
        };
        let http = Arc::new(HttpPeer::new(destination, settings));
        Ok(Self {
            updates: broadcast::Sender::new(64),
            id,
            credential,
            peer: Peer::Http(Arc::clone(&http)),
            http,
            listener: Listener::default(),
        })
    }

    fn headers(&self, injection: &Injection) -> Result<Headers, ConnectorError> {
        let dialled = self.http.destination().origin();
        let header = injection.header_for(dialled).map_err(|_| ConnectorError::WrongOrigin)?;
        Ok(header.map(|(name, value)| (name.clone(), value.clone())).into_iter().collect())
    }

    async fn send(
        &self,
        call: &Call,
        injection: &Injection,
        exchange: Exchange,
    ) -> Result<Answer, ConnectorError> {
        let Operation::CallTool(tool_call) = &call.operation else {
            return Err(ConnectorError::Closed);
        };
        let name = tool_call.tool.name.as_str();
        let arguments = &tool_call.arguments;
        let mut headers = self.headers(injection)?;
        // Legacy servers do not know these headers and ignore them.
        if let Ok(mirrored) = HeaderParams::compile(Raw::from(&tool_call.tool.input_schema)) {
            headers.extend(mirrored.headers(Some(Raw::from(arguments))));
        }
        let outgoing = Outgoing {
            method: Method::CallTool.name(),
            params: &[("name", Member::Text(name)), ("arguments", Member::Json(arguments))],
            meta: call.meta.as_ref(),
            name: Some(name),
            headers: &headers,
            trace: Some(&call.trace),
            exchange: Some(&exchange),
            given: call.given.as_ref(),
        };
        Ok(self.http.request(&outgoing).await?)
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
        async move {
            let headers = self.headers(&self.credential.maintain(proof))?;
            let list = list::read(&self.peer, &self.id, &headers).await?;
            self.listener.begin(&self.http, headers);
            Ok(list)
        }
        .boxed()
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
        Health { info: self.http.info(), ..Health::default() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.http.changes()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    fn follow(&self, _wanted: BTreeSet<Box<str>>) {}

    fn release(&self, _affinity: Affinity) {}

    fn roots_changed(&self, _affinity: Affinity) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.listener.end();
            // A session belongs to its credential: the server may ask for it once more.
            let farewell = self.credential.farewell();
            let headers = self.headers(&farewell).unwrap_or_default();
            self.http.close(&headers).await;
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
