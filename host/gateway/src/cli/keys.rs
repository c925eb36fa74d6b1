//! `tidegate key rotate`: the keys that seal what a gateway keeps.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use clap::Args;
use http::Method;

use super::{
    door::{Door, Through},
    table::{or_none, table},
};
use crate::http::admin::{
    EncryptionStatus, OrgKeyStatus, Retired, Rotated, WantedRetirement, WantedRotation, Whose,
};

/// How often it is looked whether everything is resealed.
const LOOK: Duration = Duration::from_millis(250);

/// Replaces the keys that everything in the data directory is encrypted with.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Show which keys there are, what uses them, and how far resealing has come.
    #[arg(long, conflicts_with_all = ["retire", "revoke", "root", "wait"])]
    status: bool,
    /// Give up a root key that nothing is wrapped under any more.
    #[arg(long, value_name = "ID", conflicts_with_all = ["revoke", "root", "wait"])]
    retire: Option<String>,
    /// The keys may be known to somebody else: reseal everything at once, sign everybody out,
    /// and have all credentials of connectors brought anew.
    #[arg(long, conflicts_with = "root")]
    revoke: bool,
    /// Replace the root key alone.
    #[arg(long)]
    root: bool,
    /// Wait until everything is sealed under the new keys.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    through: Through,
}

pub(super) async fn run(rotate: &Rotate) -> anyhow::Result<ExitCode> {
    let mut door = rotate.through.door()?;
    if rotate.status {
        let status: EncryptionStatus = door.get("/encryption").await?;
        rotate.through.tell(&status, shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &rotate.retire {
        let wanted = WantedRetirement { id: id.clone() };
        let retired: Retired = door.send(Method::POST, "/encryption/retire", &wanted).await?;
        rotate.through.tell(&retired, |it| {
            format!("root key {} is given up; backups from before it was replaced need it", it.id)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = rotate.wanted(&door)?;
    let rotated: Rotated = door.send(Method::POST, "/encryption/rotate", &wanted).await?;
    if rotate.wait {
        wait(&mut door, &rotated).await?;
    }
    rotate.through.tell(&rotated, |rotated| rotate.words(rotated))?;
    Ok(ExitCode::SUCCESS)
}

impl Rotate {
    /// Everything for the owner of the process who names no organisation, else one key.
    fn wanted(&self, door: &Door) -> anyhow::Result<WantedRotation> {
        let is_all = self.through.is_about_all(door);
        if self.root && !is_all {
            bail!(
                "the root key is that of all organisations: replace it on the gateway's machine, without --org"
            );
        }
        let organisations = match (self.root, is_all) {
            (true, _) => Whose::None,
            (false, true) => Whose::All,
            (false, false) => Whose::Own,
        };
        Ok(WantedRotation { root: is_all, organisations, revoke: self.revoke })
    }

    fn words(&self, rotated: &Rotated) -> String {
        let root = rotated.root.as_ref().map(|id| {
            format!("root key {id} is in use, {} keys are wrapped under it", rotated.wrapped)
        });
        let orgs = rotated.organisations.iter().map(|it| {
            let ended = if self.revoke {
                format!("; {} sessions and {} grants ended", it.sessions, it.grants)
            } else {
                String::new()
            };
            format!("key {} of organisation {} is in use{ended}", it.version, it.org)
        });
        let mut lines: Vec<String> = root.into_iter().chain(orgs).collect();
        if !self.wait && !rotated.organisations.is_empty() {
            lines.push(
                "what was sealed before is resealed: see `tidegate key rotate --status`".to_owned(),
            );
        }
        if self.wait {
            lines.push("everything is sealed under the new keys".to_owned());
        }
        lines.join("\n")
    }
}

async fn wait(door: &mut Door, rotated: &Rotated) -> anyhow::Result<()> {
    loop {
        let status: EncryptionStatus = door.get("/encryption").await?;
        let is_done = |org: &str, version: u32| {
            let found = status.organisations.iter().find(|known| known.org == org);
            let resealing = found.and_then(|known| known.resealing.as_ref());
            resealing.is_some_and(|it| it.version >= version && it.ended.is_some())
        };
        if rotated.organisations.iter().all(|it| is_done(&it.org, it.version)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn shown(status: &EncryptionStatus) -> String {
    let roots = status.root.as_ref().map(|root| {
        let rows: Vec<_> = root
            .keys
            .iter()
            .map(|key| {
                let state = if key.id == root.current { "in use" } else { "old" };
                [key.id.clone(), state.to_owned(), key.wraps.to_string()]
            })
            .collect();
        table(["root key", "state", "keys wrapped under it"], &rows, "no root keys")
    });
    let row = |org: &OrgKeyStatus| {
        let state = match &org.resealing {
            None => "all".to_owned(),
            Some(it) => match (&it.ended, it.of) {
                (Some(_), _) if it.closed > 0 => format!("all but {} that do not open", it.closed),
                (Some(_), _) => "all".to_owned(),
                (None, Some(of)) => format!("{} of {of} resealed", it.resealed),
                (None, None) => "waiting".to_owned(),
            },
        };
        let sealed =
            if org.alarming { format!("{} (!)", org.sealed) } else { org.sealed.to_string() };
        [org.org.clone(), org.version.to_string(), or_none(org.created.as_ref()), sealed, state]
    };
    let rows: Vec<_> = status.organisations.iter().map(row).collect();
    let head = ["organisation", "key", "since", "values sealed", "under it"];
    let orgs = table(head, &rows, "no organisations");
    roots.into_iter().chain([orgs]).collect::<Vec<_>>().join("\n\n")
}
