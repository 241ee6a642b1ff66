//! Benchmarks, each beside a peer measured in the same run.
//!
//! `cargo build --release && cargo run --release -p bench [-- COMMAND…]` (the first builds the server that
//! `pipeline` measures):
//! - `sandbox`: a cold sandbox for each of many trivial scripts, beside a bare native Lua state;
//! - `scripts`: the speed of scripts in the sandbox, metered, beside native Lua;
//! - `pipeline`: from the request that starts a run to its end on the WebSocket.
//!
//! Each prints a Markdown table. Figures are of the machine it runs on, and mean something only
//! beside each other.

#![allow(clippy::print_stdout, reason = "it prints tables")]

mod native;
mod pipeline;
mod sandbox;
mod scripts;
mod stats;
mod world;

use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let named: Vec<_> = std::env::args().skip(1).collect();
    let commands =
        if named.is_empty() { ["sandbox", "scripts", "pipeline"].map(str::to_owned).to_vec() } else { named };
    for command in commands {
        let done = match command.as_str() {
            "sandbox" => block_on(sandbox::run()),
            "scripts" => block_on(scripts::run()),
            "pipeline" => block_on(pipeline::run()),
            _ => {
                eprintln!("usage: bench [sandbox] [scripts] [pipeline]; all of them unless named");
                return ExitCode::from(2);
            }
        };
        if let Err(error) = done {
            eprintln!("bench {command}: {error}");
            return ExitCode::FAILURE;
        }
        println!();
    }
    ExitCode::SUCCESS
}

fn block_on(command: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
