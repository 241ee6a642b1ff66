//! A team's limits: those of its plan ([`Limit`] has the table), and what the operator gave it beyond or took from it.
//!
//! There is one plan, [`PLAN`]. Two of the limits are columns of `teams`, where admission reads them; the
//! others are rows of `team_limits` where they differ from the plan's.

pub use restroy_sdk::limit::Limit;
use restroy_sdk::{
    api::usage::{TeamLimit, TeamLimits},
    ids::TeamId,
    limit::LimitValues,
    time::Ambient,
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, Durability, StoreError, TeamTx, audit};
use crate::sql;

/// The name of the plan that every team has.
pub const PLAN: &str = "default";

/// A limit's value in force for the transaction's team.
pub async fn effective(tx: &mut TeamTx, limit: Limit) -> Result<i64, sqlx::Error> {
    let [value] = effective_many(tx, [limit]).await?;
    Ok(value)
}

/// The values in force of several limits, in one statement.
pub async fn effective_many<const N: usize>(tx: &mut TeamTx, limits: [Limit; N]) -> Result<[i64; N], sqlx::Error> {
    let values = all_values(tx).await?;
    Ok(limits.map(|limit| values.get(limit)))
}

/// The values in force of all limits, in one statement.
pub async fn all_values(tx: &mut TeamTx) -> Result<LimitValues, sqlx::Error> {
    let team = tx.team();
    let rows: Vec<(String, i64)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT name, value FROM team_limits WHERE team_id = $1
             UNION ALL SELECT $2, max_running FROM teams WHERE id = $1
             UNION ALL SELECT $3, max_queued FROM teams WHERE id = $1"
        )
        .bind(team)
        .bind(Limit::RunsAtOnce.name())
        .bind(Limit::RunsQueued.name())
    )?;
    let mut values = LimitValues::default();
    for (name, value) in rows {
        // A name that a newer version wrote is none of ours.
        if let Some(limit) = Limit::named(&name) {
            values.set(limit, value);
        }
    }
    Ok(values)
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
    let values = all_values(tx).await?;
    let limit = |limit: &Limit| TeamLimit {
        name: limit.name().into(),
        unit: limit.unit().into(),
        value: values.get(*limit),
        default: limit.default(),
        most: limit.maximum(),
        description: limit.description().into(),
    };
    Ok(Some(TeamLimits { plan: PLAN.into(), limits: Limit::ALL.iter().map(limit).collect() }))
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
