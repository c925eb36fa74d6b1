//! Runs the crash harness by hand: `crash_rounds KILLS POWER_LOSSES SEED`.

use std::{error::Error, io::Write as _, path::Path, time::Instant};

#[path = "../../../tests/crash/harness.rs"]
mod harness;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|n| n.parse()).collect();
    let numbers = numbers?;
    let [kills, losses, seed] = numbers.as_slice() else {
        return Err("use: crash_rounds KILLS POWER_LOSSES SEED".into());
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let bench = harness::Bench::prepare(&root)?;
    let mut out = std::io::stdout();
    let start = Instant::now();
    let killed = harness::kill_rounds(&bench, u32::try_from(*kills)?, *seed)?;
    writeln!(out, "{killed:?} in {:?}", start.elapsed())?;
    for strict in [true, false] {
        let start = Instant::now();
        let rounds = u32::try_from(if strict { losses.div_ceil(2) } else { losses / 2 })?;
        let lost = harness::power_loss_rounds(&bench, rounds, *seed, strict)?;
        writeln!(out, "strict {strict}: {lost:?} in {:?}", start.elapsed())?;
    }
    Ok(())
}
