//! `tidegate plugin replay`: what an interceptor would have said of calls that were recorded.
//!
//! Rows come from the log's files, payloads from where they can be opened ([`payloads`]); the
//! past is gone through on the stand, where nothing is sent anywhere. A payload holds the
//! arguments as they were sent and the answer as the client got it, with secrets masked: what
//! is not whole is said to be inexact.

mod payloads;
mod recorded;
mod report;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use tidegate_model::{ConnectorId, VmcpId};

use super::subject::{Setting, Subject};
use crate::{
    cases::Past,
    cli::{Of, block_on, since::Since},
};
use payloads::Payloads;
use recorded::Chosen;
use report::Report;

#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    /// A component file, or a folder in which one was built.
    file: String,
    /// Not before this moment: 30m, 12h, 7d, or 2026-11-21T08:00:00Z.
    #[arg(long, default_value = "7d")]
    since: Since,
    /// Only calls through this virtual MCP.
    #[arg(long)]
    vmcp: Option<VmcpId>,
    /// Only calls to this connector.
    #[arg(long)]
    connector: Option<ConnectorId>,
    /// Only calls of this tool, by its original name or as connector/original name.
    #[arg(long)]
    tool: Option<String>,
    /// At most so many calls, the newest.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    setting: Setting,
    /// The gateway's data directory.
    #[arg(long, value_name = "DIR", conflicts_with = "gateway")]
    data: Option<PathBuf>,
    /// The gateway's configuration directory, where gateway.toml names data and root key.
    #[arg(long, value_name = "DIR")]
    gateway: Option<PathBuf>,
    #[command(flatten)]
    of: Of,
}

pub(super) fn run(replay: &Replay) -> anyhow::Result<ExitCode> {
    let place = payloads::place(replay.data.as_deref(), replay.gateway.as_deref(), replay.of.id())?;
    let chosen = Chosen {
        org: replay.of.id(),
        since: replay.since.moment(),
        vmcp: replay.vmcp.clone(),
        connector: replay.connector.clone(),
        tool: replay.tool.clone(),
        limit: replay.limit,
    };
    let rows = recorded::rows(&place.audit(), &chosen)?;
    let setting = replay.setting.read()?;
    let report = block_on(async {
        let payloads = Payloads::open(&place).await?;
        let Subject { component, clock, .. } = Subject::load(&replay.file).await?;
        let mut past = Past::new(Arc::clone(&clock), &component, &setting).await?;
        let mut report = Report::default();
        for rows in rows.chunks(payloads::AT_ONCE) {
            let kept = payloads.of(rows).await?;
            for ((seq, row), kept) in rows.iter().zip(kept) {
                let told = recorded::told(row, kept);
                report.row(&told);
                let Some(operation) = &told.operation else { continue };
                let gone = past.go(operation).await?;
                report.gone((*seq, row), &told, &gone);
            }
        }
        clock.set(None);
        anyhow::Ok(report)
    })?;
    report.show(replay.json)?;
    Ok(ExitCode::SUCCESS)
}
