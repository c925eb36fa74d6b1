//! What the bridge adds to a call of a stdio server: the same server, called over its pipe
//! and through a bridge at a Unix socket, each by the client that the gateway has for it.
//!
//! Owns its two set-ups; the server is the example `env_echo` of crate `wire`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tidegate_model::{Answer, Json, SystemClock};
use tidegate_wire::{
    bridge,
    client::{
        Member, Outgoing, Peer,
        egress::{Destination, machine::MachineAddress},
        http::{HttpPeer, HttpSettings},
        stdio::{Command, StdioPeer, StdioSettings},
    },
    hosted::{Addressee, HEADER, HostedKey, Minter},
};

use crate::{latency::Latencies, report::Report};

/// Adds `bridge_direct_p50_us`, `bridge_p50_us`, `bridge_p99_us` and `bridge_added_p50_us`.
/// The programs stand beside this one.
pub(crate) fn measure(report: &mut Report, quick: bool) -> Result<()> {
    let calls = if quick { 2_000 } else { 20_000 };
    println!("bridge: {calls} calls over a pipe and through the bridge");
    let here = std::env::current_exe()?;
    let examples = here.parent().context("this program has no folder")?;
    let server = examples.join("env_echo");
    let program = examples.parent().context("this folder has none above")?.join("tidegate-bridge");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let direct = Peer::Stdio(Arc::new(spawned(&server).await?));
        let dir = std::env::temp_dir().join(format!("tidegate-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let bridged = Bridged::start(&program, &server, &dir)?;
        let through = Peer::Http(Arc::new(bridged.peer()?));
        // By turns, so that whatever else the machine does meets both alike.
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        for round in 0..10 {
            let (warm_up, part) = (if round == 0 { calls / 10 } else { 0 }, calls / 10);
            called(&direct, &mut one, warm_up, part).await?;
            called(&through, &mut other, warm_up, part).await?;
        }
        let (direct, through) = (one.quantile_us(0.5), other.quantile_us(0.5));
        report.set("bridge_direct_p50_us", direct);
        report.set("bridge_p50_us", through);
        report.set("bridge_p99_us", other.quantile_us(0.99));
        report.set("bridge_added_p50_us", through - direct);
        drop(bridged);
        std::fs::remove_dir_all(&dir)?;
        Ok(())
    })
}

async fn spawned(server: &Path) -> Result<StdioPeer> {
    let command = Command {
        program: server.display().to_string(),
        args: vec!["modern".to_owned()],
        env: Vec::new(),
        cwd: None,
    };
    let settings = StdioSettings {
        name: "bench".to_owned(),
        era: None,
        probe_timeout: Duration::from_secs(5),
        setup_timeout: Duration::from_secs(5),
        answer_limit: 16 << 20,
    };
    Ok(StdioPeer::spawn(&command, &settings).await?)
}

/// A bridge that runs, in front of the server.
struct Bridged {
    process: Child,
    socket: PathBuf,
    key: HostedKey,
}

const MACHINE: [&str; 3] = ["default", "bench", "m1"];

impl Bridged {
    fn start(program: &Path, server: &Path, dir: &Path) -> Result<Self> {
        let socket = dir.join("s");
        let key = HostedKey::generate()?;
        let [org, connector, machine] = MACHINE;
        let mut process = std::process::Command::new(program)
            .args(["--key-stdin", "--listen", &format!("unix:{}", socket.display())])
            .args(["--org", org, "--connector", connector, "--machine", machine, "--"])
            .arg(server)
            .arg("modern")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{}: build it first", program.display()))?;
        let stdin = process.stdin.as_mut().context("the bridge has no stdin")?;
        writeln!(stdin, "{{\"key\":\"{}\"}}", key.write().expose())?;
        let stdout = process.stdout.take().context("the bridge has no stdout")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready)?;
        let bridged = Self { process, socket, key };
        if ready.is_empty() { bail!("the bridge did not begin") } else { Ok(bridged) }
    }

    fn peer(&self) -> Result<HttpPeer> {
        let [org, connector, machine] = MACHINE.map(str::to_owned);
        let to = Addressee { org, connector, machine };
        let minter = Arc::new(Minter::new("bench", &to, self.key.clone(), HEADER)?);
        let address = MachineAddress::Unix(self.socket.clone());
        let clock = Arc::new(SystemClock);
        let destination = Destination::machine(&address, bridge::PATH, minter, clock)?;
        Ok(HttpPeer::new(destination, HttpSettings::default()))
    }
}

impl Drop for Bridged {
    fn drop(&mut self) {
        // The end of its stdin ends it.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// Calls `echo`, one call after the other, and records all but the first `warm_up`.
async fn called(
    peer: &Peer,
    latencies: &mut Latencies,
    warm_up: usize,
    calls: usize,
) -> Result<()> {
    let arguments =
        Json::parse(r#"{"message":"the quick brown fox jumps over the lazy dog","count":3}"#)?;
    let params = [("name", Member::Text("echo")), ("arguments", Member::Json(&arguments))];
    let outgoing = Outgoing {
        method: "tools/call",
        params: &params,
        name: Some("echo"),
        ..Outgoing::default()
    };
    for call in 0..warm_up + calls {
        let start = Instant::now();
        match peer.request(&outgoing).await? {
            Answer::Result(_) if call >= warm_up => latencies.record(start.elapsed()),
            Answer::Result(_) => {}
            Answer::Error(error) => bail!("the server refused: {}", error.as_str()),
        }
    }
    Ok(())
}
