//! `tidegate plugin observe`, `enforce`, `disable`, `enable`, `rollback` and `remove`: what a
//! plugin does from now on, without a restart.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::{Where, confirm, edit::Edit, folder::Folder};
use crate::cli::{block_on, say};

/// One plugin by its name.
#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// The plugin.
    name: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    named: Named,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// What a plugin is turned to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Observe,
    Enforce,
    Disable,
    Enable,
}

pub(super) fn turn(named: &Named, to: Turn) -> anyhow::Result<ExitCode> {
    let words = match to {
        Turn::Observe => {
            "is observed: what it says is recorded and has no effect; what it was granted, such as \
             facts, state and http, works as ever"
        }
        Turn::Enforce => "is enforced: what it says has effect",
        Turn::Disable => "is disabled: it does not run",
        Turn::Enable => "is enabled",
    };
    change(named, words, |edit| {
        match to {
            Turn::Observe => edit.set("mode", "observe"),
            Turn::Enforce => edit.set("mode", "enforce"),
            Turn::Disable => edit.set("disabled", true),
            Turn::Enable => edit.unset("disabled"),
        }
        Ok(())
    })
}

pub(super) fn rollback(named: &Named) -> anyhow::Result<ExitCode> {
    change(named, "runs the version before again", |edit| {
        let before = edit.config().and_then(|config| config.previous.first()).cloned();
        let before = before.with_context(|| {
            format!("`{}` has no version to go back to; nothing was changed", edit.id())
        })?;
        edit.put_in_force(&before);
        Ok(())
    })
}

fn change(
    named: &Named,
    words: &str,
    change: impl FnOnce(&mut Edit) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&named.place)?;
    let mut edit = folder.existing(&named.name)?;
    change(&mut edit)?;
    block_on(folder.save(&edit))?;
    say(&format!("`{}` {words}", edit.id()));
    super::written(&edit);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(remove: &Remove) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&remove.named.place)?;
    let edit = folder.existing(&remove.named.name)?;
    let question = format!("remove `{}` with all its versions?", edit.id());
    if !remove.yes && !confirm(&question)? {
        bail!("nothing was removed");
    }
    folder.remove(&edit)?;
    say(&format!("`{}` is removed", edit.id()));
    super::written(&edit);
    Ok(ExitCode::SUCCESS)
}
