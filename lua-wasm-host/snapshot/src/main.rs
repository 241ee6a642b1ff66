//! Takes the snapshot of the Lua guest: runs its `initialize` and writes the module as it is then,
//! so that no run has to make an interpreter.
//!
//! `lua-wasm-host-snapshot RAW.wasm SNAPSHOT.wasm`; called by `guest/build.sh`. The same input gives
//! the same output on every machine: the world the guest sees while it initialises is constant.

use std::error::Error;
use std::process::ExitCode;

use futures_util::FutureExt;
use wasmtime::{Caller, Config, Engine, Extern, ExternType, Func, Instance, Linker, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [raw, snapshot] = arguments.as_slice() else {
        eprintln!("usage: lua-wasm-host-snapshot RAW.wasm SNAPSHOT.wasm");
        return ExitCode::from(2);
    };
    match take(raw, snapshot) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot take the snapshot of {raw}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take(raw: &str, snapshot: &str) -> Result<(), Box<dyn Error>> {
    let wasm = std::fs::read(raw)?;
    let mut config = Config::new();
    config.wasm_exceptions(true).cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config)?;
    let mut store = Store::new(&engine, ());
    let mut wizer = Wizer::new();
    wizer.init_func("initialize");
    let (context, instrumented) = wizer.instrument(&wasm)?;
    let module = Module::new(&engine, instrumented)?;
    let mut linker = Linker::new(&engine);
    constant_world(&mut linker, &mut store, &module)?;
    let instance = linker.instantiate(&mut store, &module)?;
    for name in ["_initialize", "initialize"] {
        instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ())?;
    }
    let mut state = State { store, instance };
    let taken = wizer.snapshot(&context, &mut state).now_or_never().ok_or("a snapshot that waits")??;
    std::fs::write(snapshot, taken)?;
    Ok(())
}

/// The initialised guest, for wizer to read. (Its own implementation of this brings features of
/// wasmtime that nothing else here needs.)
struct State {
    store: Store<()>,
    instance: Instance,
}

impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        match self.instance.get_global(&mut self.store, name).map(|global| global.get(&mut self.store)) {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value),
            Some(Val::F64(value)) => SnapshotVal::F64(value),
            other => panic!("the global {name} cannot be part of a snapshot: {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.instance.get_memory(&mut self.store, name) {
            Some(memory) => contents(memory.data(&self.store)),
            None => panic!("the guest has no memory {name}"),
        }
    }
}

/// Imports that always answer the same: what a process cannot start without succeeds with nothing,
/// time stands at 0, randomness is zeros, and all else is an error.
fn constant_world(linker: &mut Linker<()>, store: &mut Store<()>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            wasmtime::bail!("the guest imports {}.{}, which is not a function", import.module(), import.name());
        };
        let name = import.name().to_owned();
        let stub = Func::new(&mut *store, ty, move |mut caller, arguments, results| {
            match name.as_str() {
                "environ_sizes_get" => {
                    write(&mut caller, arguments.first(), &[0; 4])?;
                    write(&mut caller, arguments.get(1), &[0; 4])?;
                }
                "environ_get" => {}
                "clock_time_get" => write(&mut caller, arguments.get(2), &[0; 8])?,
                "random_get" => {
                    let length = arguments.get(1).and_then(Val::i32).unwrap_or_default();
                    write(&mut caller, arguments.first(), &vec![0; usize::try_from(length)?])?;
                }
                "fd_write" => print_message(&mut caller, arguments)?,
                _ => wasmtime::bail!("{name} was called while initialising"),
            }
            if let Some(result) = results.first_mut() {
                *result = Val::I32(0);
            }
            Ok(())
        });
        linker.define(&mut *store, import.module(), import.name(), stub)?;
    }
    Ok(())
}

fn write(caller: &mut Caller<'_, ()>, at: Option<&Val>, bytes: &[u8]) -> wasmtime::Result<()> {
    let at = at.and_then(Val::i32).unwrap_or_default();
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory.write(caller, usize::try_from(at)?, bytes)?),
        _ => wasmtime::bail!("the guest exports no memory"),
    }
}

/// The guest's panic message, for whoever builds it.
fn print_message(caller: &mut Caller<'_, ()>, arguments: &[Val]) -> wasmtime::Result<()> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("the guest exports no memory");
    };
    let number = |index: usize| {
        arguments.get(index).and_then(Val::i32).and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
    };
    let data = memory.data(&*caller);
    let word =
        |at: usize| data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    let mut written = 0;
    for index in 0..number(2) {
        let (start, length) = (word(number(1) + 8 * index), word(number(1) + 8 * index + 4));
        eprint!("{}", String::from_utf8_lossy(data.get(start..start + length).unwrap_or_default()));
        written += length;
    }
    write(caller, arguments.get(3), &u32::try_from(written)?.to_le_bytes())
}
