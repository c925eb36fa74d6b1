//! `tidegate grant`: what people let clients do.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{block_on, door::Through, listing::Columns, web::part};
use crate::http::admin::{GrantInfo, GrantPage, Revoked};

#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// Show grants: all of them, or those of a user or client.
    List(List),
    /// End a grant with its tokens, or all grants of a user or client, at once.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this user.
    #[arg(long)]
    user: Option<String>,
    /// Only those of this client.
    #[arg(long)]
    client: Option<String>,
    /// Only one's own, for which no right is needed.
    #[arg(long, conflicts_with_all = ["user", "client"])]
    mine: bool,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Its id.
    #[arg(required_unless_present_any = ["user", "client"])]
    grant: Option<String>,
    /// All grants of this user.
    #[arg(long, conflicts_with_all = ["grant", "client", "mine"])]
    user: Option<String>,
    /// All grants of this client.
    #[arg(long, conflicts_with_all = ["grant", "mine"])]
    client: Option<String>,
    /// It is one's own, for which no right is needed.
    #[arg(long)]
    mine: bool,
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &GrantCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            GrantCommand::List(list) => self::list(list).await,
            GrantCommand::Revoke(revoke) => self::revoke(revoke).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn list(list: &List) -> anyhow::Result<()> {
    let mut door = list.through.door()?;
    let grants = if list.mine {
        door.get::<GrantPage>("/me/grants").await?.grants
    } else {
        let wanted = [("user", list.user.as_ref()), ("client", list.client.as_ref())];
        door.all("/grants", &wanted, |page: GrantPage| (page.grants, page.next)).await?
    };
    COLUMNS.tell(&list.through, &grants)
}

const COLUMNS: Columns<GrantInfo, 6> = Columns {
    headings: ["grant", "user", "client", "for", "scopes", "last used"],
    row: |grant| {
        let used = grant.last_used.to_string();
        let (client, what) = (grant.client_name.clone(), grant.resource.clone());
        [grant.id.clone(), grant.user.clone(), client, what, grant.scopes.join(" "), used]
    },
    none: "no grants",
};

async fn revoke(revoke: &Revoke) -> anyhow::Result<()> {
    let (through, mut door) = (&revoke.through, revoke.through.door()?);
    let user = revoke.user.as_ref().map(|user| format!("/users/{}/grants", part(user)));
    let client = revoke.client.as_ref().map(|it| format!("/clients/{}/grants", part(it)));
    if let Some(path) = user.or(client) {
        let revoked: Revoked = door.order(Method::DELETE, &path).await?;
        return through.tell(&revoked, |revoked| format!("{} grants ended", revoked.grants));
    }
    let own = if revoke.mine { "/me" } else { "" };
    let path = format!("{own}/grants/{}", part(revoke.grant.as_deref().unwrap_or_default()));
    let grant: GrantInfo = door.order(Method::DELETE, &path).await?;
    through.tell(&grant, |grant| format!("ended the grant of {} to {}", grant.user, grant.client))
}
