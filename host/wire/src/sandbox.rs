//! What keeps a program that the gateway runs from the rest of the computer.
//!
//! Two layers, either of which may be missing. Around a whole machine: namespaces, made by
//! bubblewrap where it is installed ([`namespaces`]). Around the program in it: Landlock, a
//! seccomp filter, resource limits and another user, applied by `tidegate-bridge confine` to
//! itself before it becomes the program ([`enter`]), so that no code runs between fork and
//! exec. [`Mechanisms`] says which of them this computer has. Knows no MCP.

mod confinement;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod landlock;
mod mechanisms;
pub mod namespaces;

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

pub use confinement::{Confinement, Limits, Network};
pub use mechanisms::{Holds, Mechanisms};

use rustix::process::{Resource, Rlimit, setrlimit};

/// The first argument of `tidegate-bridge` that asks for [`enter`].
pub const CONFINE: &str = "confine";

/// The exit status when the sandbox could not be set up: nothing of the program has run.
pub const NOT_CONFINED: u8 = 125;
/// The exit status when there is no such program, or none that may be run.
const NOT_STARTED: u8 = 127;

/// Why a program was not started within its confinement.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The arguments of `confine` are not what [`Confinement::command`] writes.
    #[error("the confinement cannot be read: {0}")]
    Arguments(String),
    /// A limit cannot be set.
    #[error("the limit of {what} cannot be set: {source}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A mechanism that was required is missing or failed.
    #[error("{mechanism} is required and does not hold: {why}")]
    Mechanism {
        /// Its name.
        mechanism: &'static str,
        /// What the system said.
        why: String,
    },
}

/// `tidegate-bridge confine SPEC -- PROGRAM ARGS…`: confines this process and becomes the
/// program. `args` is what follows the word `confine`. Returns only on failure, after one
/// sentence on stderr.
///
/// Must be called before any thread is started: what it applies holds for the calling thread
/// and those it starts.
pub fn enter(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (confinement, program, args) = match Confinement::parse(args) {
        Ok(parsed) => parsed,
        Err(error) => return refused(&error),
    };
    if let Err(error) = confinement.apply() {
        return refused(&error);
    }
    // Whoever started it is gone without a word: so is the program. (A change of user takes
    // this back.)
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut command = Command::new(&program);
    command.args(args);
    if let Some(user) = confinement.user {
        // Groups first, and none beside its own.
        command.gid(user).uid(user);
    }
    let error = command.exec();
    eprintln!("`{}` cannot be started: {error}", program.to_string_lossy().escape_debug());
    ExitCode::from(NOT_STARTED)
}

fn refused(error: &SandboxError) -> ExitCode {
    eprintln!("the sandbox cannot be set up: {error}");
    ExitCode::from(NOT_CONFINED)
}

impl Confinement {
    /// Applies everything but the change of user to the calling thread.
    fn apply(&self) -> Result<(), SandboxError> {
        self.limit()?;
        self.restrict()
    }

    fn limit(&self) -> Result<(), SandboxError> {
        let Limits { memory, processes, files, cpu_seconds } = self.limits;
        // The data segment, not the address space: runtimes reserve far more than they use.
        for (what, resource, limit) in [
            ("memory", Resource::Data, memory),
            ("processes", Resource::Nproc, processes),
            ("open files", Resource::Nofile, files),
            ("processor time", Resource::Cpu, cpu_seconds),
            ("core files", Resource::Core, Some(0)),
        ] {
            let Some(limit) = limit else { continue };
            let now = rustix::process::getrlimit(resource);
            let limit = now.maximum.map_or(limit, |most| limit.min(most));
            setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
                .map_err(|error| SandboxError::Limit { what, source: error.into() })?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn restrict(&self) -> Result<(), SandboxError> {
        if !self.filesystem && !self.syscalls {
            return Ok(());
        }
        let optional = |outcome: Result<(), SandboxError>| match outcome {
            Err(error) if self.required => Err(error),
            _ => Ok(()),
        };
        if self.filesystem {
            optional(landlock::apply(self))?;
        }
        if self.syscalls {
            optional(filter::apply(self.network))?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn restrict(&self) -> Result<(), SandboxError> {
        match self.required {
            true => Err(SandboxError::Mechanism {
                mechanism: "the sandbox",
                why: "there is one on Linux only".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
