//! The authenticated caller.
//!
//! Made once per request by a sign-in method and read-only from then on. Holds no
//! credential.

use std::sync::Arc;

use model::{KeyId, OrgId, UserId, VmcpId};
use sha2::{Digest, Sha256};
use tidegate_model as model;

use crate::method::api_key::KeyHash;

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// An API key.
    ApiKey,
    /// The owner of the process, through the admin socket.
    AdminSocket,
    /// Nobody in particular, on a virtual MCP that says so.
    Anonymous,
}

impl SignIn {
    /// The spelling in policies (`context.auth`) and audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::AdminSocket => "admin_socket",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Everything about a caller that a policy can look at, as one digest: two callers of the
/// same class see the same lists, so what is visible is worked out once per class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerClass([u8; 16]);

impl CallerClass {
    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A person or agent that has been authenticated.
#[derive(Debug, Clone)]
pub struct Caller {
    org: OrgId,
    user: UserId,
    groups: Arc<[String]>,
    roles: Arc<[String]>,
    key: Option<KeyId>,
    /// The digest of the presented key, by which it is found again.
    proof: Option<KeyHash>,
    sign_in: SignIn,
    scope: Arc<[VmcpId]>,
    class: CallerClass,
}

impl Caller {
    /// Only sign-in methods make callers.
    pub(crate) fn new(org: OrgId, user: UserId, sign_in: SignIn) -> Self {
        let none: Arc<[String]> = Arc::from([]);
        Self {
            org,
            user,
            groups: Arc::clone(&none),
            roles: none,
            key: None,
            proof: None,
            sign_in,
            scope: Arc::from([]),
            class: CallerClass([0; 16]),
        }
        .classified()
    }

    pub(crate) fn with_groups(mut self, mut groups: Vec<String>, mut roles: Vec<String>) -> Self {
        groups.sort();
        groups.dedup();
        roles.sort();
        roles.dedup();
        self.groups = groups.into();
        self.roles = roles.into();
        self.classified()
    }

    pub(crate) fn with_key(mut self, key: KeyId, hash: KeyHash, scope: Vec<VmcpId>) -> Self {
        self.key = Some(key);
        self.proof = Some(hash);
        self.scope = scope.into();
        self.classified()
    }

    fn classified(mut self) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(self.org.as_str());
        part(self.user.as_str());
        part(self.sign_in.name());
        for list in [&self.groups, &self.roles] {
            part(&list.len().to_string());
            list.iter().for_each(|name| part(name));
        }
        let digest = hash.finalize();
        for (to, from) in self.class.0.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        self
    }

    /// The organisation whose resources the caller can reach.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The person or agent.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The groups, sorted and without repeats.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The groups, shared.
    pub fn shared_groups(&self) -> Arc<[String]> {
        Arc::clone(&self.groups)
    }

    /// The roles, sorted and without repeats.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The API key that was presented, by its id.
    pub fn key(&self) -> Option<&KeyId> {
        self.key.as_ref()
    }

    /// The digest of the presented key.
    pub(crate) fn proof(&self) -> Option<&KeyHash> {
        self.proof.as_ref()
    }

    /// How the caller signed in.
    pub fn sign_in(&self) -> SignIn {
        self.sign_in
    }

    /// Whether the credential is good for this virtual MCP; one without a scope is good for all.
    pub fn reaches(&self, vmcp: &VmcpId) -> bool {
        self.scope.is_empty() || self.scope.contains(vmcp)
    }

    /// The digest of all that a policy can see of the caller.
    pub fn class(&self) -> CallerClass {
        self.class
    }
}
