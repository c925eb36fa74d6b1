//! `tidegate status`.

use std::process::ExitCode;

use http::Method;
use tidegate_model::OrgId;

use super::{
    block_on,
    plugin::told,
    say,
    socket::{self, Door},
};
use crate::http::admin::Status;

/// Shows what a gateway is doing for one organisation. Exit status 3: something is wrong with
/// it, or, where it is `default`, with another.
pub(super) fn run(door: &Door, json: bool) -> anyhow::Result<ExitCode> {
    let status: Status = block_on(socket::ask(door, Method::GET, "/api/v1/status", Vec::new()))?;
    if json {
        say(&serde_json::to_string_pretty(&status)?);
    } else {
        show(&status);
    }
    let others = status.organisations.iter().all(|other| other.problems.is_empty());
    let is_well = status.problems.is_empty() && others;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn show(status: &Status) {
    say(&format!("tidegate {} at {}", status.version, status.url));
    say(&format!(
        "revision {}, {} sessions, audit: {}",
        status.revision, status.sessions, status.audit
    ));
    if status.org != OrgId::default_org().as_str() {
        say(&format!("organisation {}", status.org));
    }
    say(&format!("sandbox of hosted connectors: {}", status.sandbox));
    say("\nconnectors");
    for connector in &status.connectors {
        let error = connector.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        say(&format!(
            "  {:<20} {:<8} {:<8} {} tools{error}",
            connector.id, connector.kind, connector.state, connector.tools
        ));
        for machine in &connector.machines {
            let name = machine.id.as_deref().unwrap_or("-");
            let missing = machine.missing.join(", ");
            let missing = if missing.is_empty() { missing } else { format!("; {missing}") };
            let (state, calls, restarts) = (&machine.state, machine.in_flight, machine.restarts);
            say(&format!(
                "  {:<20} machine {name} {state}, {calls} calls, {restarts} restarts{missing}",
                ""
            ));
        }
    }
    say("\nvirtual MCPs");
    for vmcp in &status.vmcps {
        say(&format!("  {:<20} {} tools  {}", vmcp.id, vmcp.tools, vmcp.url));
    }
    say("\nplugins");
    for plugin in &status.plugins {
        say(&format!("  {:<20} {:<9} {}", plugin.id, plugin.state, plugin.component));
        for version in &plugin.versions {
            say(&format!("  {:<20} {}", "", told(version)));
        }
    }
    for it in &status.compiling {
        let (size, done, all) = (it.size / 1_000, it.seconds, it.estimate.max(it.seconds));
        say(&format!("  compiling {} ({size} KB): {done} s of about {all} s", it.component));
    }
    let flagged = status.policies.iter().filter(|policy| !policy.flags.is_empty());
    say(&format!("\n{} policies", status.policies.len()));
    for policy in flagged {
        say(&format!(
            "  {}:{} {}: {}",
            policy.file,
            policy.line,
            policy.id,
            policy.flags.join("; ")
        ));
    }
    for notice in &status.notices {
        say(&format!("\nnotice: {notice}"));
    }
    if !status.problems.is_empty() {
        say("\nthe last change was not taken, the old configuration serves on:");
        for problem in &status.problems {
            say(&format!("  {problem}"));
        }
    }
    if !status.organisations.is_empty() {
        say("\norganisations");
    }
    for other in &status.organisations {
        say(&format!("  {:<20} {:<14} {} virtual MCPs", other.id, other.state, other.vmcps));
        for problem in &other.problems {
            say(&format!("  {:<20} {problem}", ""));
        }
    }
}
