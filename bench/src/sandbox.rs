//! `bench sandbox`: a fresh sandbox for each script.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::stats::{micros, quantile};
use crate::{native, world};

const ROUNDS: usize = 5_000;
const SCRIPT: &str = "return 1";

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let engine = world::engine()?;
    let compiled = start.elapsed();

    let mut sandboxes = Vec::with_capacity(ROUNDS);
    let mut natives = Vec::with_capacity(ROUNDS);
    // By turns, so that what else the machine does falls on both.
    for round in 0..ROUNDS + ROUNDS / 10 {
        let (invocation, host_context) = (world::script(SCRIPT), world::host_context());
        let start = Instant::now();
        engine.run(invocation, host_context).await.result?;
        let sandbox = start.elapsed();
        let native = native::cold(SCRIPT)?;
        if round >= ROUNDS / 10 {
            sandboxes.push(sandbox);
            natives.push(native);
        }
    }

    println!("| `{SCRIPT}`, {ROUNDS} times | median | p99 |");
    println!("|---|---|---|");
    row("fresh sandbox: made, run, dropped", &mut sandboxes);
    row("native Lua state: made, run, closed", &mut natives);
    println!("\nCompiling the guest took {compiled:.0?}, once for each process (or never, from the cache).");
    Ok(())
}

fn row(name: &str, samples: &mut [Duration]) {
    println!("| {name} | {} | {} |", micros(quantile(samples, 0.5)), micros(quantile(samples, 0.99)));
}
