//! Browser sessions: somebody who has signed in stays so for a while.
//!
//! Owns them in the table `session`, and what their cookie's value is. A session ends when it
//! was not used for as long as the settings say, when it is as old as they say, when somebody
//! ends it, and with its person or their way in. Knows no cookie's name and sends nothing.
//! How sessions are stored stands in `row`.
//!
//! A cookie's value is `<session id>.<generation>.<HMAC-SHA256 of the generation>` with a key
//! of the session's own. Every hour the generation grows; the one before is good for half a
//! minute more, for pages that load side by side, and gets the same successor. So no value of
//! a cookie is stored, and a copied one ends within the hour unless its holder goes on.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac};
use model::{Secret, Timestamp, UserId};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tidegate_model as model;
use tidegate_store::{Batch, Expect, StoreError};

mod list;
mod row;

use row::Row;

use crate::{
    Ground, Settings,
    directory::{Directory, DirectoryError, Link, Person},
};

/// How old a cookie's value gets.
const RENEWED: Duration = Duration::from_secs(3_600);
/// How long the value before is good beside the new one.
const OVERLAP: Duration = Duration::from_secs(30);
/// How often it is written down that a session is used.
const NOTED: Duration = Duration::from_secs(300);
/// The most sessions one person may have; beyond, the oldest ends.
const SESSIONS: usize = 100;
/// The longest ID token that is kept for signing out.
const ID_TOKEN: usize = 8 << 10;
/// How often a change is tried when others change the same session.
const TRIES: usize = 4;

/// Names a session in lists, grants and audit rows. It is no secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

/// Why a session could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no random bytes.
    #[error("the system has no randomness for a session: try again")]
    NoRandomness,
    /// Whoever it is was deactivated or signed out everywhere since they proved who they are.
    #[error("`{0}` was signed out or deactivated at this moment: sign in again")]
    PutOut(UserId),
    /// What is kept of the person cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Somebody who has just proved who they are.
#[derive(Debug)]
pub struct NewSession {
    /// Who it is.
    pub user: UserId,
    /// Who they are at the provider; `None` for an account of the gateway's own.
    pub link: Option<Link>,
    /// The provider's name for its own session.
    pub sid: Option<String>,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How they did.
    pub amr: Vec<String>,
    /// The provider's ID token, for signing out there.
    pub id_token: Option<Secret>,
}

/// One browser in which somebody is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Who it is.
    pub user: UserId,
    /// Who they are at the provider they came from; `None` for an account of the gateway's own.
    pub link: Option<Link>,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How they did.
    pub amr: Vec<String>,
    /// When it began: what the person's `not_before` is compared with. They may have proven who
    /// they are before that, in a session at the provider.
    pub created: Timestamp,
    /// When it was used last, give or take five minutes.
    pub last_used: Timestamp,
    /// What a form must bring along, so that nobody else's page can send it.
    pub csrf: Secret,
    /// The provider's ID token.
    pub(super) id_token: Option<Secret>,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub session: Session,
    /// What the browser's cookie is to be.
    pub cookie: Secret,
}

/// A session that goes on.
#[derive(Debug)]
pub struct Found {
    /// It.
    pub session: Session,
    /// Who it is, active.
    pub person: Arc<Person>,
    /// What the browser's cookie is to be from now on, when it changes.
    pub cookie: Option<Secret>,
}

/// The browser sessions of one organisation.
#[derive(Debug)]
pub struct Sessions {
    pub(super) ground: Ground,
    directory: Arc<Directory>,
}

/// A cookie's value, taken apart.
struct Cookie<'a> {
    id: SessionId,
    generation: u64,
    mac: &'a str,
}

impl Sessions {
    /// Those in the store of `ground`, of people in `directory`.
    pub fn new(ground: Ground, directory: Arc<Directory>) -> Self {
        Self { ground, directory }
    }

    /// Begins a session of `person`, as they were when they proved who they are: nothing begins
    /// where they were put out since, by whichever process. It always has a name and a cookie of
    /// its own, whatever cookie the browser brought; end the session of that one.
    pub async fn open(
        &self,
        settings: &Settings,
        person: &Person,
        new: NewSession,
    ) -> Result<Opened, SessionError> {
        self.make_room(&new.user).await?;
        let now = self.ground.clock.now();
        let id = SessionId::at(now, random()?);
        let row = Row {
            user: new.user,
            link: new.link,
            sid: new.sid,
            auth_time: new.auth_time,
            amr: new.amr,
            created: now,
            last_used: now,
            ends: now.after(settings.session_lifetime),
            key: URL_SAFE_NO_PAD.encode(random::<32>()?),
            generation: 1,
            renewed: now,
            id_token: new
                .id_token
                .map(|token| token.expose().to_owned())
                .filter(|token| token.len() <= ID_TOKEN),
        };
        self.begin(&row, &id, person).await?;
        let cookie = row.cookie(&id);
        Ok(Opened { session: row.into_session(id), cookie })
    }

    /// Writes a new session, while its person is as they were when they proved who they are.
    async fn begin(&self, row: &Row, id: &SessionId, person: &Person) -> Result<(), SessionError> {
        let (user, proven) = (&row.user, &person.user);
        let put_out = || SessionError::PutOut(user.clone());
        for _ in 0..TRIES {
            let now = self.directory.user(user).ok_or_else(put_out)?;
            let same = now.user.id == proven.id && now.user.created == proven.created;
            if !same || !now.user.active || now.user.not_before != proven.not_before {
                return Err(put_out());
            }
            let batch = row.begin(self.ground.issuer.org(), id);
            match self.ground.store.commit(batch.with(self.directory.unchanged(&now))).await {
                Ok(_) => return Ok(()),
                Err(error @ StoreError::Conflict { .. }) => {
                    if !self.directory.has_changed(user, now.version).await? {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(DirectoryError::Busy(user.to_string()).into())
    }

    /// The session of a cookie's value, if it goes on: somebody active who has not been signed
    /// out since, by a way in that may still be used. Whatever else is presented gives `None`.
    pub async fn find(
        &self,
        settings: &Settings,
        cookie: &str,
    ) -> Result<Option<Found>, StoreError> {
        let Some(cookie) = Cookie::parse(cookie) else { return Ok(None) };
        for _ in 0..TRIES {
            let Some((row, version)) = self.read(&cookie.id).await? else { return Ok(None) };
            let now = self.ground.clock.now();
            if !row.knows(&cookie, now) || !row.lives(settings, now) {
                return Ok(None);
            }
            let Some(person) = self.person(&row) else { return Ok(None) };
            let is_behind = cookie.generation < row.generation;
            let Some(used) = row.used(settings, now) else {
                let renewed = is_behind.then(|| row.cookie(&cookie.id));
                return Ok(Some(Found {
                    session: row.into_session(cookie.id),
                    person,
                    cookie: renewed,
                }));
            };
            let is_new = used.generation > row.generation || is_behind;
            let put = used.put(self.ground.issuer.org(), &cookie.id, Expect::Version(version));
            match self.ground.store.commit(Batch::new().with(put)).await {
                Ok(_) => {
                    let renewed = is_new.then(|| used.cookie(&cookie.id));
                    return Ok(Some(Found {
                        session: used.into_session(cookie.id),
                        person,
                        cookie: renewed,
                    }));
                }
                // Another page of the same browser was faster: look again.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Ends the session that a cookie's value belongs to; the session that it was.
    pub async fn end_by_cookie(&self, cookie: &str) -> Result<Option<Session>, StoreError> {
        let Some(cookie) = Cookie::parse(cookie) else { return Ok(None) };
        let Some((row, _)) = self.read(&cookie.id).await? else { return Ok(None) };
        if !row.knows(&cookie, self.ground.clock.now()) {
            return Ok(None);
        }
        self.end(&cookie.id).await
    }

    async fn read(&self, id: &SessionId) -> Result<Option<(Row, u64)>, StoreError> {
        let org = self.ground.issuer.org();
        let record = self.ground.store.get(row::TABLE, org, &row::key(id)).await?;
        Ok(record.and_then(|record| Some((Row::read(&record.value)?, record.version))))
    }

    /// Whose session it is, if they may still be signed in since they were.
    fn person(&self, row: &Row) -> Option<Arc<Person>> {
        let person = self.directory.user(&row.user)?;
        let linked = row.link.as_ref().is_none_or(|link| person.user.links.contains(link));
        let counts = person.user.active && row.created >= person.user.not_before && linked;
        counts.then_some(person)
    }
}

impl Row {
    /// Whether a cookie's value is this session's, now or within the overlap.
    fn knows(&self, cookie: &Cookie<'_>, now: Timestamp) -> bool {
        let expected = self.mac(b"cookie", cookie.generation);
        let same = bool::from(expected.as_bytes().ct_eq(cookie.mac.as_bytes()));
        let is_current = cookie.generation == self.generation;
        let is_last = cookie.generation.checked_add(1) == Some(self.generation)
            && now < self.renewed.after(OVERLAP);
        same && (is_current || is_last)
    }

    /// Whether neither its time is over nor its way in closed.
    fn lives(&self, settings: &Settings, now: Timestamp) -> bool {
        let way_in = match &self.link {
            None => settings.takes_accounts(),
            Some(link) => settings.usable_providers().any(|(name, _)| name == link.provider),
        };
        way_in
            && now < self.ends
            && now < self.created.after(settings.session_lifetime)
            && now < self.last_used.after(settings.session_idle)
    }

    /// The row after this use, where it is time to write one.
    fn used(&self, settings: &Settings, now: Timestamp) -> Option<Self> {
        let is_old = now >= self.renewed.after(RENEWED);
        let noted = NOTED.min(settings.session_idle / 4);
        if !is_old && now < self.last_used.after(noted) {
            return None;
        }
        let mut used = Self { last_used: now, ..self.clone() };
        if is_old {
            used.generation = used.generation.saturating_add(1);
            used.renewed = now;
        }
        Some(used)
    }

    fn cookie(&self, id: &SessionId) -> Secret {
        let (generation, mac) = (self.generation, self.mac(b"cookie", self.generation));
        Secret::new(format!("{}.{generation}.{mac}", id.0))
    }

    /// Something that only this session's key gives.
    fn mac(&self, what: &[u8], number: u64) -> String {
        let key = URL_SAFE_NO_PAD.decode(&self.key).unwrap_or_default();
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(what);
        mac.update(&number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    fn into_session(self, id: SessionId) -> Session {
        let csrf = Secret::new(self.mac(b"csrf", 0));
        Session {
            id,
            csrf,
            user: self.user,
            link: self.link,
            auth_time: self.auth_time,
            amr: self.amr,
            created: self.created,
            last_used: self.last_used,
            id_token: self.id_token.map(Secret::new),
        }
    }
}

impl Session {
    /// Whether a form brought the right token along.
    pub fn is_csrf(&self, token: &str) -> bool {
        self.csrf.expose().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl<'a> Cookie<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (id, rest) = text.split_once('.')?;
        let (generation, mac) = rest.split_once('.')?;
        let id = SessionId::parse(id)?;
        let digits = !generation.is_empty() && generation.bytes().all(|b| b.is_ascii_digit());
        Some(Self { id, generation: digits.then(|| generation.parse().ok())??, mac })
    }
}

impl SessionId {
    /// The name of a session that begins at `now`: names sort by when their sessions began.
    fn at(now: Timestamp, random: [u8; 10]) -> Self {
        let [_, _, time @ ..] = now.as_millis().to_be_bytes();
        Self(hex(&time) + &hex(&random))
    }

    /// A name of a session: 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| SessionError::NoRandomness)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
