//! `tidegate apply DIR`.

use std::{path::Path, process::ExitCode};

use http::Method;
use tidegate_model::OrgId;

use super::{
    block_on, say,
    socket::{self, Door},
};
use crate::{
    config::{Problem, Resources, directory, organisations},
    http::admin::{Applied, Apply},
};

/// What is done with the resources.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Nothing is changed.
    pub(super) dry_run: bool,
    /// Resources of the gateway that the directory does not hold are removed.
    pub(super) prune: bool,
}

/// Sends the directory's resources to the gateway behind `door`: those of one organisation, or
/// with those of `default` those of all others that the directory holds. Nothing is changed
/// where one of them would be refused.
pub(super) fn run(dir: &Path, door: &Door, how: How) -> anyhow::Result<ExitCode> {
    let all = match read(dir, &door.org) {
        Ok(all) => all,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    if all.len() > 1 && !how.dry_run {
        for (org, resources) in &all {
            send(door, org, resources, How { dry_run: true, ..how })?;
        }
    }
    for (org, resources) in &all {
        let applied = send(door, org, resources, how)?;
        if all.len() > 1 {
            say(&format!("organisation {org}"));
        }
        tell(&applied, how);
    }
    Ok(ExitCode::SUCCESS)
}

/// The resources of each organisation, `default` first.
fn read(dir: &Path, org: &OrgId) -> Result<Vec<(OrgId, Resources)>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut folders = vec![(org.clone(), dir.to_owned())];
    if *org == OrgId::default_org() {
        let (found, wrong) = organisations::read(dir);
        problems.extend(wrong);
        folders.extend(found);
    }
    let mut all = Vec::new();
    for (org, folder) in folders {
        match directory::read(&folder) {
            Ok(resources) => all.push((org, resources)),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn send(door: &Door, org: &OrgId, resources: &Resources, how: How) -> anyhow::Result<Applied> {
    let How { dry_run, prune } = how;
    let body = serde_json::to_vec(&Apply { resources: resources.clone(), prune, dry_run })?;
    let door = Door { org: org.clone(), ..door.clone() };
    block_on(socket::ask(&door, Method::POST, "/api/v1/config/apply", body))
}

fn tell(applied: &Applied, how: How) {
    for change in &applied.changes {
        say(&change.to_string());
    }
    let verb = if how.dry_run { "would change" } else { "applied" };
    say(&match applied.changes.len() {
        0 => "nothing to change".to_owned(),
        1 => format!("1 resource {verb}"),
        many => format!("{many} resources {verb}"),
    });
}
