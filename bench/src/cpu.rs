//! Processor time of processes, from `/proc` (proc(5)).

use std::{collections::HashMap, fs, time::Duration};

/// A tick of `/proc/PID/stat`: Linux shows user space a hundred a second.
const TICK: Duration = Duration::from_millis(10);

/// Whose processor time is distinguished: processes, each with all that descend from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// What makes the load and waits for its end; itself alone, since it may have started the services.
    pub(crate) generator: u32,
    /// What does the work.
    pub(crate) services: Vec<u32>,
    /// The Redis they stand on, when it runs on this machine.
    pub(crate) redis: Vec<u32>,
    /// The Postgres they stand on, when it runs on this machine.
    pub(crate) postgres: Vec<u32>,
}

/// Processor time so far, user and system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) generator: Duration,
    pub(crate) services: Duration,
    /// None where there is none, or it runs elsewhere.
    pub(crate) redis: Option<Duration>,
    /// None where there is none, or it runs elsewhere.
    pub(crate) postgres: Option<Duration>,
}

impl Meter {
    /// Reads all at one time. Processes that came and went count with the one that waited for them.
    pub(crate) fn read(&self) -> Spent {
        let table = table();
        let all = |roots: &[u32]| roots.iter().map(|root| family(&table, *root)).sum::<Duration>();
        Spent {
            generator: table.get(&self.generator).map_or(Duration::ZERO, |stat| stat.own),
            services: all(&self.services),
            redis: (!self.redis.is_empty()).then(|| all(&self.redis)),
            postgres: (!self.postgres.is_empty()).then(|| all(&self.postgres)),
        }
    }
}

impl Spent {
    /// What was spent since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let both = |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Self {
            generator: self.generator.saturating_sub(earlier.generator),
            services: self.services.saturating_sub(earlier.services),
            redis: both(self.redis, earlier.redis),
            postgres: both(self.postgres, earlier.postgres),
        }
    }
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    Some(stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.parent)
}

/// The name of a process's program.
pub(crate) fn program(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

struct Stat {
    parent: u32,
    own: Duration,
    /// Of children that were waited for.
    children: Duration,
}

/// The fields after the program's name, which may itself hold spaces and brackets.
fn stat(line: &str) -> Option<Stat> {
    let fields: Vec<_> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let sum = |from: usize| -> Option<Duration> {
        let ticks = fields.get(from..from + 2)?.iter().map(|field| field.parse::<u32>().ok()).sum::<Option<u32>>()?;
        Some(TICK * ticks)
    };
    Some(Stat { parent, own: sum(11)?, children: sum(13)? })
}

fn table() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// All processes that descend from one.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    tree(&table(), root).into_iter().filter(|pid| *pid != root).collect()
}

fn family(table: &HashMap<u32, Stat>, root: u32) -> Duration {
    let times = tree(table, root).into_iter().filter_map(|pid| table.get(&pid));
    times.map(|stat| stat.own + stat.children).sum()
}

/// A process and all that descend from it.
fn tree(table: &HashMap<u32, Stat>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(table.iter().filter(|(_, stat)| stat.parent == pid).map(|(child, _)| *child));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_shifts_no_field() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 1 2 3 4 20 0 1 0 5 6 7";
        let stat = stat(line).unwrap();
        assert_eq!(stat.parent, 7);
        assert_eq!((stat.own, stat.children), (TICK * 3, TICK * 7));
    }

    #[test]
    fn a_family_is_a_process_with_its_descendants() {
        let table = HashMap::from([
            (1, Stat { parent: 0, own: TICK, children: TICK }),
            (2, Stat { parent: 1, own: TICK * 2, children: TICK }),
            (3, Stat { parent: 2, own: TICK * 3, children: TICK }),
            (4, Stat { parent: 1, own: TICK * 100, children: TICK }),
        ]);
        assert_eq!(family(&table, 2), TICK * 7);
        assert_eq!(family(&table, 9), Duration::ZERO);
    }
}
