//! `tidegate apply DIR`.

use std::{path::Path, process::ExitCode};

use http::Method;

use super::{block_on, say, socket};
use crate::{
    config::directory,
    http::admin::{Applied, Apply},
};

/// Sends the directory's resources to the gateway of `data`.
pub(super) fn run(dir: &Path, data: &Path, dry_run: bool, prune: bool) -> anyhow::Result<ExitCode> {
    let resources = match directory::read(dir) {
        Ok(resources) => resources,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let body = serde_json::to_vec(&Apply { resources, prune, dry_run })?;
    let applied: Applied = block_on(socket::ask(data, Method::POST, "/api/v1/config/apply", body))?;
    for change in &applied.changes {
        say(&change.to_string());
    }
    let verb = if dry_run { "would change" } else { "applied" };
    say(&match applied.changes.len() {
        0 => "nothing to change".to_owned(),
        1 => format!("1 resource {verb}"),
        many => format!("{many} resources {verb}"),
    });
    Ok(ExitCode::SUCCESS)
}
