//! A team's limits: those of its plan, and what the operator gave it beyond or took from it.
//!
//! There is one plan, [`PLAN`]. Two of the limits are columns of `teams`, where admission reads them; the
//! others are rows of `team_limits` where they differ from the plan's.

use restroy_sdk::{
    api::usage::{TeamLimit, TeamLimits},
    ids::TeamId,
    time::Ambient,
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, StoreError, TeamTx, audit};
use crate::sql;

/// The name of the plan that every team has.
pub const PLAN: &str = "default";

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal $default:literal, most $most:literal;)*) => {
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

            /// What the plan gives.
            pub fn default(self) -> i64 {
                match self { $(Self::$variant => $default,)* }
            }

            /// The most that the operator can give.
            pub fn most(self) -> i64 {
                match self { $(Self::$variant => $most,)* }
            }

            /// What it is about.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

limits! {
    /// Runs that are executed at once.
    RunsAtOnce = "runs_at_once" 5, most 50;
    /// Runs that wait for their turn.
    RunsQueued = "runs_queued" 1_000, most 10_000;
    /// E-mails within 24 hours, each recipient counted.
    EmailsPerDay = "emails_per_day" 200, most 100_000;
    /// Bytes that scripts send by HTTP within a full hour.
    EgressBytesPerHour = "egress_bytes_per_hour" 1_073_741_824, most 1_099_511_627_776;
    /// Fuel that scripts use within 24 hours.
    FuelPerDay = "fuel_per_day" 10_000_000_000_000, most 1_000_000_000_000_000_000;
}

impl Limit {
    /// The limit of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|limit| limit.name() == name)
    }
}

/// A limit's value in force for the transaction's team.
pub async fn in_force(tx: &mut TeamTx, limit: Limit) -> Result<i64, sqlx::Error> {
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
    let mut limits = Vec::new();
    for limit in Limit::ALL {
        limits.push(TeamLimit {
            name: limit.name().into(),
            value: in_force(tx, *limit).await?,
            default: limit.default(),
            most: limit.most(),
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
    let mut tx = db.team_write_alone(team).await?;
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
    audit::by_operator(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// What of the limits that change is in force, by name.
async fn values(tx: &mut TeamTx, changes: &[(Limit, Option<i64>)]) -> Result<serde_json::Value, StoreError> {
    let mut values = serde_json::Map::new();
    for (limit, _) in changes {
        values.insert(limit.name().to_owned(), in_force(tx, *limit).await?.into());
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
            assert!(limit.default() <= limit.most(), "{}", limit.name());
            assert_eq!(Limit::named(limit.name()), Some(*limit));
            assert!(limit.description().ends_with('.'), "{}", limit.description());
        }
    }
}
