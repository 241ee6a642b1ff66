//! lua-wasm-host/snapshot
fn main() {}
