//! `/api/v1/connectors/lines`: what the machines of a hosted connector said.

use serde::{Deserialize, Serialize};
use tidegate_model::{ConnectorId, RefusalCode};
use tidegate_upstream::{connector::MachineLines, machine::Voice};
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};

/// The body of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedMachineLines)]
pub(crate) struct Wanted {
    /// The connector.
    #[schema(value_type = String)]
    pub(crate) connector: ConnectorId,
}

/// What one machine said last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MachineLog {
    /// Its name.
    pub(crate) machine: String,
    /// Oldest first; secrets of its environment are masked.
    pub(crate) lines: Vec<MachineLine>,
    /// Earlier lines that are not kept any more.
    pub(crate) dropped: u64,
}

/// One line.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MachineLine {
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    /// `server`, which is the program's standard error, or `machine`.
    pub(crate) voice: String,
    /// The text.
    pub(crate) text: String,
}

/// The lines of all machines that run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MachineLogs(Vec<MachineLog>);

/// The lines of a connector's machines.
pub(super) async fn read(
    asked: &Asked,
    Body(wanted): Body<Wanted>,
) -> Result<Done<MachineLogs>, Failed> {
    let id = &wanted.connector;
    let connector = asked.revision.connectors.get(id).ok_or_else(|| {
        let words = format!("there is no connector `{id}`; `tidegate status` lists all");
        Failed::new(http::StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, words)
    })?;
    let all = connector.logs().into_iter().map(log).collect();
    Ok(Done::noted(MachineLogs(all), id.to_string()))
}

fn log(said: MachineLines) -> MachineLog {
    let voice = |voice| match voice {
        Voice::Server => "server",
        Voice::Machine => "machine",
    };
    let lines = said.lines.into_iter().map(|line| MachineLine {
        at: line.at.as_millis(),
        voice: voice(line.voice).to_owned(),
        text: line.text,
    });
    MachineLog { machine: said.id, lines: lines.collect(), dropped: said.dropped }
}
