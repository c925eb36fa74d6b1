//! The outbound half of the MCP transports.
//!
//! [`egress`] is the one place from which bytes leave the process over a network: it
//! resolves, checks every address and connects to the checked one. [`http`] and [`stdio`]
//! speak MCP of both eras to a server, [`sse`] speaks to the oldest; [`Peer`] lets the layer
//! above treat them alike.
//! Knows nothing of permits, credentials' origins or catalogues: it sends what it is handed.

mod channel;
pub mod egress;
pub mod exchange;
mod handshake;
pub mod http;
mod inbound;
#[cfg(test)]
pub(crate) mod mock;
mod outgoing;
pub mod peer;
pub mod sse;
pub mod stdio;
mod sweep;
mod trial;
mod wanted;

pub use exchange::{Affinity, Asking, ClientCan, Event, Exchange, Profile, Question, within};
pub use outgoing::{Member, Outgoing};
pub use peer::{Heard, Notification, Peer, PeerError, PeerInfo};
pub use wanted::{Round, Wanted};
