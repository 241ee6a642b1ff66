//! Memory of processes, from `/proc` (proc(5)).

use std::{error::Error, fs};

use crate::cpu::descendants;

/// Bytes.
pub(crate) const MIB: u64 = 1024 * 1024;

/// All worker processes and their zygotes, in the table.
const SANDBOXES: &str = "sandboxes";

/// What is read.
pub(crate) struct ProcessMemory {
    processes: Vec<(&'static str, u32)>,
}

impl ProcessMemory {
    /// Of these processes, and of all that descend from them.
    pub(crate) fn of(processes: Vec<(&'static str, u32)>) -> Self {
        Self { processes }
    }

    /// The resident set of each process, and what its sandboxes' processes have of their own, bytes.
    ///
    /// # Errors
    /// When one of the processes is gone.
    pub(crate) fn read(&self) -> Result<Vec<(&'static str, u64)>, Box<dyn Error>> {
        let mut found = Vec::new();
        let mut sandboxes = None;
        for (name, id) in &self.processes {
            let resident = field(*id, "VmRSS:").ok_or_else(|| format!("the process `{name}` ended"))?;
            found.push((*name, resident));
            for child in descendants(*id) {
                *sandboxes.get_or_insert(0) += field(child, "RssAnon:").unwrap_or(0);
            }
        }
        found.extend(sandboxes.map(|bytes| (SANDBOXES, bytes)));
        Ok(found)
    }
}

/// Readings of one round.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Vec<(&'static str, u64)>>);

impl Samples {
    pub(crate) fn add(&mut self, read: Vec<(&'static str, u64)>) {
        self.0.push(read);
    }

    /// The mean and the highest of each process, bytes.
    pub(crate) fn summary(&self) -> Vec<(&'static str, u64, u64)> {
        let mut names: Vec<&'static str> = Vec::new();
        for (name, _) in self.0.iter().flatten() {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let one = |name: &'static str| {
            let all: Vec<_> = self.0.iter().flatten().filter(|(of, _)| *of == name).map(|(_, bytes)| *bytes).collect();
            let mean = all.iter().sum::<u64>() / u64::try_from(all.len()).unwrap_or(1).max(1);
            (name, mean, all.into_iter().max().unwrap_or(0))
        };
        names.into_iter().map(one).collect()
    }
}

/// A field in kibibytes of `/proc/PID/status`, in bytes.
fn field(id: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_an_ended_one_is_an_error() {
        let own = ProcessMemory::of(vec![("this", std::process::id())]).read().unwrap();
        assert!(own[0].0 == "this" && own[0].1 > MIB);
        let ended = ProcessMemory::of(vec![("that", u32::MAX)]).read().unwrap_err();
        assert_eq!(ended.to_string(), "the process `that` ended");
    }

    #[test]
    fn a_summary_has_mean_and_highest() {
        let mut samples = Samples::default();
        samples.add(vec![("a", 1), ("b", 10)]);
        samples.add(vec![("a", 3)]);
        assert_eq!(samples.summary(), [("a", 2, 3), ("b", 10, 10)]);
    }
}
