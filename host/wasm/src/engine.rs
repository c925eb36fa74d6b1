//! The engine and its clock tick.
//!
//! Owns every setting of wasmtime. A tick interrupts guests every [`Limits::TICK`]; the
//! ticking thread sleeps while no guest runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Result,
};

use crate::{Allocation, Limits};

/// Linear memory that a slot of the pool keeps: resetting it is a copy, not a system call, and
/// whoever comes next finds it there without a fault for each page.
const KEPT: usize = 128 << 10;
/// The same where the system tells which pages were written, so that only those are copied:
/// enough for a language's own heap.
const KEPT_WRITTEN: usize = 8 << 20;
/// Slots that keep it; the memory an idle gateway holds is at most this times [`KEPT`].
const WARM: u32 = 16;
/// Ticks without any guest after which the ticking thread goes to sleep.
const IDLE_TICKS: u32 = 200;

/// Core instances, memories and tables that one component may have, each.
const PARTS: u32 = 16;
/// Memories that the pool has for each place.
const MEMORIES: u32 = 2;

pub(crate) fn engine(allocation: Allocation) -> Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        // One core: whoever is served meanwhile needs the others.
        .parallel_compilation(false)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_max_frames(None)
        // Nobody reads where in the file a place in the code came from, or unwinds a guest:
        // without either, compiled code is a tenth smaller and is registered at no cost.
        .generate_address_map(false)
        .native_unwind_info(cfg!(windows))
        .max_wasm_stack(Limits::STACK)
        .async_stack_size(Limits::STACK * 2)
        .memory_init_cow(true);
    match allocation {
        Allocation::Pooling { instances } => {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        }
        Allocation::OnDemand => {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
    }
    Engine::new(&config)
}

/// Places in the pool that an instance with so many memories takes; where they cannot be
/// told, as many as it can take.
pub(crate) fn places(memories: Option<u32>) -> u32 {
    memories.map_or(PARTS, |memories| memories.min(PARTS)).div_ceil(MEMORIES).max(1)
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    // A component that was not written for us may consist of several core modules. These and
    // tables take little room, so there are enough for every instance; memories are reserved
    // by the gigabyte, so an instance with more of them takes several places.
    let parts = instances.saturating_mul(PARTS);
    let scans = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(parts)
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(parts)
        .total_stacks(instances)
        .max_memories_per_component(PARTS)
        .max_tables_per_component(PARTS)
        .max_core_instances_per_component(PARTS)
        .max_memory_size(Limits::CONNECTOR.memory.max(256 << 20))
        .table_elements(Limits::CONNECTOR.table_elements)
        .linear_memory_keep_resident(if scans { KEPT_WRITTEN } else { KEPT })
        .table_keep_resident(4 << 10)
        .max_unused_warm_slots(WARM)
        .pagemap_scan(if scans { Enabled::Yes } else { Enabled::No });
    pool
}

/// Advances the engine's epoch while guests run.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let engine = engine.clone();
        let seen = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("tidegate-ticks".into())
            .stack_size(64 << 10)
            .spawn(move || tick(&engine, &seen))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Keeps the ticks coming until the result is dropped.
    pub(crate) fn running(self: &Arc<Self>) -> Running {
        // Both sides use one total order: either this sees a sleeper, or the sleeper sees this.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(self))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A guest is running.
#[derive(Debug)]
pub(crate) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        thread::sleep(Limits::TICK);
        engine.increment_epoch();
        idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle > IDLE_TICKS {
            idle = 0;
            shared.asleep.store(true, Ordering::SeqCst);
            while shared.running.load(Ordering::SeqCst) == 0 && !shared.ended.load(Ordering::SeqCst)
            {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
        }
    }
}
