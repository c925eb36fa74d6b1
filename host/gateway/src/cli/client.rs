//! `tidegate client`: the programs that people connect with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{
    block_on,
    door::Through,
    listing::{Columns, List, sure},
    table::{fields, joined, or_none},
    web::part,
};
use crate::http::admin::{ClientInfo, ClientPage, ClientRemoved};

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Show all clients that are kept here.
    List(List),
    /// Show one of them.
    Show(Named),
    /// Remove a client that registered itself, with all that was granted to it.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its id.
    client: String,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its id.
    client: String,
    /// Without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &ClientCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            ClientCommand::List(list) => {
                let of = |page: ClientPage| (page.clients, page.next);
                list.show("/clients", of, &COLUMNS).await
            }
            ClientCommand::Show(named) => {
                let client: ClientInfo = named.through.door()?.get(&path(&named.client)).await?;
                named.through.tell(&client, words)
            }
            ClientCommand::Remove(remove) => {
                sure(remove.yes, &format!("remove {} with all its grants?", remove.client))?;
                let path = path(&remove.client);
                let removed: ClientRemoved =
                    remove.through.door()?.order(Method::DELETE, &path).await?;
                remove.through.tell(&removed, |removed| {
                    format!("removed {}; {} grants ended", removed.removed, removed.grants)
                })
            }
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

fn path(client: &str) -> String {
    format!("/clients/{}", part(client))
}

fn words(client: &ClientInfo) -> String {
    fields(&[
        ("id", client.id.clone()),
        ("kind", client.kind.clone()),
        ("name", client.name.clone()),
        ("redirect URIs", joined(&client.redirect_uris)),
        ("authentication", client.authentication.clone()),
        ("grant types", joined(&client.grant_types)),
        ("agent", client.agent.clone().unwrap_or_default()),
        ("virtual MCPs", joined(&client.vmcps)),
        ("created", or_none(client.created.as_ref())),
        ("last used", or_none(client.last_used.as_ref())),
        ("expires", or_none(client.expires.as_ref())),
    ])
}

const COLUMNS: Columns<ClientInfo, 4> = Columns {
    headings: ["client", "kind", "name", "last used"],
    row: |client| {
        let used = or_none(client.last_used.as_ref());
        [client.id.clone(), client.kind.clone(), client.name.clone(), used]
    },
    none: "no clients",
};
