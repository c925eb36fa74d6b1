//! `tidegate plugin new`: a folder to start a plugin from.
//!
//! Owns the questions on the command line and the writing of the folder, which must not be
//! there yet or be empty. What the files say is the business of [`template`]. Needs no gateway,
//! no configuration and no network.

mod template;

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::cli::say;

use template::Choice;

/// The longest name, as for every resource of a configuration.
const NAME_MOST: usize = 64;

#[derive(Debug, Args)]
pub(in crate::cli) struct NewPlugin {
    /// Its name: lower-case words of letters and digits, joined by `-`.
    name: String,
    /// The language it is written in.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
    /// What it is.
    #[arg(long, value_enum, value_name = "WORLD")]
    world: World,
    /// What an interceptor is asked about, separated by commas; `before-call,after-call` when
    /// left out.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "EVENTS")]
    events: Vec<Event>,
    /// The folder to make; one of the plugin's name, here, when left out.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A language with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Small and fast: about 100 KiB.
    Rust,
    /// With an engine of its own: 12 MB.
    Js,
    /// With an interpreter of its own: 18 MB.
    Python,
}

/// A world of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum World {
    /// Looks at what goes to connectors and what comes back.
    Interceptor,
    /// Edits the tools that are published.
    Customizer,
    /// Is a server.
    Connector,
}

/// An event of the interceptor world, each an interface of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Event {
    BeforeCall,
    AfterCall,
    BeforePrompt,
    AfterPrompt,
    BeforeRead,
    AfterRead,
    BeforeCompletion,
    AfterCompletion,
    Shown,
    OnQuestion,
}

/// Writes the folder and says what to do next.
pub(in crate::cli) fn run(new: &NewPlugin) -> anyhow::Result<ExitCode> {
    check_name(&new.name)?;
    if new.world != World::Interceptor && !new.events.is_empty() {
        bail!("only an interceptor has events; leave out --events, or use --world interceptor");
    }
    let dir = new.dir.clone().unwrap_or_else(|| PathBuf::from(&new.name));
    check_empty(&dir)?;
    let events = match new.events.as_slice() {
        [] => &[Event::BeforeCall, Event::AfterCall],
        events => events,
    };
    let choice = Choice { name: &new.name, language: new.lang, world: new.world, events };
    for file in choice.files() {
        write(&dir.join(file.path), &file.text, file.program)?;
    }
    say(&format!(
        "{} is there. To build it:\n\n    cd {} && {}\n\nIts README.md says what comes next.",
        new.name,
        dir.display(),
        new.lang.build()
    ));
    Ok(ExitCode::SUCCESS)
}

impl Language {
    /// The one command that makes the component.
    const fn build(self) -> &'static str {
        match self {
            Self::Rust | Self::Python => "./build.sh",
            Self::Js => "npm install && npm run build",
        }
    }
}

/// A name that cargo, npm, the shell and a configuration directory all take as it is.
fn check_name(name: &str) -> anyhow::Result<()> {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if name.len() > NAME_MOST || !name.split('-').all(word) {
        bail!(
            "`{}` is no name for a plugin: use lower-case words of letters and digits that begin \
             with a letter, joined by `-`, at most {NAME_MOST} characters, such as `office-hours`",
            name.escape_debug()
        );
    }
    Ok(())
}

fn check_empty(dir: &Path) -> anyhow::Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not look into `{}`", dir.display()));
        }
    };
    if entries.next().is_some() {
        bail!("`{}` is not empty; name another folder with --dir", dir.display());
    }
    Ok(())
}

fn write(path: &Path, text: &str, program: bool) -> anyhow::Result<()> {
    let what = || format!("could not write `{}`", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(what)?;
    }
    let mode = if program { 0o755 } else { 0o644 };
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(what)?;
    file.write_all(text.as_bytes()).with_context(what)
}

#[cfg(test)]
mod tests;
