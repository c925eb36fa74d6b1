//! `tidegate key new`.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tidegate_identity::method::api_key;
use tidegate_model::KeyId;

use super::{Of, say};
use crate::config::{directory, key::KeyConfig, organisations};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key: write its digest into a configuration directory, print the key once.
    New(NewKey),
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
    let KeyCommand::New(new) = command;
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
