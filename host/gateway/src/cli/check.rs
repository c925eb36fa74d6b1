//! `tidegate check DIR`: everything that can be known of a directory without its upstreams.
//!
//! Components are compiled and bound, the tools of wasm connectors are listed, policies are
//! validated against them; tools of other connectors are unknown, so policies about them are
//! taken on trust and said to be.

use std::{path::Path, process::ExitCode};

use super::{block_on, compiled, say};
use crate::{
    assembly::offline,
    config::{Problem, ProcessConfig, directory},
    signature::Trust,
};

/// Validates a directory; exit status 0 only if nothing is wrong.
pub(super) fn run(dir: &Path) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    let mut trust = Trust::default();
    match ProcessConfig::read(dir) {
        Ok(config) => trust = config.trust(),
        Err(problem) => problems.push(problem),
    }
    match directory::read(dir) {
        Err(found) => problems.extend(found),
        Ok(resources) => {
            let sandbox = compiled::sandbox()?;
            let checked = offline::check(dir, &resources, trust, sandbox);
            let checked = block_on(async { Ok(checked.await) })?;
            match checked {
                Err(found) => problems.extend(found),
                Ok(report) if problems.is_empty() => {
                    report.lines().for_each(say);
                }
                Ok(_) => {}
            }
        }
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    eprintln!("{}", count(&problems));
    Ok(ExitCode::FAILURE)
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}
