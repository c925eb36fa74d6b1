//! `tidegate plugin`: what developers and administrators do with plugins, one file per command.

mod about;
mod bench;
mod bind;
mod componentize;
mod edit;
mod folder;
mod grant;
mod inspect;
mod install;
mod list;
mod logs;
mod new;
mod producers;
mod registry;
mod replay;
mod run;
mod sign;
mod source;
mod subject;
mod test;
mod turn;

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{Of, say};
use edit::Edit;
pub(super) use list::told;
use turn::Turn;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Make a folder to start a plugin from, with an example that works.
    New(new::NewPlugin),
    /// Make a component of a core module that was built for wasm32-unknown-unknown.
    Componentize(componentize::Componentize),
    /// Show what a component is, offers and asks for.
    Inspect(inspect::Inspect),
    /// Run one case of a component, and show what came of it. Exit status 1: not as expected.
    Run(run::Run),
    /// Run all cases of a component. Exit status 1: one of them is not met.
    Test(test::Test),
    /// Measure one hook of a component.
    Bench(bench::Bench),
    /// Show what a component would have said of calls that were recorded; nothing is sent.
    Replay(replay::Replay),
    /// Show what a plugin wrote into its log.
    Logs(logs::Logs),
    /// Show the plugins of a configuration directory, and what they did.
    List(list::List),
    /// Show everything about one plugin.
    Show(list::Show),
    /// Install a component as a plugin, or as a new version of one.
    Install(install::Install),
    /// Grant capabilities to a plugin.
    Grant(grant::Grant),
    /// Take capabilities back that nothing needs any more.
    Revoke(grant::Revoke),
    /// Say where a plugin runs, how it is configured, what it may use.
    Bind(bind::Bind),
    /// Let a plugin no longer run at a place.
    Unbind(bind::Unbind),
    /// Record what a plugin says, without effect.
    Observe(turn::Named),
    /// Give effect to what a plugin says.
    Enforce(turn::Named),
    /// Keep a plugin without running it.
    Disable(turn::Named),
    /// Run a disabled plugin again.
    Enable(turn::Named),
    /// Go back to the version before.
    Rollback(turn::Named),
    /// Remove a plugin with all its versions.
    Remove(turn::Remove),
    /// Make a pair of keys for signing components.
    Keygen(sign::Keygen),
    /// Sign a component.
    Sign(sign::Sign),
}

/// Where the plugin files are.
#[derive(Debug, Args)]
struct Where {
    /// The configuration directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    config: PathBuf,
    #[command(flatten)]
    of: Of,
}

impl Where {
    /// The organisation's folder.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let dir = &self.config;
        let folders = ["gateway.toml", "plugins", "connectors", "vmcps", "orgs"];
        if !folders.iter().any(|name| dir.join(name).exists()) {
            bail!(
                "`{}` is no configuration directory; name one with --config. A gateway that \
                 serves applied resources is changed by changing the directory they came from \
                 and `tidegate apply DIR`",
                dir.display()
            );
        }
        self.of.folder(dir)
    }
}

pub(super) fn run(command: &PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::New(new) => new::run(new),
        PluginCommand::Componentize(componentize) => componentize::run(componentize),
        PluginCommand::Inspect(inspect) => inspect::run(inspect),
        PluginCommand::Run(run) => run::run(run),
        PluginCommand::Test(test) => test::run(test),
        PluginCommand::Bench(bench) => bench::run(bench),
        PluginCommand::Replay(replay) => replay::run(replay),
        PluginCommand::Logs(logs) => logs::run(logs),
        PluginCommand::List(list) => list::list(list),
        PluginCommand::Show(show) => list::show(show),
        PluginCommand::Install(install) => install::run(install),
        PluginCommand::Grant(grant) => grant::grant(grant),
        PluginCommand::Revoke(revoke) => grant::revoke(revoke),
        PluginCommand::Bind(bind) => bind::bind(bind),
        PluginCommand::Unbind(unbind) => bind::unbind(unbind),
        PluginCommand::Observe(named) => turn::turn(named, Turn::Observe),
        PluginCommand::Enforce(named) => turn::turn(named, Turn::Enforce),
        PluginCommand::Disable(named) => turn::turn(named, Turn::Disable),
        PluginCommand::Enable(named) => turn::turn(named, Turn::Enable),
        PluginCommand::Rollback(named) => turn::rollback(named),
        PluginCommand::Remove(remove) => turn::remove(remove),
        PluginCommand::Keygen(keygen) => sign::keygen(keygen),
        PluginCommand::Sign(sign) => sign::sign(sign),
    }
}

/// Asks a person; somebody who cannot be asked has to say `--yes`.
pub(super) fn confirm(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked here whether to go on; say --yes");
    }
    let mut out = std::io::stderr();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Says what was written, and what becomes of it.
fn written(edit: &Edit) {
    say(&format!(
        "{}; a gateway that serves this directory follows at once, another one with \
         `tidegate apply`",
        edit.file().display()
    ));
}
