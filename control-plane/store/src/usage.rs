//! What a team used, counted by the hour, in the transaction that records what was done.
//!
//! An hour has [`SHARDS`] rows, and a run counts in one of them: the runs of a team seldom wait for each
//! other. The row is the last thing that a transaction takes hold of, after all in the order of
//! [`TeamTx::lock_run`].

use std::time::Duration;

use restroy_sdk::{
    api::usage::{Storage, UsageHour},
    ids::{RunId, TeamId},
    time::Timestamp,
};
use sqlx::{query_as, query_scalar};

use super::{
    TeamTx, Tx,
    quota::{self, Limit},
    sort::AgeOrder,
    sources,
    storage::{self, StoragePart, StorageUsage},
};
use crate::sql;

/// The rows of an hour.
const SHARDS: u128 = 8;
const HOUR: i64 = 3_600_000_000;
/// Over how many hours fuel and e-mails are counted: the current one and those before it.
const DAY: i64 = 24;

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// Runs that were started.
    pub runs: i64,
    /// Attempts of steps that ended.
    pub steps: i64,
    /// Fuel that scripts burned.
    pub fuel: i64,
    /// Processor time that scripts took, in milliseconds.
    pub cpu_ms: i64,
    /// E-mails that scripts sent.
    pub emails: i64,
    /// Bytes that scripts sent in HTTP requests and received in answers.
    pub egress_bytes: i64,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Which limit.
    pub limit: Limit,
    /// Its effective value.
    pub value: i64,
    /// What is used of it.
    pub used: i64,
    /// When some of it is free again.
    pub free_at: Timestamp,
}

impl LimitExceeded {
    /// The error message, for people.
    pub fn message(&self) -> String {
        format!(
            "The team's limit `{}` is {}, and {} are used. Some become available at {}.",
            self.limit.name(),
            self.value,
            self.used,
            self.free_at
        )
    }
}

/// The moment at which its hour begins.
fn hour(at: Timestamp) -> i64 {
    at.micros().div_euclid(HOUR) * HOUR
}

/// Counts what a run used; gives the fuel that the row holds now.
pub async fn add(tx: &mut TeamTx, run: RunId, now: Timestamp, used: UsageDelta) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "INSERT INTO usage (team_id, hour, shard, runs, steps, fuel, cpu_ms, emails, egress_bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (team_id, hour, shard) DO UPDATE SET
                 runs = usage.runs + excluded.runs, steps = usage.steps + excluded.steps,
                 fuel = usage.fuel + excluded.fuel, cpu_ms = usage.cpu_ms + excluded.cpu_ms,
                 emails = usage.emails + excluded.emails, egress_bytes = usage.egress_bytes + excluded.egress_bytes
             RETURNING fuel"
        )
        .bind(team)
        .bind(hour(now))
        .bind(i64::try_from(run.0.as_u128() % SHARDS).unwrap_or(0))
        .bind(used.runs)
        .bind(used.steps)
        .bind(used.fuel)
        .bind(used.cpu_ms)
        .bind(used.emails)
        .bind(used.egress_bytes)
    )
}

/// Whether the team has used up its limit, or would with `more`.
pub async fn exceeded(
    tx: &mut TeamTx,
    limit: Limit,
    more: i64,
    now: Timestamp,
) -> Result<Option<LimitExceeded>, sqlx::Error> {
    let value = quota::effective(tx, limit).await?;
    let hours = hours(tx, limit, now).await?;
    let used: i64 = hours.iter().fold(0, |sum, (_, used)| sum.saturating_add(*used));
    if used.saturating_add(more) <= value {
        return Ok(None);
    }
    // As the oldest hours leave the window, until there is room again.
    let (mut left, mut free_at) = (used, None);
    for (hour, used) in hours {
        left -= used;
        free_at = Some(hour + window(limit) * HOUR);
        if left.saturating_add(more) <= value {
            break;
        }
    }
    let free_at = free_at.unwrap_or_else(|| hour(now) + HOUR);
    Ok(Some(LimitExceeded { limit, value, used, free_at: Timestamp(free_at) }))
}

/// How many e-mails an owner's teams sent together within the last hours that count, and the most that one of them may;
/// of several owners, those of whoever sent the most.
pub async fn owner_emails(tx: &mut Tx, team: TeamId, now: Timestamp) -> Result<(i64, i64), sqlx::Error> {
    let limit = Limit::EmailsPerDay;
    sql!(
        tx,
        fetch_one,
        query_as(
            "SELECT CAST(coalesce((SELECT max(sent) FROM (
                        SELECT sum(u.emails) AS sent FROM memberships o
                        JOIN memberships m ON m.user_id = o.user_id AND m.role = 'owner'
                        JOIN usage u ON u.team_id = m.team_id AND u.hour > $2 AND u.emails > 0
                        WHERE o.team_id = $1 AND o.role = 'owner' GROUP BY m.user_id) AS owners), 0) AS BIGINT),
                    CAST(coalesce((SELECT max(l.value) FROM memberships o
                        JOIN memberships m ON m.user_id = o.user_id AND m.role = 'owner'
                        JOIN team_limits l ON l.team_id = m.team_id AND l.name = $3
                        WHERE o.team_id = $1 AND o.role = 'owner'), 0) AS BIGINT)"
        )
        .bind(team)
        .bind(hour(now).saturating_sub(window(limit) * HOUR))
        .bind(limit.name())
    )
}

/// The statement of [`allowance`].
macro_rules! allowance {
    ($backend:ident) => {
        concat!(
            "SELECT CAST(coalesce((SELECT value FROM team_limits WHERE team_id = $1 AND name = $4), $5)
                       - coalesce((SELECT sum(egress_bytes) FROM usage WHERE team_id = $1 AND hour = $6), 0) AS BIGINT), ",
            storage::stored_columns!($backend)
        )
    };
}

/// How many bytes the team's scripts may still send within this hour, and what the team stores. Asked with every
/// report: one statement.
pub async fn allowance(tx: &mut TeamTx, now: Timestamp) -> Result<(u64, StorageUsage), sqlx::Error> {
    let team = tx.team();
    let (egress, stored) = (Limit::EgressBytesPerHour, Limit::StorageBytes);
    let statement = tx.pick(allowance!(sqlite), allowance!(postgres));
    let (left, bytes, limit): (i64, i64, i64) = sql!(
        &mut **tx,
        fetch_one,
        query_as(statement)
            .bind(team)
            .bind(stored.name())
            .bind(stored.default())
            .bind(egress.name())
            .bind(egress.default())
            .bind(hour(now))
    )?;
    Ok((u64::try_from(left).unwrap_or(0), StorageUsage { bytes, limit }))
}

/// How many bytes the team's scripts may still send within this hour.
pub async fn egress_left(tx: &mut TeamTx, now: Timestamp) -> Result<u64, sqlx::Error> {
    Ok(allowance(tx, now).await?.0)
}

/// Over how many hours a limit counts.
fn window(limit: Limit) -> i64 {
    if matches!(limit, Limit::EgressBytesPerHour | Limit::StartsPerHour) { 1 } else { DAY }
}

/// What was used of a limit in each hour that counts, the oldest first.
async fn hours(tx: &mut TeamTx, limit: Limit, now: Timestamp) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    macro_rules! sum {
        ($column:literal) => {
            concat!(
                "SELECT hour, CAST(sum(",
                $column,
                ") AS BIGINT) FROM usage WHERE team_id = $1 AND hour > $2 AND ",
                $column,
                " > 0 GROUP BY hour ORDER BY hour"
            )
        };
    }
    let statement = match limit {
        Limit::EmailsPerDay => sum!("emails"),
        Limit::EgressBytesPerHour => sum!("egress_bytes"),
        Limit::FuelPerDay => sum!("fuel"),
        Limit::StartsPerHour => sum!("runs"),
        _ => return Ok(Vec::new()),
    };
    let team = tx.team();
    sql!(&mut **tx, fetch_all, query_as(statement).bind(team).bind(hour(now).saturating_sub(window(limit) * HOUR)))
}

#[derive(sqlx::FromRow)]
struct UsageRow {
    hour: Timestamp,
    runs: i64,
    steps: i64,
    fuel: i64,
    cpu_ms: i64,
    emails: i64,
    egress_bytes: i64,
}

impl From<UsageRow> for UsageHour {
    fn from(row: UsageRow) -> Self {
        Self {
            hour: row.hour,
            runs: row.runs,
            steps: row.steps,
            fuel: row.fuel,
            cpu_ms: row.cpu_ms,
            emails: row.emails,
            egress_bytes: row.egress_bytes,
        }
    }
}

/// The hours in which something was used, from the one of `from` on and before `to`, after `after`.
pub async fn list(
    tx: &mut TeamTx,
    from: Timestamp,
    to: Timestamp,
    age: AgeOrder,
    after: Option<i64>,
    rows: i64,
) -> Result<Vec<UsageHour>, sqlx::Error> {
    macro_rules! select {
        ($end:literal) => {
            concat!(
                "SELECT hour, CAST(sum(runs) AS BIGINT) AS runs, CAST(sum(steps) AS BIGINT) AS steps,
                        CAST(sum(fuel) AS BIGINT) AS fuel, CAST(sum(cpu_ms) AS BIGINT) AS cpu_ms,
                        CAST(sum(emails) AS BIGINT) AS emails, CAST(sum(egress_bytes) AS BIGINT) AS egress_bytes
                 FROM usage WHERE team_id = $1 AND hour >= $2 AND hour < $3 AND ($4 IS NULL OR hour ",
                $end,
                " LIMIT $5"
            )
        };
    }
    let statement = match age {
        AgeOrder::Oldest => select!("> $4) GROUP BY hour ORDER BY hour"),
        AgeOrder::Newest => select!("< $4) GROUP BY hour ORDER BY hour DESC"),
    };
    let team = tx.team();
    let rows: Vec<UsageRow> =
        sql!(&mut **tx, fetch_all, query_as(statement).bind(team).bind(hour(from)).bind(to).bind(after).bind(rows))?;
    Ok(rows.into_iter().map(UsageHour::from).collect())
}

/// What the team stores now.
pub async fn storage(tx: &mut TeamTx) -> Result<Storage, sqlx::Error> {
    let team = tx.team();
    let (artifact_bytes, event_bytes): (i64, i64) = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT CAST(coalesce((SELECT sum(bytes) FROM artifacts WHERE team_id = $1), 0) AS BIGINT),
                    CAST(coalesce((SELECT sum(event_bytes) FROM runs WHERE team_id = $1), 0) AS BIGINT)"
        )
        .bind(team)
    )?;
    // As its own limit counts it.
    let version_bytes = sources::bytes(tx).await?;
    let stored = storage::stored(tx).await?;
    let parts = storage::by_part(tx).await?;
    let of = |part: StoragePart| parts.iter().find(|(other, _)| *other == part).map_or(0, |(_, bytes)| *bytes);
    Ok(Storage {
        bytes: stored.bytes,
        limit: stored.limit,
        near_limit: stored.is_near(),
        run_bytes: of(StoragePart::Runs),
        configuration_bytes: of(StoragePart::Configurations),
        answer_bytes: of(StoragePart::Answers),
        email_bytes: of(StoragePart::Emails),
        kv_bytes: of(StoragePart::Kv),
        artifact_bytes,
        event_bytes,
        version_bytes,
    })
}

/// How long an hour's rows are kept.
pub const USAGE_KEPT: Duration = Duration::from_hours(400 * 24);
