//! How a hook ends when it does not end with a verdict.
//!
//! Three endings are kept apart: a verdict, a fault of the guest ([`Trap`]), and a fault of
//! the host. A call that ran out of its own time is none of them. What becomes of the call
//! (fail closed or open) is decided by whoever bound the plugin.

use std::{sync::Arc, time::Duration};

use crate::state::Stop;

/// What the guest did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trap {
    /// It ran longer than its binding allows.
    #[error("it used up its time of {} ms", .0.as_millis())]
    OutOfTime(Duration),
    /// It asked for more memory, or a larger table, than its binding allows.
    #[error("it used up its memory of {} mib", .0 >> 20)]
    OutOfMemory(usize),
    /// It consists of more instances, memories or tables than its binding allows.
    #[error("it made more than {0} instances, memories or tables")]
    TooManyInstances(usize),
    /// It held more handles than its binding allows.
    #[error("it held more than {0} handles")]
    TooManyHandles(usize),
    /// It recursed too deeply.
    #[error("it used up its stack")]
    OutOfStack,
    /// It called host functions without end.
    #[error("it called the host more than {0} times")]
    TooManyHostCalls(u32),
    /// It returned more than its binding allows.
    #[error("it returned more than {0} bytes")]
    OutputTooLarge(usize),
    /// What it returned is not what the contract says.
    #[error("it returned something invalid: {0}")]
    BadOutput(String),
    /// It called a host function in a way that the contract forbids.
    #[error("it misused a host function: {0}")]
    BadHostCall(String),
    /// It changed what its event does not let it change.
    #[error("it may not do that: {0}")]
    NotAllowed(String),
    /// Any other trap, in the engine's words.
    #[error("it trapped: {0}")]
    Trapped(String),
}

impl Trap {
    /// The stable name in audit rows and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OutOfTime(_) => "out_of_time",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::TooManyInstances(_) => "too_many_instances",
            Self::TooManyHandles(_) => "too_many_handles",
            Self::OutOfStack => "out_of_stack",
            Self::TooManyHostCalls(_) => "too_many_host_calls",
            Self::OutputTooLarge(_) => "output_too_large",
            Self::BadOutput(_) => "bad_output",
            Self::BadHostCall(_) => "bad_host_call",
            Self::NotAllowed(_) => "not_allowed",
            Self::Trapped(_) => "trapped",
        }
    }
}

/// Why a hook gave no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The guest is at fault.
    #[error("plugin `{plugin}` failed: {trap}")]
    Trap {
        /// The binding's name.
        plugin: Arc<str>,
        /// What it did.
        trap: Trap,
    },
    /// The call's deadline passed while the plugin ran.
    #[error("the deadline of the call passed while plugin `{plugin}` ran")]
    Deadline {
        /// The binding's name.
        plugin: Arc<str>,
    },
    /// The call was cancelled while the plugin ran.
    #[error("the call was cancelled while plugin `{plugin}` ran")]
    Cancelled {
        /// The binding's name.
        plugin: Arc<str>,
    },
    /// Too many hooks ran at once, and none ended in time.
    #[error("plugin `{plugin}` is busy: {advice}")]
    Busy {
        /// The binding's name.
        plugin: Arc<str>,
        /// What ran out, and what to do.
        advice: &'static str,
    },
    /// All instances together have the memory that there is, so this one could not grow.
    #[error(
        "plugin `{plugin}` could not be run: all plugins together have used up their memory; \
         raise `plugins.memory_mib`, or call less"
    )]
    MemoryFull {
        /// The binding's name.
        plugin: Arc<str>,
    },
    /// The guest failed so often that it is left alone for a while; nothing was run.
    #[error("plugin `{plugin}` failed too often and is left alone for a while")]
    BreakerOpen {
        /// The binding's name.
        plugin: Arc<str>,
    },
    /// The gateway is at fault.
    #[error("plugin `{plugin}` could not be run")]
    Host {
        /// The binding's name.
        plugin: Arc<str>,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Failure {
    pub(crate) fn trap(plugin: &Arc<str>, trap: Trap) -> Self {
        Self::Trap { plugin: Arc::clone(plugin), trap }
    }

    pub(crate) fn stopped(plugin: &Arc<str>, stop: Stop, limits: &crate::Limits) -> Self {
        let plugin = Arc::clone(plugin);
        match stop {
            Stop::Deadline => Self::Deadline { plugin },
            Stop::Cancelled => Self::Cancelled { plugin },
            Stop::OutOfTime => Self::Trap { plugin, trap: Trap::OutOfTime(limits.guest_time) },
            Stop::HostCalls => {
                Self::Trap { plugin, trap: Trap::TooManyHostCalls(limits.host_calls) }
            }
            Stop::BadHostCall(text) | Stop::SessionFull(text) => {
                Self::Trap { plugin, trap: Trap::BadHostCall(text) }
            }
            Stop::Host(text) => Self::Host { plugin, source: text.into() },
        }
    }

    /// The stable name in audit rows and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Trap { trap, .. } => trap.name(),
            Self::Deadline { .. } => "deadline",
            Self::Cancelled { .. } => "cancelled",
            Self::Busy { .. } => "busy",
            Self::MemoryFull { .. } => "memory_full",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Host { .. } => "host",
        }
    }
}
