//! Access tokens of our own authorization server.
//!
//! Owns what is asked on every request: one signature check per token and process, everything
//! that can change (revoked, inactive, other groups, over) anew each time, all of it in
//! memory. How a token is written stands in `authorization::token`.

mod cache;
mod subject;

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::{Clock, Timestamp, UserId};
use tidegate_model as model;

use crate::{
    Caller, Ground, Issuer, Resource, Scopes, Settings,
    authorization::{
        error::AuthorizationError,
        grant::GrantId,
        revocations::Revocations,
        signing::{Keys, SigningKeys},
        token::{self, Claims, moment},
    },
    caller::Bearer,
    directory::{Directory, Kind},
};
use cache::Cache;
pub(crate) use subject::{Subject, alive};

/// Why a token is not taken. For the log only: whoever presented it is told no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefused {
    /// Not signed by us, of another issuer, over, or no token at all.
    #[error("it is no access token of ours that is in force")]
    Invalid,
    /// For something else.
    #[error("it is for another resource")]
    Audience,
    /// Its grant was revoked or has ended.
    #[error("its grant was revoked or has ended")]
    Revoked,
    /// Its client was taken out of the settings, or may not go there any more.
    #[error("its client may not have it any more")]
    Client,
    /// Whom it stands for may not come any more, or was signed out since.
    #[error("whom it stands for was deactivated or signed out")]
    Inactive,
}

/// What is known of a token whose signature holds.
struct Known {
    /// The keys among which was the one that signed it: of others nothing is known.
    keys: Arc<Keys>,
    user: UserId,
    kind: Kind,
    grant: GrantId,
    parent: Option<GrantId>,
    not_before: Timestamp,
    bearer: Arc<Bearer>,
    /// Whom it stood for when that was looked up last, and the caller made of it.
    subject: Subject,
    caller: Caller,
}

/// Judges access tokens of one organisation.
pub struct AccessTokens {
    issuer: Issuer,
    issuer_text: String,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    keys: Arc<SigningKeys>,
    revocations: Arc<Revocations>,
    settings: ArcSwap<Settings>,
    cache: Cache<Known>,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessTokens({})", self.issuer_text)
    }
}

impl AccessTokens {
    pub(crate) fn new(
        ground: &Ground,
        directory: Arc<Directory>,
        keys: Arc<SigningKeys>,
        revocations: Arc<Revocations>,
        settings: Arc<Settings>,
    ) -> Result<Self, AuthorizationError> {
        Ok(Self {
            issuer: ground.issuer.clone(),
            issuer_text: ground.issuer.to_string(),
            clock: Arc::clone(&ground.clock),
            directory,
            keys,
            revocations,
            settings: ArcSwap::new(settings),
            cache: Cache::new()?,
        })
    }

    pub(crate) fn settings_changed(&self, settings: Arc<Settings>) {
        self.settings.store(settings);
    }

    /// The caller behind a token that is presented at `resource`.
    pub fn authenticate(&self, token: &str, resource: &Resource) -> Result<Caller, AccessRefused> {
        self.judge(token, Some(resource))
    }

    /// The caller behind a token for whatever.
    pub(crate) fn inspect(&self, token: &str) -> Result<Caller, AccessRefused> {
        self.judge(token, None)
    }

    fn judge(&self, token: &str, resource: Option<&Resource>) -> Result<Caller, AccessRefused> {
        let key = self.cache.key(token);
        // A signature counts only as long as its key is not forgotten.
        let is_signed = |known: &Arc<Known>| Arc::ptr_eq(&known.keys, &self.keys.now());
        let cached = self.cache.get(&key).filter(is_signed);
        let is_new = cached.is_none();
        let known = match cached {
            Some(known) => known,
            None => Arc::new(self.read(token)?),
        };
        let now = self.clock.now();
        if known.not_before > now || known.bearer.expires <= now {
            return Err(AccessRefused::Invalid);
        }
        if resource.is_some_and(|resource| known.bearer.resource != *resource) {
            return Err(AccessRefused::Audience);
        }
        self.check_grants(&known.grant, known.parent.as_ref())?;
        let settings = self.settings.load();
        check_client(&settings, &known.bearer)?;
        let issued = known.bearer.issued;
        if known.subject.is_current(&self.directory, &settings) {
            if !known.subject.is_active(issued) {
                return Err(AccessRefused::Inactive);
            }
            if is_new {
                self.cache.put(key, Arc::clone(&known));
            }
            return Ok(known.caller.clone());
        }
        let (user, kind, bearer) = (&known.user, known.kind, &known.bearer);
        let subject = self.subject(&settings, user, kind, bearer)?;
        let caller = subject.caller(self.issuer.org(), bearer);
        let renewed = Known {
            keys: Arc::clone(&known.keys),
            user: user.clone(),
            bearer: Arc::clone(bearer),
            subject,
            caller: caller.clone(),
            ..*known
        };
        self.cache.put(key, Arc::new(renewed));
        Ok(caller)
    }

    /// The caller whose token was accepted earlier, as they are known now, and when their grant
    /// ends: it may have been revoked since, or they may be in other groups. That the token
    /// itself is over ends no stream: its client will come with the next one.
    pub fn renew(
        &self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>), AccessRefused> {
        let bearer = caller.shared_bearer().ok_or(AccessRefused::Invalid)?;
        if *caller.org() != *self.issuer.org() {
            return Err(AccessRefused::Invalid);
        }
        let id = |text: &str| text.parse::<GrantId>().map_err(|_| AccessRefused::Invalid);
        let parent = bearer.parent.as_deref().map(id).transpose()?;
        self.check_grants(&id(&bearer.grant)?, parent.as_ref())?;
        if bearer.grant_expires <= now {
            return Err(AccessRefused::Revoked);
        }
        let settings = self.settings.load();
        check_client(&settings, bearer)?;
        let subject = self.subject(&settings, caller.user(), caller.kind(), bearer)?;
        let caller = subject.caller(self.issuer.org(), bearer);
        Ok((caller, Some(bearer.grant_expires)))
    }

    fn check_grants(&self, grant: &GrantId, parent: Option<&GrantId>) -> Result<(), AccessRefused> {
        let is_revoked =
            self.revocations.has(grant) || parent.is_some_and(|id| self.revocations.has(id));
        if is_revoked { Err(AccessRefused::Revoked) } else { Ok(()) }
    }

    /// Whom a token stands for, now.
    fn subject(
        &self,
        settings: &Arc<Settings>,
        user: &UserId,
        kind: Kind,
        bearer: &Bearer,
    ) -> Result<Subject, AccessRefused> {
        let found = if bearer.is_by_client {
            Subject::of_token(&self.directory, settings, (&bearer.client, user), bearer.issued)
        } else {
            alive(&self.directory, user, kind, bearer.issued).map(Subject::Person)
        };
        found.ok_or(AccessRefused::Inactive)
    }

    /// Checks the signature and reads what the token says.
    fn read(&self, text: &str) -> Result<Known, AccessRefused> {
        let now = self.clock.now();
        let keys = Arc::clone(&self.keys.now());
        let claims = token::verify(&keys, &self.issuer_text, text, now);
        let claims = claims.ok_or(AccessRefused::Invalid)?;
        let (grant, parent) = (claims.gid, claims.parent_gid);
        let (user, kind, not_before) = (claims.sub.clone(), claims.sub_kind, moment(claims.nbf));
        let bearer = Arc::new(self.bearer(claims).ok_or(AccessRefused::Invalid)?);
        let subject = self.subject(&self.settings.load(), &user, kind, &bearer)?;
        let caller = subject.caller(self.issuer.org(), &bearer);
        Ok(Known { keys, user, kind, grant, parent, not_before, bearer, subject, caller })
    }

    fn bearer(&self, claims: Claims) -> Option<Bearer> {
        let resource = self.issuer.resource(&claims.aud)?;
        // One resource has one audience, to the letter.
        if self.issuer.audience(&resource) != claims.aud || claims.iat_ms / 1_000 != claims.iat {
            return None;
        }
        Some(Bearer {
            resource,
            scopes: Scopes::parse(&claims.scope),
            grant: claims.gid.to_string().into(),
            client: claims.client_id.into(),
            issued: Timestamp::from_millis(claims.iat_ms),
            expires: moment(claims.exp),
            authenticated: claims.auth_time.map(moment),
            grant_expires: moment(claims.grant_exp),
            parent: claims.parent_gid.map(|id| id.to_string().into()),
            is_by_client: claims.by_client,
            is_of_settings: claims.of_settings,
        })
    }
}

/// Whether the settings let this client have the token still, if it is one of theirs.
fn check_client(settings: &Settings, bearer: &Bearer) -> Result<(), AccessRefused> {
    if !bearer.is_of_settings {
        return Ok(());
    }
    let entry = settings.clients.get(&*bearer.client).ok_or(AccessRefused::Client)?;
    let reaches = entry.vmcps.is_empty()
        || matches!(&bearer.resource, Resource::Vmcp(vmcp) if entry.vmcps.contains(vmcp));
    if reaches { Ok(()) } else { Err(AccessRefused::Client) }
}
