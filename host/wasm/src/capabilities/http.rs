//! Outgoing requests to named hosts.

/// Where a binding's requests may go.
#[derive(Debug)]
pub struct HttpReach {}
