//! What one run of a script may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one run. [`Limits::default`] is what a script gets when nothing else is said,
/// [`Limits::HARD_MAX`] what no installation can exceed ([`Limits::clamped`]).
///
/// Sizes are bytes. A zero means zero, not "unlimited".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Fuel: a unit is 16 executed WebAssembly instructions, about a nanosecond, so 1e9 is about a
    /// second. Host calls cost fuel too. Reproducible.
    pub fuel: u64,
    /// Processor time spent inside the sandbox and its host calls. Not reproducible, so it lies well
    /// above what `fuel` allows.
    pub cpu_time: Duration,
    /// Time from start to end, without the time spent waiting on the embedder's own services (kv,
    /// e-mail, files, the effect gate). HTTP and `sleep` count.
    pub wall_time: Duration,
    /// Linear memory: the interpreter, the script and all its data. Reproducible.
    pub memory_bytes: u64,
    /// Each source text.
    pub source_bytes: u64,
    /// All globals together, as JSON.
    pub input_bytes: u64,
    /// The returned value, as JSON.
    pub output_bytes: u64,
    /// All log lines together, each with its newline.
    pub log_bytes: u64,
    /// One log line, without its newline.
    pub log_line_bytes: u64,
    /// Calls that reach a capability (http, kv, e-mail, files, sleep). Reading the clock, logging
    /// and the like are not counted: fuel and `log_bytes` bound them.
    pub host_calls: u32,
    /// What one call may carry, each way, except that an HTTP response has its own limit.
    pub host_call_bytes: u64,
    /// HTTP requests of one run.
    pub http_requests: u32,
    /// The longest timeout a request may ask for, and its default.
    pub http_timeout: Duration,
    /// One HTTP response body, after decompression.
    pub http_response_bytes: u64,
    /// Redirects followed per request. Each hop is checked like a request of its own by the
    /// implementor of [`Http`](crate::Http).
    pub http_redirects: u32,
    /// One kv value, as JSON.
    pub kv_value_bytes: u64,
    /// Scratch files open at once.
    pub open_files: u32,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Limits {
    /// What no run may exceed, whatever a plan says.
    pub const HARD_MAX: Limits = Limits {
        fuel: 100_000_000_000,
        cpu_time: Duration::from_mins(1),
        wall_time: Duration::from_mins(15),
        memory_bytes: 128 * MIB,
        source_bytes: MIB,
        input_bytes: 4 * MIB,
        output_bytes: 4 * MIB,
        log_bytes: 4 * MIB,
        log_line_bytes: 64 * KIB,
        host_calls: 100_000,
        host_call_bytes: 4 * MIB,
        http_requests: 1_000,
        http_timeout: Duration::from_mins(1),
        http_response_bytes: 16 * MIB,
        http_redirects: 3,
        kv_value_bytes: MIB,
        open_files: 64,
    };

    /// What a run gets when nothing else is said.
    pub const DEFAULT: Limits = Limits {
        fuel: 1_000_000_000,
        cpu_time: Duration::from_secs(10),
        wall_time: Duration::from_secs(30),
        memory_bytes: 32 * MIB,
        source_bytes: 256 * KIB,
        input_bytes: MIB,
        output_bytes: 256 * KIB,
        log_bytes: 256 * KIB,
        log_line_bytes: 8 * KIB,
        host_calls: 10_000,
        host_call_bytes: MIB,
        http_requests: 50,
        http_timeout: Duration::from_secs(10),
        http_response_bytes: MIB,
        http_redirects: 0,
        kv_value_bytes: 64 * KIB,
        open_files: 16,
    };

    /// These limits, each lowered to its hard maximum where it lies above.
    #[must_use]
    pub fn clamped(&self) -> Limits {
        let max = &Self::HARD_MAX;
        Limits {
            fuel: self.fuel.min(max.fuel),
            cpu_time: self.cpu_time.min(max.cpu_time),
            wall_time: self.wall_time.min(max.wall_time),
            memory_bytes: self.memory_bytes.min(max.memory_bytes),
            source_bytes: self.source_bytes.min(max.source_bytes),
            input_bytes: self.input_bytes.min(max.input_bytes),
            output_bytes: self.output_bytes.min(max.output_bytes),
            log_bytes: self.log_bytes.min(max.log_bytes),
            log_line_bytes: self.log_line_bytes.min(max.log_line_bytes),
            host_calls: self.host_calls.min(max.host_calls),
            host_call_bytes: self.host_call_bytes.min(max.host_call_bytes),
            http_requests: self.http_requests.min(max.http_requests),
            http_timeout: self.http_timeout.min(max.http_timeout),
            http_response_bytes: self.http_response_bytes.min(max.http_response_bytes),
            http_redirects: self.http_redirects.min(max.http_redirects),
            kv_value_bytes: self.kv_value_bytes.min(max.kv_value_bytes),
            open_files: self.open_files.min(max.open_files),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_within_the_hard_maximum() {
        assert_eq!(Limits::DEFAULT.clamped(), Limits::DEFAULT);
    }

    #[test]
    fn clamping_lowers_only_what_lies_above() {
        let asked = Limits { fuel: u64::MAX, log_bytes: 1, ..Limits::default() };
        let got = asked.clamped();
        assert_eq!(got.fuel, Limits::HARD_MAX.fuel);
        assert_eq!(got.log_bytes, 1);
    }
}
