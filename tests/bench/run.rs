//! The order of the measurements.
//!
//! Owns which figure is taken on which set-up, with how many calls. Upstream, gateway and
//! load generator are three processes on the same machine in every figure.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    bridge, disk,
    gateway::{self, Gateway, Policies, Variant},
    identity, inprocess,
    load::{self, Ask, Target},
    report::Report,
    sessions,
    upstream::{EVENTS, LARGE, STREAM},
};

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Fewer calls for each figure.
    pub(crate) quick: bool,
    /// Only the figures without a gateway.
    pub(crate) direct: bool,
    /// The gateway program.
    pub(crate) tidegate: PathBuf,
    /// Where configuration, data and summary go.
    pub(crate) dir: PathBuf,
}

/// How much is done for each figure.
#[derive(Debug, Clone, Copy)]
struct Effort {
    warm_up: usize,
    calls: usize,
    lists: usize,
    time: Duration,
    flushes: usize,
    starts: usize,
}

const QUICK: Effort = Effort {
    warm_up: 300,
    calls: 3_000,
    lists: 100,
    time: Duration::from_millis(1_600),
    flushes: 300,
    starts: 3,
};
const FULL: Effort = Effort {
    warm_up: 2_000,
    calls: 20_000,
    lists: 500,
    time: Duration::from_secs(6),
    flushes: 2_000,
    starts: 7,
};

/// Sessions over which the cost of one is shared out: with those that warm the gateway up,
/// fewer than one person may have.
const IDLE_SESSIONS: usize = 9_000;

const ECHO: Ask<'_> = Ask::Call("echo");
const PUT: Ask<'_> = Ask::Call("put");
/// The guest with a hook before the call.
pub(crate) const BEFORE: &str = "bench-pass-before";
/// The guest with hooks before and after.
const BOTH: &str = "bench-pass";
const ONE: &[&str] = &[BEFORE];
const THREE: &[&str] = &[BEFORE, BEFORE, BOTH];
/// The policies of every variant that has Cedar do its work.
const HUNDRED: Policies = Policies::Realistic(100);

const AUTH: Variant =
    Variant { name: "auth", policies: Policies::PermitAll, plugins: &[], durability: "none" };
const CEDAR: Variant = Variant { name: "cedar", policies: HUNDRED, ..AUTH };
const PLUGINS1: Variant = Variant { name: "plugins1", plugins: ONE, ..CEDAR };
const PLUGINS3: Variant = Variant { name: "plugins3", plugins: THREE, ..CEDAR };
const FULL_PROCESS: Variant = Variant { name: "full_process", durability: "process", ..PLUGINS3 };
const FULL_DISK: Variant = Variant { name: "full_disk", durability: "disk", ..PLUGINS3 };
const SESSIONS: Variant = Variant { name: "sessions", ..AUTH };
const LIST: Variant = Variant { name: "list_1000", ..FULL_PROCESS };

/// The server that every figure ends at.
struct Upstream {
    child: Child,
    address: SocketAddr,
}

impl Upstream {
    fn start(tools: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["upstream", "--tools", &tools.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().context("the upstream did not say its address")?;
        Ok(Self { child, address })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run: what to do, on what, into which report.
struct Bench<'a> {
    options: &'a Options,
    effort: Effort,
    report: Report,
}

/// Measures everything, prints it and writes the summary.
pub(crate) fn all(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.dir)?;
    let effort = if options.quick { QUICK } else { FULL };
    let mut bench = Bench { options, effort, report: Report::default() };
    bench.disk()?;
    let upstream = Upstream::start(20)?;
    bench.direct(&upstream)?;
    if !options.direct {
        for variant in [AUTH, CEDAR, PLUGINS1, PLUGINS3] {
            bench.latency_only(&variant, &upstream)?;
        }
        bench.full_process(&upstream)?;
        bench.full_disk(&upstream)?;
        bench.sessions(&upstream, IDLE_SESSIONS)?;
        drop(upstream);
        bench.list()?;
        bench.per_event();
        bridge::measure(&mut bench.report, options.quick)?;
        inprocess::measure(&mut bench.report, options.quick)?;
        identity::measure(&mut bench.report, &options.dir.join("identity"), options.quick)?;
    }
    bench.report.print();
    bench.report.write(&options.dir.join("summary.json"))
}

/// Measures what an idle session costs, and prints it.
pub(crate) fn sessions(options: &Options, count: usize) -> Result<()> {
    fs::create_dir_all(&options.dir)?;
    let mut bench = Bench { options, effort: QUICK, report: Report::default() };
    let upstream = Upstream::start(20)?;
    bench.sessions(&upstream, count)?;
    bench.report.print();
    Ok(())
}

impl Bench<'_> {
    /// What an idle session of a legacy client costs.
    fn sessions(&mut self, upstream: &Upstream, count: usize) -> Result<()> {
        println!("sessions: {count} of them, idle");
        let gateway = self.start(&SESSIONS, upstream)?;
        self.report.set("session_idle_bytes", sessions::bytes_each(&gateway, count)?);
        gateway.stop()
    }

    fn disk(&mut self) -> Result<()> {
        let mut flushes = disk::flushes(&self.options.dir, self.effort.flushes)?;
        self.report.set("fdatasync_p50_us", flushes.quantile_us(0.5));
        Ok(())
    }

    fn direct(&mut self, upstream: &Upstream) -> Result<()> {
        let target = Target { address: upstream.address, path: "/mcp".into(), key: None };
        self.one_caller("direct", &target)?;
        self.many("direct", &target, 16)?;
        self.many("direct", &target, 64)?;
        self.relayed("direct", &target)
    }

    /// What is only relayed: events of a stream, and a large answer.
    fn relayed(&mut self, name: &str, target: &Target) -> Result<()> {
        let calls = self.effort.lists;
        let mut streams = load::sequential(target, Ask::Call(STREAM), calls / 10, calls)?;
        self.report.set(&format!("{name}_stream_p50_us"), streams.quantile_us(0.5));
        let mut large = load::sequential(target, Ask::Call(LARGE), calls / 10, calls)?;
        self.report.set(&format!("{name}_1mib_p50_us"), large.quantile_us(0.5));
        Ok(())
    }

    fn latency_only(&mut self, variant: &Variant, upstream: &Upstream) -> Result<()> {
        let gateway = self.start(variant, upstream)?;
        self.one_caller(variant.name, &gateway.target)?;
        self.many(variant.name, &gateway.target, 16)
    }

    fn full_process(&mut self, upstream: &Upstream) -> Result<()> {
        let variant = &FULL_PROCESS;
        let (config, key) = self.configure(variant, upstream)?;
        let mut ready = Vec::new();
        for _ in 0..=self.effort.starts {
            let gateway = Gateway::start(&self.options.tidegate, &config, &key)?;
            ready.push(gateway.ready_after.as_secs_f64() * 1_000.0);
            gateway.stop()?;
        }
        // The first start compiled the guests.
        let cold = ready.remove(0);
        ready.sort_by(f64::total_cmp);
        self.report.set("ready_cold_ms", cold);
        self.report.set("ready_warm_ms", ready[ready.len() / 2]);

        let gateway = Gateway::start(&self.options.tidegate, &config, &key)?;
        // Idle means: it has answered somebody and now waits.
        load::sequential(&gateway.target, Ask::List, 0, 1)?;
        self.report.set("rss_idle_mib", gateway.resident_mib()?);
        self.one_caller(variant.name, &gateway.target)?;
        self.many(variant.name, &gateway.target, 16)?;
        self.relayed(variant.name, &gateway.target)?;
        let peak = with_peak_memory(gateway.id(), || self.many(variant.name, &gateway.target, 64))?;
        self.report.set("rss_load_mib", peak);
        Ok(())
    }

    fn full_disk(&mut self, upstream: &Upstream) -> Result<()> {
        let gateway = self.start(&FULL_DISK, upstream)?;
        self.one_caller(FULL_DISK.name, &gateway.target)?;
        let effort = self.effort;
        let mut writes =
            load::sequential(&gateway.target, PUT, effort.warm_up / 4, effort.calls / 4)?;
        self.report.set("full_disk_write_p50_us", writes.quantile_us(0.5));
        self.report.set("full_disk_write_p99_us", writes.quantile_us(0.99));
        self.many(FULL_DISK.name, &gateway.target, 16)?;
        self.many(FULL_DISK.name, &gateway.target, 64)
    }

    fn list(&mut self) -> Result<()> {
        // 240 tools are a list of 84 KB.
        for (tools, name) in [(1_000, "list_1000"), (240, "list_84kb")] {
            let upstream = Upstream::start(tools)?;
            let gateway = self.start(&LIST, &upstream)?;
            let lists = self.effort.lists;
            let mut latencies = load::sequential(&gateway.target, Ask::List, lists / 10, lists)?;
            self.report.set(&format!("{name}_p50_us"), latencies.quantile_us(0.5));
        }
        Ok(())
    }

    /// What the gateway adds to each event of a stream: to the whole call, without what it
    /// adds to a call with no events, shared out.
    fn per_event(&mut self) {
        let added = |report: &Report, name: &str| {
            let get = |who: &str| report.get(&format!("{who}{name}_p50_us"));
            Some(get("full_process")? - get("direct")?)
        };
        let report = &self.report;
        if let (Some(stream), Some(call)) = (added(report, "_stream"), added(report, "")) {
            self.report.set("sse_added_per_event_us", (stream - call) / EVENTS as f64);
        }
    }

    fn configure(&self, variant: &Variant, upstream: &Upstream) -> Result<(PathBuf, String)> {
        gateway::configure(&self.options.tidegate, &self.options.dir, variant, upstream.address)
    }

    fn start(&self, variant: &Variant, upstream: &Upstream) -> Result<Gateway> {
        let (config, key) = self.configure(variant, upstream)?;
        Gateway::start(&self.options.tidegate, &config, &key)
    }

    fn one_caller(&mut self, name: &str, target: &Target) -> Result<()> {
        let Effort { warm_up, calls, .. } = self.effort;
        println!("{name}: {calls} calls, one after the other");
        let mut latencies = load::sequential(target, ECHO, warm_up, calls)?;
        self.report.set(&format!("{name}_p50_us"), latencies.quantile_us(0.5));
        self.report.set(&format!("{name}_p99_us"), latencies.quantile_us(0.99));
        Ok(())
    }

    fn many(&mut self, name: &str, target: &Target, callers: usize) -> Result<()> {
        println!("{name}: {callers} callers for {:.1} s", self.effort.time.as_secs_f64());
        let rate = load::concurrent(target, ECHO, callers, self.effort.time)?;
        self.report.set(&format!("{name}_c{callers}_rps"), rate);
        Ok(())
    }
}

/// The largest resident size of a process, in MiB, while `work` runs.
fn with_peak_memory(process: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0.0_f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(gateway::resident_mib(process).unwrap_or(0.0));
                std::thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let peak = sampler.join().map_err(|_| anyhow::anyhow!("the memory sampler failed"))?;
        worked.map(|()| peak)
    })
}
