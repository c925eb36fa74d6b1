//! `tidegate role list`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{block_on, door::Through, listing::Columns, table::joined};
use crate::http::admin::{RoleInfo, RoleList};

#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// Show what each role may do, and who has it.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &RoleCommand) -> anyhow::Result<ExitCode> {
    let RoleCommand::List(list) = command;
    block_on(async {
        let roles: RoleList = list.through.door()?.get("/roles").await?;
        COLUMNS.tell(&list.through, &roles.roles)?;
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: Columns<RoleInfo, 4> = Columns {
    headings: ["role", "users", "by groups", "may"],
    row: |role| {
        let may = role.may.iter().map(|it| it.trim_start_matches("admin:"));
        let may = may.collect::<Vec<_>>().join(" ");
        [role.name.clone(), role.count.to_string(), joined(&role.groups), may]
    },
    none: "no roles",
};
