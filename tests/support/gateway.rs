//! A gateway process on a configuration directory of its own.
//!
//! Owns writing the directory, starting the program, waiting for its ready line, its log and
//! its end. The program is the one that Cargo built for this test; nothing of it runs inside
//! the test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_identity::method::api_key;
use tidegate_model::KeyId;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{Client, Mock, patiently};

/// A configuration directory in the making.
#[derive(Debug)]
pub(crate) struct Setup {
    dir: TempDir,
    /// Before the names of files and keys: `orgs/NAME/` while an organisation is written.
    within: String,
    keys: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    durability: &'static str,
    settings: String,
    listen: SocketAddr,
}

/// A gateway that is ready; killed when dropped.
#[derive(Debug)]
pub(crate) struct TestGateway {
    setup: Setup,
    child: Child,
    log: Log,
    /// The public listener.
    pub(crate) address: SocketAddr,
    /// The listener for health and metrics.
    pub(crate) ops: SocketAddr,
}

/// What the program wrote to standard error; shown when the test fails.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic may have come while the lock was held; a second one would abort.
            let text = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            eprintln!("--- standard error of the gateway\n{text}---");
        }
    }
}

/// What a command of the program printed.
#[derive(Debug)]
pub(crate) struct CliOutput {
    /// Its status was 0.
    pub(crate) ok: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Setup {
    /// An empty directory: nothing is served, nobody is known, nothing is permitted.
    pub(crate) fn new() -> Self {
        let dir = TempDir::with_prefix("tidegate-test-").unwrap();
        for folder in ["connectors", "vmcps", "plugins", "keys", "policies"] {
            std::fs::create_dir_all(dir.path().join("config").join(folder)).unwrap();
        }
        Self {
            dir,
            within: String::new(),
            keys: Vec::new(),
            environment: Vec::new(),
            durability: "process",
            settings: String::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// One virtual MCP `main` over one connector `up`, a key `alice` in group `staff`, and a
    /// policy that permits everything.
    pub(crate) fn simple(upstream: &Mock) -> Self {
        Self::new()
            .remote("up", upstream, "")
            .vmcp("main", &["up"])
            .key("alice", &["staff"])
            .policy("all", "permit (principal, action, resource);")
    }

    /// The configuration directory.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes any file of the configuration.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        write(&self.config(), &format!("{}{name}", self.within), text);
        self
    }

    /// Another organisation: whatever `fill` writes is its own.
    pub(crate) fn organisation(mut self, name: &str, fill: impl FnOnce(Self) -> Self) -> Self {
        self.within = format!("orgs/{name}/");
        for folder in ["connectors", "vmcps", "plugins", "keys", "policies"] {
            std::fs::create_dir_all(self.config().join(&self.within).join(folder)).unwrap();
        }
        let mut filled = fill(self);
        filled.within.clear();
        filled
    }

    /// A connector to a mock; `more` is TOML that comes after.
    pub(crate) fn remote(self, name: &str, upstream: &Mock, more: &str) -> Self {
        let url = upstream.url();
        let text = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n{more}\n");
        self.file(&format!("connectors/{name}.toml"), &text)
    }

    /// A virtual MCP over these connectors.
    pub(crate) fn vmcp(self, name: &str, connectors: &[&str]) -> Self {
        let text = format!("title = \"{name}\"\nconnectors = {connectors:?}\n");
        self.file(&format!("vmcps/{name}.toml"), &text)
    }

    /// A policy file.
    pub(crate) fn policy(self, name: &str, text: &str) -> Self {
        self.file(&format!("policies/{name}.cedar"), text)
    }

    /// A key of user `name@example.com` in these groups.
    pub(crate) fn key(mut self, name: &str, groups: &[&str]) -> Self {
        let (key, hash) = api_key::generate(&KeyId::new(name).unwrap()).unwrap();
        self.keys.push((format!("{}{name}", self.within), key.expose().to_owned()));
        let user = format!("{name}@example.com");
        let text = format!("user = \"{user}\"\ngroups = {groups:?}\nhash = \"{hash}\"\n");
        self.file(&format!("keys/{name}.toml"), &text)
    }

    /// The audit durability; `process` where nothing is said.
    pub(crate) fn durability(mut self, durability: &'static str) -> Self {
        self.durability = durability;
        self
    }

    /// Lines for the top of `gateway.toml`, or tables that are not `[audit]`.
    pub(crate) fn settings(mut self, toml: &str) -> Self {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Listens there again, where it listened before a restart.
    pub(crate) fn listening_at(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// A variable in the environment of the program.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        // What commands compile is kept, but not among the things of whoever runs the tests.
        command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        command.args(args).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    fn write_settings(&self) {
        let text = format!(
            "listen = \"{}\"\nops_listen = \"127.0.0.1:0\"\ndata = {:?}\n{}\n[audit]\n\
             durability = \"{}\"\n",
            self.listen,
            self.data(),
            self.settings,
            self.durability
        );
        write(&self.config(), "gateway.toml", &text);
    }

    /// Runs another command of the program, with `--config` and the directory added.
    pub(crate) async fn cli(&self, args: &[&str]) -> CliOutput {
        self.write_settings();
        let config = self.config();
        let mut args = args.to_vec();
        args.extend(["--config", config.to_str().unwrap()]);
        self.bare_cli(&args).await
    }

    /// Runs another command of the program.
    pub(crate) async fn bare_cli(&self, args: &[&str]) -> CliOutput {
        let output = patiently("a command", self.command(args).output()).await.unwrap();
        CliOutput {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the program, which must not become ready; what it said on standard error.
    pub(crate) async fn start_refused(&self) -> String {
        let output = self.cli(&["serve"]).await;
        assert!(!output.ok && output.stdout.is_empty(), "it started: {output:?}");
        output.stderr
    }

    /// Starts the program and waits until it is ready.
    pub(crate) async fn start(self) -> TestGateway {
        self.write_settings();
        let config = self.config();
        let mut command = self.command(&["serve", "--config", config.to_str().unwrap()]);
        let mut child = command.spawn().unwrap();
        let log = Log::default();
        let mut stderr = child.stderr.take().unwrap();
        let into = Arc::clone(&log.0);
        tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        patiently("the gateway's start", stdout.read_line(&mut line)).await.unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            drop(child.wait().await);
            panic!("the gateway did not start: {line}{}", log.0.lock().unwrap());
        };
        assert_eq!(ready["event"], "ready");
        let (address, ops) = (listener(&ready["url"]), listener(&ready["ops"]));
        TestGateway { setup: self, child, log, address, ops }
    }
}

fn listener(url: &Value) -> SocketAddr {
    let url = url.as_str().unwrap_or_default();
    let address = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let address = address.unwrap_or_else(|| panic!("no address in `{url}`"));
    address.trim_end_matches('/').parse().unwrap()
}

/// Writes beside the file and renames, as an editor does.
fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    let beside = dir.join(format!(".{}.new", name.replace('/', "-")));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

impl TestGateway {
    /// Somebody without a key, at a virtual MCP.
    pub(crate) fn anonymous(&self, vmcp: &str) -> Client {
        Client::new(self.address, &format!("/mcp/{vmcp}"))
    }

    /// The holder of a key made by [`Setup::key`], at a virtual MCP.
    pub(crate) fn client(&self, key: &str, vmcp: &str) -> Client {
        self.anonymous(vmcp).with_key(self.key(key))
    }

    /// Somebody without a key, at a virtual MCP of another organisation.
    pub(crate) fn anonymous_of(&self, org: &str, vmcp: &str) -> Client {
        Client::new(self.address, &format!("/o/{org}/mcp/{vmcp}"))
    }

    /// The holder of a key made within [`Setup::organisation`], there.
    pub(crate) fn client_of(&self, org: &str, key: &str, vmcp: &str) -> Client {
        self.anonymous_of(org, vmcp).with_key(self.key(&format!("orgs/{org}/{key}")))
    }

    /// The text of a key made by [`Setup::key`]; one of another organisation begins with
    /// `orgs/NAME/`.
    pub(crate) fn key(&self, name: &str) -> &str {
        let found = self.setup.keys.iter().find(|(key, _)| key == name);
        found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("no key `{name}`"))
    }

    /// A path on the listener for health and metrics.
    pub(crate) fn ops(&self, path: &str) -> Client {
        Client::new(self.ops, path)
    }

    /// The URL of a virtual MCP.
    pub(crate) fn url(&self, vmcp: &str) -> String {
        format!("http://{}/mcp/{vmcp}", self.address)
    }

    /// The configuration directory.
    pub(crate) fn config(&self) -> PathBuf {
        self.setup.config()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.setup.data()
    }

    /// Changes a file of the configuration while the gateway runs.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.config(), name, text);
    }

    /// Removes a file of the configuration while the gateway runs.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.config().join(name)).unwrap();
    }

    /// What the gateway has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Runs another command of the program, with `--config` and the directory added.
    pub(crate) async fn cli(&self, args: &[&str]) -> CliOutput {
        self.setup.cli(args).await
    }

    /// The audit rows so far, oldest first, read by `tidegate audit tail`.
    pub(crate) async fn audit(&self) -> Vec<Value> {
        let output = self.cli(&["audit", "tail", "--json", "-n", "100000"]).await;
        assert!(output.ok, "{output:?}");
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `kill -9`, and the set-up to start again from.
    pub(crate) async fn kill(mut self) -> Setup {
        self.child.kill().await.unwrap();
        self.setup
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let process = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// SIGTERM, and whether it ended with status 0; the set-up to start again from.
    pub(crate) async fn stop(self) -> (bool, Setup) {
        self.terminate();
        self.ended().await
    }

    /// Waits for the end: whether the status was 0; the set-up to start again from.
    pub(crate) async fn ended(mut self) -> (bool, Setup) {
        let status = patiently("the gateway's end", self.child.wait()).await.unwrap();
        (status.success(), self.setup)
    }
}
