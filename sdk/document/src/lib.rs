//! The pipeline document: what a pipeline is, as its author writes it.
//!
//! The same document travels as YAML in a folder and as JSON through the API. Reading it (with
//! places named in every error) and what must hold beyond its form have modules of their own. The check of values
//! against JSON Schemas (`schema`, a feature) is what `params` and `inputs_schema` are for.

mod capability;
mod check;
mod diff;
mod kind;
mod modules;
mod pointer;
mod positions;
mod read;
mod requires;
#[cfg(feature = "schema")]
pub mod schema;
mod span;
mod suggest;
mod tree;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use capability::{Capability, CapabilityUse, Escalation, capabilities, escalated_capabilities, escalations};
pub use check::{
    DocumentBounds, MAX_FOLDERS, MAX_SOURCE_BYTES, MAX_STEPS, MAX_TOTAL_BYTES, check, check_within, is_module_name,
    order, path_error, path_errors,
};
pub use diff::{CapabilityChange, Change, Diff, FieldChange, FileChange, StepChange, diff};
pub use kind::StepKind;
pub use modules::{check_library, foreign_requires};
pub use positions::PositionMap;
pub use read::{read_json, read_yaml};
pub use span::DurationText;
pub use tree::{MAX_BYTES, Position};

/// What is said of reserved words.
const NOT_YET: &str = "not available in this version yet";

/// A pipeline, as its author writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of the format: 1.
    pub restroy: u32,
    /// The pipeline's name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema (2020-12) for what a run is started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub params: Option<serde_json::Value>,
    /// The modules of the team's library that its scripts load with `require "lib.NAME"`, each pinned to
    /// a version.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, u32>))]
    pub library: IndexMap<String, u32>,
    /// The steps by name, in the author's order.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, Step>))]
    pub steps: IndexMap<String, Step>,
    /// How many runs at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// When it starts by itself, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, Schedule>))]
    pub schedules: IndexMap<String, Schedule>,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// What it does.
    #[serde(flatten)]
    pub kind: StepKind,

    /// JSON Schema (2020-12) for `inputs`: what the steps that it needs gave. Checked before the script
    /// starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub inputs_schema: Option<serde_json::Value>,
    /// The steps that must end before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// A Lua expression; when it is false or nil the step is skipped.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// A Lua expression for an array: the step runs once for each of its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// How many items run concurrently (default 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Which ends of the steps it needs let it run.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
    /// Whether the run may succeed although this step failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_failure: bool,
    /// Plain configuration: what `config` holds unless the API sets other values.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, String>))]
    pub config: IndexMap<String, String>,
    /// The names of the secrets it reads; their values are set through the API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// What happens when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Wall time of one attempt (default 30 s, at most 15 min).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

impl Step {
    /// A step that needs no other and has nothing but its kind.
    pub fn new(kind: StepKind) -> Self {
        Self {
            kind,
            inputs_schema: None,
            needs: Vec::new(),
            condition: None,
            for_each: None,
            max_parallel: None,
            when: When::default(),
            continue_on_failure: false,
            config: IndexMap::new(),
            secrets: Vec::new(),
            allow: Allow::default(),
            retry: None,
            timeout: None,
        }
    }

    /// Its Lua expressions, with the fields that hold them.
    pub fn expressions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("if", self.condition.as_deref()), ("for_each", self.for_each.as_deref())]
            .into_iter()
            .filter_map(|(field, text)| Some((field, text?)))
    }
}

/// Which ends of the steps it needs let a step run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All succeeded (or were skipped by their own `if`).
    #[default]
    AllSucceeded,
    /// All ended and at least one failed.
    AnyFailed,
    /// All ended, however.
    Always,
}

impl When {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The capabilities of a step: what it may do beyond computing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// The origins it may call: `https://host[:port]`; `https://*.host` for its subdomains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Whether it may use the board's key-value store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kv: bool,
    /// Whether it may send e-mail.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub email: bool,
    /// Whether it may use the run's scratch folder and keep artifacts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
}

impl Allow {
    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when an attempt fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// All attempts, including the first (default 3, at most 10).
    #[serde(default = "Retry::attempts")]
    pub max_attempts: u32,
    /// How the pause grows.
    #[serde(default)]
    pub backoff: Backoff,
    /// The first pause (default 500 ms).
    #[serde(default = "Retry::initial")]
    pub initial: DurationText,
    /// The longest pause (default 30 s).
    #[serde(default = "Retry::max")]
    pub max: DurationText,
}

impl Retry {
    fn attempts() -> u32 {
        3
    }
    fn initial() -> DurationText {
        DurationText::from_millis(500)
    }
    fn max() -> DurationText {
        DurationText::from_millis(30_000)
    }
}

/// How the pause between attempts grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Doubles each time.
    #[default]
    Exponential,
    /// Grows by the first pause each time.
    Linear,
    /// The pause stays the same.
    Constant,
}

/// How many runs of a pipeline at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// How many.
    pub limit: u32,
    /// What happens to one more.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// A Lua expression over `params`: the limit holds per value. Reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What happens to a run above the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It waits its turn.
    #[default]
    Queue,
    /// It is cancelled at once.
    Skip,
    /// The oldest running one is cancelled.
    CancelRunning,
}

/// When a pipeline starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Five fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// An IANA time zone (default UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What happens to times that passed while nothing ran.
    #[serde(default)]
    pub misfire: Misfire,
    /// What happens while the last run is active.
    #[serde(default)]
    pub overlap: Overlap,
}

/// What happens to scheduled times that passed while nothing ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(type_name = "TEXT", rename_all = "snake_case"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// One run for all of them.
    #[default]
    RunOnce,
    /// None of them runs.
    Skip,
}

/// What happens at a scheduled time while the last run is active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(type_name = "TEXT", rename_all = "snake_case"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// No run.
    #[default]
    Skip,
    /// Another run all the same.
    Allow,
}

/// The document as YAML, for a person to continue with; [`read_yaml`] gives the same document back, its keys in the
/// same order.
pub fn to_yaml(document: &Document) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(document)
}
