//! Background work: one file per job.

pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod keep;
pub(crate) mod reap;
pub(crate) mod rotate;
pub(crate) mod sync;
pub(crate) mod unfinished;
pub(crate) mod watch;
