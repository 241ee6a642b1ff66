//! Recovery: what an executor lost is taken back, what runs for too long is ended, what has served its time is
//! removed. Every pass takes a bounded step; the next continues from there.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restroy_sdk::{
    ids::{RunId, TeamId},
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    announce::Announcements,
    end::{EndedBy, Ending, finish},
    lease_expiry,
    limits::{MAX_ACTIVE, MAX_QUEUED_AGE, MAX_RUN_AGE},
    rows::{TaskRow, task_columns},
};
use crate::{DomainResult, sql, state::DomainState};

/// How many tasks or runs a pass looks at.
const STEP: i64 = 100;

/// From how long without a look on an embedded installation counts as having been asleep.
const SLEEP_THRESHOLD: Duration = Duration::from_secs(5);

/// When recovery last looked, in this process.
#[derive(Debug, Default)]
pub struct LastRecovery(Mutex<Option<Timestamp>>);

impl LastRecovery {
    /// How long ago that was; notes that it looks now.
    fn since(&self, now: Timestamp) -> Duration {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        last.map_or(Duration::ZERO, |last| now.since(last))
    }
}

/// Renews every lease of an embedded installation that was asleep, stopped by a signal or with its machine: the
/// executor slept with it and continues as well, so nothing was lost. Gives how many.
pub async fn renew_after_sleep(state: &DomainState, looked: &LastRecovery) -> DomainResult<u64> {
    let now = state.ambient.now();
    let asleep = looked.since(now);
    if state.db.is_shared() || asleep < SLEEP_THRESHOLD {
        return Ok(0);
    }
    let mut tx = state.db.system_write().await?;
    let renewed = sql!(
        &mut tx,
        execute,
        query("UPDATE tasks SET lease_until = $1 WHERE state = 'leased'").bind(now.after(state.settings.lease))
    )?;
    tx.commit().await?;
    if renewed.rows_affected() > 0 {
        tracing::info!(?asleep, leases = renewed.rows_affected(), "leases are renewed after a sleep");
    }
    Ok(renewed.rows_affected())
}

/// Counts tasks no more whose run was ended, and whose executor had time until now to notice by itself. Gives
/// how many.
pub async fn release_drained(state: &DomainState) -> DomainResult<u64> {
    let now = state.ambient.now();
    let draining: bool = sql!(
        &mut state.db.system_read().await?,
        fetch_one,
        query_scalar("SELECT EXISTS (SELECT 1 FROM tasks WHERE draining_until < $1)").bind(now)
    )?;
    if !draining {
        return Ok(0);
    }
    let mut tx = state.db.system_write().await?;
    let done =
        sql!(&mut tx, execute, query("UPDATE tasks SET draining_until = NULL WHERE draining_until < $1").bind(now))?;
    let mut announcements = Announcements::default();
    announcements.admit();
    announcements.commit(tx, state).await?;
    Ok(done.rows_affected())
}

/// Takes back the tasks whose lease has run out. Gives how many.
pub async fn reclaim_expired(state: &DomainState) -> DomainResult<usize> {
    let mut tx = state.db.system_read().await?;
    let tasks: Vec<TaskRow> = sql!(
        &mut tx,
        fetch_all,
        query_as(concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE state = 'leased' AND lease_until < $1 ORDER BY id LIMIT $2"
        ))
        .bind(state.ambient.now())
        .bind(STEP)
    )?;
    drop(tx);
    let mut count = 0;
    for task in tasks {
        // One task that cannot be taken back must not keep the others from it.
        match reclaim(state, &task).await {
            Ok(taken) => count += usize::from(taken),
            Err(error) => tracing::error!(task_id = %task.id, %error, "a task cannot be reclaimed"),
        }
    }
    Ok(count)
}

async fn reclaim(state: &DomainState, task: &TaskRow) -> DomainResult<bool> {
    let mut tx = state.db.team_write(task.team_id).await?;
    tx.lock_run(task.run_id).await?;
    let Some(lost) = lease_expiry::expire_if_overdue(&mut tx, task, state.ambient.now()).await? else {
        return Ok(false);
    };
    let ended = lost.run_ended();
    lost.announcements.commit(tx, state).await?;
    tracing::warn!(task_id = %task.id, run_id = %task.run_id, ended, "a lease ran out");
    Ok(true)
}

/// Ends runs that have been queued, active or suspended for longer than any run may. Gives how many.
pub async fn finish_overdue_runs(state: &DomainState) -> DomainResult<usize> {
    let now = state.ambient.now();
    let mut tx = state.db.system_read().await?;
    let overdue: Vec<(RunId, TeamId, Option<Timestamp>)> = sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, team_id, started_at FROM runs
             WHERE status IN ('queued', 'running', 'waiting') AND deadline_at < $1 ORDER BY deadline_at LIMIT $2"
        )
        .bind(now)
        .bind(STEP)
    )?;
    drop(tx);
    let mut count = 0;
    for (run_id, team, started_at) in overdue {
        let ending = Ending::with_code(RunStatus::TimedOut, "run_too_old", overdue_message(started_at, now));
        match finish_overdue(state, team, run_id, &ending).await {
            Ok(ended) => count += usize::from(ended),
            Err(error) => tracing::error!(%run_id, %error, "a run that is too old cannot be ended"),
        }
    }
    Ok(count)
}

/// Which of its limits a run exceeded.
fn overdue_message(started_at: Option<Timestamp>, now: Timestamp) -> String {
    let days = |limit: Duration| limit.as_secs() / 86_400;
    match started_at {
        None => format!("The run exceeded the maximum queueing time of {} days.", days(MAX_QUEUED_AGE)),
        Some(started) if now.since(started) >= MAX_RUN_AGE => {
            format!("The run exceeded the maximum age of {} days.", days(MAX_RUN_AGE))
        }
        Some(_) => {
            format!("The run exceeded the maximum active time of {} hours.", MAX_ACTIVE.as_secs() / 3_600)
        }
    }
}

async fn finish_overdue(state: &DomainState, team: TeamId, run_id: RunId, ending: &Ending) -> DomainResult<bool> {
    let mut tx = state.db.team_write(team).await?;
    tx.lock_run(run_id).await?;
    let now = state.ambient.now();
    // It may have been claimed or suspended since it was looked at.
    let overdue: bool = sql!(
        &mut *tx,
        fetch_one,
        query_scalar("SELECT EXISTS (SELECT 1 FROM runs WHERE team_id = $1 AND id = $2 AND deadline_at < $3)")
            .bind(team)
            .bind(run_id)
            .bind(now)
    )?;
    if !overdue {
        return Ok(false);
    }
    let ended = finish(&mut tx, run_id, now, ending, EndedBy::ControlPlane).await?;
    let Some(ended) = ended else { return Ok(false) };
    let mut announcements = Announcements::default();
    announcements.run_ended(ended);
    announcements.commit(tx, state).await?;
    Ok(true)
}
