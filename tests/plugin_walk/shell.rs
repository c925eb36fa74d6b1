//! A folder in which somebody types, with the program in their path.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// How long one block may take: some install an engine and compile it.
const LONG: Duration = Duration::from_secs(900);

/// How long to wait before typing the same once more.
const AGAIN: Duration = Duration::from_millis(200);

/// Somebody at work.
pub(super) struct Shell {
    folder: TempDir,
    environment: Vec<(String, OsString)>,
    gateway: Option<Child>,
    /// Where the gateway listens, once it runs.
    pub(super) address: Option<String>,
}

impl Shell {
    /// An empty folder. What is installed from npm and pip comes from the peers' caches.
    #[expect(clippy::disallowed_methods, reason = "programs are found as the person finds them")]
    pub(super) fn new(language: &str) -> Self {
        let ours = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let target = root().join("target");
        let program = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
        // Where the machine's Node.js is too old, `cargo xtask test` has installed another.
        let node = target.join("peers/node/node_modules/node/bin");
        let mut path = vec![program.to_path_buf(), node];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut environment = vec![
            ("PATH".to_owned(), std::env::join_paths(path).unwrap()),
            // Built and compiled once for all walks of this machine.
            ("CARGO_TARGET_DIR".to_owned(), ours.join("walk-cargo").into()),
            ("XDG_CACHE_HOME".to_owned(), ours.join("walk-cache").into()),
            ("npm_config_cache".to_owned(), target.join("peers/builders-npm/cache").into()),
            ("npm_config_offline".to_owned(), "true".into()),
            ("PIP_NO_INDEX".to_owned(), "1".into()),
            ("PIP_FIND_LINKS".to_owned(), target.join("peers/builders-pip").into()),
        ];
        environment.extend(compiler(&target));
        let folder = TempDir::with_prefix_in(format!("walk-{language}-"), ours).unwrap();
        Self { folder, environment, gateway: None, address: None }
    }

    /// Types this and waits for its end; what it printed. It must end well.
    pub(super) async fn run(&self, text: &str) -> String {
        let running = self.command(text).output();
        let ended = tokio::time::timeout(LONG, running).await;
        let Ok(output) = ended else { panic!("took longer than {LONG:?}: {text}") };
        let output = output.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let complained = String::from_utf8_lossy(&output.stderr);
            panic!("{}: {text}\n{printed}\n{complained}\n{}", output.status, self.log());
        }
        printed
    }

    /// Types this again and again until what it prints is as wanted.
    pub(super) async fn run_until(&self, text: &str, wanted: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let trying = tokio::time::timeout(LONG, async {
            loop {
                last = self.run(text).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        if trying.await.is_err() {
            panic!("still not as it should be: {text}\n{last}\n{}", self.log());
        }
    }

    /// Starts the gateway, on ports that are free, and waits until it is ready.
    pub(super) async fn serve(&mut self, text: &str) {
        let settings = "listen = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n";
        std::fs::write(self.folder.path().join("mygate/gateway.toml"), settings).unwrap();
        let log = std::fs::File::create(self.log_file()).unwrap();
        let mut command = self.command(&format!("exec {text}"));
        let mut child = command.stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(LONG, lines.next_line()).await;
        let line = ready.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = ready["url"].as_str().and_then(|url| url.strip_prefix("http://"));
        let address = address.unwrap_or_else(|| panic!("not ready: {line}\n{}", self.log()));
        self.address = Some(address.trim_end_matches('/').to_owned());
        self.gateway = Some(child);
    }

    fn command(&self, text: &str) -> Command {
        // Nicely: what is built and compiled here must not make other tests wait.
        let mut command = Command::new("nice");
        command.args(["-n", "10", "sh", "-eu", "-c", text]).current_dir(self.folder.path());
        // What was set for the host's build is not for a stranger's.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" || name.starts_with("RUSTFLAGS") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("gateway.log")
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        format!("--- standard error of the gateway\n{text}---")
    }
}

/// The variables with which `cargo xtask guests` found a compiler for the guests' target.
fn compiler(target: &Path) -> Vec<(String, OsString)> {
    let file = target.join("guests/.environment");
    let text = std::fs::read_to_string(&file);
    let text = text
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests`", file.display()));
    let variable =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.into()));
    text.lines().filter_map(variable).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
