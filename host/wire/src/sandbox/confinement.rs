//! What a program may do, as plain data, and its way through a command line.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{CONFINE, SandboxError};

/// What a program may do. The default lets it do everything and limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Confinement {
    /// Whether it is not started at all where a mechanism that was asked for fails.
    pub required: bool,
    /// Whether it may write only to [`Confinement::write`], and not read what is hidden.
    pub filesystem: bool,
    /// Whether system calls are refused that no server needs.
    pub syscalls: bool,
    /// Where it may write.
    pub write: Vec<PathBuf>,
    /// What it may read although it is below something hidden.
    pub read: Vec<PathBuf>,
    /// What it may not see; `write` and `read` win over it.
    pub hidden: Vec<PathBuf>,
    /// Whom it may reach.
    pub network: Network,
    /// How much of everything it may use.
    pub limits: Limits,
    /// The user and group that it becomes; only the superuser may ask for it.
    pub user: Option<u32>,
}

/// Whom a program may reach over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Whoever the computer reaches.
    #[default]
    Host,
    /// Nobody; it may take TCP connections at this one port.
    Serve(u16),
    /// Nobody: it cannot have a socket.
    None,
}

/// How much a program may use; no limit where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of memory that each of its processes may write to.
    pub memory: Option<u64>,
    /// Processes and threads of its user, in its user namespace.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Seconds of processor time of each process, after which it is ended.
    pub cpu_seconds: Option<u64>,
}

impl Confinement {
    /// The arguments with which `bridge` starts `program` confined so, itself first.
    pub fn command(
        &self,
        bridge: &OsStr,
        program: impl IntoIterator<Item = OsString>,
    ) -> Result<Vec<OsString>, SandboxError> {
        let spec = serde_json::to_string(self)
            .map_err(|error| SandboxError::Arguments(error.to_string()))?;
        let own = [bridge.to_owned(), CONFINE.into(), spec.into(), "--".into()];
        Ok(own.into_iter().chain(program).collect())
    }

    /// Reads what [`Confinement::command`] wrote after the word `confine`.
    pub(super) fn parse(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, OsString, Vec<OsString>), SandboxError> {
        let bad = |why: &str| SandboxError::Arguments(why.to_owned());
        let mut args = args.into_iter();
        let spec = args.next().ok_or_else(|| bad("it is missing"))?;
        let spec = spec.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
        let spec = serde_json::from_str(spec).map_err(|error| bad(&error.to_string()))?;
        if args.next().is_none_or(|dashes| dashes != "--") {
            return Err(bad("`--` and a program must follow it"));
        }
        let program = args.next().ok_or_else(|| bad("no program follows it"))?;
        Ok((spec, program, args.collect()))
    }
}
