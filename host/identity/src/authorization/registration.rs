//! Dynamic client registration (RFC 7591).
//!
//! Owns the rows of clients that registered themselves, and how many there may be: a quota by
//! address and hour, one for everybody, a total, and a day for those that nobody uses. There
//! is no registration access token (RFC 7592): what is registered cannot be changed by its
//! client, only forgotten. In the store's table `client`: `"registered" ‖ 0 ‖ client id`, JSON.

mod quota;
mod row;

use std::{net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Secret, Timestamp};
use serde::Serialize;
use tidegate_model as model;
use tidegate_store::{Batch, Expect, MAX_VALUE, Op, Put, Record, Scan, StoreError, Table};

use super::client::{
    ApplicationType, BadMetadata, Client, ClientAuthentication, ClientId, ClientKeys,
    ClientMetadata, Clients, GrantType, RegisteredEntry, SecretHash, WantedAuthentication, object,
};
use super::jwks::PublicKeys;
use crate::{Ground, Settings};
use quota::Quota;
use row::Stored;

pub use quota::{PER_HOUR, PER_SOURCE, TOTAL};

/// The most bytes of a request.
pub const MAX_REQUEST: usize = 16 << 10;
/// What the ids of clients that registered themselves begin with.
const PREFIX: &str = "dyn_";
/// How long one is kept that nobody uses.
const UNUSED: Duration = Duration::from_secs(24 * 3_600);
/// How long one is kept after its last use, at least.
const USED: Duration = Duration::from_secs(90 * 86_400);
/// How often a use is written down.
const DAY: Duration = Duration::from_secs(86_400);

/// Why a client is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationRefused {
    /// The settings do not allow it: the endpoint is not there.
    #[error("clients cannot register themselves here: ask an administrator to add the client")]
    Off,
    /// What it says of itself is not taken.
    #[error(transparent)]
    Metadata(#[from] BadMetadata),
    /// Too many of late.
    #[error("too many clients have registered of late: try again later")]
    TooMany {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// No more fit.
    #[error("no more clients can register: an administrator must remove some")]
    Full,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random,
}

/// A client that has just registered.
#[derive(Debug)]
pub struct Registered {
    /// The client.
    pub client: Arc<Client>,
    /// The answer's JSON (RFC 7591 section 3.2.1). Holds the secret, if there is one, for the
    /// only time.
    pub answer: Secret,
}

/// The answer to a registration.
#[derive(Serialize)]
struct Answer<'a> {
    client_id: &'a str,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Required with a secret; never ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    client_name: &'a str,
    redirect_uris: Vec<&'a str>,
    application_type: ApplicationType,
    token_endpoint_auth_method: &'a str,
    grant_types: &'a [GrantType],
    response_types: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<KeySetAnswer<'a>>,
}

/// The client's own keys, as they were understood.
#[derive(Serialize)]
struct KeySetAnswer<'a> {
    keys: &'a PublicKeys,
}

/// The clients of one organisation that registered themselves.
#[derive(Debug)]
pub(super) struct Registrations {
    ground: Ground,
    quota: Quota,
}

impl Clients {
    /// Registers a client that sent `body` from the address `source`.
    pub async fn register(
        &self,
        settings: &Settings,
        source: IpAddr,
        body: &[u8],
    ) -> Result<Registered, RegistrationRefused> {
        if !settings.dynamic_registration {
            return Err(RegistrationRefused::Off);
        }
        let metadata = ClientMetadata::read(object(body, MAX_REQUEST)?)?;
        self.registrations.register(metadata, source).await
    }
}

impl Registrations {
    pub(super) fn new(ground: Ground) -> Self {
        Self { ground, quota: Quota::default() }
    }

    async fn register(
        &self,
        metadata: ClientMetadata,
        source: IpAddr,
    ) -> Result<Registered, RegistrationRefused> {
        let now = self.ground.clock.now();
        let (authentication, secret) = authentication(&metadata)?;
        let id = format!("{PREFIX}{}", random::<16>()?.expose());
        let id = ClientId::new(&id).map_err(|_| RegistrationRefused::Random)?;
        let stored = Stored::new(&metadata, &authentication, now);
        let value = stored.write();
        if value.len() > MAX_VALUE {
            return Err(BadMetadata::metadata("the metadata is too large to be kept").into());
        }
        self.quota.take(source, now)?;
        self.quota.count(&self.ground).await?;
        let put = self.put(&id, value, now.after(UNUSED), Expect::Absent);
        self.ground.store.commit(Batch::new().with(put)).await?;
        self.quota.add();
        let client = stored.client(id);
        let answer = answer(&client, secret.as_ref(), now);
        Ok(Registered { client: Arc::new(client), answer })
    }

    fn put(&self, id: &ClientId, value: Vec<u8>, expires: Timestamp, expect: Expect) -> Op {
        Op::Put(Put {
            table: Table::Client,
            org: self.ground.issuer.org().clone(),
            key: row::key(id),
            value,
            schema: row::SCHEMA,
            expires: Some(expires),
            expect,
        })
    }

    async fn read(&self, id: &ClientId) -> Result<Option<Record>, StoreError> {
        if !id.as_str().starts_with(PREFIX) || id.as_str().len() > 64 {
            return Ok(None);
        }
        let org = self.ground.issuer.org();
        let found = self.ground.store.get(Table::Client, org, &row::key(id)).await?;
        let now = self.ground.clock.now();
        Ok(found.filter(|record| record.expires.is_none_or(|end| end > now)))
    }

    pub(super) async fn find(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let record = self.read(id).await?;
        Ok(record.and_then(|record| Stored::read(&record)).map(|it| it.client(id.clone())))
    }

    /// Keeps it for another while. Two uses at once write it once.
    pub(super) async fn used(&self, settings: &Settings, id: &ClientId) -> Result<(), StoreError> {
        let now = self.ground.clock.now();
        let Some(record) = self.read(id).await? else { return Ok(()) };
        let Some(mut stored) = Stored::read(&record) else { return Ok(()) };
        if stored.used.is_some_and(|used| used.after(DAY) > now) {
            return Ok(());
        }
        stored.used = Some(now);
        // It must outlive whatever was granted through it.
        let kept = USED.max(settings.grant_idle.saturating_add(DAY * 2));
        let expect = Expect::Version(record.version);
        let put = self.put(id, stored.write(), now.after(kept), expect);
        match self.ground.store.commit(Batch::new().with(put)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<RegisteredEntry>, StoreError> {
        let scan = Scan {
            prefix: row::PREFIX.to_vec(),
            after: after.map(row::key),
            limit,
            ..Scan::all(Table::Client, self.ground.issuer.org())
        };
        let rows = self.ground.store.scan(scan).await?;
        let now = self.ground.clock.now();
        let entry = |row: tidegate_store::Row| {
            let expires = row.record.expires;
            let stored =
                Stored::read(&row.record).filter(|_| expires.is_none_or(|end| end > now))?;
            let (created, used) = (stored.created, stored.used);
            let client = Arc::new(stored.client(row::id(&row.key)?));
            Some(RegisteredEntry { client, created, used, expires })
        };
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    pub(super) async fn remove(&self, id: &ClientId) -> Result<bool, StoreError> {
        if self.read(id).await?.is_none() {
            return Ok(false);
        }
        let org = self.ground.issuer.org();
        let batch = Batch::new().delete(Table::Client, org, &row::key(id));
        self.ground.store.commit(batch).await?;
        self.quota.subtract();
        Ok(true)
    }
}

/// How the client proves who it is, and the secret to tell it.
fn authentication(
    metadata: &ClientMetadata,
) -> Result<(ClientAuthentication, Option<Secret>), RegistrationRefused> {
    let is_key = matches!(metadata.authentication, WantedAuthentication::PrivateKey);
    if metadata.jwks_uri.is_some() {
        let sentence = "`jwks_uri` is not taken from clients that register: send `jwks`";
        return Err(BadMetadata::metadata(sentence).into());
    }
    if is_key {
        let sentence = "`private_key_jwt` needs the client's public keys: send `jwks`";
        let keys = metadata.jwks.clone().ok_or_else(|| BadMetadata::metadata(sentence))?;
        return Ok((ClientAuthentication::PrivateKey(ClientKeys::Here(keys)), None));
    }
    if matches!(metadata.authentication, WantedAuthentication::None) {
        return Ok((ClientAuthentication::None, None));
    }
    let secret = Secret::new(format!("tgs_{}", random::<32>()?.expose()));
    let hash = SecretHash::of(secret.expose());
    let authentication = match metadata.authentication {
        WantedAuthentication::SecretPost => ClientAuthentication::SecretPost(hash),
        _ => ClientAuthentication::SecretBasic(hash),
    };
    Ok((authentication, Some(secret)))
}

fn random<const N: usize>() -> Result<Secret, RegistrationRefused> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| RegistrationRefused::Random)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

fn answer(client: &Client, secret: Option<&Secret>, now: Timestamp) -> Secret {
    let has_code = client.may(GrantType::AuthorizationCode);
    let jwks = match &client.authentication {
        ClientAuthentication::PrivateKey(ClientKeys::Here(keys)) => Some(KeySetAnswer { keys }),
        _ => None,
    };
    let answer = Answer {
        jwks,
        client_id: client.id.as_str(),
        client_id_issued_at: now.as_millis() / 1_000,
        client_secret: secret.map(Secret::expose),
        client_secret_expires_at: secret.map(|_| 0),
        client_name: &client.name,
        redirect_uris: client.redirect_uris.iter().map(|uri| uri.as_str()).collect(),
        application_type: client.application_type,
        token_endpoint_auth_method: client.authentication.name(),
        grant_types: &client.grant_types,
        response_types: if has_code { &["code"] } else { &[] },
        client_uri: client.uri.as_deref(),
    };
    Secret::new(serde_json::to_string(&answer).unwrap_or_default())
}

#[cfg(test)]
mod tests;
