//! `tidegate user`: people and agents.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use super::{
    block_on,
    door::{Door, Through},
    listing::{Columns, List, sure},
    table::{fields, joined, or_none},
    web::part,
};
use crate::http::admin::{
    AssignedGroups, AssignedRoles, Ended, NewUser, PasswordLink, UserChange, UserInfo, UserPage,
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Show everybody.
    List(List),
    /// Show one of them.
    Show(Named),
    /// Add an agent, or invite a person, who becomes this user with their first sign-in.
    Add(Add),
    /// Change what is known of somebody, or what they belong to.
    Change(Change),
    /// Take away all access, at once.
    Deactivate(Named),
    /// Let somebody in again.
    Activate(Named),
    /// Remove somebody with their sessions, grants and keys.
    Remove(Remove),
    /// Forget who somebody is at a provider, so that the address counts again.
    Unlink(Unlink),
    /// End all sessions, grants and tokens of somebody, who may sign in again.
    SignOut(Named),
    /// Make a link by which somebody chooses a password.
    PasswordLink(Named),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Who.
    user: String,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// How policies name them: a person's e-mail address, an agent's name.
    user: String,
    /// A program with a name of its own, not a person.
    #[arg(long)]
    agent: bool,
    /// Their name.
    #[arg(long)]
    name: Option<String>,
    /// Their e-mail address, where it is not how policies name them.
    #[arg(long)]
    email: Option<String>,
    /// A group to put them in; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A role to give them; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Make them an owner, and a link by which they choose a password.
    #[arg(long, conflicts_with = "agent")]
    owner: bool,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// Who.
    user: String,
    /// Another name; none where it is empty.
    #[arg(long)]
    name: Option<String>,
    /// Another e-mail address; none where it is empty.
    #[arg(long)]
    email: Option<String>,
    /// A group to put them in, instead of those assigned so far; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Take them out of all assigned groups.
    #[arg(long, conflicts_with = "groups")]
    no_groups: bool,
    /// A role to give them, instead of those assigned so far; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Take all assigned roles.
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Who.
    user: String,
    /// Without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Unlink {
    /// Who.
    user: String,
    /// The provider's name in the settings.
    provider: String,
    #[command(flatten)]
    through: Through,
}

pub(super) fn run(command: &UserCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            UserCommand::List(list) => {
                list.show("/users", |page: UserPage| (page.users, page.next), &COLUMNS).await
            }
            UserCommand::Show(named) => {
                let user: UserInfo = named.through.door()?.get(&path(&named.user, "")).await?;
                named.through.tell(&user, words)
            }
            UserCommand::Add(add) => self::add(add).await,
            UserCommand::Change(change) => self::change(change).await,
            UserCommand::Deactivate(named) => {
                ended(&named.through, Method::POST, &path(&named.user, "/deactivate")).await
            }
            UserCommand::Activate(named) => {
                let path = path(&named.user, "/activate");
                let user: UserInfo = named.through.door()?.order(Method::POST, &path).await?;
                named.through.tell(&user, words)
            }
            UserCommand::Remove(remove) => self::remove(remove).await,
            UserCommand::Unlink(unlink) => {
                let path = path(&unlink.user, &format!("/links/{}", part(&unlink.provider)));
                let user: UserInfo = unlink.through.door()?.order(Method::DELETE, &path).await?;
                unlink.through.tell(&user, words)
            }
            UserCommand::SignOut(named) => {
                ended(&named.through, Method::POST, &path(&named.user, "/sign-out")).await
            }
            UserCommand::PasswordLink(named) => {
                let link = link(&mut named.through.door()?, &named.user).await?;
                named.through.tell(&link, |link| link.link.clone())
            }
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

fn path(user: &str, rest: &str) -> String {
    format!("/users/{}{rest}", part(user))
}

fn words(user: &UserInfo) -> String {
    let link = |link: &_| {
        let crate::http::admin::LinkInfo { provider, subject } = link;
        format!("{provider}: {subject}")
    };
    fields(&[
        ("id", user.id.clone()),
        ("kind", user.kind.clone()),
        ("state", state(user).to_owned()),
        ("name", user.name.clone().unwrap_or_default()),
        ("e-mail", user.email.clone().unwrap_or_default()),
        ("groups", joined(&user.groups)),
        ("roles", joined(&user.roles)),
        ("assigned groups", joined(&user.assigned_groups)),
        ("assigned roles", joined(&user.assigned_roles)),
        ("links", user.links.iter().map(link).collect::<Vec<_>>().join(", ")),
        ("external id", user.external_id.clone().unwrap_or_default()),
        ("password", if user.has_password { "yes".into() } else { String::new() }),
        ("created", user.created.to_string()),
        ("last sign-in", or_none(user.last_sign_in.as_ref())),
    ])
}

fn state(user: &UserInfo) -> &'static str {
    if user.active { "active" } else { "inactive" }
}

const COLUMNS: Columns<UserInfo, 5> = Columns {
    headings: ["user", "kind", "name", "roles", "last sign-in"],
    row: |user| {
        let name = user.name.clone().unwrap_or_default();
        let kind =
            if user.active { user.kind.clone() } else { format!("{} (inactive)", user.kind) };
        [user.id.clone(), kind, name, joined(&user.roles), or_none(user.last_sign_in.as_ref())]
    },
    none: "nobody",
};

async fn add(add: &Add) -> anyhow::Result<()> {
    let mut door = add.through.door()?;
    let mut roles = add.roles.clone();
    if add.owner && !roles.iter().any(|role| role == "owner") {
        roles.push("owner".to_owned());
    }
    let new = NewUser {
        id: add.user.clone(),
        agent: add.agent,
        name: add.name.clone(),
        email: add.email.clone(),
        groups: add.groups.clone(),
        roles,
    };
    let user: UserInfo = door.send(Method::POST, "/users", &new).await?;
    add.through.tell(&user, words)?;
    if add.owner {
        match link(&mut door, &user.id).await {
            Ok(link) => {
                eprintln!("to choose a password within a day, once:\n{}", link.link);
            }
            Err(error) => eprintln!("no password is needed: {error:#}"),
        }
    }
    Ok(())
}

async fn link(door: &mut Door, user: &str) -> anyhow::Result<PasswordLink> {
    door.order(Method::POST, &path(user, "/password-link")).await
}

async fn change(change: &Change) -> anyhow::Result<()> {
    let mut door = change.through.door()?;
    let mut user: Option<UserInfo> = None;
    if change.name.is_some() || change.email.is_some() {
        let body = UserChange { name: change.name.clone(), email: change.email.clone() };
        user = Some(door.send(Method::PATCH, &path(&change.user, ""), &body).await?);
    }
    if change.no_groups || !change.groups.is_empty() {
        let body = AssignedGroups { groups: change.groups.clone() };
        user = Some(door.send(Method::PUT, &path(&change.user, "/groups"), &body).await?);
    }
    if change.no_roles || !change.roles.is_empty() {
        let body = AssignedRoles { roles: change.roles.clone() };
        user = Some(door.send(Method::PUT, &path(&change.user, "/roles"), &body).await?);
    }
    match user {
        Some(user) => change.through.tell(&user, words),
        None => anyhow::bail!("say what is to be different, as in --name or --role"),
    }
}

async fn remove(remove: &Remove) -> anyhow::Result<()> {
    sure(remove.yes, &format!("remove {} with all that is theirs?", remove.user))?;
    ended(&remove.through, Method::DELETE, &path(&remove.user, "")).await
}

/// Carries out what ends something, and says what ended.
async fn ended(through: &Through, method: Method, path: &str) -> anyhow::Result<()> {
    let ended: Ended = through.door()?.order(method, path).await?;
    through.tell(&ended, |ended| {
        let Ended { sessions, grants, keys } = ended;
        format!("{sessions} sessions, {grants} grants and {keys} keys ended")
    })
}
