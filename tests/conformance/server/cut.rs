//! The scissors for one response stream.
//!
//! A legacy server may close the stream of a call before the answer, so that the client has
//! to come back for it. Owns telling the body to end; knows nothing of what is in it.

use std::sync::Arc;

use rmcp::{RoleServer, service::RequestContext};
use tokio_util::sync::CancellationToken;

/// Ends the response body that it was made for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<CancellationToken>);

impl Cut {
    /// The one for the request that is being handled, if it came over HTTP.
    pub(crate) fn of(context: &RequestContext<RoleServer>) -> Option<Self> {
        context.extensions.get::<http::request::Parts>()?.extensions.get::<Self>().cloned()
    }

    /// Ends the body; what is sent to it from now on waits for the client to come back.
    pub(crate) fn make(&self) {
        self.0.cancel();
    }

    /// Waits for [`Cut::make`].
    pub(crate) async fn made(&self) {
        self.0.cancelled().await;
    }
}
