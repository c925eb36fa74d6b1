//! `tidegate connector logs`: what the machines of a hosted connector said.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use tidegate_model::{ConnectorId, Timestamp};

use super::{Of, Place, block_on, moment, say, socket};
use crate::http::admin::{MachineLog, WantedMachineLines};

#[derive(Debug, Subcommand)]
pub(super) enum ConnectorCommand {
    /// Show what the machines of a hosted connector said lately.
    Logs(Logs),
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The connector.
    name: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    of: Of,
}

pub(super) fn run(command: &ConnectorCommand) -> anyhow::Result<ExitCode> {
    let ConnectorCommand::Logs(logs) = command;
    let connector = ConnectorId::new(&logs.name)?;
    let door = logs.place.door(&logs.of)?;
    let body = serde_json::to_vec(&WantedMachineLines { connector })?;
    let asking = socket::ask(&door, Method::POST, "/api/v1/connectors/lines", body);
    let all: Vec<MachineLog> = block_on(asking)?;
    if logs.json {
        say(&serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        say("no machine of this connector runs");
    }
    for machine in &all {
        if machine.dropped > 0 {
            say(&format!("{}: {} earlier lines are gone", machine.machine, machine.dropped));
        }
        for line in &machine.lines {
            let at = moment(Timestamp::from_millis(line.at));
            say(&format!("{at} {} {:<7} {}", machine.machine, line.voice, line.text));
        }
    }
    Ok(ExitCode::SUCCESS)
}
