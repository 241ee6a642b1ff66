//! `bench isolation`: what worker processes cost beside threads, and what changing the owner costs.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lua_wasm_host::{Engine, EngineConfig, HostContext, Isolation, Owner, ProcessConfig};

use crate::stats::{micros, quantile};
use crate::world;

const ROUNDS: usize = 3_000;
const CHAINS: usize = 500;
/// Calls of one sandbox, whose time is divided by their number.
const CALLS: u32 = 2_000;
const CALL_ROUNDS: usize = 50;
/// For how long throughput is counted.
const COUNTED: Duration = Duration::from_secs(3);
/// Sandboxes at once while it is.
const AT_ONCE: usize = 8;

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let engine = |isolation| Engine::new(EngineConfig { max_sandboxes: 16, cache_dir: None, isolation });
    let thread = engine(Isolation::Thread)?;
    let process = engine(Isolation::Process(ProcessConfig::this_program()))?;
    let engines = [&thread, &process];

    println!("| what | thread: median | p99 | process: median | p99 | a process costs |");
    println!("|---|---|---|---|---|---|");
    // By turns, so that what else the machine does falls on both.
    let mut cold = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (engine, samples) in engines.iter().zip(&mut cold) {
            let start = Instant::now();
            one(engine, "return 1", 1).await?;
            if round >= ROUNDS / 10 {
                samples.push(start.elapsed());
            }
        }
    }
    row("fresh sandbox, of the owner of the last one", &mut cold);
    let mut switched = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (engine, samples) in engines.iter().zip(&mut switched) {
            let start = Instant::now();
            one(engine, "return 1", 1 + (round % 100) as u128).await?;
            if round >= ROUNDS / 10 {
                samples.push(start.elapsed());
            }
        }
    }
    row("fresh sandbox, 100 owners in turn", &mut switched);
    let mut calls = [Vec::new(), Vec::new()];
    let call = format!("for i = 1, {CALLS} do os.time() end return 1");
    let nothing = format!("for i = 1, {CALLS} do math.abs(i) end return 1");
    for _ in 0..CALL_ROUNDS {
        for (engine, samples) in engines.iter().zip(&mut calls) {
            let mut took = [Duration::ZERO; 2];
            for (text, took) in [&call, &nothing].into_iter().zip(&mut took) {
                let start = Instant::now();
                one(engine, text, 1).await?;
                *took = start.elapsed();
            }
            samples.push(took[0].saturating_sub(took[1]) / CALLS);
        }
    }
    row("host call (the time)", &mut calls);
    let mut chains = [Vec::new(), Vec::new()];
    for _ in 0..CHAINS {
        for (engine, samples) in engines.iter().zip(&mut chains) {
            let start = Instant::now();
            for _ in 0..10 {
                one(engine, "return 1", 1).await?;
            }
            samples.push(start.elapsed());
        }
    }
    row("ten sandboxes, one after the other", &mut chains);

    println!("\n| sandboxes a second, {AT_ONCE} at once | one owner | 100 owners in turn |");
    println!("|---|---|---|");
    for (name, engine) in ["thread", "process"].into_iter().zip(engines) {
        println!("| {name} | {:.0} | {:.0} |", throughput(engine, 1).await?, throughput(engine, 100).await?);
    }
    if let Some(report) = process.isolation() {
        let notes = if report.notes.is_empty() { "nothing is missing".to_owned() } else { report.notes.join("; ") };
        println!("\nseccomp: {}, Landlock: {}; {notes}.", report.seccomp, report.landlock);
    }
    Ok(())
}

async fn one(engine: &Engine, text: &str, owner: u128) -> Result<(), Box<dyn Error>> {
    let host_context = HostContext { owner: Some(Owner(owner)), ..world::host_context() };
    engine.run(world::script(text), host_context).await.result?;
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
async fn throughput(engine: &Engine, owners: u128) -> Result<f64, Box<dyn Error>> {
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let start = Instant::now();
    let at_once = (0..AT_ONCE).map(|_| {
        let count = Arc::clone(&count);
        async move {
            while start.elapsed() < COUNTED {
                let number = u128::from(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                one(engine, "return 1", 1 + number % owners).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        }
    });
    futures_util::future::try_join_all(at_once).await?;
    Ok(count.load(std::sync::atomic::Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

fn row(name: &str, samples: &mut [Vec<Duration>; 2]) {
    let [thread, process] = samples;
    let medians = [quantile(thread, 0.5), quantile(process, 0.5)];
    println!(
        "| {name} | {} | {} | {} | {} | {} |",
        micros(medians[0]),
        micros(quantile(thread, 0.99)),
        micros(medians[1]),
        micros(quantile(process, 0.99)),
        micros(medians[1].saturating_sub(medians[0])),
    );
}
