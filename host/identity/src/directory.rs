//! Who there is: people, agents and groups of one organisation.
//!
//! Owns their records and an index of all of them in memory, so that a request never reads
//! the store to know who calls. Does not know how somebody proved who they are.

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

/// One identity at one provider that is this person: never an e-mail address, which may be
/// given to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The provider's name in the settings.
    pub provider: String,
    /// The provider's `sub`.
    pub subject: String,
}

/// A user, as stored. Texts are what people and providers wrote: show them as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// How policies name them; never changes.
    pub id: UserId,
    /// Person or agent.
    #[serde(default)]
    pub kind: Kind,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
