//! Machines as processes of this computer.
//!
//! Each is a `tidegate-bridge` on a Unix socket in a folder of its own that only the
//! gateway's user may enter, in namespaces of its own where bubblewrap makes them, with the
//! program confined below it. Its key goes in by a pipe and is exchanged from time to time;
//! the end of the pipe ends it, so that none outlives the gateway.

mod command;
mod process;
mod words;

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::SystemClock;
use tidegate_wire::{
    bridge,
    client::egress::{Destination, machine::MachineAddress},
    hosted::{Addressee, HEADER, HostedKey, Minter},
    sandbox::Mechanisms,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Backend, Machine, MachineError, MachineLog, MachineSpec};

/// The longest name of a Unix socket, its closing zero apart.
const LONGEST_SOCKET: usize = 107;
/// The name of the socket in the machine's folder.
const SOCKET: &str = "s";

/// Where and with what machines run.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The bridge; [`LocalSettings::beside`] finds it.
    pub bridge: Option<PathBuf>,
    /// The folder for sockets and temporary files of machines. Where its name is too long
    /// for a socket, another one is made among the system's temporary files.
    pub run: PathBuf,
    /// The folder for what the programs of connectors keep.
    pub keep: PathBuf,
    /// What no machine may see: the gateway's own files.
    pub hidden: Vec<PathBuf>,
    /// What keeps machines from the rest of the computer.
    pub mechanisms: Mechanisms,
    /// How often a machine's key is exchanged.
    pub rotation: Duration,
    /// Who makes the tokens.
    pub issuer: String,
}

impl LocalSettings {
    /// For a gateway whose program is `exe` and whose data is in `data`: a bridge beside the
    /// program, or a folder further up (where tests are built).
    pub fn beside(exe: &Path, data: &Path, mechanisms: Mechanisms) -> Self {
        let folders = exe.ancestors().skip(1).take(2);
        let bridge =
            folders.map(|folder| folder.join("tidegate-bridge")).find(|path| path.is_file());
        Self {
            bridge,
            run: data.join("run"),
            keep: data.join("machines"),
            hidden: vec![data.to_owned()],
            mechanisms,
            rotation: Duration::from_secs(3600),
            issuer: "tidegate".to_owned(),
        }
    }
}

/// Runs machines on this computer.
#[derive(Debug)]
pub struct Local {
    settings: LocalSettings,
    running: Arc<Table>,
}

/// The machines that run.
#[derive(Debug, Default)]
struct Table(Mutex<HashMap<String, Running>>);

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    exit: watch::Receiver<Option<String>>,
}

impl Table {
    fn rows(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders of one machine.
#[derive(Debug, Clone)]
struct Folders {
    /// Its own, gone with it.
    own: PathBuf,
    /// Where it listens.
    socket: PathBuf,
    /// Temporary files.
    tmp: PathBuf,
    /// What stays for the next machine of the connector.
    cache: PathBuf,
}

impl Local {
    /// Nothing is started, and no folder made yet.
    pub fn new(settings: LocalSettings) -> Self {
        Self { settings, running: Arc::default() }
    }

    async fn begin(&self, spec: &MachineSpec) -> Result<Machine, MachineError> {
        let bridge = self.settings.bridge.as_deref().ok_or(MachineError::NoBridge)?;
        command::check(spec)?;
        let missing = command::missing(spec, &self.settings.mechanisms)?;
        let key = HostedKey::generate()
            .map_err(|error| system("its key", io::Error::other(error.to_string())))?;
        let id = format!("m{}", key.id());
        let folders = self.folders(spec, &id)?;
        let plan =
            command::Plan { spec, id: &id, folders: &folders, settings: &self.settings, bridge };
        let to = Addressee {
            org: spec.org.clone(),
            connector: spec.connector.clone(),
            machine: id.clone(),
        };
        let minter = Minter::new(&self.settings.issuer, &to, key.clone(), HEADER)
            .map_err(|error| system("its key", io::Error::other(error.to_string())))?;
        let minter = Arc::new(minter);
        let secrets = spec.program.env.iter().map(|(_, value)| value);
        let log = Arc::new(MachineLog::new(secrets));
        let started = process::start(&plan, &key, &log, &minter, &self.running);
        let process = match started.await {
            Ok(process) => process,
            Err(error) => {
                drop(fs::remove_dir_all(&folders.own));
                return Err(error);
            }
        };
        let at = |path: &str| {
            let address = MachineAddress::Unix(folders.socket.clone());
            Destination::machine(&address, path, Arc::clone(&minter), Arc::new(SystemClock))
                .map_err(|error| system("its address", io::Error::other(error.to_string())))
        };
        Ok(Machine {
            server: at(bridge::PATH)?,
            health: at(bridge::HEALTH)?,
            id,
            log,
            exit: process.exit,
            missing,
            stop: process.stop,
        })
    }

    /// Makes the folders of a machine, for its user alone.
    fn folders(&self, spec: &MachineSpec, id: &str) -> Result<Folders, MachineError> {
        let failed = |error| system("its folders", error);
        let fits =
            |run: &Path| run.as_os_str().len() + id.len() + SOCKET.len() + 2 <= LONGEST_SOCKET;
        let elsewhere = || std::env::temp_dir().join(format!("tidegate-{id}"));
        let keep = std::path::absolute(&self.settings.keep).map_err(failed)?;
        let run = std::path::absolute(&self.settings.run).map_err(failed)?;
        let (own, cache) = match spec.sandbox.user {
            // Another user cannot get at anything in the gateway's own folders.
            Some(_) => (elsewhere(), elsewhere().join("cache")),
            None if fits(&run) => (run.join(id), keep.join(&spec.org).join(&spec.connector)),
            None => (elsewhere(), keep.join(&spec.org).join(&spec.connector)),
        };
        let folders = Folders { socket: own.join(SOCKET), tmp: own.join("tmp"), cache, own };
        for folder in [&folders.own, &folders.tmp, &folders.cache] {
            private(folder).map_err(failed)?;
            if let Some(user) = spec.sandbox.user {
                chown(folder, Some(user), Some(user)).map_err(failed)?;
            }
        }
        Ok(folders)
    }
}

/// A folder that its owner alone may enter, and those above it.
fn private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn system(what: &'static str, source: io::Error) -> MachineError {
    MachineError::System { what, source }
}

impl Backend for Local {
    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Machine, MachineError>> {
        self.begin(spec).boxed()
    }

    fn stop<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        let found =
            self.running.rows().get(id).map(|running| (running.stop.clone(), running.exit.clone()));
        async move {
            let Some((stop, mut exit)) = found else { return };
            stop.cancel();
            // An error means that nobody is left to tell, and the machine with them.
            drop(exit.wait_for(Option::is_some).await);
        }
        .boxed()
    }

    fn list(&self) -> Vec<String> {
        self.running.rows().keys().cloned().collect()
    }

    fn protection(&self) -> String {
        self.settings.mechanisms.to_string()
    }
}
