//! `tidegate plugin test`: all cases of a component.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    run::told,
    subject::{Setting, Subject},
};
use crate::{
    cases::{Case, Tried},
    cli::{block_on, say},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// A folder in which a component was built, or a component file.
    component: PathBuf,
    /// The folder with the cases; without it `cases` in the component's folder.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    setting: Setting,
}

pub(super) fn run(test: &Test) -> anyhow::Result<ExitCode> {
    let folder = test.cases.clone().unwrap_or_else(|| beside(&test.component));
    let cases = read(&folder)?;
    let chosen = test.setting.read()?;
    let Some(source) = test.component.to_str() else {
        bail!("`{}` is no text", test.component.display());
    };
    let mut told_of = Vec::new();
    let mut unmet = 0;
    block_on(async {
        let Subject { component, stand, .. } = Subject::load(source).await?;
        for (file, case) in &cases {
            let tried = stand.try_case(&component, case, &chosen).await;
            let tried = tried.with_context(|| format!("`{}` cannot be run", file.display()))?;
            unmet += usize::from(!tried.unmet.is_empty());
            match test.json {
                true => told_of.push(told_with(file, case, &tried)),
                false => show(case, &tried),
            }
        }
        Ok(())
    })?;
    let all = cases.len();
    if test.json {
        let report = json!({ "cases": told_of, "met": all - unmet, "unmet": unmet });
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&match unmet {
            0 => format!("{all} cases, all met"),
            _ => format!("{all} cases, {unmet} not met"),
        });
    }
    Ok(if unmet == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the cases of a component are, unless somebody says so.
fn beside(component: &Path) -> PathBuf {
    let folder = match component.is_dir() {
        true => component,
        false => component.parent().unwrap_or(Path::new("")),
    };
    folder.join("cases")
}

/// Reads all cases of a folder, by name; none at all is an error, and so is one without
/// anything to expect.
fn read(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Case)>> {
    let entries = fs::read_dir(folder).with_context(|| {
        format!("there are no cases in `{}`; name a folder with --cases", folder.display())
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    let mut wrong = 0;
    let mut cases = Vec::new();
    for file in files {
        match Case::read(&file) {
            Ok(case) if !case.expects() => {
                wrong += 1;
                eprintln!("`{}` expects nothing; add `expect`", file.display());
            }
            Ok(case) => cases.push((file, case)),
            Err(error) => {
                wrong += 1;
                eprintln!("{error:#}");
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} files cannot be used as cases; nothing was run");
    }
    if cases.is_empty() {
        bail!("there are no cases in `{}`; name a folder with --cases", folder.display());
    }
    Ok(cases)
}

fn told_with(file: &Path, case: &Case, tried: &Tried) -> Value {
    let mut told = told(case, tried);
    if let Some(members) = told.as_object_mut() {
        members.insert("file".to_owned(), file.display().to_string().into());
    }
    told
}

fn show(case: &Case, tried: &Tried) {
    let end = if tried.unmet.is_empty() { "ok" } else { "NOT MET" };
    let millis = tried.spent.as_secs_f64() * 1e3;
    say(&format!("{end:<8} {:<18} {} ({millis:.1} ms)", case.event.name(), case.name));
    tried.unmet.iter().for_each(|line| say(&format!("         {line}")));
}
