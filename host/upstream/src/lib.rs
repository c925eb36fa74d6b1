//! REACH: how a permitted call gets to a server, and with what.
//!
//! Owns credential kinds, the connectors and what keeps them apart from each other: caps,
//! queues, breakers. It decides nothing about who may do what: it takes proofs
//! ([`Armed`], [`Maintenance`]) and refuses to act without them. Start at [`connector::open`].

pub mod armed;
pub mod connector;
pub mod credential;
mod guard;
pub mod machine;

pub use armed::{ArmError, Armed, Duty, Maintenance};
pub use connector::{
    Connector, ConnectorError, ConnectorSpec, Health, List, Listed, OpenError, Parts, Update, open,
};
pub use credential::{Credential, CredentialError, Injection};
pub use tidegate_wire::client::{
    Affinity, ClientCan, Event, Exchange, Notification, Profile, Question,
};

#[cfg(test)]
pub(crate) mod tests;
