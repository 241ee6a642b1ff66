//! From the guest's bytes to machine code.

use std::path::Path;
use std::sync::Arc;

use wasmtime::{Collector, Config, InstanceAllocationStrategy, Module, OptLevel, PoolingAllocationConfig};

use crate::{Clock, EngineError, Entropy, HostContext, Level, Limits, Sink, StepError, cache};

/// Stack of the guest, bytes.
const WASM_STACK: usize = 512 * 1024;

/// Stack of the fiber a guest and the host functions it calls run on, bytes: far more than the
/// guest's, because a host function that overflows it ends the process.
const FIBER_STACK: usize = 2 * 1024 * 1024;

/// Bytes at the start of a memory, a table and a stack that are overwritten between two sandboxes instead of being
/// given back to the system: what a usual script touches. Two thirds of the time of a short run otherwise go into
/// page errors. (The kernel could say which pages those are, which is quicker still, but wasmtime calls that way
/// not settled, and this is the wall between tenants.)
pub(crate) const MEMORY_KEPT: usize = 2 * 1024 * 1024;
const TABLE_KEPT: usize = 64 * 1024;
const STACK_KEPT: usize = 32 * 1024;

/// An engine whose sandboxes are pooled, metered, deterministic, and have no proposal of WebAssembly
/// that the guest does not need.
pub(crate) fn engine(max_sandboxes: u32, memory_kept: usize) -> wasmtime::Result<wasmtime::Engine> {
    let mut pool = PoolingAllocationConfig::new();
    // A second memory for each store is the heap that exceptions lie in.
    pool.total_core_instances(max_sandboxes)
        .total_memories(max_sandboxes.saturating_mul(2))
        .total_gc_heaps(max_sandboxes)
        .total_tables(max_sandboxes)
        .total_stacks(max_sandboxes)
        .table_elements(10_000)
        .linear_memory_keep_resident(memory_kept)
        .table_keep_resident(TABLE_KEPT)
        .async_stack_keep_resident(STACK_KEPT)
        // A slot that was used keeps memory: a free one of those is taken before one that never was.
        .max_unused_warm_slots(0)
        .max_memory_size(usize::try_from(Limits::HARD_MAX.memory_bytes)?);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .async_stack_zeroing(true)
        .wasm_backtrace_max_frames(None)
        .wasm_exceptions(true)
        .collector(Collector::DeferredReferenceCounting)
        .wasm_simd(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_extended_const(false)
        .wasm_gc(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false);
    wasmtime::Engine::new(&config)
}

/// The guest's module.
pub(crate) fn guest(
    engine: &wasmtime::Engine,
    wasm: &[u8],
    id: &str,
    cache_dir: Option<&Path>,
) -> Result<Module, EngineError> {
    match cache_dir {
        Some(folder) => cache::load_or_compile(engine, wasm, id, folder),
        None => Module::new(engine, wasm).map_err(|error| EngineError::new("compiling the guest", error)),
    }
}

/// A host context for sandboxes that only compile.
pub(crate) fn compile_only_context() -> HostContext {
    struct NullAmbient;
    impl Clock for NullAmbient {
        fn now_micros(&self) -> i64 {
            0
        }
    }
    impl Entropy for NullAmbient {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }
    impl Sink for NullAmbient {
        fn line(&self, _: Level, _: &str) -> Result<(), StepError> {
            Ok(())
        }
        fn progress(&self, _: f64, _: Option<&str>) {}
    }
    HostContext::new(Arc::new(NullAmbient), Arc::new(NullAmbient), Arc::new(NullAmbient))
}
