//! Kills a writer, or takes its power away, and checks that nothing acknowledged is lost.
//!
//! Runs the examples `crash_writer` and `crash_check` of `tidegate-store`. Every round follows
//! from its seed except for the moment of the kill, which the machine decides; a failure names
//! round and seed and leaves its directory. Uses the standard library only, so that a test, a
//! soak task or a main of one's own can include it by `#[path]`.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

#[path = "replay.rs"]
pub(crate) mod replay;

use replay::Dice;

type Failure = Box<dyn std::error::Error>;

const THREADS: &str = "16";

/// What some rounds came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Rounds run.
    pub(crate) rounds: u32,
    /// Acknowledgements checked, each as often as it was checked.
    pub(crate) acknowledged: u64,
    /// Pieces of writes undone by power losses.
    pub(crate) undone: u64,
}

/// Programs and the place for directories.
pub(crate) struct Bench {
    writer: PathBuf,
    checker: PathBuf,
    shim: PathBuf,
    dir: PathBuf,
}

impl Bench {
    /// Builds the programs and the shim; `root` is the repository.
    pub(crate) fn prepare(root: &Path) -> Result<Self, Failure> {
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let mut build = Command::new(cargo);
        build.current_dir(root).args(["build", "--quiet", "-p", "tidegate-store"]);
        done(build.args(["--example", "crash_writer", "--example", "crash_check"]))?;
        let examples = root.join("target/debug/examples");
        let dir = root.join(format!("target/crash-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        let shim = dir.join("shim.so");
        let source = root.join("tests/crash/shim.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&shim).arg(source);
        done(compile.arg("-lpthread"))?;
        let (writer, checker) = (examples.join("crash_writer"), examples.join("crash_check"));
        Ok(Self { writer, checker, shim, dir })
    }

    fn fresh(&self, name: &str) -> Result<PathBuf, Failure> {
        let dir = self.dir.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    fn check(&self, data: &Path, acks: &[String]) -> Result<(), Failure> {
        let mut check = Command::new(&self.checker);
        check.arg(data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = check.spawn()?;
        let text = acks.join("\n");
        if let Some(mut stdin) = child.stdin.take() {
            // A checker that ended early says why on its own.
            drop(stdin.write_all(text.as_bytes()));
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("{} after {} acks\n{out}{err}", output.status, acks.len()).into())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A round that failed is kept for a person to look at.
        if !std::thread::panicking() {
            drop(std::fs::remove_file(&self.shim));
            drop(std::fs::remove_dir(&self.dir));
        }
    }
}

fn done(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A writer, and what it has acknowledged so far.
struct Writer {
    child: Child,
    lines: Receiver<String>,
}

impl Writer {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Lets it run for `after` from its first acknowledgement on, or from the start.
    fn kill(mut self, after: Duration, from_first: bool) -> Result<Vec<String>, Failure> {
        let mut acks = Vec::new();
        let mut deadline =
            Instant::now() + if from_first { Duration::from_secs(30) } else { after };
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(rest) {
                Ok(line) => {
                    if from_first && acks.is_empty() {
                        deadline = Instant::now() + after;
                    }
                    acks.push(line);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    return Err(format!("the writer ended by itself: {status}").into());
                }
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        acks.extend(self.lines.iter());
        // The last line may be half written.
        acks.retain(|line| line.starts_with("ack ") || line.starts_with("failed "));
        match acks.iter().find(|line| line.starts_with("failed ")) {
            Some(line) => Err(line.clone().into()),
            None if from_first && acks.is_empty() => Err("nothing acknowledged in 30 s".into()),
            None => Ok(acks),
        }
    }
}

/// `rounds` times: write with 16 threads, `kill -9`, open, check every acknowledgement so far.
/// Directories live for five rounds; every tenth round also kills during start-up.
pub(crate) fn kill_rounds(bench: &Bench, rounds: u32, seed: u64) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let mut dice = Dice(seed);
    let (mut data, mut acks) = (PathBuf::new(), Vec::new());
    for round in 0..rounds {
        if round % 5 == 0 {
            if round > 0 {
                std::fs::remove_dir_all(&data)?;
            }
            data = bench.fresh(&format!("kill-{seed}-{round}"))?;
            acks.clear();
        }
        let durability = if round % 2 == 0 { "process" } else { "disk" };
        let start = |after: u64, from_first: bool, number: u32| {
            let mut command = Command::new(&bench.writer);
            command.arg(&data).args([durability, THREADS, &number.to_string()]);
            Writer::start(&mut command)?.kill(Duration::from_millis(after), from_first)
        };
        let name = |error: Failure| -> Failure {
            format!("kill round {round} of seed {seed} in {}: {error}", data.display()).into()
        };
        if round % 10 == 9 {
            acks.extend(start(dice.below(60), false, 1_000 + round).map_err(name)?);
        }
        acks.extend(start(20 + dice.below(300), true, round).map_err(name)?);
        bench.check(&data, &acks).map_err(name)?;
        summary.rounds += 1;
        summary.acknowledged += acks.len() as u64;
    }
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    Ok(summary)
}

/// One power loss.
struct PowerLoss {
    name: String,
    durability: &'static str,
    strict: bool,
    after: Duration,
    from_first: bool,
    seed: u64,
}

impl PowerLoss {
    /// Writes, takes the power away and checks twice: what one start has mended, the next must
    /// find whole. Gives the number of acknowledgements, what was undone, and the verdict.
    fn run(&self, bench: &Bench) -> Result<(u64, replay::Loss, Result<(), Failure>), Failure> {
        let data = bench.fresh(&self.name)?;
        let record = bench.dir.join(format!("{}.log", self.name));
        let mut command = Command::new(&bench.writer);
        command.arg(&data).args([self.durability, THREADS, "0"]);
        let shim: OsString = bench.shim.clone().into();
        command.env("LD_PRELOAD", shim).env("SHIM_DIR", &data).env("SHIM_LOG", &record);
        if self.strict {
            command.env("SHIM_STRICT", "1");
        }
        let acks = Writer::start(&mut command)?.kill(self.after, self.from_first)?;
        let loss = match replay::lose_power(&data, &record, self.seed) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => replay::Loss::default(),
            other => other?,
        };
        let checked = bench.check(&data, &acks).and_then(|()| bench.check(&data, &acks));
        drop(std::fs::remove_file(&record));
        Ok((acks.len() as u64, loss, checked))
    }
}

/// `rounds` times: write to a new directory under the shim, kill, undo a random part of what
/// was not synced, open, check. Every fourth round falls into the first moments of life. With
/// `strict`, `sync_file_range` counts for nothing. Before that, rounds in which records are
/// acknowledged without a flush must show a loss, or the method sees nothing.
pub(crate) fn power_loss_rounds(
    bench: &Bench,
    rounds: u32,
    seed: u64,
    strict: bool,
) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let mut dice = Dice(seed);
    if rounds > 0 {
        control(bench, &mut dice)?;
    }
    for round in 0..rounds {
        let (from_first, after) = (round % 4 != 3, dice.below(400));
        let after = Duration::from_millis(if from_first { 20 + after } else { after / 4 });
        let name = format!("power-{seed}-{round}");
        let seed = dice.below(u64::MAX);
        let loss = PowerLoss { name, durability: "disk", strict, after, from_first, seed };
        let ended = loss.run(bench).and_then(|(acks, undone, checked)| {
            checked?;
            Ok((acks, undone.undone))
        });
        let (acks, undone) = ended.map_err(|error| -> Failure {
            format!("power loss {} with seed {seed}: {error}", loss.name).into()
        })?;
        std::fs::remove_dir_all(bench.dir.join(&loss.name))?;
        summary.rounds += 1;
        summary.acknowledged += acks;
        summary.undone += undone;
    }
    Ok(summary)
}

/// Loses power on a writer that acknowledges what is not flushed, until that is noticed.
fn control(bench: &Bench, dice: &mut Dice) -> Result<(), Failure> {
    for _ in 0..10 {
        let (name, seed) = ("control".to_owned(), dice.below(u64::MAX));
        let after = Duration::from_millis(100 + dice.below(100));
        let durability = "process";
        let loss = PowerLoss { name, durability, strict: true, after, from_first: true, seed };
        let (_, _, checked) = loss.run(bench)?;
        std::fs::remove_dir_all(bench.dir.join(&loss.name))?;
        if checked.is_err() {
            return Ok(());
        }
    }
    Err("ten power losses without a flush lost nothing: the method sees nothing".into())
}
