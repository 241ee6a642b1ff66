//! `bench neighbours`: a victim's trivial runs and `/healthz`, one after another, while another team attacks at full
//! speed; beside them the same on the idle installation, measured just before.
//!
//! The aim is a p99 of at most three times that of the idle installation, on two cores.

mod attacks;
mod probe;

use std::{error::Error, time::Duration};

pub(crate) use self::attacks::{ATTACKS, Attacker};
use self::probe::Probe;
use crate::{
    load::{Figures, Load},
    machine,
    servers::Servers,
    stats::{millis, quantile},
    subjects::{Embedded, Production, Subject},
};

/// What the victim does: one run of one step at a time.
const VICTIM: Load = Load { steps: 1, in_flight: 1 };
/// What can be measured.
const NAMES: [&str; 2] = ["embedded", "production"];
/// How long what an attack left behind may take to end.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures what is named, both modes when nothing is, and prints.
pub(crate) async fn run(named: &[String]) -> Result<(), Box<dyn Error>> {
    if let Some(unknown) = named.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("there is no `{unknown}` to measure; there are {}", NAMES.join(", ")).into());
    }
    println!(
        "| what | attack | runs | run, median | run, p99 | × idle | `/healthz`, p99 | × idle |\n|---|---|---|---|---|---|---|---|"
    );
    let wanted = |name: &str| named.is_empty() || named.iter().any(|given| given == name);
    if wanted("embedded") {
        let embedded = Embedded::start().await?;
        measure(embedded.url(), embedded).await?;
    }
    if wanted("production") {
        let production = Production::start(1, &Servers::find().await?).await?;
        measure(production.url(), production).await?;
    }
    println!(
        "\nOne run of one step at a time, from the request to its known end, and one `GET /healthz` every {:?}, for {:?} \
         each after {:?} of the same. × idle: beside the row \"none\" of the same installation.",
        probe::EVERY,
        Load::WINDOW,
        Load::WARM_UP,
    );
    for fact in machine::facts() {
        println!("- {fact}");
    }
    Ok(())
}

async fn measure<S: Subject>(url: String, mut subject: S) -> Result<(), Box<dyn Error>> {
    let attacker = Attacker::new(&url).await?;
    let idle = beside(&mut subject, &url, std::future::pending()).await?;
    row(&subject.name(), "none", &idle, &idle);
    for (name, attack) in ATTACKS {
        let measured = beside(&mut subject, &url, attacker.attack(name, *attack)).await?;
        row(&subject.name(), name, &measured, &idle);
        attacker.leave_off().await?;
        tokio::time::sleep(SETTLE).await;
    }
    subject.end().await
}

/// What the victim saw.
struct Seen {
    runs: usize,
    median: Duration,
    p99: Duration,
    health: Duration,
}

/// The victim's load, and the probe, beside something that is active for as long.
async fn beside<S: Subject>(
    subject: &mut S,
    url: &str,
    attack: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<Seen, Box<dyn Error>> {
    let probe = Probe::new(url)?;
    let measured = async { tokio::try_join!(subject.take(VICTIM), probe.run()) };
    let (Figures { mut times, .. }, mut health) = tokio::select! {
        measured = measured => measured?,
        ended = attack => return Err(format!("an attack ended: {ended:?}").into()),
    };
    Ok(Seen {
        runs: times.len(),
        median: quantile(&mut times, 0.5),
        p99: quantile(&mut times, 0.99),
        health: quantile(&mut health, 0.99),
    })
}

fn row(name: &str, attack: &str, seen: &Seen, idle: &Seen) {
    let times = |now: Duration, idle: Duration| now.as_secs_f64() / idle.as_secs_f64().max(1e-6);
    println!(
        "| {name} | {attack} | {} | {} | {} | {:.1} | {} | {:.1} |",
        seen.runs,
        millis(seen.median),
        millis(seen.p99),
        times(seen.p99, idle.p99),
        millis(seen.health),
        times(seen.health, idle.health),
    );
}
