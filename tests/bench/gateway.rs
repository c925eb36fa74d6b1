//! Gateway processes: one configuration directory and one process for each variant.
//!
//! Owns writing the directory, starting the program, its ready line and its memory. Knows
//! the program by its command line only.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    load::{self, Ask, Target},
    policies,
};

/// How long a gateway may take to serve its first call.
const PATIENCE: Duration = Duration::from_secs(30);
/// The virtual MCP that every call goes through.
const VMCP: &str = "bench";
/// The connector behind it.
pub(crate) const CONNECTOR: &str = "up";

/// Which policies are loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Policies {
    /// One that permits everything.
    PermitAll,
    /// This many, see [`policies::realistic`].
    Realistic(usize),
}

/// One set-up to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    /// The name of its directory.
    pub(crate) name: &'static str,
    /// The policies.
    pub(crate) policies: Policies,
    /// The guests bound to the virtual MCP, in their order: names of components.
    pub(crate) plugins: &'static [&'static str],
    /// The durability of the audit log.
    pub(crate) durability: &'static str,
}

/// A running gateway; ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    /// Where its callers go.
    pub(crate) target: Target,
    /// From start to ready.
    pub(crate) ready_after: Duration,
}

/// The gateway program of the same build as this bench.
pub(crate) fn beside_this_program() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.parent().and_then(Path::parent).context("this program has no folder")?;
    Ok(profile.join("tidegate"))
}

/// Writes the directory of `variant` under `dir`, new each time; returns it and an API key.
pub(crate) fn configure(
    tidegate: &Path,
    dir: &Path,
    variant: &Variant,
    upstream: SocketAddr,
) -> Result<(PathBuf, String)> {
    let home = dir.canonicalize()?.join(variant.name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let config = home.join("config");
    for folder in ["connectors", "vmcps", "plugins", "keys", "policies"] {
        fs::create_dir_all(config.join(folder))?;
    }
    let write = |name: &str, text: String| {
        fs::write(config.join(name), text).with_context(|| format!("writing {name}"))
    };
    let data = home.join("data");
    write(
        "gateway.toml",
        format!(
            "listen = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\ndata = {data:?}\n\n[audit]\n\
             durability = \"{}\"\n",
            variant.durability
        ),
    )?;
    write(
        &format!("connectors/{CONNECTOR}.toml"),
        format!(
            "kind = \"remote\"\nurl = \"http://{upstream}/mcp\"\nallow = [\"loopback\"]\nera = \
             \"modern\"\n\n[limits]\nconcurrency = 256\nqueue = 1024\n"
        ),
    )?;
    write(
        &format!("vmcps/{VMCP}.toml"),
        format!("title = \"Bench\"\nconnectors = [\"{CONNECTOR}\"]\n"),
    )?;
    for (order, component) in variant.plugins.iter().enumerate() {
        let path = component_path(component)?;
        write(
            &format!("plugins/{component}-{order}.toml"),
            format!("component = {path:?}\nbind = [{{ vmcp = \"{VMCP}\", order = {order} }}]\n"),
        )?;
    }
    let policies = match variant.policies {
        Policies::PermitAll => policies::permit_all(),
        Policies::Realistic(count) => policies::realistic(CONNECTOR, count),
    };
    write("policies/bench.cedar", policies)?;
    let key = new_key(tidegate, &config)?;
    Ok((config, key))
}

fn new_key(tidegate: &Path, config: &Path) -> Result<String> {
    let output = Command::new(tidegate)
        .args(["key", "new", "--name", "bench", "--user", "bench@example.com"])
        .args(["--group", policies::GROUP, "--config"])
        .arg(config)
        .output()
        .with_context(|| format!("starting {}", tidegate.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let key = printed.split_whitespace().find(|word| word.starts_with("tg_"));
    key.map(str::to_owned)
        .with_context(|| format!("no key was printed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The built component of a guest.
pub(crate) fn component_path(name: &str) -> Result<PathBuf> {
    let path = Path::new("target/guests").join(format!("{name}.wasm"));
    path.canonicalize()
        .with_context(|| format!("{} is missing: run `cargo xtask guests` first", path.display()))
}

impl Gateway {
    /// Starts the program on `config` and waits until it is ready.
    pub(crate) fn start(tidegate: &Path, config: &Path, key: &str) -> Result<Self> {
        let log_file = config.with_file_name("gateway.log");
        let log = fs::File::create(&log_file)?;
        let begin = Instant::now();
        let mut child = Command::new(tidegate)
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", tidegate.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let ready_after = begin.elapsed();
        let Ok(address) = ready_address(&line) else {
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(log_file).unwrap_or_default();
            bail!("the gateway did not become ready: {line}{log}");
        };
        let target = Target { address, path: format!("/mcp/{VMCP}"), key: Some(key.to_owned()) };
        let gateway = Self { child, target, ready_after };
        gateway.wait_for_tools()?;
        Ok(gateway)
    }

    /// Waits until the upstream's tools have been fetched and a call comes through.
    fn wait_for_tools(&self) -> Result<()> {
        let begin = Instant::now();
        loop {
            match load::sequential(&self.target, Ask::Call("echo"), 0, 1) {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Tells it to end and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        let id = rustix::process::Pid::from_raw(id).context("no process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        resident_mib(self.child.id())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in MiB.
pub(crate) fn resident_mib(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    Ok(kib.context("no resident size in the process status")? / 1_024.0)
}

fn ready_address(line: &str) -> Result<SocketAddr> {
    let ready: serde_json::Value = serde_json::from_str(line)?;
    let url = ready.get("url").and_then(|url| url.as_str()).context("no url in the ready line")?;
    let address = url.strip_prefix("http://").context("not a plain http url")?;
    Ok(address.trim_end_matches('/').parse()?)
}
