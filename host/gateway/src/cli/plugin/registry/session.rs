//! Requests to one registry: authentication when it is asked for, redirects of blobs.
//!
//! A credential goes to the registry or to the token service that it names, over TLS or
//! within the machine, and never along with a redirect.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tidegate_model::Secret;
use tidegate_wire::client::egress::{
    AddressPolicy, Destination, Egress, Origin, Reply, Rules, StreamRequest,
};
use zeroize::Zeroizing;

use super::{Access, Reference, challenge::Challenge};

/// How many redirects are followed.
const REDIRECTS: usize = 3;
/// Longest wait for the head of an answer.
const HEAD: Duration = Duration::from_secs(30);
/// Largest answer of a token service.
const TOKEN: usize = 1 << 20;

/// A conversation with a registry.
#[derive(Debug)]
pub(super) struct Session {
    egress: Arc<Egress>,
    registry: Destination,
    rules: Rules,
    credential: Option<Secret>,
    authorization: Option<HeaderValue>,
}

/// A place to get something from.
#[derive(Debug)]
struct Spot {
    destination: Destination,
    path: PathAndQuery,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session {
    /// Prepares one; nothing is sent yet.
    pub(super) fn open(
        reference: &Reference,
        access: &Access,
        egress: &Arc<Egress>,
    ) -> anyhow::Result<Self> {
        let allow = AddressPolicy {
            loopback: access.allow_private,
            private: access.allow_private,
            ..AddressPolicy::default()
        };
        let rules = Rules { allow, head_timeout: Some(HEAD), ..Rules::default() };
        let scheme = if access.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/", reference.host());
        let registry = egress.destination(&url, rules.clone())?;
        let credential = access.credential()?;
        Ok(Self { egress: Arc::clone(egress), registry, rules, credential, authorization: None })
    }

    /// Gets a path of the registry; what it asks for is shown to it, redirects are followed.
    pub(super) async fn get(
        &mut self,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> anyhow::Result<Reply> {
        let spot = Spot { destination: self.registry.clone(), path: path.parse()? };
        let mut reply = self.send(&spot, headers).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            self.authorize(&reply.headers).await?;
            reply = self.send(&spot, headers).await?;
        }
        if matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!("the registry refuses; name a credential with --registry-auth env:NAME");
        }
        self.follow(spot, reply).await
    }

    async fn send(
        &self,
        spot: &Spot,
        headers: &[(HeaderName, HeaderValue)],
    ) -> anyhow::Result<Reply> {
        let mut all: HeaderMap = headers.iter().cloned().collect();
        all.extend(self.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
        spot.get(all).await
    }

    /// Follows what a registry says about where its blobs are, without its credential.
    async fn follow(&self, from: Spot, reply: Reply) -> anyhow::Result<Reply> {
        let (mut spot, mut reply) = (from, reply);
        for _ in 0..REDIRECTS {
            if !matches!(reply.status.as_u16(), 301..=303 | 307 | 308) {
                return Ok(reply);
            }
            let location = reply.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
            let location = location.context("the registry redirects and does not say where to")?;
            let next = if location.starts_with('/') && !location.starts_with("//") {
                Spot { destination: spot.destination.clone(), path: location.parse()? }
            } else {
                self.spot(location)?
            };
            let (before, after) = (spot.destination.origin(), next.destination.origin());
            if before.is_tls() && !after.is_tls() {
                bail!("the registry redirects to `{after}`, without encryption");
            }
            reply = next.get(HeaderMap::new()).await?;
            spot = next;
        }
        bail!("the registry redirects again and again")
    }

    fn spot(&self, url: &str) -> anyhow::Result<Spot> {
        let (_, path) = Origin::split(url)?;
        Ok(Spot { destination: self.egress.destination(url, self.rules.clone())?, path })
    }

    /// Makes the header that the registry asks for.
    async fn authorize(&mut self, headers: &HeaderMap) -> anyhow::Result<()> {
        let asked = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let asked = asked.filter_map(|value| Challenge::read(value.to_str().ok()?)).next();
        let asked = asked.context("the registry asks for a sign-in that is not known here")?;
        let value = match asked {
            Challenge::Basic => self.basic().context(
                "the registry asks for a credential; name one with --registry-auth env:NAME",
            )?,
            Challenge::Bearer { realm, parameters } => self.token(&realm, &parameters).await?,
        };
        self.authorization = Some(value);
        Ok(())
    }

    fn basic(&self) -> Option<HeaderValue> {
        let encoded = Zeroizing::new(STANDARD.encode(self.credential.as_ref()?.expose()));
        sensitive(&format!("Basic {}", *encoded))
    }

    /// A token of the service that the registry names.
    async fn token(
        &self,
        realm: &str,
        parameters: &[(String, String)],
    ) -> anyhow::Result<HeaderValue> {
        let mut url = realm.to_owned();
        for (name, value) in parameters {
            let mark = if url.contains('?') { '&' } else { '?' };
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            url.push_str(&format!("{mark}{name}={value}"));
        }
        let service = self.spot(&url).context("the registry names no token service")?;
        let origin = service.destination.origin();
        if self.registry.origin().is_tls() && !origin.is_tls() {
            bail!("the registry's token service `{origin}` would be reached without encryption");
        }
        let mut headers = HeaderMap::new();
        headers.extend(self.basic().map(|value| (header::AUTHORIZATION, value)));
        let reply = service.get(headers).await?;
        if reply.status != StatusCode::OK {
            bail!("the token service `{origin}` answers with status {}", reply.status);
        }
        let body = reply.body.collect(TOKEN).await?;
        let token: Token = serde_json::from_slice(&body)
            .with_context(|| format!("the token service `{origin}` gives no token"))?;
        let token = token.token.or(token.access_token).map(Zeroizing::new);
        let value = token.and_then(|token| sensitive(&format!("Bearer {}", *token)));
        value.with_context(|| format!("the token service `{origin}` gives no token"))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Spot {
    async fn get(&self, headers: HeaderMap) -> anyhow::Result<Reply> {
        let request = StreamRequest {
            method: Method::GET,
            path: self.path.clone(),
            headers,
            body: Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync(),
            connect_timeout: None,
            head_timeout: None,
        };
        Ok(self.destination.stream(request).await?)
    }
}
