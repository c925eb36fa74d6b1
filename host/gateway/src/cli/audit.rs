//! `tidegate audit`: reads segment files only, so it works beside a running gateway and
//! without one.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use http::Method;
use tidegate_governance::audit::{Filter, Phase, Row, Status};
use tidegate_model::{CallId, OrgId, RefusalCode, Stage, Timestamp};
use tidegate_store::log::{Reader, Verdict, VerifierKey, key_beside, verify};

use super::{Of, Place, block_on, moment, say, socket};
use crate::{http::admin::Found, serve::AUDIT_DIR};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show the last rows of all organisations, or of one.
    Tail(Tail),
    /// Ask a running gateway for the newest rows that fit.
    Find(Find),
    /// Check that no row was edited, removed or reordered. Exit status 0: sound, 2: tampered
    /// with, 3: incomplete, 4: unreadable.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: u64,
    /// As JSON, one row a line, as they stand in the log.
    #[arg(long)]
    json: bool,
    /// Go on as rows are written, until interrupted.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    place: Place,
    /// The rows of this organisation among them.
    #[arg(long, value_name = "NAME")]
    org: Option<OrgId>,
}

#[derive(Debug, Args)]
pub(super) struct Find {
    /// Of this operation.
    #[arg(long, value_name = "ID")]
    call: Option<CallId>,
    /// Of this user.
    #[arg(long)]
    user: Option<String>,
    /// Of this tool: connector/original name.
    #[arg(long)]
    tool: Option<String>,
    /// Refused with this code, such as policy_denied.
    #[arg(
        long,
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(RefusalCode::ALL.map(RefusalCode::name)),
    )]
    code: Option<String>,
    /// Not before this moment, such as 2026-11-21T08:00:00Z.
    #[arg(long)]
    since: Option<jiff::Timestamp>,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// As JSON, one row a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A checkpoint kept elsewhere: shows a log that was cut or rolled back, too.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The log's public key, kept elsewhere; the one beside the log without it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Tail(tail) => show(tail),
        AuditCommand::Find(wanted) => find(wanted),
        AuditCommand::Verify(wanted) => check(wanted),
    }
}

fn log_of(place: &Place) -> anyhow::Result<PathBuf> {
    let dir = place.data()?.join(AUDIT_DIR);
    if !dir.is_dir() {
        bail!(
            "there is no audit log in `{}`; name the gateway's data directory with --data",
            dir.display()
        );
    }
    Ok(dir)
}

fn show(tail: &Tail) -> anyhow::Result<ExitCode> {
    let dir = log_of(&tail.place)?;
    let mut reader = Reader::new(&dir);
    reader.seek_last(tail.lines)?;
    loop {
        while let Some(entry) = reader.next()? {
            let row = Row::from_bytes(&entry.bytes);
            // What cannot be read may be anybody's, so it is shown to who asks for all.
            let is_wanted =
                tail.org.as_ref().is_none_or(|org| row.as_ref().is_ok_and(|row| row.org == *org));
            match row {
                _ if !is_wanted => {}
                _ if tail.json => say(&String::from_utf8_lossy(&entry.bytes)),
                Ok(row) => say(&line(entry.seq, &row)),
                Err(error) => say(&format!("{:>8}  {error}", entry.seq)),
            }
        }
        if !tail.follow {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn find(wanted: &Find) -> anyhow::Result<ExitCode> {
    let since = wanted.since.and_then(|since| u64::try_from(since.as_millisecond()).ok());
    let filter = Filter {
        call: wanted.call,
        user: wanted.user.clone(),
        tool: wanted.tool.clone(),
        code: wanted.code.clone(),
        since: since.map(Timestamp::from_millis),
        limit: wanted.lines,
    };
    let door = wanted.place.door(&wanted.of)?;
    let body = serde_json::to_vec(&filter)?;
    let found: Vec<Found> = block_on(socket::ask(&door, Method::POST, "/api/v1/audit/find", body))?;
    for Found { seq, row } in &found {
        say(&if wanted.json { serde_json::to_string(row)? } else { line(*seq, row) });
    }
    Ok(ExitCode::SUCCESS)
}

/// A row for people.
fn line(seq: u64, row: &Row) -> String {
    let who = row.caller.as_ref().map_or("-", |caller| caller.user.as_str());
    let what = row.target().unwrap_or_else(|| {
        row.asked.as_ref().map_or_else(|| row.method.clone(), |asked| format!("? {asked}"))
    });
    let end = match (row.phase, row.status, row.code) {
        (Phase::Intent, ..) => "intent".to_owned(),
        (_, Some(Status::Refused), Some(code)) => format!("refused: {}", code.name()),
        (_, Some(status), _) => {
            serde_json::to_string(&status).unwrap_or_default().trim_matches('"').to_owned()
        }
        (_, None, _) => "?".to_owned(),
    };
    let mut text = format!(
        "{seq:>8}  {}  {who:<24} {:<10} {what:<32} {end}",
        moment(row.ts),
        row.vmcp.as_ref().map_or("-", |vmcp| vmcp.as_str()),
    );
    if row.org != OrgId::default_org() {
        text.push_str(&format!("  organisation: {}", row.org));
    }
    let micros: u32 = Stage::ALL.iter().map(|stage| row.timings.micros(*stage)).sum();
    if micros > 0 {
        text.push_str(&format!("  {:.1} ms", f64::from(micros) / 1_000.0));
    }
    if !row.policies.is_empty() {
        text.push_str(&format!("  policies: {}", row.policies.join(", ")));
    }
    for note in &row.plugins {
        text.push_str(&format!("  {}/{}: {}", note.plugin, note.event, note.verdict));
    }
    text
}

fn check(wanted: &Verify) -> anyhow::Result<ExitCode> {
    let dir = log_of(&wanted.place)?;
    let key = match &wanted.key {
        Some(file) => VerifierKey::parse(&read(file)?)?,
        None => key_beside(&dir)?
            .ok_or_else(|| anyhow!("there is no public key beside the log; name one with --key"))?,
    };
    let against = wanted.against.as_deref().map(|file| {
        let note = read(file)?;
        key.check(&note)
            .with_context(|| format!("`{}` is no checkpoint of this log", file.display()))
    });
    let report = verify(&dir, &key, against.transpose()?.as_ref());
    let root: String = report.root.iter().map(|byte| format!("{byte:02x}")).collect();
    let verdict = match report.verdict {
        Verdict::Ok => "sound",
        Verdict::Tampered => "TAMPERED WITH",
        Verdict::Incomplete => "INCOMPLETE",
        Verdict::Unreadable => "UNREADABLE",
    };
    say(&format!(
        "{verdict}: {} rows, {} of them under {} signed checkpoints",
        report.size, report.signed, report.checkpoints
    ));
    say(&format!("root {root}"));
    for finding in &report.findings {
        let place = finding.seq.map(|seq| format!("row {seq}: ")).unwrap_or_default();
        say(&format!("{place}{}", finding.what));
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}
