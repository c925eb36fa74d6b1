//! How people and clients of an organisation sign in, as its administrator wants it.
//!
//! Plain data, checked by whoever reads the configuration; a revision carries one. Knows
//! neither files nor where secrets come from.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{Secret, UserId, VmcpId};
use tidegate_model as model;

/// The roles that the gateway itself knows; organisations may use others in policies.
pub const ROLES: [&str; 6] =
    ["owner", "admin", "policy-author", "plugin-developer", "auditor", "member"];

/// All of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether people may sign in with an account of the gateway's own and its password. Has no
    /// effect where a provider is [enforced](Self::enforced).
    pub accounts: bool,
    /// The provider that is the only way in.
    pub enforced: Option<String>,
    /// Whether somebody whom a provider vouches for and nobody has invited becomes a user.
    pub open_join: bool,
    /// How long a browser stays signed in without use.
    pub session_idle: Duration,
    /// How long a browser stays signed in at most.
    pub session_lifetime: Duration,
    /// The organisation's identity providers, by name (a slug).
    pub providers: BTreeMap<String, Provider>,
    /// The groups that give a role, by role.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Clients that an administrator has written down, by client id (a slug).
    pub clients: BTreeMap<String, RegisteredClient>,
    /// Whether unknown clients may register themselves (RFC 7591).
    pub dynamic_registration: bool,
    /// Whether clients may be known by the URL of their metadata document.
    pub client_documents: bool,
    /// Hosts whose metadata documents are trusted; any host when empty.
    pub document_hosts: Vec<String>,
    /// Addresses beside the public internet where metadata documents may be fetched.
    pub document_addresses: Vec<IpAddr>,
    /// How long an access token is good for.
    pub access_lifetime: Duration,
    /// How long a grant is good for without use.
    pub grant_idle: Duration,
    /// Authorities whose identity assertions (ID-JAG) are taken for a token, by issuer.
    pub assertion_issuers: BTreeMap<String, AssertionIssuer>,
    /// SHA-256 of the bearer token that the organisation's directory provisions users with
    /// (SCIM); none is accepted without one.
    pub scim_token: Option<[u8; 32]>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accounts: true,
            enforced: None,
            open_join: true,
            session_idle: Duration::from_secs(12 * 3_600),
            session_lifetime: Duration::from_secs(7 * 86_400),
            providers: BTreeMap::new(),
            roles: BTreeMap::new(),
            clients: BTreeMap::new(),
            dynamic_registration: true,
            client_documents: true,
            document_hosts: Vec::new(),
            document_addresses: Vec::new(),
            access_lifetime: Duration::from_secs(600),
            grant_idle: Duration::from_secs(30 * 86_400),
            assertion_issuers: BTreeMap::new(),
            scim_token: None,
        }
    }
}

impl Settings {
    /// Whether accounts of the gateway's own can be used to sign in.
    pub fn takes_accounts(&self) -> bool {
        self.accounts && self.enforced.is_none()
    }

    /// The providers that may be used, with their names.
    pub fn usable_providers(&self) -> impl Iterator<Item = (&str, &Provider)> {
        let usable = |name: &str| self.enforced.as_deref().is_none_or(|only| only == name);
        self.providers
            .iter()
            .map(|(name, provider)| (name.as_str(), provider))
            .filter(move |(name, _)| usable(name))
    }
}

/// What kind of identity provider it is: how its claims are read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preset {
    /// Okta.
    Okta,
    /// Google: only people of this hosted domain (claim `hd`), where one is given.
    Google {
        /// The domain.
        hosted_domain: Option<String>,
    },
    /// Microsoft Entra ID: only this tenant (claim `tid`); groups come as ids.
    Entra {
        /// The tenant's id.
        tenant: String,
        /// Where groups are looked up when there are too many for a token: the base of
        /// Microsoft Graph's API.
        graph: String,
    },
    /// Any other OpenID provider.
    Oidc,
}

/// An OpenID provider that the organisation's people sign in with.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What its button says.
    pub title: String,
    /// How its claims are read.
    pub preset: Preset,
    /// Its issuer, as in its metadata and tokens.
    pub issuer: String,
    /// Who the gateway is to it.
    pub client_id: String,
    /// The gateway's secret there.
    pub client_secret: Secret,
    /// Scopes to ask for, `openid` among them.
    pub scopes: Vec<String>,
    /// Where the answers are in its claims.
    pub claims: ClaimNames,
    /// Addresses beside the public internet where it may be.
    pub addresses: Vec<IpAddr>,
    /// Hosts beside the issuer's own where its endpoints may be; those of a preset are known.
    pub endpoint_hosts: Vec<String>,
    /// Whether an e-mail address counts that the provider does not vouch for.
    pub trust_email: bool,
}

/// The names of the claims that say who somebody is; each may be a path (`realm.roles`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The e-mail address, which is also how policies name the person.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// A list of groups.
    pub groups: String,
    /// A list of roles; none are read when empty.
    pub roles: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            email: "email".into(),
            name: "name".into(),
            groups: "groups".into(),
            roles: String::new(),
        }
    }
}

/// A client that an administrator has written down.
#[derive(Debug, Clone, Default)]
pub struct RegisteredClient {
    /// What people are shown.
    pub name: String,
    /// Where answers may go; loopback ones with any port.
    pub redirect_uris: Vec<String>,
    /// Whether it may be let in by a code that people type (RFC 8628).
    pub device_codes: bool,
    /// SHA-256 of its secret.
    pub secret: Option<[u8; 32]>,
    /// Its public keys (a JWK set, as JSON text) for `private_key_jwt`.
    pub jwks: Option<String>,
    /// Who it is when it acts for itself (`client_credentials`): the name of an agent.
    pub agent: Option<UserId>,
    /// Groups of that agent.
    pub groups: Vec<String>,
    /// Roles of that agent.
    pub roles: Vec<String>,
    /// Virtual MCPs it may get tokens for; all when empty.
    pub vmcps: Vec<VmcpId>,
}

/// An authority whose signed assertions about people are taken instead of a sign-in.
#[derive(Debug, Clone)]
pub struct AssertionIssuer {
    /// Where its keys are.
    pub jwks_uri: String,
    /// Addresses beside the public internet where they may be fetched.
    pub addresses: Vec<IpAddr>,
    /// The provider whose people it speaks of (`sub` is theirs); `None`: its `email` claim
    /// names the person.
    pub provider: Option<String>,
}
