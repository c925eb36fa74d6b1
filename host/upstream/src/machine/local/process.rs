//! The process of one machine, from its start to its end.

use std::{io, process::Stdio, sync::Arc, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tidegate_wire::hosted::{HostedKey, Minter};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Running, Table, command::Plan, system, words};
use crate::machine::{MachineError, MachineLog, Voice};

/// How long the bridge has to end its children and itself, and how long after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(8);
const LAST: Duration = Duration::from_secs(1);
/// The time between handing over a further key and using it.
const OVERLAP: Duration = Duration::from_secs(5);
/// The longest line that is read.
const LONGEST_LINE: usize = 64 * 1024;

/// A process that takes requests.
pub(super) struct Process {
    pub(super) stop: CancellationToken,
    pub(super) exit: watch::Receiver<Option<String>>,
}

/// Starts it, hands it its key, and waits until it is ready.
pub(super) async fn start(
    plan: &Plan<'_>,
    key: &HostedKey,
    log: &Arc<MachineLog>,
    minter: &Arc<Minter>,
    running: &Arc<Table>,
) -> Result<Process, MachineError> {
    let mut child = spawn(plan)?;
    let broken = || system("its pipes", io::ErrorKind::BrokenPipe.into());
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(broken());
    };
    let stop = CancellationToken::new();
    // Until the machine is handed over, giving up the start ends it.
    let giving_up = stop.clone().drop_guard();
    let (exit_tx, exit) = watch::channel(None);
    let connector = plan.spec.connector.clone();
    let reading = tokio::spawn(listen(stderr, Arc::clone(log), connector.clone()));
    let added = plan.added_env();
    let own = plan.spec.program.env.iter().map(|(name, value)| (name.as_str(), value.expose()));
    let is_own =
        |name: &str| plan.spec.program.env.iter().any(|(own, _)| own == name && name != "TMPDIR");
    let added = added.iter().filter(|(name, _)| !is_own(name));
    let is_added = |name: &str| added.clone().any(|(added, _)| *added == name);
    let env = own.filter(|(name, _)| !is_added(name));
    let env = env.chain(added.clone().map(|(name, value)| (*name, value.as_str())));
    let line = words::opening(&key.write(), env);
    running.rows().insert(plan.id.to_owned(), Running { stop: stop.clone(), exit: exit.clone() });
    let opening = async {
        // One that has ended says below why.
        drop(stdin.write_all(&line).await);
        drop(stdin.flush().await);
        let ready = ready(stdout).await;
        (stdin, ready)
    };
    let limit = plan.spec.start_timeout;
    let opened = timeout(limit, opening).await;
    let (stdin, outcome) = match opened {
        Ok((stdin, true)) => (Some(stdin), Ok(())),
        Ok((_, false)) => (None, Err(None)),
        Err(_) => (None, Err(Some(MachineError::Silent(limit)))),
    };
    let life = Life {
        child,
        stdin,
        id: plan.id.to_owned(),
        connector,
        folder: plan.folders.own.clone(),
        rotation: plan.settings.rotation,
        log: Arc::clone(log),
        minter: Arc::clone(minter),
        running: Arc::clone(running),
        exit: exit_tx,
    };
    let living = tokio::spawn(life.lead(stop.clone()));
    match outcome {
        Ok(()) => {
            tracing::info!(connector = plan.spec.connector, machine = plan.id, "machine ready");
            drop(giving_up.disarm());
            Ok(Process { stop, exit })
        }
        Err(Some(error)) => Err(error),
        Err(None) => {
            drop(giving_up);
            drop(living.await);
            // All that it had to say has been said: its end of the pipe is closed.
            drop(timeout(LAST, reading).await);
            let how = exit.borrow().clone().unwrap_or_default();
            let last = log.last().map_or(how.clone(), |last| format!("{how}; it said: {last}"));
            Err(MachineError::Ended(last))
        }
    }
}

fn spawn(plan: &Plan<'_>) -> Result<Child, MachineError> {
    let mut words = plan.words()?.into_iter();
    let program = words.next().unwrap_or_default();
    Command::new(program)
        .args(words)
        // The program's environment goes in with the key.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| system("the bridge", error))
}

/// Waits until the bridge says that it is ready; `false` where it ends before.
async fn ready(stdout: ChildStdout) -> bool {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while next_line(&mut stdout, &mut line).await {
        if words::is_ready(&line) {
            return true;
        }
    }
    false
}

/// Reads the next line into `line`, cut where it is longer than anybody needs; `false` at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    line.clear();
    loop {
        let Ok(chunk) = reader.fill_buf().await else { return false };
        if chunk.is_empty() {
            return !line.is_empty();
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        let room = LONGEST_LINE.saturating_sub(line.len());
        line.extend(chunk.iter().take(taken.min(room)).filter(|byte| **byte != b'\n'));
        reader.consume(taken);
        if end.is_some() {
            return true;
        }
    }
}

/// Keeps what it says, and writes it to the gateway's own log.
async fn listen(
    stderr: impl tokio::io::AsyncRead + Unpin,
    log: Arc<MachineLog>,
    connector: String,
) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while next_line(&mut stderr, &mut line).await {
        let (voice, text, is_warning) = words::read(&line);
        let text = log.take(voice, &text);
        match (voice, is_warning) {
            (Voice::Server, _) => {
                tracing::info!(target: "tidegate::connector::stderr", connector, "{text}");
            }
            (Voice::Machine, true) => tracing::warn!(connector, "{text}"),
            (Voice::Machine, false) => tracing::debug!(connector, "{text}"),
        }
    }
}

/// A machine's process and all that is done for it while it lives.
struct Life {
    child: Child,
    stdin: Option<ChildStdin>,
    id: String,
    connector: String,
    folder: std::path::PathBuf,
    rotation: Duration,
    log: Arc<MachineLog>,
    minter: Arc<Minter>,
    running: Arc<Table>,
    exit: watch::Sender<Option<String>>,
}

impl Life {
    async fn lead(mut self, stop: CancellationToken) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let how = loop {
            tokio::select! {
                ended = self.child.wait() => break ended,
                () = stop.cancelled() => break self.end(group).await,
                () = tokio::time::sleep_until(Instant::now() + self.rotation), if self.stdin.is_some() => {
                    self.rotate(&stop).await;
                }
            }
        };
        // What it has started goes with it.
        signal(group, Signal::KILL);
        let how = match how {
            Ok(status) => status.to_string(),
            Err(error) => format!("its end could not be awaited: {error}"),
        };
        drop(std::fs::remove_dir_all(&self.folder));
        self.log.take(Voice::Machine, &format!("the machine ended: {how}"));
        tracing::info!(connector = self.connector, machine = self.id, how, "machine ended");
        self.running.rows().remove(&self.id);
        self.exit.send_replace(Some(how));
    }

    /// The end of its stdin tells the bridge to end; what does not is ended.
    async fn end(&mut self, group: Option<Pid>) -> io::Result<std::process::ExitStatus> {
        drop(self.stdin.take());
        if let Ok(ended) = timeout(PATIENCE, self.child.wait()).await {
            return ended;
        }
        signal(group, Signal::TERM);
        if let Ok(ended) = timeout(LAST, self.child.wait()).await {
            return ended;
        }
        signal(group, Signal::KILL);
        self.child.wait().await
    }

    /// Exchanges the key: the machine knows both until the next time.
    async fn rotate(&mut self, stop: &CancellationToken) {
        let Some(stdin) = &mut self.stdin else { return };
        let Ok(key) = HostedKey::generate() else { return };
        let line = words::further(&key.write());
        let handed = async {
            stdin.write_all(&line).await?;
            stdin.flush().await
        };
        match timeout(OVERLAP, handed).await {
            Ok(Ok(())) => {
                tokio::select! {
                    () = tokio::time::sleep(OVERLAP) => self.minter.use_key(key),
                    () = stop.cancelled() => {}
                }
            }
            _ => tracing::warn!(connector = self.connector, "the machine took no further key"),
        }
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // Nobody left in the group is as good.
        let _ = kill_process_group(group, signal);
    }
}
