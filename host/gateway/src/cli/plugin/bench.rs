//! `tidegate plugin bench`: what one hook costs, beside a native one that does nothing.
//!
//! Calls run in fresh instances, as in a gateway for components that start quickly. What the
//! start costs is the difference to calls in instances made ahead, taken in turns with fresh
//! ones after the same pause. All of it, and the native hook, is measured in the same run, so
//! that the ratios hold on any machine.

use std::{
    hint::black_box,
    path::PathBuf,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tidegate_model::{Json, Verdict};
use tidegate_wasm::Component;

use super::{
    about,
    subject::{Setting, Subject},
};
use crate::{
    cases::{Case, Chosen, Ready, Said, Stand},
    cli::{block_on, say},
};

/// Between two calls that want an instance made ahead: the time to make one.
const BREATH: Duration = Duration::from_millis(2);
/// Fewest and most calls after a pause.
const LEAST: u32 = 20;
const MOST: u32 = 500;
/// Instances made ahead.
const SPARES: usize = 8;

#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// A component file, or a folder in which one was built.
    file: String,
    /// The case whose hook is measured.
    #[arg(long, value_name = "FILE")]
    case: PathBuf,
    /// How many calls.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    setting: Setting,
}

/// Middle times after a pause, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Paused {
    fresh_p50: f64,
    ahead_p50: f64,
}

/// Times in microseconds.
#[derive(Debug, Serialize)]
struct Report {
    rounds: u32,
    /// The first call: the component was just linked, and nothing is warm.
    first: f64,
    /// Calls in fresh instances.
    fresh_p50: f64,
    fresh_p99: f64,
    /// After a pause: calls in fresh instances, and in instances made ahead; missing where
    /// none was ready in time.
    paused: Option<Paused>,
    /// Part of a fresh call that is the instance's start, from 0 to 1.
    instantiate_share: Option<f64>,
    /// Of a call in a fresh instance, time in the guest, on average.
    guest_mean: f64,
    /// Most bytes that an instance took.
    memory_high_water: u64,
    /// A native hook that does nothing.
    native_p50: f64,
    native_p99: f64,
    /// Fresh calls over native ones.
    ratio_p50: f64,
    ratio_p99: f64,
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<ExitCode> {
    let case = Case::read(&bench.case)?;
    let chosen = bench.setting.read()?;
    let report = block_on(async {
        let Subject { component, stand, .. } = Subject::load(&bench.file).await?;
        measure(&stand, &component, &case, (&chosen, bench.rounds)).await
    })?;
    if bench.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        show(&report);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    stand: &Stand,
    component: &Component,
    case: &Case,
    (chosen, rounds): (&Chosen, u32),
) -> anyhow::Result<Report> {
    let fresh = match stand.ready(component, case, chosen).await? {
        Ok(ready) => ready,
        Err(error) => return Err(error.into()),
    };
    let once = || async {
        let began = Instant::now();
        let (said, _) = fresh.run().await?;
        let spent = began.elapsed();
        // Faults end at the breaker, which would be measured then.
        if let Said::Failure { name, words } = &said {
            bail!("the hook fails, so there is nothing to measure: {name}: {words}");
        }
        Ok(spent)
    };
    let first = once().await?;
    let before = fresh.counts();
    let (mut times, mut native) = (Vec::new(), Vec::new());
    let nothing = native_hook();
    let arguments = case.arguments.clone().unwrap_or_else(Json::empty_object);
    for _ in 0..rounds {
        times.push(once().await?);
        let began = Instant::now();
        black_box(nothing(black_box(&arguments)).await);
        native.push(began.elapsed());
    }
    let after = fresh.counts();
    let guest = (after.guest_nanos - before.guest_nanos) as f64 / f64::from(rounds) / 1e3;
    let paused = paused(stand, (component, case, chosen), rounds, &fresh).await?;
    times.sort();
    native.sort();
    let (fresh_p50, fresh_p99) = (at(&times, 50), at(&times, 99));
    let (native_p50, native_p99) = (at(&native, 50), at(&native, 99));
    Ok(Report {
        rounds,
        first: micros(first),
        fresh_p50,
        fresh_p99,
        paused,
        instantiate_share: paused
            .map(|Paused { fresh_p50, ahead_p50 }| (1.0 - ahead_p50 / fresh_p50).clamp(0.0, 1.0)),
        guest_mean: guest,
        memory_high_water: after.memory_high_water,
        native_p50,
        native_p99,
        ratio_p50: fresh_p50 / native_p50.max(0.001),
        ratio_p99: fresh_p99 / native_p99.max(0.001),
    })
}

type Native = dyn for<'a> Fn(&'a Json) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// A hook of the gateway's own, reached as a plugin's is, that says to go on.
fn native_hook() -> Box<Native> {
    Box::new(|arguments| {
        Box::pin(async move {
            black_box(arguments);
            Verdict::Proceed
        })
    })
}

/// Calls in instances made ahead in turns with fresh ones, each after the time to make one.
async fn paused(
    stand: &Stand,
    (component, case, chosen): (&Component, &Case, &Chosen),
    rounds: u32,
    fresh: &Ready<'_>,
) -> anyhow::Result<Option<Paused>> {
    let chosen = Chosen { spares: SPARES, ..chosen.clone() };
    let Ok(ahead) = stand.ready(component, case, &chosen).await? else { return Ok(None) };
    let (mut of_fresh, mut of_ahead) = (Vec::new(), Vec::new());
    for _ in 0..rounds.clamp(LEAST, MOST) {
        let (spent, _) = after_a_pause(fresh).await?;
        of_fresh.push(spent);
        let (spent, was_ready) = after_a_pause(&ahead).await?;
        of_ahead.extend(was_ready.then_some(spent));
    }
    of_fresh.sort();
    of_ahead.sort();
    let both = Paused { fresh_p50: at(&of_fresh, 50), ahead_p50: at(&of_ahead, 50) };
    Ok((!of_ahead.is_empty()).then_some(both))
}

/// One call, and whether its instance had been made ahead.
async fn after_a_pause(ready: &Ready<'_>) -> anyhow::Result<(Duration, bool)> {
    tokio::time::sleep(BREATH).await;
    let spares = ready.counts().spares;
    let began = Instant::now();
    ready.run().await?;
    Ok((began.elapsed(), ready.counts().spares > spares))
}

/// The time that so many of a hundred stay within.
fn at(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().map(micros).unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn show(report: &Report) {
    let memory = usize::try_from(report.memory_high_water).unwrap_or(usize::MAX);
    say(&format!("first call   {:>10.1} µs", report.first));
    say(&format!(
        "fresh calls  {:>10.1} µs p50 {:>10.1} µs p99 ({} rounds, {:.1} µs of them in the guest)",
        report.fresh_p50, report.fresh_p99, report.rounds, report.guest_mean
    ));
    match (report.paused, report.instantiate_share) {
        (Some(Paused { fresh_p50, ahead_p50 }), Some(share)) => {
            say(&format!(
                "made ahead   {ahead_p50:>10.1} µs p50, fresh {fresh_p50:.1} µs, each after a pause"
            ));
            say(&format!("instantiate  {:>10.0} % of a fresh call", share * 100.0));
        }
        _ => say("made ahead            - no instance was ready in time"),
    }
    say(&format!(
        "native no-op {:>10.3} µs p50 {:>10.3} µs p99",
        report.native_p50, report.native_p99
    ));
    say(&format!(
        "ratio        {:>10.0} x p50  {:>10.0} x p99  over the native no-op",
        report.ratio_p50, report.ratio_p99
    ));
    say(&format!("memory       {:>10}", about::size(memory)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!((at(&times, 50), at(&times, 99)), (50.0, 99.0));
        assert_eq!(at(&times[..1], 99), 1.0);
        assert_eq!(at(&[], 50), 0.0);
    }
}
