//! `tidegate client`: the programs that people connect with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{
    block_on,
    door::Through,
    plugin::confirm,
    table::{fields, joined, or_none, table},
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
pub(super) struct List {
    /// What ids or names begin with.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    #[command(flatten)]
    through: Through,
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
            ClientCommand::List(list) => self::list(list).await,
            ClientCommand::Show(named) => {
                let client: ClientInfo = named.through.door()?.get(&path(&named.client)).await?;
                named.through.tell(&client, words)
            }
            ClientCommand::Remove(remove) => {
                let question = format!("remove {} with all its grants?", remove.client);
                if !remove.yes && !confirm(&question)? {
                    anyhow::bail!("nothing was changed");
                }
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

async fn list(list: &List) -> anyhow::Result<()> {
    let wanted = [("prefix", list.prefix.as_ref())];
    let mut door = list.through.door()?;
    let clients =
        door.all("/clients", &wanted, |page: ClientPage| (page.clients, page.next)).await?;
    list.through.tell(&clients, |clients| {
        let row = |client: &ClientInfo| {
            let used = or_none(client.last_used.as_ref());
            [client.id.clone(), client.kind.clone(), client.name.clone(), used]
        };
        let rows: Vec<_> = clients.iter().map(row).collect();
        table(["client", "kind", "name", "last used"], &rows, "no clients")
    })
}
