//! Namespaces of its own for a whole machine, made by bubblewrap.
//!
//! The root is read-only, `/tmp` is private, processes outside are not seen, and the machine
//! ends with whoever started it. With the network off there is no interface but a loopback
//! of its own.

use std::{ffi::OsString, path::PathBuf};

/// Sockets and folders of the system that lead to more rights than a machine has.
const SYSTEM: [&str; 6] = [
    "/run/containerd",
    "/run/dbus",
    "/run/docker.sock",
    "/run/podman",
    "/run/user",
    "/var/lib/docker",
];

/// What a machine sees of the computer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// Whether it shares the computer's network.
    pub network: bool,
    /// Where it may write, and what it sees in private places, under the same names.
    pub write: Vec<PathBuf>,
    /// What it may read in private places.
    pub read: Vec<PathBuf>,
    /// What it does not see.
    pub hidden: Vec<PathBuf>,
    /// Where it starts.
    pub cwd: Option<PathBuf>,
}

impl Namespaces {
    /// The arguments of bubblewrap, up to the `--` before the program.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = [
            "--die-with-parent",
            "--new-session",
            "--unshare-user",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--cap-drop",
            "ALL",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/tmp",
            "--tmpfs",
            "/var/tmp",
        ]
        .map(OsString::from)
        .into();
        if !self.network {
            args.push("--unshare-net".into());
        }
        let system = SYSTEM.map(PathBuf::from);
        for path in self.hidden.iter().chain(&system) {
            // By its real name: a link in the way cannot be mounted over.
            let Ok(path) = path.canonicalize() else { continue };
            if path.is_dir() {
                args.extend(["--tmpfs".into(), path.into_os_string()]);
            } else {
                args.extend(["--ro-bind".into(), "/dev/null".into(), path.into_os_string()]);
            }
        }
        // Outer folders first, so that no inner one is covered again.
        let mut seen: Vec<(&PathBuf, &str)> =
            self.read.iter().map(|path| (path, "--ro-bind-try")).collect();
        seen.extend(self.write.iter().map(|path| (path, "--bind-try")));
        seen.sort_by_key(|(path, _)| path.components().count());
        for (path, how) in seen {
            args.extend([how.into(), path.into(), path.into()]);
        }
        if let Some(cwd) = &self.cwd {
            args.extend(["--chdir".into(), cwd.into()]);
        }
        args
    }
}
