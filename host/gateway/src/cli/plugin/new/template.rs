//! What `plugins/templates/` holds, carried in the program, and how a folder is made of it.
//!
//! A template is a plugin with everything in it. What stands between a comment `only: A B` and
//! the next comment `end` is kept where `A` or `B`, an event or a world, was chosen; the comments
//! themselves never get into a folder. `plugin-name` stands for the name, and
//! `plugin_name` where cargo has no `-`.

use clap::ValueEnum;

use super::{Event, Language, World};

/// A file of the templates, and where it goes.
macro_rules! template {
    ($for:literal: $from:literal) => {
        template!($for: $from, $from)
    };
    ($for:literal: $from:literal, $to:literal) => {
        Source {
            wanted: $for,
            path: $to,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../plugins/templates/",
                $from
            )),
        }
    };
}

/// A file of the contract.
macro_rules! contract {
    ($name:literal) => {
        Source {
            wanted: "",
            path: concat!("wit/deps/tidegate-plugin/", $name),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v0.1.0/", $name)),
        }
    };
}

/// What somebody asked for.
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    pub(super) world: World,
    pub(super) events: &'a [Event],
}

/// A file of the new folder.
pub(super) struct File {
    /// Where, from the folder.
    pub(super) path: &'static str,
    pub(super) text: String,
    /// Whether it can be run.
    pub(super) program: bool,
}

/// A file as it is carried.
struct Source {
    /// The language, world and event it is for; for all where nothing is said.
    wanted: &'static str,
    path: &'static str,
    text: &'static str,
}

static SOURCES: [Source; 56] = [
    contract!("types.wit"),
    contract!("host.wit"),
    contract!("hooks.wit"),
    contract!("connector.wit"),
    contract!("worlds.wit"),
    template!("": "world.wit", "wit/world.wit"),
    template!("rust": "rust/Cargo.toml", "Cargo.toml"),
    template!("rust": "rust/.cargo/config.toml", ".cargo/config.toml"),
    template!("rust": "rust/gitignore", ".gitignore"),
    template!("rust": "rust/README.md", "README.md"),
    template!("rust": "rust/build.sh", "build.sh"),
    template!("rust interceptor": "rust/src/interceptor.rs", "src/lib.rs"),
    template!("rust interceptor": "rust/schema/interceptor.json", "schema.json"),
    template!("rust customizer": "rust/src/customizer.rs", "src/lib.rs"),
    template!("rust customizer": "rust/schema/customizer.json", "schema.json"),
    template!("rust connector": "rust/src/connector.rs", "src/lib.rs"),
    template!("rust connector": "rust/schema/connector.json", "schema.json"),
    template!("js": "js/package.json", "package.json"),
    template!("js": "js/package-lock.json", "package-lock.json"),
    template!("js": "js/build.mjs", "build.mjs"),
    template!("js": "js/gitignore", ".gitignore"),
    template!("js": "js/README.md", "README.md"),
    template!("js interceptor": "js/src/interceptor.js", "src/plugin.js"),
    template!("js customizer": "js/src/customizer.js", "src/plugin.js"),
    template!("js connector": "js/src/connector.js", "src/plugin.js"),
    template!("python": "python/requirements.txt", "requirements.txt"),
    template!("python": "python/build.sh", "build.sh"),
    template!("python": "python/gitignore", ".gitignore"),
    template!("python": "python/README.md", "README.md"),
    template!("python interceptor": "python/src/interceptor.py", "src/app.py"),
    template!("python customizer": "python/src/customizer.py", "src/app.py"),
    template!("python connector": "python/src/connector.py", "src/app.py"),
    template!("before-call": "cases/before-call-proceeds.json"),
    template!("before-call": "cases/before-call-refuses.json"),
    template!("after-call": "cases/after-call-proceeds.json"),
    template!("after-call": "cases/after-call-cleans.json"),
    template!("before-prompt": "cases/before-prompt-proceeds.json"),
    template!("before-prompt": "cases/before-prompt-refuses.json"),
    template!("after-prompt": "cases/after-prompt-proceeds.json"),
    template!("after-prompt": "cases/after-prompt-cleans.json"),
    template!("before-read": "cases/before-read-proceeds.json"),
    template!("before-read": "cases/before-read-refuses.json"),
    template!("after-read": "cases/after-read-proceeds.json"),
    template!("after-read": "cases/after-read-cleans.json"),
    template!("before-completion": "cases/before-completion-proceeds.json"),
    template!("before-completion": "cases/before-completion-answers.json"),
    template!("after-completion": "cases/after-completion-proceeds.json"),
    template!("after-completion": "cases/after-completion-cleans.json"),
    template!("shown": "cases/shown-shows.json"),
    template!("shown": "cases/shown-hides.json"),
    template!("on-question": "cases/on-question-proceeds.json"),
    template!("on-question": "cases/on-question-refuses.json"),
    template!("customizer": "cases/edits-hides.json"),
    template!("customizer": "cases/edits-describes.json"),
    template!("connector": "cases/call-greets.json"),
    template!("connector": "cases/call-greets-by-default.json"),
];

impl Choice<'_> {
    /// Every file of the folder.
    pub(super) fn files(&self) -> Vec<File> {
        let tags = self.tags();
        let chosen = |word: &str| tags.iter().any(|tag| tag == word);
        let wanted = SOURCES.iter().filter(|file| file.wanted.split_whitespace().all(chosen));
        wanted.map(|source| self.file(source, &tags)).collect()
    }

    /// The language, the world and the events.
    fn tags(&self) -> Vec<String> {
        let mut tags = vec![tag(&self.language), tag(&self.world)];
        if self.world == World::Interceptor {
            tags.extend(self.events.iter().map(tag));
        }
        tags
    }

    fn file(&self, source: &Source, tags: &[String]) -> File {
        // The contract is handed on as it is: it has to stay the frozen one.
        let text = if source.path.starts_with("wit/deps/") {
            source.text.to_owned()
        } else {
            let text = kept(source.text, tags).replace("plugin-name", self.name);
            text.replace("plugin_name", &self.name.replace('-', "_"))
        };
        File { path: source.path, text, program: source.path == "build.sh" }
    }
}

/// The name that a choice has on the command line and in the templates.
fn tag(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The text without the parts that are for something else. Parts may stand in each other.
fn kept(text: &str, tags: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts: Vec<bool> = Vec::new();
    for line in text.lines() {
        match comment(line) {
            Some("end") => drop(parts.pop()),
            Some(words) if let Some(wanted) = words.strip_prefix("only: ") => {
                parts.push(wanted.split(' ').any(|wanted| tags.iter().any(|tag| tag == wanted)));
            }
            _ if parts.contains(&false) => {}
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    // A part that is gone leaves the empty lines before it and after it.
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// What a line says that is a comment in one of the languages and nothing else.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim();
    ["// ", "# "]
        .into_iter()
        .find_map(|open| line.strip_prefix(open))
        .or_else(|| line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")))
}
