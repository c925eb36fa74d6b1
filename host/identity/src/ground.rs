//! What every part of an organisation's identity stands on.

use std::sync::Arc;

use model::Clock;
use tidegate_model as model;
use tidegate_store::Store;
use tidegate_wire::client::egress::Egress;

use crate::Issuer;

/// The long-lived things that sign-in, directory and authorization server share.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Which organisation, and by which URLs it is known.
    pub issuer: Issuer,
    /// Where everything is kept. The organisation has its key already.
    pub store: Arc<dyn Store>,
    /// The time of day: whatever ends, ends by it.
    pub clock: Arc<dyn Clock>,
    /// The one way out, for providers, key sets and client documents.
    pub egress: Arc<Egress>,
}
