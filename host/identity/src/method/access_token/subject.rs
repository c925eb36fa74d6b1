//! Whom an access token stands for: somebody of the directory, or the agent that the settings
//! put beside a client.

use std::sync::Arc;

use model::{OrgId, Timestamp, UserId};
use tidegate_model as model;

use crate::{
    Caller, Settings, SignIn,
    authorization::client::ClientAgent,
    caller::Bearer,
    directory::{Directory, Kind, Person},
};

/// Somebody that a token stands for.
#[derive(Clone)]
pub(crate) enum Subject {
    /// A person or agent of the directory.
    Person(Arc<Person>),
    /// A client that acts for itself.
    Client(ClientSubject),
}

/// A client that acts for itself.
#[derive(Clone)]
pub(crate) struct ClientSubject {
    agent: ClientAgent,
    /// What the directory knows of the agent, where it does.
    record: Option<Arc<Person>>,
    /// The settings that it was found in; `None` before it has a token.
    settings: Option<Arc<Settings>>,
}

/// Somebody of the directory who may come, with what was issued at `since`: they are active,
/// and were not signed out since.
pub(crate) fn alive(
    directory: &Directory,
    user: &UserId,
    kind: Kind,
    since: Timestamp,
) -> Option<Arc<Person>> {
    directory.user(user).filter(|person| person.user.kind == kind && is_active(person, since))
}

/// What was issued in the very moment of a sign-out does not count either, nor what somebody
/// had who was removed and whose name was given to somebody else.
fn is_active(person: &Person, since: Timestamp) -> bool {
    let user = &person.user;
    user.active && since > user.not_before && since >= user.created
}

impl Subject {
    /// The agent of a client that acts for itself, if it has one that may come.
    pub(crate) fn of_client(
        directory: &Directory,
        agent: Option<&ClientAgent>,
        since: Timestamp,
    ) -> Option<Self> {
        let agent = agent?.clone();
        let record = directory.user(&agent.user);
        let client = ClientSubject { agent, record, settings: None };
        client.is_active(since).then_some(Self::Client(client))
    }

    /// The same for a token that names client and agent: both have to be so still.
    pub(super) fn of_token(
        directory: &Directory,
        settings: &Arc<Settings>,
        (client, user): (&str, &UserId),
        since: Timestamp,
    ) -> Option<Self> {
        let entry = settings.clients.get(client)?;
        let agent = ClientAgent {
            user: entry.agent.clone().filter(|agent| agent == user)?,
            groups: entry.groups.clone(),
            roles: entry.roles.clone(),
        };
        match Self::of_client(directory, Some(&agent), since)? {
            Self::Client(client) => {
                Some(Self::Client(ClientSubject { settings: Some(Arc::clone(settings)), ..client }))
            }
            person @ Self::Person(_) => Some(person),
        }
    }

    pub(crate) fn user(&self) -> &UserId {
        match self {
            Self::Person(person) => &person.user.id,
            Self::Client(client) => &client.agent.user,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Person(person) => person.user.kind,
            Self::Client(_) => Kind::Agent,
        }
    }

    /// The caller who comes with a token.
    pub(crate) fn caller(&self, org: &OrgId, bearer: &Arc<Bearer>) -> Caller {
        let caller = match self {
            Self::Person(person) => Caller::of(org.clone(), person, SignIn::Token),
            Self::Client(client) => client.caller(org),
        };
        caller.with_token(Arc::clone(bearer))
    }

    /// Whether this is what directory and settings say now.
    pub(super) fn is_current(&self, directory: &Directory, settings: &Arc<Settings>) -> bool {
        let is_same = |known: Option<&Arc<Person>>, now: Option<&Arc<Person>>| match (known, now) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        let now = directory.user(self.user());
        match self {
            Self::Person(person) => is_same(Some(person), now.as_ref()),
            Self::Client(client) => {
                client.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, settings))
                    && is_same(client.record.as_ref(), now.as_ref())
            }
        }
    }

    /// Whether what was issued at `since` counts, by what is known here.
    pub(super) fn is_active(&self, since: Timestamp) -> bool {
        match self {
            Self::Person(person) => is_active(person, since),
            Self::Client(client) => client.is_active(since),
        }
    }

    /// Whether what was allowed at `since` counts, by what the directory says now.
    pub(crate) fn is_alive(&self, directory: &Directory, since: Timestamp) -> bool {
        match self {
            Self::Person(person) => {
                alive(directory, &person.user.id, person.user.kind, since).is_some()
            }
            Self::Client(client) => {
                Self::of_client(directory, Some(&client.agent), since).is_some()
            }
        }
    }
}

impl ClientSubject {
    fn is_active(&self, since: Timestamp) -> bool {
        // A person of the agent's name would be taken for it, or it for them.
        let is_agent = |person: &Person| person.user.kind == Kind::Agent;
        self.record.as_ref().is_none_or(|record| is_agent(record) && is_active(record, since))
    }

    fn caller(&self, org: &OrgId) -> Caller {
        let (known_groups, known_roles) = match &self.record {
            Some(record) => (record.groups.to_vec(), record.roles.to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        let all = |more: &[String], known: Vec<String>| [more, known.as_slice()].concat();
        Caller::new(org.clone(), self.agent.user.clone(), SignIn::Token)
            .with_kind(Kind::Agent)
            .with_groups(all(&self.agent.groups, known_groups), all(&self.agent.roles, known_roles))
    }
}
