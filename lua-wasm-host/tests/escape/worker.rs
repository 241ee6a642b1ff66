//! A program whose only purpose is to be a worker process of the tests, honest or taken over.

#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(target_os = "linux")]
mod attacks;

#[cfg(target_os = "linux")]
fn main() {
    match std::env::args().nth(1).as_deref() {
        // Workers that execute what they are sent, as if a guest had broken out of WebAssembly.
        Some("escaped") => lua_wasm_host::sandbox_worker_with(attacks::obey),
        _ => lua_wasm_host::sandbox_worker(),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
