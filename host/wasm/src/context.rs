//! Who does what where, as a guest sees it.
//!
//! Made once per call by the pipeline and lent to every hook of it, so that no text is
//! prepared twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tidegate_model::{Call, UserId};

/// What every hook of one call is told.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub(crate) id: String,
    pub(crate) org: Arc<str>,
    pub(crate) vmcp: Arc<str>,
    pub(crate) connector: Arc<str>,
    pub(crate) tool: Arc<str>,
    pub(crate) method: &'static str,
    pub(crate) user: Arc<str>,
    pub(crate) groups: Arc<[String]>,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl CallContext {
    /// Describes `call`, made by `user` of `groups` with `client` (its name for itself).
    pub fn new(call: &Call, user: &UserId, groups: Arc<[String]>, client: Option<&str>) -> Self {
        Self {
            id: call.id.to_string(),
            org: call.org.as_str().into(),
            vmcp: call.vmcp.as_str().into(),
            connector: call.operation.connector().as_str().into(),
            tool: call.operation.target().into(),
            method: call.operation.method(),
            user: user.as_str().into(),
            groups,
            client: client.map(Into::into),
            deadline: call.deadline,
            cancelled: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Tells the guests that nobody waits any more. They may end on their own for some
    /// milliseconds, then they are stopped. Dropping a hook's future stops it at once.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`CallContext::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
