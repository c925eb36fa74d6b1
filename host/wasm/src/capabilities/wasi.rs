//! WASI, present but empty.
//!
//! Ordinary components link against it, so it has to be there: without files, arguments,
//! environment, sockets and name lookup. What is written to stdout and stderr becomes log
//! lines; the clocks stand still and random bytes repeat unless `clock` and `random` are
//! granted.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
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

/// The interfaces that are there.
pub(crate) const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// One instance's WASI.
pub(crate) struct Wasi {
    context: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) http: Option<Box<Http>>,
    /// The call whose lines these are. An instance may be made before there is one.
    call: Arc<OnceLock<String>>,
}

pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl Wasi {
    fn new(state: &State) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let call: Arc<OnceLock<String>> = Arc::default();
        if let Some(id) = &state.call {
            let _ = call.set(id.clone());
        }
        let mut context = WasiCtx::builder();
        context
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(u64::from(random::MOST))
            .stdout(LogLines::new(state, &call, LogLevel::Info))
            .stderr(LogLines::new(state, &call, LogLevel::Warn));
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
        Self { context: context.build(), table, http: None, call }
    }

    /// This instance's, made on first use: most guests never ask.
    pub(super) fn of(state: &mut State) -> &mut Self {
        let wasi = match state.wasi.take() {
            Some(wasi) => wasi,
            None => Box::new(Self::new(state)),
        };
        state.wasi.insert(wasi)
    }

    /// The call that this instance serves from now on.
    pub(crate) fn serves(&self, call: &str) {
        let _ = self.call.set(call.to_owned());
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = Wasi::of(self);
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
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

/// An output stream whose lines go to the plugin's log.
#[derive(Clone)]
struct LogLines {
    voice: Arc<Voice>,
    call: Arc<OnceLock<String>>,
    level: LogLevel,
    partial: Vec<u8>,
}

impl LogLines {
    fn new(state: &State, call: &Arc<OnceLock<String>>, level: LogLevel) -> Self {
        Self {
            voice: Arc::clone(&state.voice),
            call: Arc::clone(call),
            level,
            partial: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || self.partial.len() >= LINE {
                self.line();
            }
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
    }

    fn line(&mut self) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial);
            self.voice.say(self.call.get().map(String::as_str), self.level, &text);
            self.partial.clear();
        }
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
