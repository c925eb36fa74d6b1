//! `tidegate check DIR`: everything that can be known of a directory without its upstreams.
//!
//! Components are compiled and bound, the tools of wasm connectors are listed, policies are
//! validated against them; tools of other connectors are unknown, so policies about them are
//! taken on trust and said to be. Every organisation is checked, whatever the others are like.

use std::{path::Path, process::ExitCode, sync::Arc};

use tidegate_model::OrgId;
use tidegate_wire::client::egress::Egress;

use super::{Of, block_on, compiled, say};
use crate::{
    assembly::offline,
    config::{Problem, ProcessConfig, directory, egress::EgressConfig, organisations},
    signature::Trust,
};

/// What of gateway.toml applies to every organisation.
struct Basis {
    trust: Trust,
    egress: Arc<Egress>,
}

/// Validates a directory, or one organisation of it; exit status 0 only if nothing is wrong.
pub(super) fn run(dir: &Path, of: &Of) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    let mut config = ProcessConfig::default();
    match ProcessConfig::read(dir) {
        Ok(read) => config = read,
        Err(problem) => problems.push(problem),
    }
    let egress = match config.egress.open() {
        Ok(egress) => egress,
        Err(problem) => {
            problems.push(problem);
            EgressConfig::default().open().map_err(|problem| anyhow::anyhow!("{problem}"))?
        }
    };
    let basis = Basis { trust: config.trust(), egress };
    let (others, wrong) = organisations::read(dir);
    let mut folders = vec![(of.id(), dir.to_owned())];
    match &of.org {
        Some(org) => folders = vec![(org.clone(), of.folder(dir)?)],
        None => {
            problems.extend(wrong);
            folders.extend(others);
        }
    }
    let mut reports = Vec::new();
    for (org, folder) in folders {
        match one((&org, &folder), &basis)? {
            Ok(report) if org == OrgId::default_org() => reports.push(report),
            Ok(report) => reports.push(format!("organisation {org}: {report}")),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        reports.iter().flat_map(|report| report.lines()).for_each(say);
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    eprintln!("{}", count(&problems));
    Ok(ExitCode::FAILURE)
}

/// Checks one organisation's folder; what it holds, or what is wrong with it.
fn one((org, dir): (&OrgId, &Path), basis: &Basis) -> anyhow::Result<Result<String, Vec<Problem>>> {
    let resources = match directory::read(dir) {
        Ok(resources) => resources,
        Err(found) => return Ok(Err(found)),
    };
    let ways = (compiled::sandbox()?, Arc::clone(&basis.egress));
    let checked = offline::check((org, dir), &resources, basis.trust.clone(), ways);
    block_on(async { Ok(checked.await) })
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}
