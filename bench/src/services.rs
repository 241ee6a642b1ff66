//! `bench services`: Restroy in both modes beside its peers, on one Redis, one after another.

use std::error::Error;

use crate::{
    machine,
    servers::Servers,
    subjects::{BullMq, Celery, Embedded, Peer, Pool, Production, Subject},
    table,
};

/// What can be measured, by the names it is asked for with, in the order of the table.
const NAMES: [&str; 4] = ["embedded", "production", "bullmq", "celery"];

/// Measures what is named, everything when nothing is, and prints. A subject that cannot be started is
/// left out, and said.
pub(crate) async fn run(named: &[String]) -> Result<(), Box<dyn Error>> {
    if let Some(unknown) = named.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("there is no `{unknown}` to measure; there are {}", NAMES.join(", ")).into());
    }
    let servers = Servers::find().await?;
    let mut report = Report::default();
    table::head();
    for name in NAMES.iter().filter(|name| named.is_empty() || named.iter().any(|named| named == *name)) {
        match *name {
            "embedded" => report.measure(name, Embedded::start().await).await,
            "production" => {
                for size in [1, 2] {
                    report.measure(name, Production::start(size, &servers).await).await;
                }
            }
            "bullmq" => {
                for workers in [1, 2] {
                    report.measure(name, Peer::start(BullMq { workers }, &servers).await).await;
                }
            }
            _ => {
                for pool in [Pool::Threads, Pool::Prefork] {
                    report.measure(name, Peer::start(Celery { pool }, &servers).await).await;
                }
            }
        }
    }
    table::legend();
    println!();
    for fact in machine::facts().iter().chain(&servers.facts).chain(&report.settings) {
        println!("- {fact}");
    }
    if report.missing.is_empty() { Ok(()) } else { Err(report.missing.join("\n").into()) }
}

/// What is said under the table.
#[derive(Default)]
struct Report {
    settings: Vec<String>,
    missing: Vec<String>,
}

impl Report {
    async fn measure<S: Subject>(&mut self, name: &str, started: Result<S, Box<dyn Error>>) {
        let done = match started {
            Ok(subject) => {
                self.settings.push(format!("{}: {}", subject.name(), subject.setting()));
                table::rows(subject).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            eprintln!("{name} is not measured: {error}");
            self.missing.push(format!("{name} was not measured: {error}"));
        }
    }
}
