//! `tidegate session`: browsers in which people are signed in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{block_on, door::Through, listing::Columns, web::part};
use crate::http::admin::{SessionEnded, SessionInfo, SessionPage};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Show the browsers in which somebody is signed in.
    List(List),
    /// Sign a browser out, with what was granted in it.
    End(End),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Who; oneself where nobody is named.
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct End {
    /// Its id.
    session: String,
    /// It is one's own, for which no right is needed.
    #[arg(long)]
    mine: bool,
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &SessionCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            SessionCommand::List(list) => self::list(list).await,
            SessionCommand::End(end) => {
                let own = if end.mine { "/me" } else { "" };
                let path = format!("{own}/sessions/{}", part(&end.session));
                let ended: SessionEnded = end.through.door()?.order(Method::DELETE, &path).await?;
                end.through.tell(&ended, |ended| {
                    format!("{} is signed out there; {} grants ended", ended.user, ended.grants)
                })
            }
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn list(list: &List) -> anyhow::Result<()> {
    let path = match &list.user {
        Some(user) => format!("/sessions?user={}", part(user)),
        None => "/me/sessions".to_owned(),
    };
    let page: SessionPage = list.through.door()?.get(&path).await?;
    COLUMNS.tell(&list.through, &page.sessions)
}

const COLUMNS: Columns<SessionInfo, 5> = Columns {
    headings: ["session", "user", "by", "began", "last used"],
    row: |session| {
        let from = session.provider.clone().unwrap_or_else(|| "password".to_owned());
        let (began, used) = (session.created.to_string(), session.last_used.to_string());
        [session.id.clone(), session.user.clone(), from, began, used]
    },
    none: "no sessions",
};
