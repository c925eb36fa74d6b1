//! `cargo xtask bench`: builds for release and starts the bench program.
//!
//! Owns no measurement: those are in `tests/bench/`.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{
    guests,
    step::{command, found, run as run_command, step},
};

/// A language whose interceptor brings an engine of its own with it.
struct Language {
    /// As `tidegate plugin new --lang` takes it, and the file's name for the bench.
    name: &'static str,
    /// What it cannot be built without.
    needs: &'static str,
    /// Builds the template's folder.
    build: &'static str,
}

const LANGUAGES: [Language; 2] = [
    Language { name: "js", needs: "npm", build: "npm install --silent && npm run build --silent" },
    Language { name: "python", needs: "python3", build: "./build.sh" },
];

impl Language {
    /// Leaves the template's interceptor at `target/bench/NAME.wasm`, unless one is there.
    fn build(&self, root: &Path) -> Result<()> {
        let bench = root.join("target/bench");
        let component = bench.join(self.name).with_extension("wasm");
        if component.is_file() {
            return Ok(());
        }
        ensure!(found(self.needs, "--version"), "`{}` is missing", self.needs);
        std::fs::create_dir_all(&bench).context("could not make target/bench")?;
        let folder = bench.join(format!("template-{}", self.name));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("could not remove an old template")?;
        }
        step(&format!("building an interceptor in {}", self.name), || {
            let tidegate = root.join("target/release/tidegate");
            let mut new = command(&bench, &tidegate, &["plugin", "new", "held", "--lang"]);
            new.args([self.name, "--world", "interceptor", "--events", "before-call"]);
            run_command(&mut new)?;
            std::fs::rename(bench.join("held"), &folder).context("could not move the template")?;
            // The build scripts call `tidegate`.
            let script = format!("export PATH=\"$0:$PATH\"; {}", self.build);
            let mut build = command(&folder, "sh", &["-c", &script]);
            run_command(build.arg(root.join("target/release")))?;
            std::fs::copy(folder.join("held.wasm"), &component)
                .context("the template's build left no component")?;
            Ok(())
        })
    }
}

/// Builds, measures, and leaves `target/bench/summary.json`.
pub fn run(root: &Path, quick: bool) -> Result<()> {
    step("building the guests", || guests::build(root, false))?;
    step("building the gateway for release (the first time takes over ten minutes)", || {
        let packages = ["-p", "tidegate-gateway", "-p", "tidegate-wire"];
        let mut build = command(root, "cargo", &["build", "--release", "--bins", "--examples"]);
        run_command(build.args(packages))
    })?;
    for language in &LANGUAGES {
        if let Err(error) = language.build(root) {
            println!("--> {} is left out: {error:#}", language.name);
        }
    }
    step("measuring", || {
        let mut bench = command(root, root.join("target/release/examples/bench"), &["run"]);
        if quick {
            bench.arg("--quick");
        }
        run_command(&mut bench)
    })
}
