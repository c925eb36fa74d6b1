//! The child process: started without a shell, in a group of its own, with nothing of our
//! environment; its stderr goes to the log; its end is orderly, then forceful.

use std::{io, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{ChildStdin, ChildStdout},
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Command;
use crate::client::PeerError;

/// How long a process has after its stdin was closed, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest part of one line of stderr that is logged.
const LINE: usize = 2_000;
/// The most lines of stderr that are logged in one second.
const LINES_PER_SECOND: u32 = 200;

/// A running process. Ends when [`Child::stopping`] is set, or by itself.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Option<u32>,
    stop: CancellationToken,
    /// How it ended, once it has.
    gone: watch::Receiver<Option<String>>,
}

impl Child {
    pub(crate) fn spawn(
        command: &Command,
        name: &str,
    ) -> Result<(Self, ChildStdin, ChildStdout), PeerError> {
        let failed =
            |source: io::Error| PeerError::Spawn { what: sentence(command, &source), source };
        if let Some(cwd) = &command.cwd
            && !cwd.is_dir()
        {
            let what = format!("the working directory `{}` does not exist", cwd.display());
            return Err(PeerError::Spawn { what, source: io::ErrorKind::NotFound.into() });
        }
        let mut builder = tokio::process::Command::new(&command.program);
        builder
            .args(&command.args)
            .env_clear()
            .envs(command.env.iter().map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = &command.cwd {
            builder.current_dir(cwd);
        }
        let mut child = builder.spawn().map_err(failed)?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        tracing::info!(connector = name, program = command.program, pid = child.id(), "started");
        let stop = CancellationToken::new();
        let (gone_tx, gone) = watch::channel(None);
        let pid = child.id();
        tokio::spawn(log(stderr, name.to_owned()));
        tokio::spawn(supervise(child, stop.clone(), gone_tx, name.to_owned()));
        Ok((Self { pid, stop, gone }, stdin, stdout))
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until the process is gone.
    pub(crate) async fn gone(&self) {
        // An error means that the task which would tell is gone, and the process with it.
        drop(self.gone.clone().wait_for(Option::is_some).await);
    }

    /// How it ended, once it has, in words.
    pub(crate) fn ended(&self) -> Option<String> {
        self.gone.borrow().clone()
    }

    /// Its process id, as long as it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid.filter(|_| self.gone.borrow().is_none())
    }
}

async fn supervise(
    mut child: tokio::process::Child,
    stop: CancellationToken,
    gone: watch::Sender<Option<String>>,
    name: String,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            // Nobody left in the group is as good.
            let _ = kill_process_group(group, signal);
        }
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = stop.cancelled() => None,
    };
    let status = match ended {
        Some(status) => status,
        None => match timeout(PATIENCE, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                signal(Signal::TERM);
                match timeout(PATIENCE, child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        signal(Signal::KILL);
                        child.wait().await
                    }
                }
            }
        },
    };
    // What the process itself has started goes with it.
    signal(Signal::KILL);
    let how = match status {
        Ok(status) => {
            tracing::info!(connector = name, %status, "ended");
            status.to_string()
        }
        Err(error) => {
            tracing::warn!(connector = name, %error, "its end could not be awaited");
            error.to_string()
        }
    };
    gone.send_replace(Some(how));
    // The streams end by themselves, once read to their end; unless somebody who left the
    // group still holds them.
    if timeout(PATIENCE, stop.cancelled()).await.is_err() {
        stop.cancel();
    }
}

/// Copies stderr to the log, line by line, shortened, and not without end.
async fn log(mut stderr: impl AsyncRead + Unpin, name: String) {
    let mut chunk = [0_u8; 4096];
    let mut line = Vec::new();
    let mut quota = Quota { since: Instant::now(), used: 0, dropped: 0 };
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        for &byte in chunk.iter().take(read) {
            if byte != b'\n' {
                if line.len() < LINE {
                    line.push(byte);
                }
                continue;
            }
            quota.log(&name, &line);
            line.clear();
        }
    }
    if !line.is_empty() {
        quota.log(&name, &line);
    }
}

struct Quota {
    since: Instant,
    used: u32,
    dropped: u64,
}

impl Quota {
    fn log(&mut self, name: &str, line: &[u8]) {
        if self.since.elapsed() >= Duration::from_secs(1) {
            if self.dropped > 0 {
                tracing::warn!(connector = name, lines = self.dropped, "stderr was cut short");
            }
            *self = Self { since: Instant::now(), used: 0, dropped: 0 };
        }
        if self.used >= LINES_PER_SECOND {
            self.dropped += 1;
            return;
        }
        self.used += 1;
        tracing::info!(target: "tidegate::connector::stderr", connector = name, "{}", shown(line));
    }
}

/// A line as it may stand in a log: control characters are escaped, the end is cut off.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn sentence(command: &Command, error: &io::Error) -> String {
    let program = &command.program;
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the command `{program}` was not found: check its name and the PATH")
        }
        io::ErrorKind::PermissionDenied => {
            format!("the command `{program}` may not be run: check that it is executable")
        }
        _ => format!("the command `{program}` could not be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_hold_no_control_characters() {
        assert_eq!(shown(b"a\x1b[31mred\x07\r"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(shown(b"\xff ok"), "\u{fffd} ok");
    }
}
