//! WASI, present but empty.
//!
//! Ordinary components link against it, so it has to be there: without files, arguments,
//! environment, sockets and name lookup. What is written to stdout and stderr becomes log
//! lines; the clocks stand still and random bytes repeat unless `clock` and `random` are
//! granted. Every call counts as one of the host, polls, reads and writes included.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tidegate_model::Clock;
use tokio::io::AsyncWrite;
use wasmtime::{
    Result,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
    random::Deterministic,
};

use crate::{
    Capability,
    capabilities::{http::Http, log::Voice, random},
    lines::LogLevel,
    state::State,
};

const HANDLES: usize = 1_000;
const LINE: usize = 4 << 10;
/// Lines, and bytes, that a guest may write to both streams together during one hook. What is
/// beyond them costs it time and nobody a line of the log.
const LINES: u32 = 1_000;
const BYTES: usize = 1 << 20;

/// The interfaces that are there.
pub(crate) const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// One instance's WASI.
pub(crate) struct Wasi {
    context: WasiCtx,
    pub(super) table: ResourceTable,
    /// Shown instead of the real one when the host was called too often: whatever needs the
    /// table traps, and the rest ends with the guest's next tick.
    pub(super) spent: ResourceTable,
    pub(super) http: Option<Box<Http>>,
    /// The call whose lines these are. An instance may be made before there is one.
    call: Arc<OnceLock<String>>,
    left: Arc<Left>,
}

pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl Wasi {
    fn new(state: &State) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let mut spent = ResourceTable::new();
        spent.set_max_capacity(0);
        let call: Arc<OnceLock<String>> = Arc::default();
        if let Some(id) = &state.call {
            let _ = call.set(id.clone());
        }
        let left = Arc::new(Left::default());
        let mut context = WasiCtx::builder();
        context
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(u64::from(random::MOST))
            .stdout(LogLines::new(state, (&call, &left), LogLevel::Info))
            .stderr(LogLines::new(state, (&call, &left), LogLevel::Warn));
        if state.grants.has(Capability::Clock) {
            context.wall_clock(Wall(Arc::clone(&state.voice.clock)));
        } else {
            context.wall_clock(Still).monotonic_clock(Still);
        }
        if !state.grants.has(Capability::Random) {
            context
                .secure_random(Deterministic::new(vec![0]))
                .insecure_random(Deterministic::new(vec![0]))
                .insecure_random_seed(0);
        }
        Self { context: context.build(), table, spent, http: None, call, left }
    }

    /// This instance's, made on first use: most guests never ask.
    pub(super) fn of(state: &mut State) -> &mut Self {
        let wasi = match state.wasi.take() {
            Some(wasi) => wasi,
            None => Box::new(Self::new(state)),
        };
        state.wasi.insert(wasi)
    }

    /// The call that this instance serves from now on, if it is one; what was written before
    /// does not count.
    pub(crate) fn serves(&self, call: Option<&str>) {
        if let Some(id) = call {
            let _ = self.call.set(id.to_owned());
        }
        self.left.restart();
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let is_spent = self.host_call().is_err();
        let wasi = Wasi::of(self);
        let table = if is_spent { &mut wasi.spent } else { &mut wasi.table };
        WasiCtxView { ctx: &mut wasi.context, table }
    }
}

struct Wall(Arc<dyn Clock>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().as_millis())
    }
}

struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What may still be written.
struct Left {
    lines: AtomicU32,
    bytes: AtomicUsize,
}

impl Default for Left {
    fn default() -> Self {
        Self { lines: AtomicU32::new(LINES + 1), bytes: AtomicUsize::new(BYTES) }
    }
}

impl Left {
    fn restart(&self) {
        self.lines.store(LINES + 1, Ordering::Relaxed);
        self.bytes.store(BYTES, Ordering::Relaxed);
    }

    /// Takes as many of `wanted` bytes as are left.
    fn bytes(&self, wanted: usize) -> usize {
        let take = |left: usize| Some(left.saturating_sub(wanted));
        let left = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        left.map_or(0, |left| left.min(wanted))
    }

    /// No line but the one that says so.
    fn end(&self) {
        self.lines.fetch_min(1, Ordering::Relaxed);
    }

    /// Takes a line; how many there were, the one that says that it was the last among them.
    fn line(&self) -> u32 {
        let take = |left: u32| Some(left.saturating_sub(1));
        let left = self.lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        left.unwrap_or(0)
    }
}

/// An output stream whose lines go to the plugin's log.
#[derive(Clone)]
struct LogLines {
    voice: Arc<Voice>,
    call: Arc<OnceLock<String>>,
    left: Arc<Left>,
    level: LogLevel,
    partial: Vec<u8>,
}

impl LogLines {
    fn new(
        state: &State,
        (call, left): (&Arc<OnceLock<String>>, &Arc<Left>),
        level: LogLevel,
    ) -> Self {
        Self {
            voice: Arc::clone(&state.voice),
            call: Arc::clone(call),
            left: Arc::clone(left),
            level,
            partial: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let most = self.left.bytes(bytes.len());
        for byte in bytes.iter().take(most) {
            if *byte == b'\n' || self.partial.len() >= LINE {
                self.line();
            }
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
        if most < bytes.len() {
            self.left.end();
            self.say();
        }
    }

    fn line(&mut self) {
        if !self.partial.is_empty() {
            self.say();
        }
    }

    fn say(&mut self) {
        let call = self.call.get().map(String::as_str);
        match self.left.line() {
            0 => {}
            1 => self.voice.say(call, LogLevel::Warn, "it writes too much: the rest is left out"),
            _ => self.voice.say(call, self.level, &String::from_utf8_lossy(&self.partial)),
        }
        self.partial.clear();
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        self.line();
    }
}

impl IsTerminal for LogLines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogLines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LogLines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::SystemClock;

    use super::*;
    use crate::lines::Lines;

    #[test]
    fn bytes_are_bounded_whatever_the_lines() {
        let voice = Arc::new(Voice {
            plugin: "p".into(),
            lines: Arc::new(Lines::default()),
            clock: Arc::new(SystemClock),
        });
        let (call, left) = (Arc::default(), Arc::new(Left::default()));
        let level = LogLevel::Info;
        let stream = LogLines { voice, call, left, level, partial: Vec::new() };
        let (mut out, mut error) = (stream.clone(), stream.clone());
        out.take(&vec![b'x'; BYTES / 2]);
        error.take(&vec![b'x'; BYTES]);
        out.take(b"\nmore\n");
        drop((out, error));
        let said = stream.voice.lines.since(0);
        let last = said.last().unwrap();
        assert_eq!(last.text, "it writes too much: the rest is left out");
        let written = u64::try_from(BYTES / LINE).unwrap();
        assert!(last.number <= written + 1, "{}", last.number);
    }
}
