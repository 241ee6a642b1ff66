//! The WASI functions that the guest's C and Rust libraries import. A run needs none of them: what
//! Lua would ask of them goes through host calls. They are there because a module's imports must be.

use wasmtime::{Caller, ExternType, Linker, Module};

use crate::sandbox::SandboxState;

/// Defines every `wasi_snapshot_preview1` import of `module`: `fd_write` keeps a panic's message
/// ([`SandboxState::append_stderr`]), all others trap.
pub(crate) fn define(linker: &mut Linker<SandboxState>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports().filter(|import| import.module() == "wasi_snapshot_preview1") {
        if import.name() == "fd_write" {
            linker.func_wrap(import.module(), import.name(), fd_write)?;
            continue;
        }
        let ExternType::Func(ty) = import.ty() else {
            wasmtime::bail!("the guest imports {}, which is not a function", import.name());
        };
        let name = import.name().to_owned();
        linker.func_new(import.module(), import.name(), ty, move |_, _, _| {
            wasmtime::bail!("the guest called {name}, which a sandbox does not have")
        })?;
    }
    Ok(())
}

/// What is written goes to the note, and counts as written.
fn fd_write(
    mut caller: Caller<'_, SandboxState>,
    _fd: i32,
    vectors: u32,
    count: u32,
    written: u32,
) -> wasmtime::Result<i32> {
    let memory = caller.data().memory()?;
    let (data, state) = memory.data_and_store_mut(&mut caller);
    let word = |at: usize| -> usize {
        data.get(at..at.saturating_add(4)).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
            as usize
    };
    let mut total: u32 = 0;
    for index in 0..(count as usize).min(16) {
        let entry = vectors as usize + 8 * index;
        let (start, length) = (word(entry), word(entry + 4));
        state.append_stderr(data.get(start..start.saturating_add(length)).unwrap_or_default());
        total = total.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
    }
    memory.write(&mut caller, written as usize, &total.to_le_bytes())?;
    Ok(0)
}
