//! Modules made by chance, and many rounds of everything.
//!
//! `fuzz/smith` makes the modules: a few stand in `fuzz/corpus/loader`; `cargo xtask soak`
//! makes 100,000 and runs 100,000 rounds.

use std::{fs, path::PathBuf};

use super::{hostility::lifted, *};
use crate::{CallError, GuestConnector, LoadError};

#[expect(clippy::disallowed_methods, reason = "how `cargo xtask soak` asks for more")]
fn asked(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// A component around a module that exports `run`: the frame of another one, whose first
/// section its module is.
fn framed(module: &[u8]) -> Bytes {
    let empty = r#"(func (export "run") (result i32) i32.const 1)"#;
    let frame = wat::parse_str(lifted(empty, "u32", "")).unwrap();
    assert_eq!(frame[8], 1, "the first section is a module");
    let (mut size, mut at) = (0_usize, 9);
    for shift in (0..).step_by(7) {
        size |= usize::from(frame[at] & 0x7f) << shift;
        at += 1;
        if frame[at - 1] & 0x80 == 0 {
            break;
        }
    }
    let mut bytes = frame[..9].to_vec();
    let mut left = module.len();
    while left >= 0x80 {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend_from_slice(module);
    bytes.extend_from_slice(&frame[at + size..]);
    bytes.into()
}

#[tokio::test]
async fn modules_by_chance_neither_break_the_loader_nor_outrun_their_limits() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/loader");
    let folder = asked("TIDEGATE_SMITH").map_or(corpus, PathBuf::from);
    let sandbox = Sandbox::new(Settings { cache: None, ..settings() }).unwrap();
    let well = sandbox.load(guest("bench-pass")).await.unwrap();
    let config = json("{}");
    let well = Interceptor::new(&binding(&well, &config)).unwrap();
    let limits = Limits {
        guest_time: Limits::TICK,
        memory: 16 << 20,
        spares: Some(0),
        ..Limits::INTERCEPTOR
    };
    let (mut loaded, mut ran, mut all) = (0, 0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        all += 1;
        let component = match sandbox.load(framed(&fs::read(&path).unwrap())).await {
            Ok(component) => component,
            // What is switched off, or needs more than a slot of the pool has.
            Err(LoadError::Invalid(_) | LoadError::Mismatch(_)) => continue,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        loaded += 1;
        let name = path.display().to_string();
        let bound = Binding { name: &name, limits, ..binding(&component, &config) };
        let connector = GuestConnector::new(&bound).unwrap();
        match connector.call(&context("run"), &json("{}"), None).await {
            Ok(_) => ran += 1,
            Err(CallError::Failure(Failure::Trap { .. })) => {}
            Err(other) => panic!("{name}: {other:?}"),
        }
        before(&well, &context("search"), &json("{}")).await.unwrap();
    }
    assert!(all >= 20 && loaded * 3 >= all && ran > 0, "{all} modules, {loaded} loaded, {ran} ran");
}

/// Resident memory of this process in bytes, where the system tells.
fn resident() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

#[tokio::test]
async fn rounds_leave_nothing_behind() {
    let rounds = asked("TIDEGATE_PLUGIN_ROUNDS").and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(400);
    let sandbox = Sandbox::new(settings()).unwrap();
    let component = sandbox.load(guest("hostile")).await.unwrap();
    let limits = Limits { guest_time: Duration::from_secs(1), ..tight() };
    let round = async |number: usize| {
        let acts = ["count", "trap", "memory", "recursion", "not_json", "huge", "log"];
        let act = acts[number % acts.len()];
        // Names that come again every so often, so that breakers are used and forgotten.
        let name = format!("round {}", number / 8);
        let config = json(&format!(r#"{{"do":"{act}"}}"#));
        let spares = number.is_multiple_of(3).then_some(0);
        let bound = Binding {
            name: &name,
            limits: Limits { spares, ..limits },
            ..binding(&component, &config)
        };
        let plugin = Interceptor::new(&bound).unwrap();
        // A call of its own each: one call's deadline is over before many rounds are.
        let said = before(&plugin, &context("search"), &json("{}")).await;
        if act == "count" {
            assert_eq!(
                said.unwrap().verdict,
                tidegate_model::Verdict::Answer(json(r#"{"count":1}"#))
            );
        }
    };
    for number in 0..rounds / 10 {
        round(number).await;
    }
    let before = resident();
    for number in 0..rounds {
        round(number).await;
        tokio::task::yield_now().await;
    }
    // A few rounds say nothing of a leak: allocators and pools are still warming up.
    if rounds >= 10_000
        && let (Some(before), Some(after)) = (before, resident())
    {
        let grown = after.saturating_sub(before) >> 20;
        assert!(grown <= 16, "{grown} MiB more after {rounds} rounds");
    }
}
