//! Which mechanisms this computer has, and what holds without the others.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Network, namespaces};

/// What was found at the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mechanisms {
    /// bubblewrap, where it is installed and may make namespaces.
    pub bubblewrap: Option<PathBuf>,
    /// Why bubblewrap is not used.
    pub no_bubblewrap: Option<String>,
    /// The version of the kernel's Landlock.
    pub landlock: Option<u32>,
    /// Whether the kernel takes seccomp filters.
    pub seccomp: bool,
    /// Whether the gateway runs as the superuser, whom limits of processes do not bind.
    pub superuser: bool,
}

/// What holds of one program, as far as these mechanisms go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// It writes only where it may.
    pub filesystem: bool,
    /// Dangerous system calls are refused.
    pub syscalls: bool,
    /// The network is as it was asked for.
    pub network: bool,
    /// It sees no other processes and shares no names with them.
    pub namespaces: bool,
    /// Its processes are bounded by themselves.
    pub processes: bool,
}

impl Mechanisms {
    /// Looks, and tries bubblewrap out; `path` is where programs are looked up. Waits for a
    /// program to end: call it where blocking is fine, once.
    pub fn detect(path: &str) -> Self {
        let (bubblewrap, no_bubblewrap) = match find("bwrap", path) {
            None => (None, Some("it is not installed".to_owned())),
            Some(found) => match works(&found) {
                Ok(()) => (Some(found), None),
                Err(why) => (None, Some(why)),
            },
        };
        Self {
            bubblewrap,
            no_bubblewrap,
            superuser: rustix::process::geteuid().is_root(),
            ..Self::of_kernel()
        }
    }

    #[cfg(target_os = "linux")]
    fn of_kernel() -> Self {
        Self {
            landlock: super::landlock::version(),
            seccomp: super::filter::is_available(),
            ..Self::default()
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn of_kernel() -> Self {
        Self::default()
    }

    /// What holds of a program that may use the network so; `user` tells whether it has a
    /// user of its own.
    pub fn holds(&self, network: Network, user: bool) -> Holds {
        let namespaces = self.bubblewrap.is_some();
        Holds {
            filesystem: namespaces || self.landlock.is_some(),
            syscalls: self.seccomp,
            network: match network {
                Network::Host => true,
                Network::None => namespaces || self.seccomp,
                // From the fourth version on Landlock knows ports.
                Network::Serve(_) => {
                    namespaces || self.landlock.is_some_and(|version| version >= 4)
                }
            },
            namespaces,
            processes: user || (namespaces && !self.superuser),
        }
    }
}

impl Holds {
    /// What does not hold, in words; empty where all does.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            (self.filesystem, "files are not protected"),
            (self.syscalls, "system calls are not filtered"),
            (self.network, "the network is not off"),
            (self.namespaces, "no namespaces of its own"),
            (self.processes, "the number of processes is not bounded"),
        ]
        .into_iter()
        .filter_map(|(holds, words)| (!holds).then_some(words))
        .collect()
    }

    /// Whether everything holds that `sandbox = "required"` promises: files, system calls
    /// and network. Namespaces and the number of processes come on top.
    pub fn suffices(&self) -> bool {
        self.filesystem && self.syscalls && self.network
    }
}

impl fmt::Display for Mechanisms {
    /// One line for the log and for status.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.bubblewrap, &self.no_bubblewrap) {
            (Some(path), _) => write!(f, "namespaces by {}", path.display())?,
            (None, Some(why)) => write!(f, "no namespaces (bubblewrap: {why})")?,
            (None, None) => f.write_str("no namespaces")?,
        }
        match self.landlock {
            Some(version) => write!(f, ", Landlock {version}")?,
            None => f.write_str(", no Landlock")?,
        }
        f.write_str(if self.seccomp { ", seccomp" } else { ", no seccomp" })?;
        f.write_str(", resource limits")?;
        if self.superuser {
            f.write_str(" (not of processes: the gateway runs as the superuser)")?;
        }
        Ok(())
    }
}

/// An executable of this name in one of the folders of `path`.
pub(super) fn find(name: &str, path: &str) -> Option<PathBuf> {
    let is_file = |candidate: &PathBuf| candidate.is_absolute() && candidate.is_file();
    path.split(':').map(|folder| Path::new(folder).join(name)).find(is_file)
}

/// Whether bubblewrap can do here what is asked of it for machines.
fn works(bubblewrap: &Path) -> Result<(), String> {
    let args = namespaces::Namespaces { network: false, ..Default::default() }.arguments();
    let tried = Command::new(bubblewrap)
        .args(args)
        .args(["--", "true"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or("it fails").trim().escape_debug();
            Err(line.to_string().chars().take(200).collect())
        }
        Err(error) => Err(error.to_string()),
    }
}
