//! `tidegate key`: API keys, those in files and those that a gateway keeps.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::Method;
use tidegate_identity::method::api_key;
use tidegate_model::KeyId;

use super::{
    Of, block_on,
    door::Through,
    listing::Columns,
    say,
    table::{joined, or_none},
    web::part,
};
use crate::{
    config::{
        directory,
        key::{self, KeyConfig},
        organisations,
    },
    http::admin::{
        KeyInfo, KeyList, MadeKey, Moment, SigningKeyReplaced, WantedKey, WantedSigningKey,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key: write its digest into a configuration directory, print the key once.
    New(NewKey),
    /// Show all keys of a gateway, those in files and those that it keeps.
    List(List),
    /// Have a gateway make a key and keep its digest, print the key once.
    Create(Create),
    /// Take a key that a gateway keeps out of use, at once.
    Revoke(Revoke),
    /// Have a new key sign access tokens.
    RotateSigning(RotateSigning),
    /// Replace the keys that everything a gateway keeps is encrypted with.
    Rotate(super::keys::Rotate),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name among the keys.
    name: String,
    /// The user or agent it stands for, with the groups and roles that they have.
    #[arg(long)]
    user: String,
    /// A virtual MCP it is good for; may be repeated; all, and administration, when left out.
    #[arg(long = "vmcp", value_name = "VMCP")]
    vmcps: Vec<String>,
    /// The last day it works, such as 2027-12-31.
    #[arg(long, value_name = "DAY")]
    expires: Option<String>,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Its name among the keys.
    name: String,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct RotateSigning {
    /// Forget the keys of before, as somebody else may have them: access tokens that they
    /// signed are good no more, and clients refresh them.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    through: Through,
}

#[derive(Debug, Args)]
pub(super) struct NewKey {
    /// Its name among the keys.
    #[arg(long)]
    name: String,
    /// The person it stands for.
    #[arg(long, required_unless_present = "agent", conflicts_with = "agent")]
    user: Option<String>,
    /// The agent it stands for, instead of a person.
    #[arg(long)]
    agent: Option<String>,
    /// A group of that user or agent; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A role of that user or agent; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A virtual MCP it is good for; may be repeated; all when left out.
    #[arg(long = "vmcp", value_name = "VMCP")]
    vmcps: Vec<String>,
    /// The last day it works, such as 2027-12-31.
    #[arg(long, value_name = "DAY")]
    expires: Option<String>,
    /// The configuration directory; without it the file is printed to stderr.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    #[command(flatten)]
    of: Of,
}

pub(super) fn run(command: &KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::New(new) => self::new(new),
        KeyCommand::List(list) => block_on(self::list(list)),
        KeyCommand::Create(create) => block_on(self::create(create)),
        KeyCommand::Revoke(revoke) => block_on(self::revoke(revoke)),
        KeyCommand::RotateSigning(rotate) => block_on(self::rotate_signing(rotate)),
        KeyCommand::Rotate(rotate) => block_on(super::keys::run(rotate)),
    }
}

async fn list(list: &List) -> anyhow::Result<ExitCode> {
    let keys: KeyList = list.through.door()?.get("/keys").await?;
    COLUMNS.tell(&list.through, &keys.keys)?;
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: Columns<KeyInfo, 6> = Columns {
    headings: ["key", "kind", "user", "virtual MCPs", "expires", "last used"],
    row: |key| {
        let end = key.expires.clone().unwrap_or_default();
        let used = or_none(key.last_used.as_ref());
        [key.id.clone(), key.kind.clone(), key.user.clone(), joined(&key.vmcps), end, used]
    },
    none: "no keys",
};

async fn create(create: &Create) -> anyhow::Result<ExitCode> {
    let expires = create.expires.as_deref().map(key::moment).transpose();
    let wanted = WantedKey {
        id: create.name.clone(),
        user: create.user.clone(),
        vmcps: create.vmcps.clone(),
        expires: expires.map_err(anyhow::Error::msg)?.map(Moment::from),
    };
    let made: MadeKey = create.through.door()?.send(Method::POST, "/keys", &wanted).await?;
    if !create.through.json {
        eprintln!("the key below is shown only once");
    }
    create.through.tell(&made, |made| made.secret.clone())?;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(revoke: &Revoke) -> anyhow::Result<ExitCode> {
    let path = format!("/keys/{}", part(&revoke.name));
    let key: KeyInfo = revoke.through.door()?.order(Method::DELETE, &path).await?;
    revoke.through.tell(&key, |key| format!("revoked {} of {}", key.id, key.user))?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate_signing(rotate: &RotateSigning) -> anyhow::Result<ExitCode> {
    let wanted = WantedSigningKey { forget: rotate.forget };
    let mut door = rotate.through.door()?;
    let replaced: SigningKeyReplaced =
        door.send(Method::POST, "/signing-keys/rotate", &wanted).await?;
    rotate.through.tell(&replaced, |replaced| {
        let became = if replaced.forgotten {
            "tokens of before are good no more"
        } else {
            "tokens of before are good until they end"
        };
        format!("a new key signs access tokens; {became}")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn new(new: &NewKey) -> anyhow::Result<ExitCode> {
    let id = KeyId::new(&new.name)?;
    let (key, hash) = api_key::generate(&id).context("the system has no randomness for a key")?;
    let config = KeyConfig {
        user: new.user.clone(),
        agent: new.agent.clone(),
        groups: new.groups.clone(),
        roles: new.roles.clone(),
        vmcps: new.vmcps.clone(),
        hash: hash.to_string(),
        expires: new.expires.clone(),
    };
    if let Err(message) = config.to_record(new.of.id(), id.clone()) {
        bail!("{message}");
    }
    let dir = match &new.config {
        Some(dir) => new.of.folder(dir)?,
        None => organisations::folder(Path::new(""), &new.of.id()),
    };
    let (file, text) = directory::key_file(&dir, &id, &config)?;
    if new.config.is_some() {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
        let mut opened = opened.with_context(|| {
            format!("cannot make `{}`; choose another --name or remove the file", file.display())
        })?;
        opened
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        eprintln!("wrote {}; the key below is shown only once", file.display());
    } else {
        let file = file.display();
        eprintln!("put this into {file}; the key below is shown only once\n\n{text}");
    }
    say(key.expose());
    Ok(ExitCode::SUCCESS)
}
