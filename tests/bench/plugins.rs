//! Figures of plugins, taken in this process: what a hook costs beside a function of our own.
//!
//! Owns fresh and spare instances, large arguments, the load from the cache, guests that never
//! end, and what those leave to others. Components of JavaScript and Python are measured when
//! they stand in `target/bench/js.wasm` and `target/bench/python.wasm`, built from the
//! templates' interceptors.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tidegate_model::{Json, Round, Verdict};
use tidegate_wasm::{
    Before, Binding, CacheKey, CacheSettings, CallContext, Component, Event, Failure, Grants,
    Interceptor, Limits, Reach, Sandbox, Settings,
};

use crate::{
    gateway::component_path,
    inprocess::{call, caller, tool},
    latency::Latencies,
    report::Report,
};

const ARGUMENTS: &str = r#"{"message":"the quick brown fox jumps over the lazy dog","count":3}"#;
/// The configuration of the templates' interceptors.
const TEMPLATE: &str = r#"{"words":["canary"]}"#;
/// Plugins that never end, at once.
const SPINNERS: usize = 8;
/// Between two calls where calls come steadily.
const PACE: Duration = Duration::from_millis(10);

/// Adds every figure whose name begins with `plugin_`.
pub(crate) fn measure(report: &mut Report, quick: bool) -> Result<()> {
    let rounds = if quick { 1_000 } else { 10_000 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(one_at_a_time(report, rounds))?;
    // What happens beside others is seen with as many threads as a gateway has.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(beside_spinners(report, if quick { 200 } else { 1_000 }))?;
    for language in ["js", "python"] {
        let path = Path::new("target/bench").join(format!("{language}.wasm"));
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            runtime.block_on(large(report, language, bytes, rounds.min(1_000)))?;
        }
    }
    Ok(())
}

/// Somebody who calls.
fn context() -> Result<CallContext> {
    let (caller, call) = (caller()?, call(&tool(0)?)?);
    Ok(CallContext::new(&call, caller.user(), caller.shared_groups(), None))
}

async fn load(sandbox: &Sandbox, name: &str) -> Result<Component> {
    Ok(sandbox.load(std::fs::read(component_path(name)?)?.into()).await?)
}

fn bind(name: &str, component: &Component, config: &str, limits: Limits) -> Result<Interceptor> {
    let config = Json::parse(config.to_owned())?;
    Ok(Interceptor::new(&Binding {
        name,
        component,
        config: &config,
        grants: Grants::all(),
        limits,
        reach: Reach::default(),
    })?)
}

async fn before(
    plugin: &Interceptor,
    context: &CallContext,
    arguments: &Json,
) -> Result<Before, Failure> {
    plugin.before(Event::Call, context, arguments, &Round::default()).await
}

/// Times of `rounds` hooks after a tenth as many that nobody counts.
async fn times(plugin: &Interceptor, arguments: &Json, rounds: usize) -> Result<Latencies> {
    let context = context()?;
    let mut latencies = Latencies::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        before(plugin, &context, arguments).await?;
        if round >= rounds / 10 {
            latencies.record(start.elapsed());
        }
    }
    Ok(latencies)
}

/// What a plugin would be if it was a part of the gateway.
trait Native: Send + Sync {
    fn before(&self, arguments: &Json) -> Verdict;
}

struct Pass;

impl Native for Pass {
    fn before(&self, _arguments: &Json) -> Verdict {
        Verdict::Proceed
    }
}

async fn one_at_a_time(report: &mut Report, rounds: usize) -> Result<()> {
    println!("plugins: one hook after the other");
    let sandbox = Sandbox::new(Settings::default())?;
    let pass = load(&sandbox, crate::run::BEFORE).await?;
    let limits = Limits { spares: Some(0), ..Limits::INTERCEPTOR };
    let plugin = bind("pass", &pass, "{}", limits)?;
    let small = Json::parse(ARGUMENTS)?;
    let mut fresh = times(&plugin, &small, rounds).await?;
    report.set("plugin_fresh_p50_us", fresh.quantile_us(0.5));
    report.set("plugin_fresh_p99_us", fresh.quantile_us(0.99));

    let large = Json::parse(format!(r#"{{"message":"{}"}}"#, "x".repeat(10 << 10)))?;
    let mut large = times(&plugin, &large, rounds).await?;
    report.set("plugin_10kb_p50_us", large.quantile_us(0.5));

    // Both are far below the resolution of the clock, so many are timed together.
    let context = context()?;
    let native: Arc<dyn Native> = Arc::new(Pass);
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(native.before(std::hint::black_box(&small)));
    }
    let native = start.elapsed().as_secs_f64() * 1e9 / rounds as f64;
    report.set("plugin_native_ns", native);
    let answer = tidegate_model::Answer::Result(small.clone());
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(plugin.after(Event::Call, &context, &answer, None).await?);
    }
    report.set("plugin_absent_ns", start.elapsed().as_secs_f64() * 1e9 / rounds as f64);
    report.set("plugin_fresh_over_native", fresh.quantile_us(0.5) * 1e3 / native.max(1.0));
    late(report, &sandbox).await
}

/// How long after its time a guest that never ends is gone.
async fn late(report: &mut Report, sandbox: &Sandbox) -> Result<()> {
    let hostile = load(sandbox, "hostile").await?;
    let context = context()?;
    let arguments = Json::empty_object();
    let mut late = Latencies::with_capacity(20);
    for round in 0..20 {
        // Under one name the breaker would open.
        let plugin = spinner(&hostile, &format!("loop {round}"))?;
        let start = Instant::now();
        let failure = before(&plugin, &context, &arguments).await.err();
        ensure!(failure.is_some_and(|failure| failure.name() == "out_of_time"), "it ended");
        late.record(start.elapsed().saturating_sub(Limits::INTERCEPTOR.guest_time));
    }
    report.set("plugin_loop_late_p99_ms", late.quantile_us(0.99) / 1e3);
    Ok(())
}

fn spinner(hostile: &Component, name: &str) -> Result<Interceptor> {
    let limits = Limits { spares: Some(0), ..Limits::INTERCEPTOR };
    bind(name, hostile, r#"{"do":"loop"}"#, limits)
}

/// What plugins that never end leave to others: with the breaker, and each time as if it was
/// the first.
async fn beside_spinners(report: &mut Report, rounds: usize) -> Result<()> {
    println!("plugins: steady calls beside {SPINNERS} plugins that never end");
    let sandbox = Sandbox::new(Settings::default())?;
    let hostile = load(&sandbox, "hostile").await?;
    let pass = load(&sandbox, crate::run::BEFORE).await?;
    let plugin = Arc::new(bind("pass", &pass, "{}", Limits::INTERCEPTOR)?);
    let alone = steady(&plugin, rounds).await?.quantile_us(0.99);
    report.set("plugin_steady_p99_us", alone);
    for (name, broken) in [("plugin_spinners_p99_ratio", true), ("plugin_storm_p99_ratio", false)] {
        let done = Arc::new(AtomicBool::new(false));
        let mut spinners = tokio::task::JoinSet::new();
        for number in 0..SPINNERS {
            let (hostile, done) = (hostile.clone(), Arc::clone(&done));
            spinners.spawn(async move {
                let (context, arguments) = (context()?, Json::empty_object());
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    round += usize::from(!broken);
                    let plugin = spinner(&hostile, &format!("{name} {number} {round}"))?;
                    while let Err(failure) = before(&plugin, &context, &arguments).await
                        && !done.load(Ordering::Relaxed)
                        && broken
                    {
                        if failure.name() == "breaker_open" {
                            tokio::time::sleep(PACE).await;
                        }
                    }
                }
                anyhow::Ok(())
            });
        }
        let beside = steady(&plugin, rounds).await?.quantile_us(0.99);
        done.store(true, Ordering::Relaxed);
        while let Some(ended) = spinners.join_next().await {
            ended??;
        }
        report.set(name, beside / alone.max(1.0));
    }
    Ok(())
}

/// Times of hooks that come one every [`PACE`], on a task of their own.
async fn steady(plugin: &Arc<Interceptor>, rounds: usize) -> Result<Latencies> {
    paced(plugin, rounds, || tokio::time::sleep(PACE)).await
}

/// The same on a machine that never rests, where a processor's caches are as it left them.
async fn restless(plugin: &Arc<Interceptor>, rounds: usize) -> Result<Latencies> {
    let busy = || async {
        let start = Instant::now();
        while start.elapsed() < PACE {
            tokio::task::yield_now().await;
        }
    };
    paced(plugin, rounds, busy).await
}

async fn paced<P: Future<Output = ()> + Send>(
    plugin: &Arc<Interceptor>,
    rounds: usize,
    pause: impl Fn() -> P + Send + 'static,
) -> Result<Latencies> {
    let plugin = Arc::clone(plugin);
    let steady = tokio::spawn(async move {
        let (context, arguments) = (context()?, Json::parse(ARGUMENTS)?);
        let mut latencies = Latencies::with_capacity(rounds);
        for _ in 0..rounds {
            pause().await;
            let start = Instant::now();
            before(&plugin, &context, &arguments).await?;
            latencies.record(start.elapsed());
        }
        anyhow::Ok(latencies)
    });
    steady.await?
}

/// A component that brings a language with it: from the cache, fresh, and with spares.
async fn large(report: &mut Report, language: &str, bytes: Vec<u8>, rounds: usize) -> Result<()> {
    println!("plugins: an interceptor in {language}");
    let folder = Path::new("target/bench/cache").to_path_buf();
    let cache = CacheSettings { folder, key: CacheKey::new([7; 32]) };
    let sandbox = Sandbox::new(Settings { cache: Some(cache), ..Settings::default() })?;
    let size = bytes.len();
    let bytes = bytes::Bytes::from(bytes);
    let mut component = sandbox.load(bytes.clone()).await?;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let loaded = sandbox.load(bytes.clone()).await?;
        fastest = fastest.min(start.elapsed());
        // The one before goes only now: that is no part of loading.
        component = loaded;
    }
    ensure!(component.from_cache(), "{size} bytes were compiled again");
    report.set(&format!("plugin_{language}_cached_ms"), fastest.as_secs_f64() * 1e3);

    let limits = Limits {
        guest_time: Duration::from_secs(1),
        memory: 256 << 20,
        spares: Some(0),
        ..Limits::INTERCEPTOR
    };
    let arguments = Json::parse(ARGUMENTS)?;
    let fresh =
        bind(language, &component, TEMPLATE, limits).context("the template's interceptor")?;
    let mut fresh = times(&fresh, &arguments, rounds).await?;
    report.set(&format!("plugin_{language}_fresh_p50_us"), fresh.quantile_us(0.5));
    let spared = Arc::new(bind(language, &component, TEMPLATE, Limits { spares: None, ..limits })?);
    let mut latencies = steady(&spared, rounds.min(500)).await?;
    report.set(&format!("plugin_{language}_spare_p50_us"), latencies.quantile_us(0.5));
    let mut restless = restless(&spared, rounds.min(500)).await?;
    report.set(&format!("plugin_{language}_spare_busy_p50_us"), restless.quantile_us(0.5));
    let share = spared.counts().spares as f64 / spared.counts().calls.max(1) as f64;
    report.set(&format!("plugin_{language}_spare_share"), share);
    Ok(())
}
