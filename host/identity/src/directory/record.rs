//! What is known of people, agents and groups.

use std::{collections::BTreeSet, fmt, sync::Arc};

use model::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tidegate_model as model;

/// Whether somebody is a person or a program with a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person.
    #[default]
    Person,
    /// A program that acts for itself.
    Agent,
}

impl Kind {
    /// The spelling in digests and answers: `person` or `agent`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Agent => "agent",
        }
    }
}

/// One identity at one provider that is this person: never an e-mail address, which may be
/// given to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The provider's name in the settings.
    pub provider: String,
    /// The issuer that it was then. What one issuer says of its subjects says nothing of
    /// another's, whatever name both have had here.
    #[serde(default)]
    pub issuer: String,
    /// The provider's `sub`.
    pub subject: String,
}

impl Link {
    /// Whether both are identities at one and the same provider, so that one person has at
    /// most one of them.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.provider == other.provider && self.issuer == other.issuer
    }
}

/// A user, as stored. Texts are what people and providers wrote: show them as text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// How policies name them; never changes.
    pub id: UserId,
    /// Person or agent.
    #[serde(default)]
    pub kind: Kind,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The given part of their name, as a directory provisions it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// The family's part of their name, as a directory provisions it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// Their e-mail address, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether they may use anything at all.
    pub active: bool,
    /// Groups that an administrator put them in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles that an administrator gave them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Groups that the provider named when they signed in last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed_groups: Vec<String>,
    /// Roles that the provider named when they signed in last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed_roles: Vec<String>,
    /// Who they are at providers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The id that the organisation's directory gave them (SCIM `externalId`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The digest of the password of an account of the gateway's own (PHC string).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Tokens, sessions and grants from before this moment do not count any more.
    #[serde(default)]
    pub not_before: Timestamp,
    /// When the record was made.
    pub created: Timestamp,
    /// When they signed in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_in: Option<Timestamp>,
}

impl fmt::Debug for User {
    /// Who it is; the digest of a password is nobody's to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("active", &self.active)
            .field("email", &self.email)
            .field("groups", &self.groups)
            .field("roles", &self.roles)
            .field("claimed_groups", &self.claimed_groups)
            .field("claimed_roles", &self.claimed_roles)
            .field("links", &self.links)
            .field("has_password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

impl User {
    /// Somebody active of whom nothing else is known.
    pub fn new(id: UserId, kind: Kind, created: Timestamp) -> Self {
        Self {
            id,
            kind,
            name: None,
            given_name: None,
            family_name: None,
            email: None,
            active: true,
            groups: Vec::new(),
            roles: Vec::new(),
            claimed_groups: Vec::new(),
            claimed_roles: Vec::new(),
            links: Vec::new(),
            external_id: None,
            password: None,
            not_before: Timestamp::default(),
            created,
            last_sign_in: None,
        }
    }
}

/// A user with what follows from the groups and settings as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The record.
    pub user: User,
    /// All groups: assigned, claimed, and those that list the user as a member. Sorted,
    /// without repeats; empty for somebody who is not active.
    pub groups: Arc<[String]>,
    /// All roles: assigned, claimed, given to the groups, and `member` for people. Sorted,
    /// without repeats; empty for somebody who is not active.
    pub roles: Arc<[String]>,
    /// The version of the stored record.
    pub version: u64,
}

impl Person {
    /// Whether they have this role now.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|one| one == role)
    }
}

/// A group whose members are listed here, as a directory provisions it. Groups that only a
/// provider or an administrator names in a user's record need none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// 32 hexadecimal digits that never change.
    pub id: String,
    /// How policies name it; may change.
    pub name: String,
    /// The id that the organisation's directory gave it (SCIM `externalId`).
    pub external_id: Option<String>,
    /// Who is in it; all of them exist.
    pub members: BTreeSet<UserId>,
    /// When the record was made.
    pub created: Timestamp,
    /// The version of the stored record.
    pub version: u64,
}
