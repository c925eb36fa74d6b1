//! Keeps the process's memory from the disk and from others of its user.
//!
//! No core files, and no looking into the process by debuggers without the right to do so to
//! anybody. What the system does not allow is said in the log and does not stop the start.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Rules out core files, also of programs that are started from here.
pub(crate) fn no_core_files() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core files cannot be ruled out: set `LimitCORE=0` or `ulimit -c 0`");
    }
}

/// Closes the process to debuggers, and says where memory may reach a disk. Comes after whatever
/// has to open files under `/proc/self`, which belong to root from here on.
pub(crate) fn no_looking_in() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other programs of this user can look into the process");
    }
    // The first line is a heading.
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        tracing::info!(
            "this machine swaps: keep secrets off its disk with encrypted swap or `MemorySwapMax=0`"
        );
    }
}
