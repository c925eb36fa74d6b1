//! What a replay has to say: each call that would have gone otherwise, then the sums.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tidegate_governance::audit::Row;
use tidegate_model::Json;

use super::recorded::Told;
use crate::{
    cases::{
        Gone, Recorded, Said,
        difference::{Difference, differences, lines, plain},
    },
    cli::{moment, say},
};

/// One call that was replayed.
#[derive(Debug, Serialize)]
struct Line {
    seq: u64,
    call: String,
    at: String,
    method: String,
    target: String,
    user: String,
    /// Whether something of it had been masked or cut.
    inexact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Hook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Hook>,
}

/// What one hook would have said.
#[derive(Debug, Serialize)]
struct Hook {
    said: Value,
    /// Why there is no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    /// What a replacement changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<Difference>,
    #[serde(skip)]
    word: String,
    #[serde(skip)]
    told: String,
}

/// The whole.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    calls: Vec<Line>,
    /// Calls of which at least one hook was run.
    replayed: usize,
    inexact: usize,
    /// Calls of which no hook could be run, or only some, by the reason.
    lacking: BTreeMap<String, usize>,
    /// What the hooks would have said; a call counts for what stopped or changed it, first of
    /// all on the way in.
    verdicts: BTreeMap<String, usize>,
    tools: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Report {
    /// Counts what there is to go by.
    pub(super) fn row(&mut self, told: &Told) {
        if let Some(why) = &told.lacking {
            *self.lacking.entry(why.clone()).or_default() += 1;
        }
    }

    /// Adds what would have been said.
    pub(super) fn gone(&mut self, (seq, row): (u64, &Row), told: &Told, gone: &Gone) {
        let Some(operation) = &told.operation else { return };
        let Recorded { arguments, answer, .. } = operation;
        let before = gone.before.as_ref().map(|said| hook(said, arguments.as_ref()));
        let answer = answer.as_ref().map(|answer| answer.json());
        let after = gone.after.as_ref().map(|said| hook(said, answer));
        if before.is_none() && after.is_none() {
            return;
        }
        let decided = [&before, &after].into_iter().flatten().find(|hook| hook.word != "proceed");
        let word = decided.map_or_else(|| "proceed".to_owned(), |hook| hook.word.clone());
        let target = row.target().unwrap_or_default();
        *self.verdicts.entry(word.clone()).or_default() += 1;
        *self.tools.entry(target.clone()).or_default().entry(word).or_default() += 1;
        self.replayed += 1;
        self.inexact += usize::from(told.inexact);
        self.calls.push(Line {
            seq,
            call: row.id.to_string(),
            at: moment(row.ts),
            method: row.method.clone(),
            target,
            user: operation.scene.user.to_string(),
            inexact: told.inexact,
            before,
            after,
        });
    }

    /// Tells it.
    pub(super) fn show(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            say(&serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        self.calls.iter().for_each(show);
        let sum = |counts: &BTreeMap<String, usize>| {
            counts
                .iter()
                .map(|(word, count)| format!("{word} {count}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let inexact = match self.inexact {
            0 => String::new(),
            count => format!("; {count} inexact, since their payloads were masked or cut"),
        };
        say(&format!("{} calls replayed: {}{inexact}", self.replayed, sum(&self.verdicts)));
        for (target, counts) in &self.tools {
            say(&format!("  {target}: {}", sum(counts)));
        }
        for (why, count) in &self.lacking {
            say(&format!("{count} calls not or not wholly replayed: {why}"));
        }
        if self.replayed == 0 {
            say("set `payloads = \"masked\"` in `[audit]` of gateway.toml to have calls recorded");
        }
        Ok(())
    }
}

fn hook(said: &Said, given: Option<&Json>) -> Hook {
    let words = match said {
        Said::Failure { words, .. } => Some(words.clone()),
        _ => None,
    };
    let was: Option<Value> = given.and_then(|json| json.read().ok());
    let changed = match (&was, said.replacement()) {
        (Some(was), Some(is)) => differences(was, &is),
        _ => Vec::new(),
    };
    Hook { said: said.value(), words, changed, word: said.word().to_owned(), told: said.told() }
}

/// A call that would have gone otherwise, with what would have changed.
fn show(line: &Line) {
    let hooks = [("before", &line.before), ("after", &line.after)];
    let hooks = || hooks.iter().filter_map(|(way, hook)| Some((way, hook.as_ref()?)));
    if hooks().all(|(_, hook)| hook.word == "proceed") {
        return;
    }
    let said: Vec<String> = hooks().map(|(way, hook)| format!("{way}: {}", hook.word)).collect();
    let inexact = if line.inexact { "  inexact" } else { "" };
    let Line { seq, at, user, .. } = line;
    let target = plain(&line.target);
    say(&format!("{seq:>8}  {at}  {user:<24} {target:<32} {}{inexact}", said.join(", ")));
    for (way, hook) in hooks() {
        let what = if *way == "before" { "arguments" } else { "answer" };
        for text in lines(&hook.changed) {
            say(&format!("          {what} {text}"));
        }
        if hook.changed.is_empty() && hook.word != "proceed" {
            say(&format!("          {}", hook.told));
        }
    }
}
