//! A team's limits, and what it used.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// `GET /v1/teams/{id}/limits`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TeamLimits {
    /// The plan that the team has.
    pub plan: String,
    /// Its limits, with what the operator gave beyond the plan.
    pub limits: Vec<TeamLimit>,
}

/// A limit of a team.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TeamLimit {
    /// Its name, such as `emails_per_day`.
    pub name: String,
    /// Its unit, such as `bytes`.
    #[serde(default)]
    pub unit: String,
    /// The effective value.
    pub value: i64,
    /// The plan's value.
    pub default: i64,
    /// The maximum that the operator can set.
    pub most: i64,
    /// What it is about.
    pub description: String,
}

/// `GET /v1/teams/{id}/usage`: a page of hours, and what is stored now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TeamUsage {
    /// The hours in which something was used, the oldest first.
    pub items: Vec<UsageHour>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<String>,
    /// What the team stores now.
    pub storage: Storage,
}

/// What a team used within an hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageHour {
    /// When it began.
    pub hour: Timestamp,
    /// Runs that were started.
    pub runs: i64,
    /// Attempts at steps that ended.
    pub steps: i64,
    /// Their fuel.
    pub fuel: i64,
    /// Their processor time in milliseconds.
    pub cpu_ms: i64,
    /// E-mails, each recipient counted.
    pub emails: i64,
    /// Bytes that scripts sent by HTTP.
    pub egress_bytes: i64,
}

/// What a team stores, in bytes. Each row counts something beyond its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// The total.
    #[serde(default)]
    pub bytes: i64,
    /// The limit `storage_bytes`.
    #[serde(default)]
    pub limit: i64,
    /// Whether it is 80 % of the limit or more. The owners get an e-mail when it comes to that.
    #[serde(default)]
    pub near_limit: bool,
    /// Of it, runs: parameters, events, outputs, artifacts and journals.
    #[serde(default)]
    pub run_bytes: i64,
    /// Of it, every revision of configuration.
    #[serde(default)]
    pub configuration_bytes: i64,
    /// Of it, answers that are kept for a day for repeats under an `Idempotency-Key`.
    #[serde(default)]
    pub answer_bytes: i64,
    /// Of it, e-mails of scripts.
    #[serde(default)]
    pub email_bytes: i64,
    /// The key-value stores of its boards.
    pub kv_bytes: i64,
    /// The files that its runs kept; counted in `run_bytes`.
    pub artifact_bytes: i64,
    /// The events of its runs; counted in `run_bytes`.
    pub event_bytes: i64,
    /// The versions of its pipelines and library modules.
    #[serde(default)]
    pub version_bytes: i64,
}
