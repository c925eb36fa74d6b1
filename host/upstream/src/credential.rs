//! What a call carries to prove itself to the upstream.
//!
//! A [`Credential`] belongs to one connector and one place that it may be sent to: an origin,
//! or the program of a hosted connector. From it comes an [`Injection`] for exactly one
//! permitted call, with the material of whoever that call is for and of nobody else. Where
//! credentials are kept is [`Vault`]'s; resolving `env:` and `file:` references is the
//! gateway's part: here they arrive as [`Secret`]s. A new kind is a file in `credential/` that
//! implements the trait `Kind`, and a variant of [`CredentialSpec`].

mod header;
pub mod key;
mod material;
pub mod oauth;
mod owner;
mod shelf;
mod spec;
mod vault;

pub(crate) use header::is_reserved;
pub use material::Material;
pub use oauth::{OAuth, OAuthSpec};
pub use owner::{Owner, Scope};
pub use spec::{CredentialSpec, KeySource, KeySpec, Placing};
pub use vault::{About, Kept, Listed, Slot, Vault, VaultError, Versioned};

use std::{fmt, sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use tidegate_governance::policy::Permitted;
use tidegate_model::{Call, CallId, ConnectorId, Secret, UserId};
use tidegate_wire::client::egress::Origin;

use crate::armed::Maintenance;
use shelf::Shelf;

/// The place of a hosted program's credential.
pub const MACHINE: &str = "machine";

/// Why somebody has to bring a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// There is none.
    Absent,
    /// The service does not take it any more; what it said, or what failed.
    Refused(String),
    /// It lacks these rights at the service.
    Scopes(Vec<String>),
}

/// Why a credential cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// Somebody has to bring one: the person whose it is, or an administrator where it is
    /// shared.
    #[error("connector `{connector}` has no usable credential of {owner}")]
    Wanted {
        /// The connector.
        connector: ConnectorId,
        /// Whose.
        owner: Owner,
        /// Why.
        want: Want,
    },
    /// The reference was not resolved.
    #[error("the secret `{0}` is not set: set it, or change the connector's credential")]
    Missing(String),
    /// The header name is none, or one that the protocol sets itself.
    #[error("`{0}` cannot carry a credential: use a header such as `authorization` or `x-api-key`")]
    Name(String),
    /// The variable's name is none.
    #[error("`{0}` is no name of an environment variable: use letters, digits and `_`")]
    Variable(String),
    /// The format has no place for the secret, or more than one.
    #[error("the credential format must hold `{{}}` exactly once, as in `Bearer {{}}`")]
    Format,
    /// The secret holds line breaks, control characters or non-ASCII text, or is too long.
    #[error("the secret `{0}` holds characters that it cannot be sent with, or is too long")]
    Unprintable(String),
    /// The kind keeps its material in a vault, and the connector was opened without one.
    #[error("connector `{0}` keeps its credential in the vault, which is not open here")]
    NoVault(ConnectorId),
    /// The call goes to another connector.
    #[error("the credential belongs to connector `{0}`")]
    OtherConnector(ConnectorId),
    /// The vault cannot be read or written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Whoever issues it could not be asked, or did not give any; it may work again later.
    #[error("{stage} failed for connector `{connector}`: {why}")]
    Issuer {
        /// The connector.
        connector: ConnectorId,
        /// What was tried, for instance `refreshing the token`.
        stage: &'static str,
        /// What happened; never holds a secret.
        why: String,
    },
}

/// How an upstream refused a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status: 401 or 403.
    pub status: u16,
    /// The `WWW-Authenticate` challenge, where there was one.
    pub challenge: Option<String>,
}

impl Refused {
    /// Whether it is not taken at all, rather than for this one request.
    pub fn is_dead(&self) -> bool {
        self.status == 401
    }

    /// In a sentence for a person.
    pub fn sentence(&self) -> String {
        format!("the service refused it with HTTP {}", self.status)
    }
}

/// One way of proving somebody to an upstream. Its methods are asked for one owner at a time;
/// nothing that was made for one owner is ever used for another.
pub(crate) trait Kind: Send + Sync + fmt::Debug {
    /// What serves everybody and never changes.
    fn at_hand(&self) -> Option<&Arc<Material>> {
        None
    }

    /// Material that works now, renewed where it has to be; nobody waits for it after
    /// `deadline`. What it gives is laid on the shelf until it is to be renewed or the stored
    /// credential changes.
    fn obtain<'a>(
        &'a self,
        owner: &'a Owner,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Arc<Material>, CredentialError>>;

    /// The upstream refused `material`: whatever can be done about it, so that the next call
    /// fares better; or what somebody has to bring.
    fn refused<'a>(
        &'a self,
        owner: &'a Owner,
        material: &'a Material,
        refused: &'a Refused,
    ) -> BoxFuture<'a, Result<Option<Want>, CredentialError>> {
        let _ = (owner, material, refused);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Itself, where it is got through a browser.
    fn oauth(&self) -> Option<&OAuth> {
        None
    }

    /// Tells whoever issued it that it is to work no more, as far as they can be told; it is
    /// removed from the vault in any case.
    fn revoke<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(), CredentialError>> {
        let _ = owner;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What every stored kind stands on.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) connector: ConnectorId,
    pub(crate) kind: &'static str,
    pub(crate) place: String,
    pub(crate) vault: Arc<Vault>,
}

impl Setting {
    /// Where `owner`'s is kept.
    pub(crate) fn slot(&self, owner: &Owner) -> Slot {
        Slot {
            connector: self.connector.clone(),
            kind: self.kind,
            place: self.place.clone(),
            owner: owner.clone(),
        }
    }

    pub(crate) fn wanted(&self, owner: &Owner, want: Want) -> CredentialError {
        CredentialError::Wanted { connector: self.connector.clone(), owner: owner.clone(), want }
    }
}

/// A connector's credential, ready to be used.
pub struct Credential {
    connector: ConnectorId,
    /// `None` for a hosted program.
    origin: Option<Origin>,
    scope: Scope,
    kind: Option<Box<dyn Kind>>,
    vault: Option<Arc<Vault>>,
    slot: Option<Setting>,
    shelf: Arc<Shelf>,
}

/// What exactly one permitted call, or one piece of system work, carries upstream.
///
/// Not `Clone`; `Debug` prints stars; the secret bytes are wiped when the last use is over.
pub struct Injection {
    connector: ConnectorId,
    call: Option<CallId>,
    origin: Option<Origin>,
    owner: Owner,
    material: Option<Arc<Material>>,
}

impl Credential {
    /// No credential at all.
    pub fn none(connector: ConnectorId) -> Self {
        let (scope, shelf) = (Scope::Shared, Arc::default());
        Self { connector, origin: None, scope, kind: None, vault: None, slot: None, shelf }
    }

    /// Builds the credential of `connector` from its description, bound to `origin`, or to its
    /// program where there is none.
    pub(crate) fn new(
        connector: ConnectorId,
        origin: Option<Origin>,
        spec: &CredentialSpec,
        vault: Option<&Arc<Vault>>,
        secret: impl Fn(&str) -> Option<Secret>,
    ) -> Result<Self, CredentialError> {
        let mut all = Self { origin, scope: spec.scope(), ..Self::none(connector.clone()) };
        let place = all.origin.as_ref().map_or_else(|| MACHINE.to_owned(), Origin::to_string);
        let setting = || {
            let vault = vault.cloned().ok_or(CredentialError::NoVault(connector.clone()))?;
            let (connector, kind) = (connector.clone(), spec.kind());
            Ok::<_, CredentialError>(Setting { connector, kind, place: place.clone(), vault })
        };
        all.kind = match spec {
            CredentialSpec::None => None,
            CredentialSpec::Key(spec) => Some(key::open(spec, setting, secret)?),
            CredentialSpec::OAuth(spec) => Some(Box::new(oauth::open(spec, setting()?, secret)?)),
        };
        if spec.is_stored() {
            let setting = setting()?;
            setting.vault.tell(&connector, &all.shelf);
            all.vault = Some(Arc::clone(&setting.vault));
            all.slot = Some(setting);
        }
        Ok(all)
    }

    /// Whether callers share it.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Where `owner`'s is kept; `None` where it is not kept in the vault.
    pub fn slot(&self, owner: &Owner) -> Option<Slot> {
        self.slot.as_ref().map(|setting| setting.slot(owner))
    }

    /// What `permitted` carries: the credential of the person it is for, or the shared one.
    /// Waits only where something has to be read or renewed first.
    pub async fn obtain(&self, permitted: &Permitted<Call>) -> Result<Injection, CredentialError> {
        self.inject(permitted.get()).await
    }

    pub(crate) async fn inject(&self, call: &Call) -> Result<Injection, CredentialError> {
        if call.operation.connector() != &self.connector {
            return Err(CredentialError::OtherConnector(self.connector.clone()));
        }
        let owner = self.scope.owner(&call.user);
        let material = self.material(&owner, call.deadline).await?;
        Ok(self.injection(Some(call.id), owner, material))
    }

    /// [`Credential::obtain`] of what is at hand.
    #[cfg(test)]
    pub(crate) fn inject_now(&self, call: &Call) -> Result<Injection, CredentialError> {
        futures_util::FutureExt::now_or_never(self.inject(call)).unwrap()
    }

    /// What system work carries: the shared one, or that of whoever the connector's lists are
    /// read with; nothing where nobody is.
    pub(crate) async fn maintain(&self, proof: &Maintenance) -> Result<Injection, CredentialError> {
        self.to_listen(proof.deadline()).await
    }

    /// The same, for listening, which the gateway does of its own accord.
    pub(crate) async fn to_listen(&self, deadline: Instant) -> Result<Injection, CredentialError> {
        let owner = match (self.scope, &self.vault) {
            (Scope::Shared, _) => Some(Owner::Shared),
            (Scope::PerUser, None) => None,
            (Scope::PerUser, Some(vault)) => vault.reader(&self.connector).await?.map(Owner::User),
        };
        let Some(owner) = owner else { return Ok(self.injection(None, Owner::Shared, None)) };
        let material = self.material(&owner, deadline).await?;
        Ok(self.injection(None, owner, material))
    }

    /// What the end of a session carries: what is at hand of the shared one.
    pub(crate) fn farewell(&self) -> Injection {
        let now = self.vault.as_ref().map(|vault| vault.now()).unwrap_or_default();
        let material = match self.kind.as_deref().and_then(Kind::at_hand) {
            Some(material) => Some(Arc::clone(material)),
            None => self.shelf.at_hand(Owner::Shared.key(), now),
        };
        self.injection(None, Owner::Shared, material)
    }

    async fn material(
        &self,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Option<Arc<Material>>, CredentialError> {
        let Some(kind) = &self.kind else { return Ok(None) };
        if let Some(material) = kind.at_hand() {
            return Ok(Some(Arc::clone(material)));
        }
        let (key, now) = (owner.key(), self.vault.as_ref().map(|vault| vault.now()));
        if let Some(material) = self.shelf.at_hand(key, now.unwrap_or_default()) {
            return Ok(Some(material));
        }
        let glance = self.shelf.glance();
        let material = kind.obtain(owner, deadline).await?;
        self.shelf.lay(key, &material, now.unwrap_or_default(), glance);
        Ok(Some(material))
    }

    /// The upstream refused what `injection` carried: [`CredentialError::Wanted`] where
    /// somebody has to bring something before another call can fare better.
    pub(crate) async fn refused(
        &self,
        injection: &Injection,
        refused: &Refused,
    ) -> Result<(), CredentialError> {
        let (Some(kind), Some(material)) = (&self.kind, &injection.material) else {
            return Ok(());
        };
        self.shelf.drop_one(injection.owner.key());
        let (connector, owner) = (self.connector.clone(), injection.owner.clone());
        match kind.refused(&injection.owner, material, refused).await? {
            Some(want) => Err(CredentialError::Wanted { connector, owner, want }),
            None => Ok(()),
        }
    }

    /// The way of a person through a browser to a token, where that is how it is got.
    pub fn oauth(&self) -> Option<&OAuth> {
        self.kind.as_deref().and_then(Kind::oauth)
    }

    /// Has `owner`'s work no more: at its issuer as far as possible, and here. Whether there
    /// was one, and what kept the issuer from being told.
    pub async fn revoke(
        &self,
        owner: &Owner,
    ) -> Result<(bool, Option<CredentialError>), CredentialError> {
        let (Some(kind), Some(setting)) = (&self.kind, &self.slot) else {
            return Ok((false, None));
        };
        let told = kind.revoke(owner).await.err();
        let was_there = setting.vault.remove(&setting.slot(owner)).await?;
        Ok((was_there, told))
    }

    /// Whether a call of `user` would find what it needs, without anything being sent; the
    /// error says what is missing.
    pub async fn is_ready(&self, user: &UserId, deadline: Instant) -> Result<(), CredentialError> {
        self.material(&self.scope.owner(user), deadline).await.map(drop)
    }

    fn injection(
        &self,
        call: Option<CallId>,
        owner: Owner,
        material: Option<Arc<Material>>,
    ) -> Injection {
        let (connector, origin) = (self.connector.clone(), self.origin.clone());
        Injection { connector, call, origin, owner, material }
    }
}

impl Injection {
    /// The connector it is for.
    pub fn connector(&self) -> &ConnectorId {
        &self.connector
    }

    /// Whose it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn is_for(&self, call: &Call) -> bool {
        let of_caller = match &self.owner {
            Owner::Shared => true,
            Owner::User(user) => *user == call.user,
        };
        of_caller && self.call == Some(call.id) && call.operation.connector() == &self.connector
    }

    /// The headers, given out only for the origin that the credential is bound to.
    pub(crate) fn headers_for(&self, dialled: &Origin) -> Result<Headers<'_>, WrongOrigin> {
        let headers = self.material.as_deref().map_or(&[][..], |held| &held.headers);
        match &self.origin {
            _ if headers.is_empty() => Ok(headers),
            Some(bound) if bound == dialled => Ok(headers),
            _ => Err(WrongOrigin),
        }
    }

    /// What a hosted program's child and requests get; never given to anything that goes over
    /// the network.
    pub(crate) fn for_machine(&self) -> Result<Option<&Material>, WrongOrigin> {
        match (&self.material, &self.origin) {
            (Some(_), Some(_)) => Err(WrongOrigin),
            (material, _) => Ok(material.as_deref()),
        }
    }
}

/// Headers by reference.
pub(crate) type Headers<'a> = &'a [(HeaderName, HeaderValue)];

/// The dialled place is not the one the credential is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongOrigin;

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, {:?}, ***)", self.connector, self.origin)
    }
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Injection({}, ***)", self.connector)
    }
}
