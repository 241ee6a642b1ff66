//! What the figures were taken on.

use std::{fs, process::Command};

use crate::subjects::{BullMq, Celery};

/// Processor, memory, kernel, and the versions of what was measured, in a line each.
pub(crate) fn facts() -> Vec<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 =
        field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "a DEBUG build: its figures mean nothing" } else { "release" };
    vec![
        format!("{model}, {cores} cores, {} GiB, Linux {}", kilobytes / (1024 * 1024), kernel.trim()),
        format!("Restroy {} ({profile}, {})", env!("CARGO_PKG_VERSION"), version("rustc")),
        format!("BullMQ {} (Node {})", BullMq::version(), version("node")),
        format!("Celery {} ({})", Celery::version(), version("python3")),
    ]
}

/// The first field of this name in a file of `name: value` lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim()))
}

/// What a program says its version is.
fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(|_| format!("no {program}"), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
