//! What one run of a script may use.

use std::time::Duration;

use restroy_model::limit::{Limit, LimitValues};
use serde::{Deserialize, Serialize};

/// A value of the table of limits, in the type of a field.
macro_rules! field {
    (u64, $value:expr) => {
        $value.unsigned_abs()
    };
    (u32, $value:expr) => {
        count($value)
    };
    (Duration, $value:expr) => {
        Duration::from_millis($value.unsigned_abs())
    };
}

const fn count(value: i64) -> u32 {
    if value < 0 || value > u32::MAX as i64 {
        return u32::MAX;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was just compared")]
    {
        value as u32
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ident = $limit:ident;)*) => {
        /// Limits of one run. [`Limits::default`] is what a script gets when nothing else is said,
        /// [`Limits::HARD_MAX`] what no installation can exceed ([`Limits::clamped`]). The values of both are those of
        /// [`Limit`].
        ///
        /// Sizes are bytes. A zero means zero, not "unlimited".
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Limits {
            $($(#[doc = $doc])* pub $field: $type,)*
            /// Scratch files open at once.
            pub open_files: u32,
        }

        impl Limits {
            /// What no run may exceed, whatever a plan says.
            pub const HARD_MAX: Limits =
                Limits { $($field: field!($type, Limit::$limit.maximum()),)* open_files: 64 };

            /// What a run gets when nothing else is said.
            pub const DEFAULT: Limits = Limits { $($field: field!($type, Limit::$limit.default()),)* open_files: 16 };

            /// The limits of a team's scripts.
            pub fn from_values(values: &LimitValues) -> Limits {
                Limits {
                    $($field: field!($type, values.get(Limit::$limit)),)*
                    open_files: Self::DEFAULT.open_files,
                }
            }

            /// These limits, each lowered to its hard maximum where it lies above.
            #[must_use]
            pub fn clamped(&self) -> Limits {
                let max = &Self::HARD_MAX;
                Limits {
                    $($field: self.$field.min(max.$field),)*
                    open_files: self.open_files.min(max.open_files),
                }
            }
        }
    };
}

limits! {
    /// Fuel: a unit is 16 executed WebAssembly instructions, about a nanosecond, so 1e9 is about a
    /// second. Host calls cost fuel too. Reproducible.
    fuel: u64 = StepFuel;
    /// Processor time spent inside the sandbox and its host calls. Not reproducible, so it lies well
    /// above what `fuel` allows.
    cpu_time: Duration = StepCpuMs;
    /// Time from start to end, without the time spent waiting on the embedder's own services (kv,
    /// e-mail, files, the effect gate). HTTP and `sleep` count.
    wall_time: Duration = StepWallMs;
    /// Linear memory: the interpreter, the script and all its data. Reproducible.
    memory_bytes: u64 = StepMemoryBytes;
    /// Each source text.
    source_bytes: u64 = SourceBytes;
    /// All globals together, as JSON.
    input_bytes: u64 = StepInputBytes;
    /// The returned value, as JSON.
    output_bytes: u64 = StepOutputBytes;
    /// All log lines together, each with its newline.
    log_bytes: u64 = StepLogBytes;
    /// One log line, without its newline.
    log_line_bytes: u64 = StepLogLineBytes;
    /// Calls that reach a capability (http, kv, e-mail, files, sleep). Reading the clock, logging
    /// and the like are not counted: fuel and `log_bytes` bound them.
    host_calls: u32 = StepHostCalls;
    /// What one call may carry, each way, except that an HTTP response has its own limit.
    host_call_bytes: u64 = HostCallBytes;
    /// HTTP requests of one run.
    http_requests: u32 = StepHttpRequests;
    /// The longest timeout a request may ask for, and its default.
    http_timeout: Duration = HttpTimeoutMs;
    /// One HTTP response body, after decompression.
    http_response_bytes: u64 = HttpResponseBytes;
    /// Redirects followed per request. Each hop is checked like a request of its own by the
    /// implementor of [`Http`](crate::Http).
    http_redirects: u32 = HttpRedirects;
    /// One kv value, as JSON.
    kv_value_bytes: u64 = KvValueBytes;
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
    fn a_teams_values_reach_every_field() {
        assert_eq!(Limits::from_values(&LimitValues::default()), Limits::DEFAULT);
        let most = Limit::ALL.iter().fold(LimitValues::default(), |most, limit| most.with(*limit, i64::MAX));
        let expected = Limits { open_files: Limits::DEFAULT.open_files, ..Limits::HARD_MAX };
        assert_eq!(Limits::from_values(&most), expected);
    }

    #[test]
    fn clamping_lowers_only_what_lies_above() {
        let asked = Limits { fuel: u64::MAX, log_bytes: 1, ..Limits::default() };
        let got = asked.clamped();
        assert_eq!(got.fuel, Limits::HARD_MAX.fuel);
        assert_eq!(got.log_bytes, 1);
    }
}
