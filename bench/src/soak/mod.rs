//! `bench soak`: the memory of every process over a long mixed load, with attackers in it.
//!
//! A victim's runs go on at a steady pace while two attackers of one account go through all attacks of
//! `bench neighbours`, one from the beginning and one from the middle of the list. They do so in rounds of the same
//! attacks, so that the rounds can be compared with each other. It looks for memory that grows from round to
//! round: the command fails when the last rounds need noticeably more than the early ones, when a process ended, or when a
//! run of the victim failed or lost a lease.

mod memory;

use std::{
    cell::RefCell,
    error::Error,
    time::{Duration, Instant},
};

use self::memory::{MIB, ProcessMemory, Samples};
use crate::{
    machine,
    neighbours::{ATTACKS, Attacker},
    servers::Servers,
    subjects::{Embedded, Production, Team},
};

/// What can be soaked.
const NAMES: [&str; 2] = ["embedded", "production"];
/// For how long each mode is soaked when nobody says.
const DEFAULT_MINUTES: u64 = 5;
/// The longest: an account may own twenty teams, and each round takes a new one.
const MAX_MINUTES: u64 = 24 * 60;
/// How often the victim starts a run.
const PACE: Duration = Duration::from_millis(500);
/// How often memory is read.
const READ: Duration = Duration::from_secs(1);
/// How much more the last rounds may need than the early ones: a tenth, and what an allocator keeps by chance.
const SLACK: u64 = 24 * MIB;

/// Soaks what is named, both modes when nothing is, and prints.
pub(crate) async fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (named, minutes) = parse(arguments)?;
    let wanted = |name: &str| named.is_empty() || named.iter().any(|given| given == name);
    let plan = Plan::of(Duration::from_secs(minutes * 60));
    println!(
        "| what | round | minutes | victim's runs | failed | process | memory, mean | highest |\n|---|---|---|---|---|---|---|---|"
    );
    let mut faults = Vec::new();
    if wanted("embedded") {
        let embedded = Embedded::start().await?;
        let installation = Installation {
            name: "embedded",
            url: embedded.url(),
            memory: ProcessMemory::of(vec![("dev", embedded.id())]),
            team: embedded.team(),
        };
        faults.extend(installation.soak(plan).await?);
        embedded.stop().await;
    }
    if wanted("production") {
        let production = Production::start(1, &Servers::find().await?).await?;
        let installation = Installation {
            name: "production",
            url: production.url(),
            memory: ProcessMemory::of(production.processes()),
            team: production.team(),
        };
        faults.extend(installation.soak(plan).await?);
        crate::subjects::Subject::end(production).await?;
    }
    println!(
        "\n{} rounds of {} attacks, two at a time, {:.1} s each; the victim starts a run every {PACE:?}. Memory: resident set, \
         read every {READ:?}; \"sandboxes\" are all worker processes and what they are forked from, without the pages that they share.",
        plan.rounds,
        ATTACKS.len(),
        plan.each.as_secs_f64(),
    );
    for fact in machine::facts().into_iter().take(2) {
        println!("- {fact}");
    }
    if faults.is_empty() {
        println!("\nMemory stayed level, every run of the victim succeeded, and every process still runs.");
        return Ok(());
    }
    Err(faults.join("\n").into())
}

fn parse(arguments: &[String]) -> Result<(Vec<String>, u64), Box<dyn Error>> {
    let (mut named, mut minutes) = (Vec::new(), DEFAULT_MINUTES);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--minutes" {
            let number = arguments.next().and_then(|text| text.parse().ok());
            minutes = number
                .filter(|minutes| (1..=MAX_MINUTES).contains(minutes))
                .ok_or_else(|| format!("--minutes takes a whole number from 1 to {MAX_MINUTES}"))?;
        } else if NAMES.contains(&argument.as_str()) {
            named.push(argument.clone());
        } else {
            return Err(
                format!("cannot soak `{argument}`; usage: bench soak [embedded] [production] [--minutes N]").into()
            );
        }
    }
    Ok((named, minutes))
}

/// How the time is divided.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    /// The duration of each attack.
    each: Duration,
}

impl Plan {
    /// Rounds of about five minutes, at least six of them and at most eighteen.
    fn of(time: Duration) -> Self {
        let rounds = usize::try_from(time.as_secs() / 300).unwrap_or(usize::MAX).clamp(6, 18);
        let attacks = u32::try_from(rounds * ATTACKS.len()).unwrap_or(u32::MAX);
        Self { rounds, each: time / attacks }
    }
}

/// What is soaked.
struct Installation<'a> {
    name: &'static str,
    url: String,
    memory: ProcessMemory,
    team: &'a Team,
}

/// What the victim saw within a round.
#[derive(Default)]
struct Victim {
    runs: usize,
    failures: Vec<String>,
}

impl Installation<'_> {
    /// Goes through the plan, prints a row for each process and round, and gives what did not hold.
    async fn soak(&self, plan: Plan) -> Result<Vec<String>, Box<dyn Error>> {
        let start = Instant::now();
        let victim = RefCell::new(Victim::default());
        let samples = RefCell::new(Samples::default());
        let mut rounds: Vec<Samples> = Vec::new();
        let mut faults = Vec::new();
        let attacking = async {
            for round in 1..=plan.rounds {
                // A team of its own for each round: what a quota refuses costs nothing, and would soak nothing.
                let attacker = &Attacker::new(&self.url).await?;
                let half = ATTACKS.len() / 2;
                for number in 0..ATTACKS.len() {
                    let one = |shift: usize| {
                        let (name, attack) = ATTACKS[(number + shift) % ATTACKS.len()];
                        // An attack that a busy installation refuses is retried until its time is over.
                        async move {
                            loop {
                                if attacker.attack(name, attack).await.is_err() {
                                    tokio::time::sleep(PACE).await;
                                }
                            }
                        }
                    };
                    let _ = tokio::time::timeout(plan.each, async { tokio::join!(one(0), one(half)) }).await;
                    // The next attack does not wait for what this one left running to be cancelled.
                    let _ = tokio::time::timeout(plan.each, attacker.leave_off()).await;
                }
                let (seen, samples) = (victim.take(), samples.take());
                self.rows(round, start.elapsed(), &seen, &samples);
                faults.extend(seen.failures.iter().map(|failure| format!("{}: {failure}", self.name)));
                rounds.push(samples);
            }
            Ok::<_, Box<dyn Error>>(())
        };
        tokio::select! {
            attacked = attacking => attacked?,
            () = self.live(&victim) => {}
            read = self.read(&samples) => read?,
        }
        faults.extend(grown(&rounds).into_iter().map(|fault| format!("{}: {fault}", self.name)));
        Ok(faults)
    }

    /// The victim's runs.
    async fn live(&self, victim: &RefCell<Victim>) {
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let ended = self.team.run_once().await;
            let mut victim = victim.borrow_mut();
            victim.runs += 1;
            if let Err(error) = ended {
                victim.failures.push(format!("a run of the victim: {error}"));
            }
        }
    }

    async fn read(&self, samples: &RefCell<Samples>) -> Result<(), Box<dyn Error>> {
        let mut pace = tokio::time::interval(READ);
        loop {
            pace.tick().await;
            let read = self.memory.read()?;
            samples.borrow_mut().add(read);
        }
    }

    fn rows(&self, round: usize, since: Duration, victim: &Victim, samples: &Samples) {
        for (process, mean, highest) in samples.summary() {
            println!(
                "| {} | {round} | {:.1} | {} | {} | {process} | {} MiB | {} MiB |",
                self.name,
                since.as_secs_f64() / 60.0,
                victim.runs,
                victim.failures.len(),
                mean / MIB,
                highest / MIB,
            );
        }
    }
}

/// The processes that need more in the last third of the rounds than in the second, by their means. The first third is
/// left out: caches fill, and allocators take what they keep.
fn grown(rounds: &[Samples]) -> Vec<String> {
    let third = rounds.len() / 3;
    let mean = |rounds: &[Samples], process: &str| {
        let means: Vec<_> = rounds
            .iter()
            .filter_map(|round| round.summary().into_iter().find(|(name, ..)| *name == process))
            .map(|(_, mean, _)| mean)
            .collect();
        means.iter().sum::<u64>() / u64::try_from(means.len()).unwrap_or(1).max(1)
    };
    let Some(last) = rounds.last() else { return Vec::new() };
    let (middle, late) = (&rounds[third..rounds.len() - third], &rounds[rounds.len() - third..]);
    last.summary()
        .into_iter()
        .filter_map(|(process, ..)| {
            let (before, after) = (mean(middle, process), mean(late, process));
            let allowed = before + before / 10 + SLACK;
            (after > allowed)
                .then(|| format!("the memory of `{process}` grew from {} to {} MiB", before / MIB, after / MIB))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(means: &[u64]) -> Vec<Samples> {
        let sampled = |mean: &u64| {
            let mut samples = Samples::default();
            samples.add(vec![("dev", mean * MIB)]);
            samples
        };
        means.iter().map(sampled).collect()
    }

    #[test]
    fn growth_is_found_and_warming_up_is_not() {
        assert_eq!(grown(&rounds(&[100, 200, 210, 205, 215, 205])), Vec::<String>::new());
        assert_eq!(grown(&rounds(&[100, 150, 200, 250, 300, 350])), ["the memory of `dev` grew from 225 to 325 MiB"]);
        assert_eq!(grown(&[]), Vec::<String>::new());
    }

    #[test]
    fn the_time_is_divided_among_all_attacks() {
        let plan = Plan::of(Duration::from_hours(1));
        assert_eq!(plan.rounds, 12);
        let all = plan.each * u32::try_from(plan.rounds * ATTACKS.len()).unwrap();
        assert!(Duration::from_secs(3599) < all && all <= Duration::from_hours(1));
    }

    #[test]
    fn arguments_are_checked() {
        let parsed = |arguments: &[&str]| parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parsed(&[]).unwrap(), (vec![], DEFAULT_MINUTES));
        assert_eq!(parsed(&["embedded", "--minutes", "60"]).unwrap(), (vec!["embedded".to_owned()], 60));
        for wrong in [&["--minutes"][..], &["--minutes", "0"], &["--minutes", "x"], &["elsewhere"]] {
            assert!(parsed(wrong).is_err());
        }
    }
}
