//! A script in a process of its own, with which a test talks in lines of JSON.
//!
//! Owns the pipes. What the lines mean is said by whoever starts it.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use super::{installed, new_node, patiently, root};

/// It ends when dropped.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    stdin: Mutex<ChildStdin>,
    lines: Mutex<Lines<BufReader<ChildStdout>>>,
    _child: Child,
}

impl Script {
    /// Starts a script of `tests/peers/sign_in`. Its certificates are nobody's business: those of
    /// tests are vouched for by nobody.
    pub(crate) fn start(name: &'static str, args: &[&str]) -> Self {
        let program: PathBuf =
            if name.ends_with(".py") { installed("py/bin/python") } else { new_node() };
        let mut command = Command::new(program);
        command.arg(root().join("tests/peers/sign_in").join(name)).args(args);
        command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0").env("NODE_NO_WARNINGS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stdin = Mutex::new(child.stdin.take().unwrap());
        let lines = Mutex::new(BufReader::new(child.stdout.take().unwrap()).lines());
        Self { name, stdin, lines, _child: child }
    }

    /// What it says next; fails the test where that is a failure.
    pub(crate) async fn next(&self) -> Value {
        let mut lines = self.lines.lock().await;
        let line = patiently(self.name, lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("{} has ended", self.name));
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let failed = said["failed"].as_str();
        assert!(failed.is_none(), "{}: {}", self.name, failed.unwrap_or_default());
        said
    }

    /// Says something, and waits for the answer.
    pub(crate) async fn ask(&self, line: &str) -> Value {
        self.stdin.lock().await.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.next().await
    }
}
