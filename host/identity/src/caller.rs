//! The authenticated caller.
//!
//! Made once per request by a sign-in method and read-only from then on. Holds no
//! credential.

use std::sync::Arc;

use model::{KeyId, OrgId, Timestamp, UserId, VmcpId};
use sha2::{Digest, Sha256};
use tidegate_model as model;

use crate::{
    Resource, Scopes,
    directory::{Kind, Person},
    method::api_key::KeyHash,
};

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// An API key.
    ApiKey,
    /// The owner of the process, through the admin socket.
    AdminSocket,
    /// Nobody in particular, on a virtual MCP that says so.
    Anonymous,
    /// An access token of our own authorization server.
    Token,
    /// A browser that is signed in.
    Session,
    /// The organisation's own directory, which provisions users.
    Provisioning,
}

impl SignIn {
    /// The spelling in policies (`context.auth`) and audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::AdminSocket => "admin_socket",
            Self::Anonymous => "anonymous",
            Self::Token => "oauth",
            Self::Session => "session",
            Self::Provisioning => "scim",
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

/// What an access token says beside whom it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The one thing it is good for.
    pub resource: Resource,
    /// The rights it carries.
    pub scopes: Scopes,
    /// The grant it was issued under, by its id.
    pub grant: Arc<str>,
    /// The client it was issued to, by its id.
    pub client: Arc<str>,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it stops working.
    pub expires: Timestamp,
    /// When the person proved who they are; nobody did where an agent acts for itself.
    pub authenticated: Option<Timestamp>,
    /// When its grant ends without further use: a stream that it opened lasts as long.
    pub grant_expires: Timestamp,
    /// The grant of the token that it was exchanged for: they end together.
    pub parent: Option<Arc<str>>,
    /// Whether the agent stands beside its client in the settings (`client_credentials`).
    pub is_by_client: bool,
    /// Whether the client is one of the settings: the token ends where it is taken out there,
    /// or may not reach the resource any more.
    pub is_of_settings: bool,
}

/// What the credential is good for.
#[derive(Debug, Clone)]
enum Reach {
    /// Whatever policies permit.
    All,
    /// These virtual MCPs and no administration.
    Vmcps(Arc<[VmcpId]>),
    /// What the access token names.
    Token(Arc<Bearer>),
}

/// A person or agent that has been authenticated.
#[derive(Debug, Clone)]
pub struct Caller {
    org: OrgId,
    user: UserId,
    kind: Kind,
    groups: Arc<[String]>,
    roles: Arc<[String]>,
    key: Option<KeyId>,
    /// The digest of the presented key, by which it is found again.
    proof: Option<KeyHash>,
    /// When the person signed in to the browser session.
    authenticated: Option<Timestamp>,
    sign_in: SignIn,
    reach: Reach,
    class: CallerClass,
}

impl Caller {
    /// Only sign-in methods make callers.
    pub(crate) fn new(org: OrgId, user: UserId, sign_in: SignIn) -> Self {
        let none: Arc<[String]> = Arc::from([]);
        Self {
            org,
            user,
            kind: Kind::Person,
            groups: Arc::clone(&none),
            roles: none,
            key: None,
            proof: None,
            authenticated: None,
            sign_in,
            reach: Reach::All,
            class: CallerClass([0; 16]),
        }
        .classified()
    }

    /// Somebody of the directory, with the groups and roles that they have now. Whether they
    /// are active is for the method to ask.
    pub(crate) fn of(org: OrgId, person: &Person, sign_in: SignIn) -> Self {
        let mut caller = Self::new(org, person.user.id.clone(), sign_in);
        caller.kind = person.user.kind;
        caller.groups = Arc::clone(&person.groups);
        caller.roles = Arc::clone(&person.roles);
        caller.classified()
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.classified()
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

    pub(crate) fn with_key(mut self, key: KeyId, hash: KeyHash, vmcps: &[VmcpId]) -> Self {
        self.key = Some(key);
        self.proof = Some(hash);
        self.reach = if vmcps.is_empty() { Reach::All } else { Reach::Vmcps(vmcps.into()) };
        self
    }

    /// Binds the caller to what an access token says.
    pub(crate) fn with_token(mut self, bearer: Arc<Bearer>) -> Self {
        self.reach = Reach::Token(bearer);
        self
    }

    /// Says when the person signed in, for a browser session.
    pub(crate) fn with_authenticated(mut self, at: Timestamp) -> Self {
        self.authenticated = Some(at);
        self
    }

    fn classified(mut self) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(self.org.as_str());
        part(self.kind.name());
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

    /// Whether it is a person or an agent, which policies tell apart.
    pub fn kind(&self) -> Kind {
        self.kind
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

    /// What the access token says, where one was presented.
    pub fn bearer(&self) -> Option<&Bearer> {
        match &self.reach {
            Reach::Token(bearer) => Some(bearer),
            Reach::All | Reach::Vmcps(_) => None,
        }
    }

    pub(crate) fn shared_bearer(&self) -> Option<&Arc<Bearer>> {
        match &self.reach {
            Reach::Token(bearer) => Some(bearer),
            Reach::All | Reach::Vmcps(_) => None,
        }
    }

    /// The rights that the credential carries; `None` where policies alone decide.
    pub fn scopes(&self) -> Option<Scopes> {
        self.bearer().map(|bearer| bearer.scopes)
    }

    /// The grant behind the access token.
    pub fn grant(&self) -> Option<&str> {
        self.bearer().map(|bearer| &*bearer.grant)
    }

    /// The OAuth client that the access token was issued to.
    pub fn client(&self) -> Option<&str> {
        self.bearer().map(|bearer| &*bearer.client)
    }

    /// When the person proved who they are in a browser, where they did.
    pub fn authenticated(&self) -> Option<Timestamp> {
        self.authenticated.or_else(|| self.bearer()?.authenticated)
    }

    /// Whether the credential is good for this virtual MCP: an access token is for one, a key
    /// without a list for all.
    pub fn reaches(&self, vmcp: &VmcpId) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Vmcps(vmcps) => vmcps.contains(vmcp),
            Reach::Token(bearer) => matches!(&bearer.resource, Resource::Vmcp(one) if one == vmcp),
        }
    }

    /// Whether the credential is good for administration, as far as policies permit it: a key
    /// that is limited to virtual MCPs is not, nor is an access token for anything else.
    pub fn reaches_admin(&self) -> bool {
        match &self.reach {
            Reach::All => !matches!(self.sign_in, SignIn::Anonymous | SignIn::Provisioning),
            Reach::Vmcps(_) => false,
            Reach::Token(bearer) => bearer.resource == Resource::Admin,
        }
    }

    /// The digest of all that a policy can see of the caller.
    pub fn class(&self) -> CallerClass {
        self.class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(kind: Kind, sign_in: SignIn) -> Caller {
        let ann = UserId::new("ann").unwrap();
        Caller::new(OrgId::default_org(), ann, sign_in).with_kind(kind)
    }

    fn bearer(resource: Resource) -> Arc<Bearer> {
        Arc::new(Bearer {
            resource,
            scopes: Scopes::default(),
            grant: Arc::from("g"),
            client: Arc::from("c"),
            issued: Timestamp::from_millis(1),
            expires: Timestamp::from_millis(2),
            authenticated: None,
            grant_expires: Default::default(),
            parent: None,
            is_by_client: false,
            is_of_settings: false,
        })
    }

    #[test]
    fn classes_differ_by_whatever_policies_see() {
        let person = caller(Kind::Person, SignIn::ApiKey);
        let others = [
            caller(Kind::Agent, SignIn::ApiKey),
            caller(Kind::Person, SignIn::Token),
            caller(Kind::Person, SignIn::Session),
            person.clone().with_groups(vec!["a".into()], vec![]),
            person.clone().with_groups(vec![], vec!["a".into()]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(person.class(), other.class(), "{at}");
        }
        let key = KeyHash::of("x");
        let keyed = person.clone().with_key(KeyId::new("k").unwrap(), key, &[]);
        assert_eq!(person.class(), keyed.class());
    }

    #[test]
    fn a_credential_reaches_what_it_is_for_and_nothing_else() {
        let (sales, hr) = (VmcpId::new("sales").unwrap(), VmcpId::new("hr").unwrap());
        let plain = || caller(Kind::Person, SignIn::ApiKey);
        let keyed =
            |vmcps: &[VmcpId]| plain().with_key(KeyId::new("k").unwrap(), KeyHash::of("x"), vmcps);
        let token = |resource| caller(Kind::Person, SignIn::Token).with_token(bearer(resource));
        let rows = [
            (keyed(&[]), [true, true, true]),
            (keyed(std::slice::from_ref(&sales)), [true, false, false]),
            (token(Resource::Vmcp(sales.clone())), [true, false, false]),
            (token(Resource::Admin), [false, false, true]),
            (caller(Kind::Person, SignIn::Session), [true, true, true]),
            (caller(Kind::Person, SignIn::Anonymous), [true, true, false]),
        ];
        for (at, (caller, expected)) in rows.iter().enumerate() {
            let found = [caller.reaches(&sales), caller.reaches(&hr), caller.reaches_admin()];
            assert_eq!(found, *expected, "row {at}");
        }
    }
}
