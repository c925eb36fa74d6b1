//! `tidegate group`: groups whose members are listed.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{
    block_on,
    door::Through,
    listing::{Columns, List, sure},
    table::{fields, joined},
    web::part,
};
use crate::http::admin::{GroupChange, GroupInfo, GroupPage, NewGroup, Removed};

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Show all groups.
    List(List),
    /// Show one with its members.
    Show(Named),
    /// Add a group.
    Add(Add),
    /// Rename a group, put users in and take users out.
    Change(Change),
    /// Remove a group; its members stay.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name or id.
    group: String,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// How policies name it.
    name: String,
    /// A user that is in it; may be repeated.
    #[arg(long = "member", value_name = "USER")]
    members: Vec<String>,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// Its name or id.
    group: String,
    /// Another name.
    #[arg(long)]
    name: Option<String>,
    /// A user to put in; may be repeated.
    #[arg(long, value_name = "USER")]
    add: Vec<String>,
    /// A user to take out; may be repeated.
    #[arg(long, value_name = "USER")]
    remove: Vec<String>,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its name or id.
    group: String,
    /// Without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &GroupCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            GroupCommand::List(list) => {
                list.show("/groups", |page: GroupPage| (page.groups, page.next), &COLUMNS).await
            }
            GroupCommand::Show(named) => {
                let group: GroupInfo = named.through.door()?.get(&path(&named.group)).await?;
                named.through.tell(&group, words)
            }
            GroupCommand::Add(add) => {
                let new = NewGroup { name: add.name.clone(), members: add.members.clone() };
                let group: GroupInfo =
                    add.through.door()?.send(Method::POST, "/groups", &new).await?;
                add.through.tell(&group, words)
            }
            GroupCommand::Change(change) => {
                let body = GroupChange {
                    name: change.name.clone(),
                    add: change.add.clone(),
                    remove: change.remove.clone(),
                };
                let path = path(&change.group);
                let group: GroupInfo =
                    change.through.door()?.send(Method::PATCH, &path, &body).await?;
                change.through.tell(&group, words)
            }
            GroupCommand::Remove(remove) => {
                sure(remove.yes, &format!("remove the group {}?", remove.group))?;
                let path = path(&remove.group);
                let removed: Removed = remove.through.door()?.order(Method::DELETE, &path).await?;
                remove.through.tell(&removed, |removed| format!("removed {}", removed.removed))
            }
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

fn path(group: &str) -> String {
    format!("/groups/{}", part(group))
}

fn words(group: &GroupInfo) -> String {
    fields(&[
        ("name", group.name.clone()),
        ("id", group.id.clone()),
        ("external id", group.external_id.clone().unwrap_or_default()),
        ("gives roles", joined(&group.roles)),
        ("created", group.created.to_string()),
        ("members", joined(&group.members)),
    ])
}

const COLUMNS: Columns<GroupInfo, 4> = Columns {
    headings: ["group", "members", "gives roles", "id"],
    row: |group| {
        [group.name.clone(), group.size.to_string(), joined(&group.roles), group.id.clone()]
    },
    none: "no groups",
};
