//! How a machine is called: the bridge, around it namespaces, below it the confined program.

use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tidegate_wire::sandbox::{Confinement, Limits, Network, namespaces::Namespaces};

use super::{Folders, LocalSettings, Mechanisms, system};
use crate::machine::{MachineError, MachineSpec, Program, Strictness};

/// Everything that the command line of one machine is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) spec: &'a MachineSpec,
    pub(super) id: &'a str,
    pub(super) folders: &'a Folders,
    pub(super) settings: &'a LocalSettings,
    pub(super) bridge: &'a Path,
}

/// What of the sandbox does not hold for `spec`; an error where it has to.
pub(super) fn missing(
    spec: &MachineSpec,
    mechanisms: &Mechanisms,
) -> Result<Vec<&'static str>, MachineError> {
    let sandbox = &spec.sandbox;
    if sandbox.user.is_some() && !mechanisms.superuser {
        let what = "only the superuser can give a program another user".to_owned();
        return Err(MachineError::Sandbox(what));
    }
    let holds = mechanisms.holds(sandbox.network, sandbox.user.is_some());
    match sandbox.strictness {
        Strictness::Off => Ok(vec!["the sandbox is off"]),
        Strictness::Best => Ok(holds.missing()),
        Strictness::Required if holds.suffices() => Ok(holds.missing()),
        Strictness::Required => Err(MachineError::Sandbox(holds.missing().join(", "))),
    }
}

/// Whether there is such a program and such a folder, before anything is started.
pub(super) fn check(spec: &MachineSpec) -> Result<(), MachineError> {
    let Program { command, env, cwd, .. } = &spec.program;
    if let Some(cwd) = cwd
        && !cwd.is_dir()
    {
        let what = format!("the working directory `{}` does not exist", cwd.display());
        return Err(MachineError::Program(what));
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.expose());
    let candidates: Vec<PathBuf> = match command.contains('/') {
        true => vec![cwd.as_deref().unwrap_or(Path::new("")).join(command)],
        false => path
            .unwrap_or("/usr/bin:/bin")
            .split(':')
            .map(|at| Path::new(at).join(command))
            .collect(),
    };
    let mut files = candidates.iter().filter(|path| path.is_file()).peekable();
    if files.peek().is_none() {
        return Err(MachineError::Program(format!(
            "the command `{command}` was not found: check its name and the PATH"
        )));
    }
    let runs =
        |path: &PathBuf| path.metadata().is_ok_and(|about| about.permissions().mode() & 0o111 != 0);
    if !files.any(runs) {
        return Err(MachineError::Program(format!(
            "the command `{command}` may not be run: check that it is executable"
        )));
    }
    Ok(())
}

impl Plan<'_> {
    /// The whole command line.
    pub(super) fn words(&self) -> Result<Vec<OsString>, MachineError> {
        let mut words = self.bridge_words();
        words.extend(self.program_words()?);
        if let Some(bubblewrap) = self.bubblewrap() {
            let mut outer = vec![bubblewrap.into()];
            outer.extend(self.namespaces().arguments());
            outer.push("--".into());
            outer.extend(words);
            words = outer;
        }
        match self.spec.sandbox.user {
            None => Ok(words),
            // Before there are namespaces: in them no other user is known.
            Some(_) => {
                let only = Confinement { user: self.spec.sandbox.user, ..Confinement::default() };
                self.confined(&only, words)
            }
        }
    }

    /// The environment of the program, beside its own.
    pub(super) fn added_env(&self) -> Vec<(&'static str, String)> {
        let cache = |name: &str| self.folders.cache.join(name).to_string_lossy().into_owned();
        let tmp = match self.bubblewrap() {
            Some(_) => "/tmp".into(),
            None => self.folders.tmp.to_string_lossy(),
        };
        match self.spec.sandbox.strictness {
            Strictness::Off => Vec::new(),
            // The home folder is read-only: what is only kept to be quicker goes elsewhere.
            Strictness::Required | Strictness::Best => vec![
                ("TMPDIR", tmp.into_owned()),
                ("XDG_CACHE_HOME", cache("xdg")),
                ("npm_config_cache", cache("npm")),
            ],
        }
    }

    fn bridge_words(&self) -> Vec<OsString> {
        let MachineSpec { org, connector, program, .. } = self.spec;
        let mut listen = OsString::from("unix:");
        listen.push(&self.folders.socket);
        // Twice as much: the gateway's own limit says more clearly what is too large.
        let limit = self.spec.answer_limit.saturating_mul(2).to_string();
        let pairs: [(&str, OsString); 8] = [
            ("--listen", listen),
            ("--org", org.into()),
            ("--connector", connector.into()),
            ("--machine", self.id.into()),
            ("--answer-limit", limit.clone().into()),
            ("--request-limit", limit.into()),
            ("--children", self.spec.children.to_string().into()),
            ("--child-idle", self.spec.child_idle.as_secs().to_string().into()),
        ];
        let mut words = vec![self.bridge.into(), "--key-stdin".into()];
        for (name, value) in pairs {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            words.push(word);
        }
        if let Some(cwd) = &program.cwd {
            let mut word = OsString::from("--cwd=");
            word.push(cwd);
            words.push(word);
        }
        words.push("--".into());
        words
    }

    fn program_words(&self) -> Result<Vec<OsString>, MachineError> {
        let Program { command, args, .. } = &self.spec.program;
        let program = std::iter::once(command).chain(args).map(OsString::from).collect();
        self.confined(&self.confinement(), program)
    }

    fn confined(
        &self,
        confinement: &Confinement,
        program: Vec<OsString>,
    ) -> Result<Vec<OsString>, MachineError> {
        confinement
            .command(self.bridge.as_os_str(), program)
            .map_err(|error| system("its confinement", std::io::Error::other(error)))
    }

    fn confinement(&self) -> Confinement {
        let sandbox = &self.spec.sandbox;
        let is_on = sandbox.strictness != Strictness::Off;
        let counts_alone = self.settings.mechanisms.holds(sandbox.network, sandbox.user.is_some());
        // Without a user or a namespace of its own the limit would count everybody's.
        let processes = sandbox.limits.processes.filter(|_| counts_alone.processes && is_on);
        let mut write = self.writable();
        if self.bubblewrap().is_some() {
            write.extend(["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from));
        }
        Confinement {
            required: sandbox.strictness == Strictness::Required,
            filesystem: is_on,
            syscalls: is_on,
            write,
            read: self.readable(),
            hidden: self.settings.hidden.clone(),
            network: sandbox.network,
            limits: Limits { processes, ..sandbox.limits },
            user: None,
        }
    }

    fn namespaces(&self) -> Namespaces {
        Namespaces {
            network: self.spec.sandbox.network == Network::Host,
            write: self.writable(),
            read: self.readable(),
            hidden: self.settings.hidden.clone(),
            cwd: None,
        }
    }

    fn bubblewrap(&self) -> Option<&Path> {
        let found = self.settings.mechanisms.bubblewrap.as_deref();
        found.filter(|_| self.spec.sandbox.strictness != Strictness::Off)
    }

    fn writable(&self) -> Vec<PathBuf> {
        let own = [self.folders.own.clone(), self.folders.cache.clone()];
        let asked = self.spec.sandbox.write.iter().chain(&self.spec.program.cwd);
        own.into_iter().chain(asked.cloned()).collect()
    }

    /// What the administrator named: whoever starts a program with a path means it to be read.
    fn readable(&self) -> Vec<PathBuf> {
        let Program { command, args, .. } = &self.spec.program;
        let named = std::iter::once(command).chain(args).map(PathBuf::from);
        let there = named.filter(|path| path.is_absolute() && path.exists());
        let beside = Path::new(command).parent().filter(|folder| folder.is_absolute());
        self.spec
            .sandbox
            .read
            .iter()
            .cloned()
            .chain(there)
            .chain(beside.map(Path::to_owned))
            .chain([self.bridge.to_owned()])
            .collect()
    }
}
