//! The table of runs: a row for each subject and number of steps.

use std::{error::Error, time::Duration};

use crate::{
    load::{Figures, Load},
    stats::{millis, quantile},
    subjects::Subject,
};

const STEPS: [usize; 2] = [1, 10];
const IN_FLIGHT: [usize; 3] = [1, 10, 50];

/// Prints the head.
pub(crate) fn head() {
    println!(
        "| what | steps | median | p99 | of | /s, 1 in flight | /s, 10 | /s, 50 | generator's CPU | services' CPU | \
         Redis' CPU | Postgres' CPU |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
}

/// Measures a subject with every load, prints its rows, and ends it.
pub(crate) async fn rows<S: Subject>(mut subject: S) -> Result<(), Box<dyn Error>> {
    for steps in STEPS {
        let mut all = Vec::new();
        for in_flight in IN_FLIGHT {
            all.push(subject.take(Load { steps, in_flight }).await?);
        }
        if let [alone, some, many] = all.as_mut_slice() {
            print(&subject.name(), steps, alone, some, many);
        }
    }
    subject.end().await
}

/// What stands under the table.
pub(crate) fn legend() {
    println!(
        "\nmedian, p99: from the request to the known end, 1 in flight, of so many runs. \
         /s: runs, flows or chains that ended in a second, {:?} each after a warm-up of {:?} under the same load. \
         CPU: user and system time for each run with 50 in flight; the generator makes the requests and waits for the \
         ends. All of it shares one machine.",
        Load::WINDOW,
        Load::WARM_UP,
    );
}

fn print(name: &str, steps: usize, alone: &mut Figures, some: &Figures, many: &Figures) {
    let count = alone.times.len();
    let (median, p99) = (quantile(&mut alone.times, 0.5), quantile(&mut alone.times, 0.99));
    let spent = &many.spent;
    let cpu = [Some(spent.generator), Some(spent.services), spent.redis, spent.postgres];
    let [generator, services, redis, postgres] =
        cpu.map(|spent: Option<Duration>| spent.and_then(|spent| many.each(spent)).map_or("–".to_owned(), millis));
    println!(
        "| {name} | {steps} | {} | {} | {count} | {:.0} | {:.0} | {:.0} | {generator} | {services} | {redis} | {postgres} |",
        millis(median),
        millis(p99),
        alone.rate(),
        some.rate(),
        many.rate(),
    );
}
