//! `bench scripts`: programs in the sandbox beside native Lua.

use std::error::Error;
use std::time::Instant;

use crate::stats::{geometric_mean, millis, quantile};
use crate::{native, world};

/// The best of so many rounds: what else the machine does only ever adds.
const ROUNDS: usize = 7;

const PROGRAMS: [(&str, &str); 6] = [
    ("fib", include_str!("programs/fib.lua")),
    ("nbody", include_str!("programs/nbody.lua")),
    ("spectral-norm", include_str!("programs/spectral_norm.lua")),
    ("binary-trees", include_str!("programs/binary_trees.lua")),
    ("strings", include_str!("programs/strings.lua")),
    ("sort", include_str!("programs/sort.lua")),
];

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let engine = world::engine()?;
    println!("| best of {ROUNDS} | native Lua | sandbox, metered | ratio | fuel | ns for a unit |");
    println!("|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for (name, text) in PROGRAMS {
        let (mut natives, mut sandboxes) = (Vec::new(), Vec::new());
        let mut fuel = 0;
        for _ in 0..ROUNDS {
            natives.push(native::warm(text)?);
            let (invocation, host_context) = (world::script(text), world::host_context());
            let start = Instant::now();
            let outcome = engine.run(invocation, host_context).await;
            sandboxes.push(start.elapsed());
            outcome.result?;
            fuel = outcome.usage.fuel;
        }
        let (native, sandbox) = (quantile(&mut natives, 0.0), quantile(&mut sandboxes, 0.0));
        let ratio = sandbox.as_secs_f64() / native.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "for a table")]
        let unit = sandbox.as_secs_f64() * 1e9 / fuel as f64;
        println!("| {name} | {} | {} | {ratio:.2} | {fuel} | {unit:.2} |", millis(native), millis(sandbox));
        ratios.push(ratio);
    }
    println!("| geometric mean | | | {:.2} | | |", geometric_mean(&ratios));
    Ok(())
}
