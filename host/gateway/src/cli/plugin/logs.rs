//! `tidegate plugin logs`: what a plugin wrote into its log, from the gateway that runs it.

use std::{collections::HashMap, process::ExitCode, time::Duration};

use clap::Args;
use http::Method;
use serde_json::json;
use tidegate_model::{PluginId, Timestamp};

use crate::{
    cli::{Of, Place, block_on, moment, say, since::Since, socket},
    http::admin::{Lines, Spoken, WantedLines},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// The plugin.
    name: String,
    /// Not before this moment: 30m, 12h, 7d, or 2026-11-21T08:00:00Z.
    #[arg(long)]
    since: Option<Since>,
    /// Go on as lines are written, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// As JSON, one line each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    of: Of,
}

/// The last line that was shown of one binding: its number, and when it was written. A
/// binding that was made anew counts from 1 again.
type Seen = HashMap<(String, String), (u64, u64)>;

pub(super) fn run(logs: &Logs) -> anyhow::Result<ExitCode> {
    let plugin = PluginId::new(&logs.name)?;
    let door = logs.place.door(&logs.of)?;
    let since = logs.since.map_or(Timestamp::from_millis(0), Since::moment).as_millis();
    let mut seen = Seen::new();
    block_on(async {
        loop {
            let body = serde_json::to_vec(&WantedLines { plugin: plugin.clone() })?;
            let all: Vec<Lines> =
                socket::ask(&door, Method::POST, "/api/v1/plugins/lines", body).await?;
            for (version, line) in unseen(all, since, &mut seen) {
                say(&told(&version, &line, logs.json));
            }
            if !logs.follow {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// The lines that were not shown yet, in the order of their moments.
fn unseen(all: Vec<Lines>, since: u64, seen: &mut Seen) -> Vec<(String, Spoken)> {
    let mut found = Vec::new();
    for Lines { version, kind, lines } in all {
        let last = seen.entry((version.clone(), kind)).or_default();
        let (number, at) = *last;
        let is_new = |line: &Spoken| line.number > number || line.at > at;
        for line in lines.into_iter().filter(is_new) {
            *last = (line.number, line.at);
            if line.at >= since {
                found.push((version.clone(), line));
            }
        }
    }
    found.sort_by_key(|(_, line)| line.at);
    found
}

fn told(version: &str, line: &Spoken, as_json: bool) -> String {
    let at = moment(Timestamp::from_millis(line.at));
    let Spoken { level, call, text, .. } = line;
    if as_json {
        let line =
            json!({ "at": at, "version": version, "level": level, "call": call, "text": text });
        return line.to_string();
    }
    format!("{at}  {version}  {level:<5}  {}  {text}", call.as_deref().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(version: &str, all: &[(u64, u64)]) -> Vec<Lines> {
        let line = |(number, at): &(u64, u64)| Spoken {
            number: *number,
            at: *at,
            level: "info".to_owned(),
            call: None,
            text: format!("{version}/{number}"),
        };
        let lines = all.iter().map(line).collect();
        vec![Lines { version: version.to_owned(), kind: "interceptor".to_owned(), lines }]
    }

    #[test]
    fn a_line_is_shown_once_and_a_new_binding_from_its_beginning() {
        let mut seen = Seen::new();
        let mut shown = |all, since| -> Vec<String> {
            unseen(all, since, &mut seen).into_iter().map(|(_, line)| line.text).collect()
        };
        assert_eq!(shown(lines("a", &[(1, 10), (2, 20)]), 15), ["a/2"]);
        assert!(shown(lines("a", &[(1, 10), (2, 20)]), 0).is_empty());
        assert_eq!(shown(lines("a", &[(2, 20), (3, 20)]), 0), ["a/3"]);
        assert_eq!(shown(lines("a", &[(1, 30), (2, 30)]), 0), ["a/1", "a/2"], "bound anew");
        assert_eq!(shown(lines("b", &[(1, 5)]), 0), ["b/1"]);
    }
}
