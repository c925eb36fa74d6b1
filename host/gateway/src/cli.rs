//! The command line: one file per command.
//!
//! A command either runs the gateway (`serve`), works on files alone (`check`, `key`,
//! `audit`), or asks a running gateway: through its admin socket (`apply`, `status`), or also as
//! a person who has signed in (`login` and the commands that administer).

mod apply;
mod audit;
mod check;
mod client;
mod compiled;
mod connector;
mod credentials;
mod door;
mod grant;
mod group;
mod key;
mod keys;
mod listing;
mod login;
mod logout;
mod plugin;
mod role;
mod schema;
mod session;
mod since;
mod socket;
mod status;
mod table;
mod user;
mod web;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tidegate_model::OrgId;

use crate::{
    config::{ProcessConfig, organisations},
    serve,
};
use socket::Door;
use table::{shown, shown_lines};

/// A gateway for the Model Context Protocol: one endpoint, signed in, authorized, audited.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// Directory with gateway.toml, connectors, vmcps, plugins, keys, policies and orgs; watched.
        #[arg(long, value_name = "DIR")]
        config: Option<PathBuf>,
        /// Data directory; over the one in gateway.toml.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Address of the public listener; over the one in gateway.toml.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Address of the listener for health and metrics; over the one in gateway.toml.
        #[arg(long, value_name = "ADDR")]
        ops_listen: Option<SocketAddr>,
    },
    /// Validate a configuration directory with all its organisations, offline.
    Check {
        /// The directory.
        dir: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Send a configuration directory to a running gateway, after showing what changes.
    Apply {
        /// The directory; with --org that of the organisation alone.
        dir: PathBuf,
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
        /// Remove resources that the directory does not hold.
        #[arg(long)]
        prune: bool,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
    },
    /// Show what a running gateway is doing.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
    },
    /// Sign in to a gateway, for the commands that administer it.
    Login(login::Login),
    /// Give up what a sign-in gave.
    Logout(logout::Logout),
    /// Look after people and agents.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look after groups whose members are listed.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// See what roles mean and who has them.
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Look after the programs that people connect with.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// See and end what people let clients do.
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// See and end where people are signed in.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Make, see and revoke API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// See what hosted connectors say.
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Write, look at and install plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Read and verify the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the JSON Schema of a configuration file, or the description of the admin API.
    Schema {
        /// Which file.
        #[arg(value_enum)]
        file: schema::SchemaFile,
    },
}

/// Where the data directory of a gateway is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The gateway's data directory.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// Its configuration directory, where gateway.toml names the data directory.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
}

/// Which organisation a command is about.
#[derive(Debug, Clone, Default, clap::Args)]
struct Of {
    /// An organisation other than `default`.
    #[arg(long, value_name = "NAME")]
    org: Option<OrgId>,
}

impl Of {
    /// Its name.
    fn id(&self) -> OrgId {
        self.org.clone().unwrap_or_else(OrgId::default_org)
    }

    /// Its folder in a configuration directory; one other than the top must be there.
    fn folder(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let folder = organisations::folder(dir, &self.id());
        if folder != dir && !folder.is_dir() {
            anyhow::bail!(
                "there is no organisation `{}` in `{}`: it would be the folder `{}`",
                self.id(),
                dir.display(),
                folder.display()
            );
        }
        Ok(folder)
    }
}

impl Place {
    /// The admin socket there, for requests about one organisation.
    fn door(&self, of: &Of) -> anyhow::Result<Door> {
        Ok(Door { data: self.data()?, org: of.id() })
    }

    /// The data directory: as given, as gateway.toml says, or `./data`.
    fn data(&self) -> anyhow::Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let dir = self.config.as_deref().unwrap_or(Path::new("."));
        ProcessConfig::read(dir)
            .map(|config| config.data)
            .map_err(|problem| anyhow::anyhow!("{problem}"))
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve { config, data, listen, ops_listen } => {
            serve::run(serve::Options { config, data, listen, ops_listen })
        }
        Command::Check { dir, of } => check::run(&dir, &of),
        Command::Apply { dir, dry_run, prune, place, of } => {
            place.door(&of).and_then(|door| apply::run(&dir, &door, apply::How { dry_run, prune }))
        }
        Command::Status { json, place, of } => {
            place.door(&of).and_then(|door| status::run(&door, json))
        }
        Command::Login(login) => login::run(&login),
        Command::Logout(logout) => logout::run(&logout),
        Command::User(command) => user::run(&command),
        Command::Group(command) => group::run(&command),
        Command::Role(command) => role::run(&command),
        Command::Client(command) => client::run(&command),
        Command::Grant(command) => grant::run(&command),
        Command::Session(command) => session::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Connector(command) => connector::run(&command),
        Command::Plugin(command) => plugin::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Schema { file } => schema::run(file),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // The chain in one line: what failed, then why.
            eprintln!("tidegate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to stdout, where a closed pipe is no fault of ours.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A moment for people.
fn moment(at: tidegate_model::Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| "-".to_owned(), |at| format!("{at:.3}"))
}

/// A runtime for commands that ask a running gateway.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
