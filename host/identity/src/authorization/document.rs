//! Clients that are known by a URL: client-ID metadata documents
//! (draft-ietf-oauth-client-id-metadata-document).
//!
//! Owns which URLs are taken, what the document there may say, and how long it is believed.
//! A document is fetched once for all who wait for it; a failure is remembered for half a
//! minute, so that nobody can make the gateway knock at a door again and again. While its
//! server is away, and only then, the document last seen serves for a day.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::Timestamp;
use tidegate_model as model;
use tidegate_wire::{
    client::egress::{AddressPolicy, EgressError},
    json::Raw,
};
use tokio::sync::{OnceCell, Semaphore};

use super::{
    client::{
        BadMetadata, Client, ClientAuthentication, ClientError, ClientId, ClientKeys, ClientKind,
        ClientMetadata, Clients, WantedAuthentication, object,
    },
    fetch::{FetchError, FetchRules, Fetched, fetch},
    jwks::KeySets,
    redirect::{Authority, BadRedirect, check_characters, check_path},
};
use crate::{Ground, Settings};

/// The most bytes of a document.
const MAX_BYTES: usize = 5 << 10;
/// For everything of one fetch.
const TIME: Duration = Duration::from_secs(3);
/// How long a failure is remembered.
const FAILED: Duration = Duration::from_secs(30);
/// How long a document serves whose server is away.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// The most documents kept.
const MAX_DOCUMENTS: usize = 1_024;
/// The most fetches at once.
const MAX_FETCHES: usize = 16;

/// Documents by URL.
#[derive(Debug)]
pub(super) struct Documents {
    kept: Mutex<HashMap<ClientId, Arc<Kept>>>,
    fetches: Semaphore,
}

/// One fetch, and what it gave.
#[derive(Debug)]
struct Kept {
    started: Timestamp,
    /// The client of an earlier one, and when that was.
    before: Option<(Arc<Client>, Timestamp)>,
    result: OnceCell<Got>,
}

#[derive(Debug)]
struct Got {
    /// With the moment at which its document was fetched.
    client: Result<(Arc<Client>, Timestamp), String>,
    until: Timestamp,
}

/// Why there is no client.
enum Missed {
    /// Its server did not answer: what it said last may still be true.
    Away(String),
    /// Its document is gone, or is not one that is taken.
    Refused(String),
}

impl Default for Documents {
    fn default() -> Self {
        Self { kept: Mutex::default(), fetches: Semaphore::new(MAX_FETCHES) }
    }
}

impl Documents {
    /// The client whose document is at the URL `id`.
    pub(super) async fn find(
        &self,
        ground: &Ground,
        key_sets: &KeySets,
        settings: &Settings,
        id: ClientId,
    ) -> Result<Arc<Client>, ClientError> {
        let host = check_url(id.as_str());
        let host = host.map_err(|why| ClientError::Unusable(format!("its id: {why}")))?;
        // Looked at each time, so that a host taken off the list is gone at once.
        let hosts = &settings.document_hosts;
        if !hosts.is_empty() && !hosts.iter().any(|trusted| trusted == host) {
            return Err(ClientError::Unknown);
        }
        let kept = self.join(&id, ground.clock.now());
        let work = || self.fetch(ground, key_sets, settings, (&id, &kept));
        let got = kept.result.get_or_init(work).await;
        got.client.clone().map(|(client, _)| client).map_err(ClientError::Unusable)
    }

    /// Whether finding this client would begin a fetch now.
    pub(super) fn would_fetch(&self, id: &ClientId, now: Timestamp) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id).is_none_or(|it| it.is_over(now))
    }

    /// The fetch to wait for: the last one, or a new one where that is over.
    fn join(&self, id: &ClientId, now: Timestamp) -> Arc<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(id).filter(|it| !it.is_over(now)) {
            return Arc::clone(found);
        }
        if kept.len() >= MAX_DOCUMENTS && !kept.contains_key(id) {
            kept.retain(|_, it| !it.is_over(now));
            make_room(&mut kept);
        }
        let before = kept.get(id).and_then(|it| it.result.get()?.client.clone().ok());
        let new = Arc::new(Kept { started: now, before, result: OnceCell::new() });
        kept.insert(id.clone(), Arc::clone(&new));
        new
    }

    async fn fetch(
        &self,
        ground: &Ground,
        key_sets: &KeySets,
        settings: &Settings,
        (id, kept): (&ClientId, &Kept),
    ) -> Got {
        let addresses = settings.document_addresses.clone();
        let allow = AddressPolicy { addresses, ..AddressPolicy::default() };
        let rules = FetchRules { allow: allow.clone(), limit: MAX_BYTES, time: TIME };
        let work = async {
            let _turn = self.fetches.acquire().await;
            fetch(&ground.egress, id.as_str(), &rules).await
        };
        // Waiting for a turn is part of the time.
        let outcome = tokio::time::timeout(TIME, work).await;
        let read = match outcome {
            Err(_) => Err(Missed::Away("its server took too long".to_owned())),
            Ok(Err(error)) => Err(Missed::of(&error)),
            Ok(Ok(Fetched { body, keep })) => {
                let set = |url: &str| key_sets.at(&ground.egress, &ground.clock, url, allow);
                let client = read(id, &body, set).map(|client| (client, keep));
                client.map_err(|bad| Missed::Refused(bad.to_string()))
            }
        };
        let now = ground.clock.now();
        let (why, before) = match read {
            Ok((client, keep)) => {
                return Got { client: Ok((Arc::new(client), now)), until: now.after(keep) };
            }
            Err(Missed::Away(why)) => (why, kept.before.clone()),
            Err(Missed::Refused(why)) => (why, None),
        };
        tracing::info!(client.id = %id, %why, "a client document is not taken");
        let before = before.filter(|(_, fetched)| now < fetched.after(GRACE));
        Got { client: before.ok_or(why), until: now.after(FAILED) }
    }
}

impl Kept {
    fn is_over(&self, now: Timestamp) -> bool {
        self.result.get().is_some_and(|got| got.until <= now)
    }
}

impl Missed {
    fn of(error: &FetchError) -> Self {
        let why = format!("its document cannot be fetched: {error}");
        match error {
            FetchError::Slow(_) | FetchError::Status(500..=599) => Self::Away(why),
            FetchError::Egress(
                EgressError::Connect { .. }
                | EgressError::Resolve { .. }
                | EgressError::Broken { .. }
                | EgressError::Head(_),
            ) => Self::Away(why),
            _ => Self::Refused(why),
        }
    }
}

/// Forgets a failure if there is one, the oldest document otherwise.
fn make_room(kept: &mut HashMap<ClientId, Arc<Kept>>) {
    if kept.len() < MAX_DOCUMENTS {
        return;
    }
    let worth = |it: &Kept| {
        let is_good = it.result.get().is_some_and(|got| got.client.is_ok());
        (is_good, it.started)
    };
    let least = kept.iter().min_by_key(|(_, it)| worth(it)).map(|(id, _)| id.clone());
    least.and_then(|id| kept.remove(&id));
}

impl Clients {
    /// Whether finding this client would fetch a document of others now, which takes up to
    /// three seconds and one of few places: whoever knows from where a request came bounds how
    /// many of these one source begins.
    pub fn would_fetch(&self, settings: &Settings, id: &str) -> bool {
        let is_document = settings.client_documents
            && !settings.clients.contains_key(id)
            && id.starts_with("https://")
            && check_url(id).is_ok();
        let id = Some(id).filter(|_| is_document).and_then(|id| ClientId::new(id).ok());
        id.is_some_and(|id| self.documents.would_fetch(&id, self.ground.clock.now()))
    }
}

/// The host of a URL that can be a client's id.
fn check_url(url: &str) -> Result<&str, BadRedirect> {
    check_characters(url)?;
    let rest = url.strip_prefix("https:").ok_or(BadRedirect::Scheme)?;
    let authority = Authority::read(rest)?;
    check_path(rest)?;
    if matches!(authority.rest.split('?').next(), None | Some("" | "/")) {
        return Err(BadRedirect::Path);
    }
    Ok(authority.host)
}

/// Reads the document that was found at `id`.
fn read(
    id: &ClientId,
    body: &[u8],
    set: impl FnOnce(&str) -> Arc<super::jwks::KeySet>,
) -> Result<Client, BadMetadata> {
    let object = object(body, MAX_BYTES)?;
    let says = object.get("client_id").and_then(Raw::string);
    if says.as_deref() != Some(id.as_str()) {
        return Err(BadMetadata::metadata("its `client_id` is not the URL it was fetched from"));
    }
    if object.members().any(|it| it.key.starts_with("client_secret")) {
        return Err(BadMetadata::metadata("a document that anybody can read holds no secret"));
    }
    let metadata = ClientMetadata::read(object)?;
    let authentication = match (&metadata.authentication, &metadata.jwks, &metadata.jwks_uri) {
        (WantedAuthentication::Unsaid | WantedAuthentication::None, ..) => {
            ClientAuthentication::None
        }
        (WantedAuthentication::PrivateKey, Some(keys), _) => {
            ClientAuthentication::PrivateKey(ClientKeys::Here(keys.clone()))
        }
        (WantedAuthentication::PrivateKey, None, Some(url)) => {
            check_url(url).map_err(|_| {
                BadMetadata::metadata("its `jwks_uri` is no `https` URL with a path")
            })?;
            ClientAuthentication::PrivateKey(ClientKeys::At(set(url)))
        }
        (WantedAuthentication::PrivateKey, None, None) => {
            return Err(BadMetadata::metadata("`private_key_jwt` needs `jwks` or `jwks_uri`"));
        }
        (WantedAuthentication::SecretBasic | WantedAuthentication::SecretPost, ..) => {
            return Err(BadMetadata::metadata(
                "a client of a document has no secret: use `none` or `private_key_jwt`",
            ));
        }
    };
    let host = check_url(id.as_str()).map(str::to_owned).ok();
    let name = metadata.name.clone().or(host).unwrap_or_else(|| metadata.name_or_host());
    Ok(Client {
        id: id.clone(),
        kind: ClientKind::Document,
        name,
        redirect_uris: metadata.redirect_uris,
        application_type: metadata.application_type,
        authentication,
        grant_types: metadata.grant_types,
        uri: metadata.uri,
        agent: None,
        vmcps: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
