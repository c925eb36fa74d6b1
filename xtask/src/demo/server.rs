//! The gateway of the demo: its copy of the example, its keys, its process.
//!
//! Owns `target/demo`, which is made anew each time. Knows the program by its command line.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::{capture, command, run};

/// A running gateway; ends with this value.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

/// The directory and the program of one demo.
pub struct Site {
    root: PathBuf,
    /// The configuration directory.
    pub config: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    program: PathBuf,
}

impl Site {
    /// Copies `examples/NAME` to `target/demo`.
    pub fn new(root: &Path, example: &str) -> Result<Self> {
        let home = root.join("target/demo");
        if home.exists() {
            fs::remove_dir_all(&home).context("removing the last demo")?;
        }
        let config = home.join(example);
        copy(&root.join("examples").join(example), &config, root)?;
        let program = root.join("target/debug/tidegate");
        Ok(Self { root: root.to_owned(), config, data: home.join("data"), program })
    }

    /// Makes an API key and returns its text.
    pub fn key(&self, name: &str, user: &str, group: &str) -> Result<String> {
        let args = ["key", "new", "--name", name, "--user", user, "--group", group, "--config"];
        let printed = capture(command(&self.root, &self.program, &args).arg(&self.config))?;
        let key = printed.split_whitespace().find(|word| word.starts_with("tg_"));
        key.map(str::to_owned).context("`tidegate key new` printed no key")
    }

    /// What `tidegate audit …` prints about this demo's log.
    pub fn audit(&self, args: &[&str]) -> Result<String> {
        let mut audit = command(&self.root, &self.program, &["audit"]);
        capture(audit.args(args).arg("--data").arg(&self.data))
    }

    /// Starts the gateway and waits until it is ready. `port` is taken when it is free.
    pub fn serve(&self, port: u16) -> Result<Server> {
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        let listen = format!("127.0.0.1:{}", if free { port } else { 0 });
        let log = self.data.with_file_name("gateway.log");
        let mut child = command(&self.root, &self.program, &["serve", "--listen", &listen])
            .args(["--ops-listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(&self.config)
            .arg("--data")
            .arg(&self.data)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("starting the gateway")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        let url = ready.as_ref().and_then(|ready| ready["url"].as_str()).map(str::to_owned);
        let Some(url) = url else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the gateway did not start: {}", fs::read_to_string(&log).unwrap_or_default());
        };
        Ok(Server { child, url: url.trim_end_matches('/').to_owned() })
    }
}

impl Server {
    /// Tells the gateway to end and waits until it has; it must say that all went well.
    pub fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        run(&mut command(Path::new("."), "kill", &["-TERM", &id]))?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the gateway ended with {status}");
        }
        Ok(())
    }

    /// Waits until the gateway ends.
    pub fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a folder; paths to guests, which are relative to the example, become absolute.
fn copy(from: &Path, to: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let guests = format!("\"{}/", root.join("target/guests").display());
    let entries = fs::read_dir(from).with_context(|| format!("reading {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, root)?;
        } else {
            let text = fs::read_to_string(entry.path())?;
            fs::write(target, text.replace("\"../../../target/guests/", &guests))?;
        }
    }
    Ok(())
}
