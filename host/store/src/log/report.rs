//! What a verification says.

use super::Hash;

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything holds.
    Ok,
    /// What is there is right, but something promised is missing or not yet signed.
    Incomplete,
    /// The log could not be read.
    Unreadable,
    /// Something was changed.
    Tampered,
}

impl Verdict {
    /// The exit status of `tidegate audit verify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Tampered => 2,
            Self::Incomplete => 3,
            Self::Unreadable => 4,
        }
    }
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it counts.
    pub verdict: Verdict,
    /// The record it is about, where it is about one.
    pub seq: Option<u64>,
    /// What does not hold, for a person.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The result in one word.
    pub verdict: Verdict,
    /// Records that were read and follow each other.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Records covered by a checkpoint whose signature and root hold.
    pub signed: u64,
    /// Number of such checkpoints.
    pub checkpoints: u64,
    /// Whether a process is writing the log.
    pub live: bool,
    /// The first record that cannot be trusted or is missing.
    pub first_bad: Option<u64>,
    /// Everything that does not hold.
    pub findings: Vec<Finding>,
}
