//! `tidegate status`.

use std::{path::Path, process::ExitCode};

use http::Method;

use super::{block_on, plugin::told, say, socket};
use crate::http::admin::Status;

/// Shows what the gateway of `data` is doing.
pub(super) fn run(data: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let status: Status = block_on(socket::ask(data, Method::GET, "/api/v1/status", Vec::new()))?;
    if json {
        say(&serde_json::to_string_pretty(&status)?);
    } else {
        show(&status);
    }
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn show(status: &Status) {
    say(&format!("tidegate {} at {}", status.version, status.url));
    say(&format!(
        "revision {}, {} sessions, audit: {}",
        status.revision, status.sessions, status.audit
    ));
    say("\nconnectors");
    for connector in &status.connectors {
        let error = connector.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        say(&format!(
            "  {:<20} {:<8} {:<8} {} tools{error}",
            connector.id, connector.kind, connector.state, connector.tools
        ));
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
}
