//! The keys that access tokens are signed with.
//!
//! Ed25519, one in use at a time. Rows of table `grant`: `"signing" ‖ 0 ‖ kid` holds a key,
//! `"signer"` names the one in use, so that two processes that start at once agree by one
//! comparison. A key that was replaced still verifies until every token it signed is over.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use ed25519_dalek::{SigningKey, VerifyingKey};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_model as model;
use tidegate_store::{Expect, Table};

use super::{
    error::AuthorizationError,
    rows::{Rows, value},
    spelling,
    token::LONGEST,
};

pub(crate) const PREFIX: &[u8] = b"signing\0";
const SIGNER: &[u8] = b"signer";
const WHAT: &str = "signing key";

/// How long a key signs.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long it verifies afterwards.
const AFTERLIFE: Duration = LONGEST.saturating_add(Duration::from_secs(600));

#[derive(Serialize, Deserialize)]
struct KeyRow {
    #[serde(with = "spelling::key")]
    seed: spelling::key::Key,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Signer {
    kid: String,
}

/// All keys at one moment.
pub(crate) struct Keys {
    pub(crate) kid: String,
    pub(crate) signer: SigningKey,
    created: Timestamp,
    /// Each with the moment from which it verifies nothing.
    known: HashMap<String, (VerifyingKey, Option<Timestamp>)>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} in use, {} known)", self.kid, self.known.len())
    }
}

impl Keys {
    /// The key of this name, if it still verifies.
    pub(crate) fn verifier(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        let (key, until) = self.known.get(kid)?;
        until.is_none_or(|until| until > now).then_some(key)
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037).
    fn jwks(&self, now: Timestamp) -> Vec<u8> {
        let is_live = |until: &Option<Timestamp>| until.is_none_or(|until| until > now);
        let mut live: Vec<_> = self.known.iter().filter(|(_, (_, until))| is_live(until)).collect();
        live.sort_by_key(|(kid, _)| *kid);
        let jwk = |(kid, (key, _)): (&String, &(VerifyingKey, Option<Timestamp>))| {
            let x = spelling::base64url(key.as_bytes());
            json!({
                "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"
            })
        };
        let keys: Vec<_> = live.into_iter().map(jwk).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }
}

/// The name of a key: its RFC 7638 thumbprint.
fn thumbprint(key: &VerifyingKey) -> String {
    let x = spelling::base64url(key.as_bytes());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    spelling::base64url(&Sha256::digest(canonical.as_bytes()))
}

fn key_of(kid: &str) -> Vec<u8> {
    [PREFIX, kid.as_bytes()].concat()
}

/// The keys of one organisation.
#[derive(Debug)]
pub(crate) struct SigningKeys {
    rows: Rows,
    keys: ArcSwap<Keys>,
}

impl SigningKeys {
    /// Reads the keys; makes the first one where there is none.
    pub(crate) async fn open(rows: Rows) -> Result<Self, AuthorizationError> {
        let keys = loop {
            if let Some(keys) = read(&rows).await? {
                break keys;
            }
            // Where somebody else was quicker, theirs is read.
            replace(&rows, None).await?;
        };
        let this = Self { rows, keys: ArcSwap::from_pointee(keys) };
        this.rotate_if_due().await?;
        Ok(this)
    }

    /// The keys as they are.
    pub(crate) fn now(&self) -> arc_swap::Guard<Arc<Keys>> {
        self.keys.load()
    }

    pub(crate) fn jwks(&self) -> Vec<u8> {
        self.keys.load().jwks(self.rows.clock.now())
    }

    /// Reads the keys again: another process may have put a new one in use.
    pub(crate) async fn reload(&self) -> Result<(), AuthorizationError> {
        let keys = read(&self.rows).await?.ok_or(AuthorizationError::Damaged { what: WHAT })?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Puts a new key in use if the present one is old.
    pub(crate) async fn rotate_if_due(&self) -> Result<(), AuthorizationError> {
        if self.keys.load().created.after(LIFE) <= self.rows.clock.now() {
            self.rotate().await?;
        }
        Ok(())
    }

    /// Puts a new key in use and forgets all others: what they signed verifies no more.
    pub(crate) async fn replace_all(&self) -> Result<(), AuthorizationError> {
        self.rotate().await?;
        let stays = key_of(&self.keys.load().kid);
        let mut gone = Vec::new();
        self.rows
            .each(Table::Grant, PREFIX, |row| {
                gone.extend((row.key != stays).then(|| row.key.clone()))
            })
            .await?;
        let delete = |key| self.rows.delete(Table::Grant, key, Expect::Any);
        self.rows.commit(gone.into_iter().map(delete).collect()).await?;
        self.reload().await
    }

    /// Puts a new key in use. Where somebody else does so at this moment, theirs is it.
    pub(crate) async fn rotate(&self) -> Result<(), AuthorizationError> {
        let kid = self.keys.load().kid.clone();
        replace(&self.rows, Some(&kid)).await?;
        self.reload().await
    }
}

/// All keys; `None` where none is in use.
async fn read(rows: &Rows) -> Result<Option<Keys>, AuthorizationError> {
    let Some((signer, _)) = rows.read::<Signer>(Table::Grant, SIGNER, WHAT).await? else {
        return Ok(None);
    };
    let mut found: Vec<Result<KeyRow, AuthorizationError>> = Vec::new();
    rows.each(Table::Grant, PREFIX, |row| found.push(value(&row.record, WHAT))).await?;
    let mut known = HashMap::new();
    let mut current = None;
    for row in found {
        let row = row?;
        let key = SigningKey::from_bytes(&row.seed);
        let kid = thumbprint(&key.verifying_key());
        let until = row.retired.map(|at| at.after(AFTERLIFE));
        known.insert(kid.clone(), (key.verifying_key(), until));
        if kid == signer.kid {
            current = Some((key, row.created));
        }
    }
    let (key, created) = current.ok_or(AuthorizationError::Damaged { what: WHAT })?;
    Ok(Some(Keys { kid: signer.kid, signer: key, created, known }))
}

/// Puts a new key in use in place of this one; does nothing where another is in use already.
async fn replace(rows: &Rows, old: Option<&str>) -> Result<(), AuthorizationError> {
    let found = rows.read::<Signer>(Table::Grant, SIGNER, WHAT).await?;
    if found.as_ref().map(|(signer, _)| signer.kid.as_str()) != old {
        return Ok(());
    }
    let expect = found.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
    let now = rows.clock.now();
    let seed: spelling::key::Key = spelling::random()?;
    let kid = thumbprint(&SigningKey::from_bytes(&seed).verifying_key());
    let row = KeyRow { seed, created: now, retired: None };
    let mut ops = vec![
        rows.put((Table::Grant, key_of(&kid)), &row, None, Expect::Absent)?,
        rows.put((Table::Grant, SIGNER.to_vec()), &Signer { kid }, None, expect)?,
    ];
    if let Some(old) = old
        && let Some((mut row, version)) =
            rows.read::<KeyRow>(Table::Grant, &key_of(old), WHAT).await?
    {
        row.retired = Some(now);
        let (place, until) = ((Table::Grant, key_of(old)), Some(now.after(AFTERLIFE)));
        ops.push(rows.put(place, &row, until, Expect::Version(version))?);
    }
    // `false`: another was put in use at the same moment.
    rows.commit(ops).await?;
    Ok(())
}
