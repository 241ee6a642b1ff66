//! A team's limits: those of its plan, and what the operator gave it beyond or took from it.
//!
//! There is one plan, [`PLAN`]. Two of the limits are columns of `teams`, where admission reads them; the
//! others are rows of `team_limits` where they differ from the plan's.

use restroy_run_queue::run_api::StepLimits;
use restroy_sdk::{
    api::usage::{TeamLimit, TeamLimits},
    ids::TeamId,
    time::Ambient,
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, Durability, StoreError, TeamTx, audit};
use crate::sql;

/// The name of the plan that every team has.
pub const PLAN: &str = "default";

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal $unit:literal $default:literal, most $most:literal;)*) => {
        /// What a team has so much of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Limit { $($(#[doc = $doc])* $variant,)* }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// In what it is counted.
            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// The plan's value.
            pub fn default(self) -> i64 {
                match self { $(Self::$variant => $default,)* }
            }

            /// The maximum that the operator can set.
            pub fn maximum(self) -> i64 {
                match self { $(Self::$variant => $most,)* }
            }

            /// What it is about.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

// Those of a step's attempt lie below what the sandbox takes at most, whatever a plan says.
limits! {
    /// Runs that are executed at once.
    RunsAtOnce = "runs_at_once" "runs" 5, most 50;
    /// Runs that wait for their turn.
    RunsQueued = "runs_queued" "runs" 1_000, most 10_000;
    /// E-mails within 24 hours, each recipient counted.
    EmailsPerDay = "emails_per_day" "e-mails" 200, most 100_000;
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

    /// Where an executor reads it, when a team has another than the plan's.
    fn step_limit(self, limits: &mut StepLimits) -> Option<&mut Option<u64>> {
        Some(match self {
            Self::SourceBytes => &mut limits.source_bytes,
            Self::ItemsPerForEach => &mut limits.items,
            Self::KvValueBytes => &mut limits.kv_value_bytes,
            Self::StepFuel => &mut limits.fuel,
            Self::StepCpuMs => &mut limits.cpu_ms,
            Self::StepWallMs => &mut limits.wall_ms,
            Self::StepMemoryBytes => &mut limits.memory_bytes,
            Self::StepInputBytes => &mut limits.input_bytes,
            Self::StepOutputBytes => &mut limits.output_bytes,
            Self::StepLogBytes => &mut limits.log_bytes,
            Self::StepLogLineBytes => &mut limits.log_line_bytes,
            Self::StepHostCalls => &mut limits.host_calls,
            Self::HostCallBytes => &mut limits.host_call_bytes,
            Self::StepHttpRequests => &mut limits.http_requests,
            Self::HttpTimeoutMs => &mut limits.http_timeout_ms,
            Self::HttpResponseBytes => &mut limits.http_response_bytes,
            Self::HttpRedirects => &mut limits.http_redirects,
            Self::RunsAtOnce
            | Self::RunsQueued
            | Self::EmailsPerDay
            | Self::EgressBytesPerHour
            | Self::FuelPerDay
            | Self::StepsPerPipeline
            | Self::KvStoreBytes
            | Self::StorageBytes
            | Self::StartsPerHour
            | Self::RetentionDays
            | Self::RetentionRuns
            | Self::VersionBytes => return None,
        })
    }
}

/// A limit's value in force for the transaction's team.
pub async fn effective(tx: &mut TeamTx, limit: Limit) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    let value: Option<i64> = match limit {
        Limit::RunsAtOnce => Some(columns(tx).await?.0),
        Limit::RunsQueued => Some(columns(tx).await?.1),
        _ => sql!(
            &mut **tx,
            fetch_optional,
            query_scalar("SELECT value FROM team_limits WHERE team_id = $1 AND name = $2")
                .bind(team)
                .bind(limit.name())
        )?,
    };
    Ok(value.unwrap_or(limit.default()))
}

/// The limits that differ from the plan's, but for those that are columns of `teams`.
async fn overrides(tx: &mut TeamTx) -> Result<Vec<(Limit, i64)>, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<(String, i64)> =
        sql!(&mut **tx, fetch_all, query_as("SELECT name, value FROM team_limits WHERE team_id = $1").bind(team))?;
    // A name that a newer version wrote is none of ours.
    Ok(rows.into_iter().filter_map(|(name, value)| Some((Limit::named(&name)?, value))).collect())
}

/// The values in force of several limits, in one statement.
pub async fn effective_many<const N: usize>(tx: &mut TeamTx, limits: [Limit; N]) -> Result<[i64; N], sqlx::Error> {
    let given = overrides(tx).await?;
    let value = |limit: Limit| given.iter().find(|(other, _)| *other == limit).map(|(_, value)| *value);
    Ok(limits.map(|limit| value(limit).unwrap_or(limit.default())))
}

/// What an executor receives about a step's limits: where they differ from the plan's.
pub async fn step_limits(tx: &mut TeamTx) -> Result<StepLimits, sqlx::Error> {
    let mut limits = StepLimits::default();
    for (limit, value) in overrides(tx).await? {
        if let Some(field) = limit.step_limit(&mut limits) {
            *field = u64::try_from(value).ok();
        }
    }
    Ok(limits)
}

async fn columns(tx: &mut TeamTx) -> Result<(i64, i64), sqlx::Error> {
    let team = tx.team();
    sql!(&mut **tx, fetch_one, query_as("SELECT max_running, max_queued FROM teams WHERE id = $1").bind(team))
}

/// All limits of the transaction's team, if it is there.
pub async fn all(tx: &mut TeamTx) -> Result<Option<TeamLimits>, sqlx::Error> {
    let team = tx.team();
    let found: Option<i64> = sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM teams WHERE id = $1 AND deleted_at IS NULL").bind(team)
    )?;
    if found.is_none() {
        return Ok(None);
    }
    let (at_once, queued) = columns(tx).await?;
    let mut values = overrides(tx).await?;
    values.extend([(Limit::RunsAtOnce, at_once), (Limit::RunsQueued, queued)]);
    let mut limits = Vec::new();
    for limit in Limit::ALL {
        let value = values.iter().rev().find(|(other, _)| other == limit).map(|(_, value)| *value);
        limits.push(TeamLimit {
            name: limit.name().into(),
            unit: limit.unit().into(),
            value: value.unwrap_or(limit.default()),
            default: limit.default(),
            most: limit.maximum(),
            description: limit.description().into(),
        });
    }
    Ok(Some(TeamLimits { plan: PLAN.into(), limits }))
}

/// Sets limits of a team; an absent value is the plan's again. False when there is no such team. The
/// caller has seen to it that no value is above the most there may be.
pub async fn set(
    db: &Db,
    ambient: &Ambient,
    team: TeamId,
    changes: &[(Limit, Option<i64>)],
) -> Result<bool, StoreError> {
    let mut tx = db.begin_team_exclusive(team, Durability::Commit).await?;
    let found: Option<i64> = sql!(
        &mut *tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM teams WHERE id = $1 AND deleted_at IS NULL").bind(team)
    )?;
    if found.is_none() {
        return Ok(false);
    }
    let before = values(&mut tx, changes).await?;
    for (limit, value) in changes {
        write(&mut tx, ambient, *limit, *value).await?;
    }
    let after = values(&mut tx, changes).await?;
    let entry = audit::Entry::new("team.limits", "team", team).before(before).after(after);
    audit::record_by_operator(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// What of the limits that change is in force, by name.
async fn values(tx: &mut TeamTx, changes: &[(Limit, Option<i64>)]) -> Result<serde_json::Value, StoreError> {
    let mut values = serde_json::Map::new();
    for (limit, _) in changes {
        values.insert(limit.name().to_owned(), effective(tx, *limit).await?.into());
    }
    Ok(values.into())
}

async fn write(tx: &mut TeamTx, ambient: &Ambient, limit: Limit, value: Option<i64>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    match (limit, value) {
        (Limit::RunsAtOnce, value) => sql!(
            &mut **tx,
            execute,
            query("UPDATE teams SET max_running = $2 WHERE id = $1").bind(team).bind(value.unwrap_or(limit.default()))
        )?,
        (Limit::RunsQueued, value) => sql!(
            &mut **tx,
            execute,
            query("UPDATE teams SET max_queued = $2 WHERE id = $1").bind(team).bind(value.unwrap_or(limit.default()))
        )?,
        (_, Some(value)) => sql!(
            &mut **tx,
            execute,
            query(
                "INSERT INTO team_limits (team_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (team_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
            )
            .bind(team)
            .bind(limit.name())
            .bind(value)
            .bind(ambient.now())
        )?,
        (_, None) => sql!(
            &mut **tx,
            execute,
            query("DELETE FROM team_limits WHERE team_id = $1 AND name = $2").bind(team).bind(limit.name())
        )?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_lies_below_the_most() {
        for limit in Limit::ALL {
            assert!(limit.default() <= limit.maximum(), "{}", limit.name());
            assert_eq!(Limit::named(limit.name()), Some(*limit));
            assert!(limit.description().ends_with('.'), "{}", limit.description());
        }
    }
}
