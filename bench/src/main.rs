//! Benchmarks, each beside a peer measured in the same run.
//!
//! `cargo build --release --workspace && target/release/bench [COMMAND…]` (the server that is measured lies
//! beside it):
//! - `sandbox`: a cold sandbox for each of many trivial scripts, beside a bare native Lua state;
//! - `isolation`: sandboxes and host calls in worker processes beside those on threads;
//! - `scripts`: the speed of scripts in the sandbox, metered, beside native Lua;
//! - `pipeline`: from the request that starts a run to its end on the WebSocket, in embedded mode;
//! - `lists`: pages of long lists in embedded mode: 10,000 pipelines on a board, 1,000 members in a team;
//! - `identity`: whether the time of an answer says if an address has an account;
//! - `neighbours [embedded] [production]`: how much slower a team gets while another one attacks;
//!   run as `./with-services --durable target/release/bench neighbours`;
//! - `cancel [embedded] [production]`: how long after a cancel the slot is another run's;
//!   run as `./with-services --durable target/release/bench cancel`;
//! - `soak [embedded] [production] [--minutes N]`: memory over a long mixed load with attackers in it;
//!   run as `./with-services target/release/bench soak`;
//! - `services [embedded] [production] [bullmq] [celery]`: the same in both modes, beside BullMQ and Celery;
//!   run as `./with-services --durable target/release/bench services`.
//!
//! Without a command it is the first three. Each prints a Markdown table. Figures are of the machine it runs
//! on, and mean something only beside each other.

#![allow(clippy::print_stdout, reason = "it prints tables")]

mod cancel;
mod cpu;
mod identity;
mod isolation;
mod lists;
mod load;
mod machine;
mod native;
mod neighbours;
mod pipeline;
mod sandbox;
mod scripts;
mod servers;
mod services;
mod soak;
mod stats;
mod subjects;
mod table;
mod world;

use std::{error::Error, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    // Before there is a second thread: the worker processes of `isolation` are this program.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|command| command == "sandbox-worker") {
        lua_wasm_host::sandbox_worker();
    }
    let mut named: Vec<_> = std::env::args().skip(1).collect();
    // What follows these is what they measure.
    let takes_subjects = |name: &String| matches!(name.as_str(), "services" | "neighbours" | "cancel" | "soak");
    let place = named.iter().position(takes_subjects).map_or(named.len(), |place| place + 1);
    let subjects = named.split_off(place);
    let commands =
        if named.is_empty() { ["sandbox", "scripts", "pipeline"].map(str::to_owned).to_vec() } else { named };
    for command in commands {
        let done = match command.as_str() {
            "sandbox" => block_on(sandbox::run()),
            "isolation" => block_on(isolation::run()),
            "scripts" => block_on(scripts::run()),
            "pipeline" => block_on(pipeline::run()),
            "identity" => block_on(identity::run()),
            "lists" => block_on(lists::run()),
            "neighbours" => block_on(neighbours::run(&subjects)),
            "cancel" => block_on(cancel::run(&subjects)),
            "soak" => block_on(soak::run(&subjects)),
            "services" => block_on(services::run(&subjects)),
            _ => {
                eprintln!(
                    "usage: bench [sandbox] [isolation] [scripts] [pipeline] [lists] [identity] \
                     [neighbours [embedded] [production]] [cancel [embedded] [production]] \
                     [soak [embedded] [production] [--minutes N]] [services [embedded] [production] [bullmq] [celery]]"
                );
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
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Stopped from outside it ends what it started: those processes hear no Ctrl-C of the terminal.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            done = command => done,
            _ = interrupt.recv() => Err("interrupted".into()),
            _ = terminate.recv() => Err("terminated".into()),
        }
    })
}
