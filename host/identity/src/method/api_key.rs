//! API keys: `tg_<id>_<secret>` with 256 random bits, kept as a SHA-256 digest.
//!
//! A presented key costs one digest and one lookup. Because the digest of 256 random bits
//! cannot be steered, the lookup tells an attacker nothing; the record is still compared in
//! constant time. Unknown, malformed, expired: one refusal.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Clock, KeyId, OrgId, Secret, Timestamp, UserId, VmcpId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidegate_model as model;

use crate::{Caller, SignIn, directory::Kind};

/// SHA-256 of a whole key text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

/// Why a key hash in a file was refused.
#[derive(Debug, thiserror::Error)]
#[error("`hash` must be `sha256:` and 64 hexadecimal digits; `tidegate key new` writes it")]
pub struct BadKeyHash;

impl KeyHash {
    /// The digest of a presented key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The digest.
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::str::FromStr for KeyHash {
    type Err = BadKeyHash;
    fn from_str(text: &str) -> Result<Self, BadKeyHash> {
        let digits = text.strip_prefix("sha256:").ok_or(BadKeyHash)?;
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(BadKeyHash);
        }
        let mut hash = [0_u8; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            let pair = digits.get(2 * at..2 * at + 2).ok_or(BadKeyHash)?;
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(BadKeyHash);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadKeyHash)?;
        }
        Ok(Self(hash))
    }
}

impl std::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What is known of one key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Its name among the resources, for audit rows.
    pub id: KeyId,
    /// The organisation it belongs to.
    pub org: OrgId,
    /// Digest of the whole key.
    pub hash: KeyHash,
    /// Who it stands for.
    pub user: UserId,
    /// Whether that is a person or an agent.
    pub kind: Kind,
    /// The groups of that user or agent.
    pub groups: Vec<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// The virtual MCPs it is good for; all when empty.
    pub vmcps: Vec<VmcpId>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

/// Why a presented key was refused; the reasons are told apart for the log only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// There is no such key.
    #[error("no such key")]
    Unknown,
    /// The key exists and has expired.
    #[error("key `{0}` has expired")]
    Expired(KeyId),
    /// Whoever it stands for is not active.
    #[error("whoever key `{0}` stands for is not active, or is somebody else now")]
    NotActive(KeyId),
}

/// All keys of a revision, ready for lookup.
#[derive(Debug, Default)]
pub struct ApiKeys(HashMap<KeyHash, (KeyRecord, Caller)>);

impl ApiKeys {
    /// Indexes the records; each key's caller is made once, here.
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Self {
        let entry = |record: KeyRecord| {
            let caller = Caller::new(record.org.clone(), record.user.clone(), SignIn::ApiKey)
                .with_kind(record.kind)
                .with_groups(record.groups.clone(), record.roles.clone())
                .with_key(record.id.clone(), record.hash, &record.vmcps);
            (record.hash, (record, caller))
        };
        Self(records.into_iter().map(entry).collect())
    }

    /// The caller behind a presented key of this organisation.
    pub fn authenticate(
        &self,
        org: &OrgId,
        key: &str,
        clock: &dyn Clock,
    ) -> Result<Caller, KeyRefused> {
        let hash = KeyHash::of(key);
        let (record, caller) = self.0.get(&hash).ok_or(KeyRefused::Unknown)?;
        let same: bool = record.hash.0.ct_eq(&hash.0).into();
        if !same || record.org != *org {
            return Err(KeyRefused::Unknown);
        }
        if record.expires.is_some_and(|end| end <= clock.now()) {
            return Err(KeyRefused::Expired(record.id.clone()));
        }
        Ok(caller.clone())
    }

    /// The caller whose key was accepted earlier, as they are known now, and when their key
    /// expires: the key may have been taken away since, or given to others.
    pub fn renew(
        &self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>), KeyRefused> {
        let found = caller.proof().and_then(|hash| self.0.get(hash));
        let (record, known) = found.ok_or(KeyRefused::Unknown)?;
        if record.org != *caller.org() {
            return Err(KeyRefused::Unknown);
        }
        if record.expires.is_some_and(|end| end <= now) {
            return Err(KeyRefused::Expired(record.id.clone()));
        }
        Ok((known.clone(), record.expires))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes a new key for the resource named `id`: the text to hand over once, and its digest
/// to keep. Fails only when the system has no randomness.
pub fn generate(id: &KeyId) -> Result<(Secret, KeyHash), getrandom::Error> {
    let mut random = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(random.as_mut_slice())?;
    let text = format!("tg_{id}_{}", URL_SAFE_NO_PAD.encode(random.as_slice()));
    let hash = KeyHash::of(&text);
    Ok((Secret::new(text), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    fn record(id: &str, hash: KeyHash) -> KeyRecord {
        KeyRecord {
            id: KeyId::new(id).unwrap(),
            org: OrgId::default_org(),
            hash,
            user: UserId::new("ae@example.com").unwrap(),
            kind: Kind::Person,
            groups: vec!["sales".into(), "all".into(), "sales".into()],
            roles: vec![],
            vmcps: vec![VmcpId::new("sales").unwrap()],
            expires: Some(Timestamp::from_millis(1_000)),
        }
    }

    #[test]
    fn a_generated_key_signs_in_until_it_expires() {
        let (key, hash) = generate(&KeyId::new("ae").unwrap()).unwrap();
        assert!(key.expose().starts_with("tg_ae_"));
        let keys = ApiKeys::new([record("ae", hash)]);
        let org = OrgId::default_org();
        let caller = keys.authenticate(&org, key.expose(), &At(999)).unwrap();
        assert_eq!(caller.groups(), ["all", "sales"]);
        assert!(caller.reaches(&VmcpId::new("sales").unwrap()));
        assert!(!caller.reaches(&VmcpId::new("hr").unwrap()));
        let late = keys.authenticate(&org, key.expose(), &At(1_000));
        assert_eq!(late.unwrap_err(), KeyRefused::Expired(KeyId::new("ae").unwrap()));
    }

    #[test]
    fn a_caller_is_renewed_as_long_as_their_very_key_is_good() {
        let (key, hash) = generate(&KeyId::new("ae").unwrap()).unwrap();
        let org = OrgId::default_org();
        let keys = ApiKeys::new([record("ae", hash)]);
        let caller = keys.authenticate(&org, key.expose(), &At(0)).unwrap();

        let mut promoted = record("ae", hash);
        promoted.groups = vec!["leads".into()];
        let (now, expires) =
            ApiKeys::new([promoted]).renew(&caller, Timestamp::from_millis(999)).unwrap();
        assert_eq!(now.groups(), ["leads"]);
        assert_eq!(expires, Some(Timestamp::from_millis(1_000)));

        let late = keys.renew(&caller, Timestamp::from_millis(1_000));
        assert_eq!(late.unwrap_err(), KeyRefused::Expired(KeyId::new("ae").unwrap()));
        let (_, other) = generate(&KeyId::new("ae").unwrap()).unwrap();
        let mut foreign = record("ae", hash);
        foreign.org = OrgId::new("other").unwrap();
        for records in [vec![record("ae", other)], vec![foreign], vec![]] {
            let renewed = ApiKeys::new(records).renew(&caller, Timestamp::from_millis(0));
            assert_eq!(renewed.unwrap_err(), KeyRefused::Unknown);
        }
        let nobody = crate::method::anonymous::anonymous(org).unwrap();
        assert!(keys.renew(&nobody, Timestamp::from_millis(0)).is_err());
    }

    #[test]
    fn anything_else_is_unknown() {
        let (key, hash) = generate(&KeyId::new("ae").unwrap()).unwrap();
        let keys = ApiKeys::new([record("ae", hash)]);
        let org = OrgId::default_org();
        let other = OrgId::new("other").unwrap();
        let cut = &key.expose()[..key.expose().len() - 1];
        for (org, text) in [(&org, ""), (&org, "tg_ae_"), (&org, cut), (&other, key.expose())] {
            assert_eq!(keys.authenticate(org, text, &At(0)).unwrap_err(), KeyRefused::Unknown);
        }
    }

    #[test]
    fn hashes_are_read_strictly() {
        let hash = KeyHash::of("x");
        assert_eq!(hash.to_string().parse::<KeyHash>().unwrap(), hash);
        for bad in [
            "",
            "sha256:",
            "md5:00",
            &hash.to_string()[..70],
            &format!("sha256:{}", "+1".repeat(32)),
        ] {
            assert!(bad.parse::<KeyHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn callers_of_one_class_look_the_same_to_policies() {
        let (_, first) = generate(&KeyId::new("a").unwrap()).unwrap();
        let caller = |groups: &[&str]| {
            let mut one = record("a", first);
            one.groups = groups.iter().map(ToString::to_string).collect();
            ApiKeys::new([one]).0.into_values().next().unwrap().1
        };
        assert_eq!(caller(&["a", "b"]).class(), caller(&["b", "a", "b"]).class());
        assert_ne!(caller(&["a", "b"]).class(), caller(&["ab"]).class());
    }
}
