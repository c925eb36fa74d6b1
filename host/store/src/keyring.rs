//! The keys of one data directory, unwrapped.
//!
//! One instance root gives a key for each purpose; one key per organisation seals what
//! belongs to it, so that forgetting that key erases all of it. Both are random, wrapped by
//! the key provider and kept by the store; how they are kept is not known here.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tidegate_model::OrgId;

use crate::{
    envelope::{EnvelopeError, Header, Place},
    keys::{KeyError, KeyProvider, wrapped_under},
    log::LogKeys,
    seal::{self, Key},
};

mod usage;

pub(crate) use usage::{BATCH, Usage};
pub use usage::{HARD_STOP, KeyUse, ROTATE_AFTER, ROTATE_AT};

/// What a key that comes from the instance root is for. Names are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The store's manifest.
    Manifest,
    /// Sign-in cookies.
    Cookies,
    /// The opaque `requestState` handed to clients.
    RequestState,
    /// Lookups by a secret value.
    SearchIndex,
    /// Hashes of arguments and results in audit rows.
    AuditHmac,
    /// The seed of the checkpoints' signing key.
    AuditSigning,
    /// The log's watermark.
    AuditTip,
    /// The MAC over compiled components.
    WasmCache,
    /// Cursors and other short-lived opaque values.
    Cursors,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Cookies => "cookies",
            Self::RequestState => "request-state",
            Self::SearchIndex => "search-index",
            Self::AuditHmac => "audit-hmac",
            Self::AuditSigning => "audit-signing",
            Self::AuditTip => "audit-tip",
            Self::WasmCache => "wasm-cache",
            Self::Cursors => "cursors",
        }
    }
}

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyringError {
    /// The organisation has no such key: it was never made, or it was erased.
    #[error("there is no key {version} for the organisation `{org}`")]
    NoKey {
        /// The organisation.
        org: OrgId,
        /// The version of its key.
        version: u32,
    },
    /// The key has sealed as much as one key may.
    #[error(
        "the key {version} of the organisation `{org}` has sealed as much as a key may: run `tidegate key rotate`"
    )]
    Exhausted {
        /// The organisation.
        org: OrgId,
        /// The version of its key.
        version: u32,
    },
    /// The envelope does not open.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The provider refused.
    #[error(transparent)]
    Key(Arc<KeyError>),
}

impl From<KeyError> for KeyringError {
    fn from(error: KeyError) -> Self {
        Self::Key(Arc::new(error))
    }
}

/// One version of an organisation's key.
#[derive(Clone)]
struct TenantKey {
    version: u32,
    key: Arc<Key>,
    usage: Arc<Usage>,
}

/// Seals, opens and derives.
pub struct Keyring {
    provider: Arc<dyn KeyProvider>,
    root: Key,
    /// Versions of each organisation's key, the newest last.
    tenants: RwLock<HashMap<OrgId, Vec<TenantKey>>>,
}

const TENANT: &str = "tenant";

fn place(org: &str, version: u32) -> Place<'_> {
    let key: &[u8] = if org.is_empty() { b"root" } else { b"tenant" };
    Place { kind: "key", org, key, version: u64::from(version), ..Place::default() }
}

impl Keyring {
    /// A ring around a new instance root; gives the wrapped root to keep.
    pub(crate) fn create(provider: Arc<dyn KeyProvider>) -> Result<(Self, Vec<u8>), KeyError> {
        let root = Key::new(seal::random()?);
        let wrapped = provider.wrap(&root, &place("", 0))?;
        Ok((Self { provider, root, tenants: RwLock::default() }, wrapped))
    }

    /// A ring around a kept instance root.
    pub(crate) fn unwrap(provider: Arc<dyn KeyProvider>, wrapped: &[u8]) -> Result<Self, KeyError> {
        let root = provider.unwrap(wrapped, &place("", 0))?;
        Ok(Self { provider, root, tenants: RwLock::default() })
    }

    /// Where root keys come from.
    pub(crate) fn provider(&self) -> &Arc<dyn KeyProvider> {
        &self.provider
    }

    /// A kept key (of the instance where `org` is `None`) wrapped under the current root key;
    /// `None` when it is so already.
    pub(crate) fn rewrap(
        &self,
        org: Option<(&OrgId, u32)>,
        wrapped: &[u8],
    ) -> Result<Option<Vec<u8>>, KeyError> {
        if wrapped_under(wrapped) == Some(self.provider.current_id()) {
            return Ok(None);
        }
        let place = org.map_or(place("", 0), |(org, version)| place(org.as_str(), version));
        let key = self.provider.unwrap(wrapped, &place)?;
        self.provider.wrap(&key, &place).map(Some)
    }

    /// A new key for an organisation, wrapped; it serves only once [`Keyring::add_tenant`] has it.
    pub(crate) fn new_tenant(&self, org: &OrgId, version: u32) -> Result<Vec<u8>, KeyError> {
        let key = Key::new(seal::random()?);
        self.provider.wrap(&key, &place(org.as_str(), version))
    }

    /// Takes a kept key of an organisation into use, with what is known of its use.
    pub(crate) fn add_tenant(
        &self,
        org: &OrgId,
        version: u32,
        wrapped: &[u8],
        usage: Usage,
    ) -> Result<(), KeyError> {
        let key = Arc::new(self.provider.unwrap(wrapped, &place(org.as_str(), version))?);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let keys = tenants.entry(org.clone()).or_default();
        keys.retain(|had| had.version != version);
        keys.push(TenantKey { version, key, usage: Arc::new(usage) });
        keys.sort_by_key(|key| key.version);
        Ok(())
    }

    /// Whether an organisation has a key.
    pub fn has(&self, org: &OrgId) -> bool {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).contains_key(org)
    }

    /// All organisations that have a key, sorted.
    pub fn orgs(&self) -> Vec<OrgId> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let mut orgs: Vec<OrgId> = tenants.keys().cloned().collect();
        orgs.sort();
        orgs
    }

    /// The version that seals what an organisation writes now; `None` where it has no key.
    pub fn current_version(&self, org: &OrgId) -> Option<u32> {
        self.tenant(org, None).ok().map(|key| key.version)
    }

    /// How much each version of an organisation's key was used, the newest last.
    pub fn usage(&self, org: &OrgId) -> Vec<KeyUse> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let keys = tenants.get(org).map(Vec::as_slice).unwrap_or_default();
        keys.iter().map(|key| key.usage.shown(key.version)).collect()
    }

    /// The use of the keys whose count has come as far as it is kept.
    pub(crate) fn usages_behind(&self) -> Vec<(OrgId, u32, Arc<Usage>)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let of = |(org, keys): (&OrgId, &Vec<TenantKey>)| {
            let of = |key: &TenantKey| (org.clone(), key.version, Arc::clone(&key.usage));
            let behind = keys.iter().filter(|key| key.usage.is_behind());
            behind.map(of).collect::<Vec<_>>()
        };
        tenants.iter().flat_map(of).collect()
    }

    fn tenant(&self, org: &OrgId, version: Option<u32>) -> Result<TenantKey, KeyringError> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let keys = tenants.get(org).map(Vec::as_slice).unwrap_or_default();
        let found = match version {
            None => keys.last(),
            Some(version) => keys.iter().find(|key| key.version == version),
        };
        let missing = || KeyringError::NoKey { org: org.clone(), version: version.unwrap_or(1) };
        found.cloned().ok_or_else(missing)
    }

    /// Seals a value of an organisation for one place; the place's `org` is set here.
    pub fn seal(
        &self,
        org: &OrgId,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let TenantKey { version, key, usage } = self.tenant(org, None)?;
        if !usage.count() {
            return Err(KeyringError::Exhausted { org: org.clone(), version });
        }
        let header =
            Header::new(self.provider.current_id(), version).map_err(EnvelopeError::from)?;
        Ok(header.seal(&key, TENANT, &Place { org: org.as_str(), ..place }, plain)?)
    }

    /// Opens what was sealed for the same organisation and place.
    pub fn open(
        &self,
        org: &OrgId,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let header = Header::read(sealed)?;
        let key = self.tenant(org, Some(header.tenant_key))?.key;
        Ok(header.open(&key, TENANT, &Place { org: org.as_str(), ..place }, sealed)?)
    }

    /// Seals something of the instance itself.
    pub(crate) fn seal_own(
        &self,
        purpose: Purpose,
        place: &Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let header = Header::new(self.provider.current_id(), 0).map_err(EnvelopeError::from)?;
        Ok(header.seal(&self.derive(purpose), purpose.name(), place, plain)?)
    }

    /// Opens something of the instance itself.
    pub(crate) fn open_own(
        &self,
        purpose: Purpose,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let header = Header::read(sealed)?;
        Ok(header.open(&self.derive(purpose), purpose.name(), place, sealed)?)
    }

    /// The key of one purpose; the same for as long as the data directory lives.
    pub fn derive(&self, purpose: Purpose) -> Key {
        seal::derive(&self.root, None, &[b"tidegate purpose 1 ", purpose.name().as_bytes()])
    }

    /// The keys of the audit log.
    pub fn log_keys(&self) -> LogKeys {
        let (signing, tip) = (self.derive(Purpose::AuditSigning), self.derive(Purpose::AuditTip));
        LogKeys { signing: *signing, tip: *tip }
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::FixedKeys;

    fn org(name: &str) -> OrgId {
        OrgId::new(name).unwrap()
    }

    #[test]
    fn each_purpose_has_its_own_key_and_keeps_it() {
        use Purpose::*;
        let provider: Arc<dyn KeyProvider> = Arc::new(FixedKeys::new([[1; 32]]));
        let (ring, wrapped) = Keyring::create(Arc::clone(&provider)).unwrap();
        let again = Keyring::unwrap(provider, &wrapped).unwrap();
        let all = [
            Manifest,
            Cookies,
            RequestState,
            SearchIndex,
            AuditHmac,
            AuditSigning,
            AuditTip,
            WasmCache,
            Cursors,
        ];
        let keys: std::collections::HashSet<_> = all.iter().map(|p| *ring.derive(*p)).collect();
        assert_eq!(keys.len(), all.len());
        assert!(all.iter().all(|p| ring.derive(*p) == again.derive(*p)));
    }

    #[test]
    fn organisations_cannot_open_each_others_values() {
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        let (a, b) = (org("a"), org("b"));
        for org in [&a, &b] {
            let wrapped = ring.new_tenant(org, 1).unwrap();
            ring.add_tenant(org, 1, &wrapped, Usage::default()).unwrap();
        }
        let sealed = ring.seal(&a, Place::default(), b"x").unwrap();
        assert_eq!(ring.open(&a, Place::default(), &sealed).unwrap(), b"x");
        assert!(ring.open(&b, Place::default(), &sealed).is_err());
        assert!(matches!(
            ring.seal(&org("c"), Place::default(), b"x"),
            Err(KeyringError::NoKey { .. })
        ));
        let second = ring.new_tenant(&a, 2).unwrap();
        ring.add_tenant(&a, 2, &second, Usage::default()).unwrap();
        assert_eq!(ring.open(&a, Place::default(), &sealed).unwrap(), b"x");
        let newer = ring.seal(&a, Place::default(), b"y").unwrap();
        assert_eq!(Header::read(&newer).unwrap().tenant_key, 2);
        assert_eq!(ring.orgs(), [a, b]);
    }

    #[test]
    fn a_key_that_sealed_too_much_seals_no_more_and_still_opens() {
        let (ring, _) = Keyring::create(Arc::new(FixedKeys::new([[1; 32]]))).unwrap();
        let a = org("a");
        let first = ring.new_tenant(&a, 1).unwrap();
        ring.add_tenant(&a, 1, &first, Usage::kept(HARD_STOP - 1, 0)).unwrap();
        let sealed = ring.seal(&a, Place::default(), b"x").unwrap();
        for _ in 0..3 {
            let refused = ring.seal(&a, Place::default(), b"y").unwrap_err();
            assert!(matches!(refused, KeyringError::Exhausted { version: 1, .. }), "{refused}");
        }
        assert_eq!(ring.open(&a, Place::default(), &sealed).unwrap(), b"x");
        let second = ring.new_tenant(&a, 2).unwrap();
        ring.add_tenant(&a, 2, &second, Usage::default()).unwrap();
        ring.seal(&a, Place::default(), b"y").unwrap();
        assert_eq!(ring.current_version(&a), Some(2));
        let counts: Vec<_> = ring.usage(&a).iter().map(|key| (key.version, key.sealed)).collect();
        assert_eq!(counts, [(1, HARD_STOP), (2, 1)]);
    }

    #[test]
    fn a_key_is_wrapped_anew_for_its_own_place_only() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = FixedKeys::new([old]);
        let (ring, root) = Keyring::create(Arc::new(before)).unwrap();
        let key = ring.new_tenant(&org("a"), 1).unwrap();
        assert_eq!(ring.rewrap(None, &root).unwrap(), None);
        let ring = Keyring::unwrap(Arc::new(FixedKeys::new([old, new])), &root).unwrap();
        assert!(ring.rewrap(Some((&org("b"), 1)), &key).is_err());
        assert!(ring.rewrap(Some((&org("a"), 2)), &key).is_err());
        let root = ring.rewrap(None, &root).unwrap().unwrap();
        let key = ring.rewrap(Some((&org("a"), 1)), &key).unwrap().unwrap();
        let after = Keyring::unwrap(Arc::new(FixedKeys::new([new])), &root).unwrap();
        assert_eq!(after.derive(Purpose::Manifest), ring.derive(Purpose::Manifest));
        after.add_tenant(&org("a"), 1, &key, Usage::default()).unwrap();
    }
}
