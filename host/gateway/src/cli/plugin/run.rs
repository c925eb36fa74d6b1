//! `tidegate plugin run`: one case, and all that came of it.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    about,
    subject::{Setting, Subject},
};
use crate::{
    cases::{Case, Said, Tried, difference},
    cli::{block_on, say},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// A component file, or a folder in which one was built.
    file: String,
    /// The case.
    #[arg(long, value_name = "FILE")]
    case: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    setting: Setting,
}

pub(super) fn run(run: &Run) -> anyhow::Result<ExitCode> {
    let case = Case::read(&run.case)?;
    let chosen = run.setting.read()?;
    let tried = block_on(async {
        let Subject { component, stand, .. } = Subject::load(&run.file).await?;
        stand.try_case(&component, &case, &chosen).await
    })?;
    if run.json {
        say(&serde_json::to_string_pretty(&told(&case, &tried))?);
    } else {
        show(&case, &tried);
    }
    Ok(if tried.unmet.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was given to the hook that it may replace.
fn given(case: &Case) -> Option<Value> {
    let json = match &case.answer {
        Some(answer) => Some(answer.json()),
        None => case.arguments.as_ref().or(case.params.as_ref()),
    };
    json.and_then(|json| json.read().ok())
}

/// What is now otherwise than it was given.
fn changed(case: &Case, tried: &Tried) -> Option<Vec<difference::Difference>> {
    let replacement = tried.said.replacement()?;
    let given = given(case).unwrap_or_else(|| json!({}));
    Some(difference::differences(&given, &replacement))
}

/// All of it for programs.
pub(super) fn told(case: &Case, tried: &Tried) -> Value {
    let line =
        |line: &tidegate_wasm::Line| json!({ "level": line.level.name(), "text": line.text });
    let mut told = json!({
        "name": case.name,
        "event": case.event.name(),
        "said": tried.said.value(),
        "lines": tried.lines.iter().map(line).collect::<Vec<_>>(),
        "facts": tried.facts,
        "requests": tried.requests,
        "micros": u64::try_from(tried.spent.as_micros()).unwrap_or(u64::MAX),
        "guest_micros": tried.counts.guest_nanos / 1_000,
        "memory": tried.counts.memory_high_water,
        "unmet": tried.unmet,
    });
    let met = case.expects().then_some(tried.unmet.is_empty());
    let words = match &tried.said {
        Said::Failure { words, .. } => Some(words),
        _ => None,
    };
    let more = [
        ("met", met.map(Value::from)),
        ("words", words.map(|words| words.as_str().into())),
        ("changed", changed(case, tried).map(|changed| json!(changed))),
        ("state", tried.state.as_deref().map(|it| String::from_utf8_lossy(it).into_owned().into())),
    ];
    if let Some(members) = told.as_object_mut() {
        let more = more.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        members.extend(more);
    }
    told
}

fn show(case: &Case, tried: &Tried) {
    let end = match (tried.unmet.is_empty(), case.expects()) {
        (_, false) => "nothing is expected",
        (true, true) => "as expected",
        (false, true) => "NOT as expected",
    };
    say(&format!("{} ({}): {end}", case.name, case.event));
    tried.unmet.iter().for_each(|line| say(&format!("  {line}")));
    match changed(case, tried) {
        Some(changed) => {
            say("said      replace");
            difference::lines(&changed).iter().for_each(|line| say(&format!("  {line}")));
        }
        None => say(&format!("said      {}", tried.said.told())),
    }
    if let Some(state) = &tried.state {
        let text = String::from_utf8_lossy(state).into_owned();
        say(&format!("state     {}", difference::short(&text.into())));
    }
    for line in &tried.lines {
        say(&format!("log       {:<6}{}", line.level.name(), line.text));
    }
    for fact in &tried.facts {
        say(&format!("fact      {fact}"));
    }
    for asked in &tried.requests {
        say(&format!("sent      {} {}", asked.method, asked.url));
    }
    say(&format!("took      {}", took(tried)));
}

/// Time and memory for people.
fn took(tried: &Tried) -> String {
    let memory = usize::try_from(tried.counts.memory_high_water).unwrap_or(usize::MAX);
    format!(
        "{:.1} ms, {:.1} ms of them in the guest; memory {}",
        tried.spent.as_secs_f64() * 1e3,
        tried.counts.guest_nanos as f64 / 1e6,
        about::size(memory)
    )
}
