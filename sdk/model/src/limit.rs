//! The limits of teams and of their scripts: name, unit, default and maximum of each, declared here and nowhere else.
//! The control-plane holds teams to them and sends them to executors whole; `docs/limits.md` lists them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal $unit:literal $default:literal, most $most:literal;)*) => {
        /// What a team has so much of. Its number is its place in [`Limit::ALL`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Limit { $($(#[doc = $doc])* $variant,)* }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// In what it is counted.
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// Its value for a team that the operator has given no other.
            pub const fn default(self) -> i64 {
                match self { $(Self::$variant => $default,)* }
            }

            /// The maximum that the operator can set.
            pub const fn maximum(self) -> i64 {
                match self { $(Self::$variant => $most,)* }
            }

            /// What it is about.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

limits! {
    /// Runs that are executed at once.
    RunsAtOnce = "runs_at_once" "runs" 5, most 50;
    /// Runs that wait for their turn.
    RunsQueued = "runs_queued" "runs" 1_000, most 10_000;
    /// E-mails within 24 hours, each recipient counted.
    EmailsPerDay = "emails_per_day" "e-mails" 200, most 100_000;
    /// E-mails of one run, each recipient counted.
    EmailsPerRun = "emails_per_run" "e-mails" 200, most 100_000;
    /// Bytes that scripts send by HTTP within a full hour.
    EgressBytesPerHour = "egress_bytes_per_hour" "bytes" 1_073_741_824, most 1_099_511_627_776;
    /// Bytes of all versions of pipelines and library modules, those of deleted pipelines until they are
    /// removed among them; the same source counts once.
    VersionBytes = "version_bytes" "bytes" 1_073_741_824, most 1_099_511_627_776;
    /// Bytes that the team stores: runs with their events, outputs, artifacts and journals, key-value stores,
    /// versions, configuration, e-mails, and answers kept for repeats.
    StorageBytes = "storage_bytes" "bytes" 1_073_741_824, most 1_099_511_627_776;
    /// Runs that are started within a full hour, those that are skipped among them.
    StartsPerHour = "starts_per_hour" "runs" 10_000, most 1_000_000;
    /// The longest that a pipeline keeps a run that has ended.
    RetentionDays = "retention_days" "days" 30, most 3_650;
    /// The most runs that have ended that a pipeline keeps.
    RetentionRuns = "retention_runs" "runs" 10_000, most 1_000_000;
    /// Fuel that scripts use within 24 hours.
    FuelPerDay = "fuel_per_day" "fuel" 10_000_000_000_000, most 1_000_000_000_000_000_000;
    /// Steps of a pipeline.
    StepsPerPipeline = "steps_per_pipeline" "steps" 100, most 1_000;
    /// A script or a library module: its source.
    SourceBytes = "source_bytes" "bytes" 262_144, most 1_048_576;
    /// Items of a `for_each`.
    ItemsPerForEach = "items_per_for_each" "items" 1_000, most 100_000;
    /// A value in a board's key-value store, as JSON.
    KvValueBytes = "kv_value_bytes" "bytes" 65_536, most 1_048_576;
    /// A board's key-value store, keys and values together.
    KvStoreBytes = "kv_store_bytes" "bytes" 10_485_760, most 1_073_741_824;
    /// Fuel of one attempt at a step; 10⁹ is about a second.
    StepFuel = "step_fuel" "fuel" 1_000_000_000, most 100_000_000_000;
    /// Processor time of one attempt.
    StepCpuMs = "step_cpu_ms" "ms" 10_000, most 60_000;
    /// Wall time of one attempt, unless the step has a `timeout`.
    StepWallMs = "step_wall_ms" "ms" 30_000, most 900_000;
    /// Memory of one attempt.
    StepMemoryBytes = "step_memory_bytes" "bytes" 33_554_432, most 134_217_728;
    /// What a script is given, as JSON.
    StepInputBytes = "step_input_bytes" "bytes" 1_048_576, most 4_194_304;
    /// What a script returns, as JSON.
    StepOutputBytes = "step_output_bytes" "bytes" 262_144, most 4_194_304;
    /// What one attempt prints.
    StepLogBytes = "step_log_bytes" "bytes" 262_144, most 4_194_304;
    /// A line of what it prints.
    StepLogLineBytes = "step_log_line_bytes" "bytes" 8_192, most 65_536;
    /// Calls of one attempt to the host.
    StepHostCalls = "step_host_calls" "calls" 10_000, most 100_000;
    /// What one such call carries, each way.
    HostCallBytes = "host_call_bytes" "bytes" 1_048_576, most 4_194_304;
    /// HTTP requests of one attempt.
    StepHttpRequests = "step_http_requests" "requests" 50, most 1_000;
    /// The longest wait for the answer to an HTTP request.
    HttpTimeoutMs = "http_timeout_ms" "ms" 10_000, most 60_000;
    /// The body of an HTTP answer.
    HttpResponseBytes = "http_response_bytes" "bytes" 1_048_576, most 16_777_216;
    /// Redirects that an HTTP request follows.
    HttpRedirects = "http_redirects" "redirects" 0, most 3;
}

impl Limit {
    /// The limit of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|limit| limit.name() == name)
    }
}

/// A value of every limit. As JSON an object of names and values: a name that the reader does not know is none of its
/// limits, and a limit that is missing has its default.
#[derive(Clone, PartialEq, Eq)]
pub struct LimitValues([i64; Limit::ALL.len()]);

impl LimitValues {
    /// The value of a limit.
    pub fn get(&self, limit: Limit) -> i64 {
        self.0[limit as usize]
    }

    /// Sets a limit, to no more than its maximum and no less than nothing.
    pub fn set(&mut self, limit: Limit, value: i64) {
        self.0[limit as usize] = value.clamp(0, limit.maximum());
    }

    /// These values with another of a limit.
    #[must_use]
    pub fn with(mut self, limit: Limit, value: i64) -> Self {
        self.set(limit, value);
        self
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, i64)> {
        Limit::ALL.iter().map(|limit| (limit.name(), self.get(*limit)))
    }
}

impl Default for LimitValues {
    fn default() -> Self {
        let mut values = [0; Limit::ALL.len()];
        for (value, limit) in values.iter_mut().zip(Limit::ALL) {
            *value = limit.default();
        }
        Self(values)
    }
}

impl fmt::Debug for LimitValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for LimitValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for LimitValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Self::default();
        for (name, value) in BTreeMap::<String, i64>::deserialize(deserializer)? {
            if let Some(limit) = Limit::named(&name) {
                values.set(limit, value);
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn defaults_lie_below_the_maximum() {
        for (place, limit) in Limit::ALL.iter().enumerate() {
            assert!(limit.default() <= limit.maximum(), "{}", limit.name());
            assert_eq!(Limit::named(limit.name()), Some(*limit));
            assert_eq!(*limit as usize, place);
            assert!(limit.description().ends_with('.'), "{}", limit.description());
        }
    }

    #[test]
    fn values_travel_whole_and_between_versions() {
        let values = LimitValues::default().with(Limit::StepFuel, 5).with(Limit::StepsPerPipeline, i64::MAX);
        let json = serde_json::to_value(&values).unwrap();
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(Limit::ALL.len()));
        assert_eq!(json["steps_per_pipeline"], Limit::StepsPerPipeline.maximum());
        assert_eq!(serde_json::from_value::<LimitValues>(json).unwrap(), values);
        let foreign = serde_json::json!({ "a_limit_of_a_newer_version": 1, "step_fuel": 5 });
        let expected = LimitValues::default().with(Limit::StepFuel, 5);
        assert_eq!(serde_json::from_value::<LimitValues>(foreign).unwrap(), expected);
    }

    #[test]
    fn the_documentation_lists_every_limit() {
        let mut table = String::from("| limit | meaning | unit | default | maximum |\n|---|---|---|---|---|\n");
        for limit in Limit::ALL {
            let [default, maximum] = [limit.default(), limit.maximum()].map(grouped);
            let (name, about, unit) = (limit.name(), limit.description().trim_end_matches('.'), limit.unit());
            writeln!(table, "| `{name}` | {about} | {unit} | {default} | {maximum} |").unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/limits.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(document.contains(&table), "docs/limits.md does not have this table:\n{table}");
    }

    /// With its thousands apart: `1,000`.
    fn grouped(number: i64) -> String {
        let digits = number.to_string();
        let groups = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
        groups.collect::<Vec<_>>().join(",")
    }
}
