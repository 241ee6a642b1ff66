//! Makes what lua-src expects of a WASI sysroot and Rust's own does not have: the libraries
//! `wasi-emulated-signal` (two stubs) and `setjmp` (here: Lua's errors as WebAssembly exceptions).

fn main() {
    println!("cargo:rerun-if-changed=c");
    cc::Build::new().file("c/throw.s").compile("setjmp");
    cc::Build::new().file("c/signal.c").flag("-D_WASI_EMULATED_SIGNAL").compile("wasi-emulated-signal");
}
