//! Retention: runs that ended long ago, or that are more than their pipeline keeps, are removed with everything
//! of theirs, in small steps (`docs/adr/0017-deletion-and-retention.md`).
//!
//! A sweep looks for pipelines with runs that are due. Then teams take turns, and the due pipelines of each: a
//! step marks some runs as expired, from when on nobody sees them, and removes some rows of the expired. Runs
//! that somebody deleted are expired already. What has not ended, or is kept on purpose, is never marked.

use std::{collections::VecDeque, time::Duration};

use restroy_sdk::{
    ids::{PipelineId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use crate::{
    DomainResult, sql,
    state::DomainState,
    store::{TeamTx, Tx, failure, quota::Limit},
};

/// How often pipelines are looked through for runs that are due.
const SWEEP: Duration = Duration::from_mins(10);
/// How many pipelines are looked at in one statement.
const PAGE: i64 = 500;
/// How many teams with something due are remembered, and how many pipelines of each: the next sweep finds others.
const DUE_TEAMS: usize = 1_000;
const DUE_OF_TEAM: usize = 100;
/// How many steps a pass of the service takes.
pub(super) const STEPS: usize = 200;
/// How many runs a step marks, and how many rows of each table it removes.
const ROWS: i64 = 200;
/// How many bytes of a table a step removes, beyond a single row.
macro_rules! most_bytes {
    () => {
        "8388608"
    };
}

/// The runs that are deleted piece by piece at a time: `$1` is the team, `$2` the pipeline.
macro_rules! expired {
    () => {
        "SELECT id FROM runs WHERE team_id = $1 AND pipeline_id = $2 AND expired_at IS NOT NULL ORDER BY id LIMIT 50"
    };
}

/// Removes at most `$3` rows that belong to expired runs, and no more of them than bytes are allowed.
macro_rules! remove {
    ($table:literal, $size:literal, $($key:literal),+) => {
        concat!(
            "DELETE FROM ", $table, " WHERE team_id = $1 AND (", remove!(@list $($key),+), ") IN (
                 SELECT ", remove!(@list $($key),+), " FROM (
                     SELECT ", remove!(@list $($key),+), ", size, sum(size) OVER (ORDER BY ", remove!(@list $($key),+), ") AS total
                     FROM (SELECT ", remove!(@of $($key),+), ", ", $size, " AS size FROM ", $table, " x
                           JOIN (", expired!(), ") r ON r.id = x.run_id WHERE x.team_id = $1 LIMIT $3) AS found) AS sized
                 WHERE total - size < ", most_bytes!(), ")"
        )
    };
    (@list $first:literal $(, $key:literal)*) => { concat!($first $(, ", ", $key)*) };
    (@of $first:literal $(, $key:literal)*) => { concat!("x.", $first $(, ", x.", $key)*) };
}

/// What belongs to a run, and the runs of which nothing is left. An e-mail that is on its way continues, and one
/// that was sent keeps its idempotency key good; both go by their own age.
const PARTS: [&str; 8] = [
    remove!("run_events", "octet_length(x.events)", "run_id", "first_seq"),
    remove!("host_calls", "octet_length(x.answer)", "run_id", "key"),
    remove!("artifacts", "x.bytes", "id"),
    remove!("step_runs", "coalesce(octet_length(x.output), 0)", "id"),
    remove!("secret_reads", "0", "run_id", "fence", "script_id", "key"),
    remove!("tasks", "0", "id"),
    concat!(
        "UPDATE outbox SET run_id = NULL WHERE team_id = $1 AND id IN (
             SELECT x.id FROM outbox x JOIN (",
        expired!(),
        ") r ON r.id = x.run_id WHERE x.team_id = $1 LIMIT $3)"
    ),
    concat!(
        "DELETE FROM runs WHERE team_id = $1 AND id IN (
             SELECT r.id FROM (",
        expired!(),
        ") r
             WHERE NOT EXISTS (SELECT 1 FROM run_events x WHERE x.team_id = $1 AND x.run_id = r.id)
               AND NOT EXISTS (SELECT 1 FROM host_calls x WHERE x.team_id = $1 AND x.run_id = r.id)
               AND NOT EXISTS (SELECT 1 FROM artifacts x WHERE x.team_id = $1 AND x.run_id = r.id)
               AND NOT EXISTS (SELECT 1 FROM step_runs x WHERE x.team_id = $1 AND x.run_id = r.id)
               AND NOT EXISTS (SELECT 1 FROM outbox x WHERE x.team_id = $1 AND x.run_id = r.id)
             LIMIT $3)"
    ),
];

/// Which runs of a pipeline retention looks at; the condition of the index `runs_finished`.
macro_rules! finished {
    () => {
        "team_id = $1 AND pipeline_id = $2 AND finished_at IS NOT NULL AND kept_at IS NULL AND expired_at IS NULL"
    };
}

/// What is due, and how far a sweep has come.
#[derive(Debug, Default)]
pub struct RetentionSweeper {
    due: VecDeque<(TeamId, VecDeque<PipelineId>)>,
    /// The pipeline after which the sweep continues.
    after: Option<(TeamId, PipelineId)>,
    swept_at: Option<Timestamp>,
}

/// What a pass removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedCounts {
    /// The number of runs.
    pub runs: u64,
    /// Rows, those of the runs among them.
    pub rows: u64,
}

/// How long and how many.
#[derive(Debug, Clone, Copy)]
struct RetentionRule {
    cutoff: Timestamp,
    runs: i64,
}

/// A pipeline with what its team and it say about retention.
#[derive(Debug, sqlx::FromRow)]
struct SweptPipeline {
    team_id: TeamId,
    id: PipelineId,
    retention_days: Option<i64>,
    retention_runs: Option<i64>,
    most_days: Option<i64>,
    most_runs: Option<i64>,
    oldest: Option<Timestamp>,
}

impl SweptPipeline {
    /// The pipeline's own, within the team's.
    fn rule(&self, now: Timestamp) -> RetentionRule {
        let days = self.most_days.unwrap_or(Limit::RetentionDays.default());
        let runs = self.most_runs.unwrap_or(Limit::RetentionRuns.default());
        let days = u64::try_from(self.retention_days.map_or(days, |own| own.min(days))).unwrap_or(0);
        RetentionRule {
            cutoff: now.before(Duration::from_secs(days.saturating_mul(86_400))),
            runs: self.retention_runs.map_or(runs, |own| own.min(runs)),
        }
    }
}

/// The columns of a [`SweptPipeline`]; `$3` and `$4` are the names of the limits.
macro_rules! candidates {
    ($which:literal) => {
        concat!(
            "SELECT p.team_id, p.id, p.retention_days, p.retention_runs, d.value AS most_days, n.value AS most_runs,
                    (SELECT min(r.finished_at) FROM runs r
                     WHERE r.team_id = p.team_id AND r.pipeline_id = p.id AND r.finished_at IS NOT NULL
                       AND r.kept_at IS NULL AND r.expired_at IS NULL) AS oldest
             FROM pipelines p
             LEFT JOIN team_limits d ON d.team_id = p.team_id AND d.name = $3
             LEFT JOIN team_limits n ON n.team_id = p.team_id AND n.name = $4
             WHERE ",
            $which
        )
    };
}

impl RetentionSweeper {
    /// Looks for what is due when it is time to, and takes at most so many steps. Gives what went; whoever calls it
    /// comes back.
    pub async fn pass(&mut self, state: &DomainState, steps: usize) -> DomainResult<RemovedCounts> {
        let now = state.ambient.now();
        self.find_deleted(state).await?;
        if self.swept_at.is_none_or(|at| now.since(at) >= SWEEP || now < at) {
            self.sweep(state, now).await?;
        }
        let (mut removed, mut failed) = (RemovedCounts::default(), false);
        for _ in 0..steps {
            let Some((team, mut pipelines)) = self.due.pop_front() else { break };
            let Some(pipeline) = pipelines.pop_front() else { continue };
            match step(state, team, pipeline, now).await {
                Ok((gone, more)) => {
                    removed.runs += gone.runs;
                    removed.rows += gone.rows;
                    if more {
                        pipelines.push_back(pipeline);
                    }
                }
                // The next sweep finds it again.
                Err(error) => {
                    failed = true;
                    tracing::error!(%team, %pipeline, %error, "old runs of a pipeline cannot be removed");
                }
            }
            if !pipelines.is_empty() {
                self.due.push_back((team, pipelines));
            }
            tokio::task::yield_now().await;
        }
        state.metrics.retention(removed.runs, removed.rows, (!failed).then_some(now));
        Ok(removed)
    }

    /// Whether something is left that was found to be due.
    pub fn has_more(&self) -> bool {
        !self.due.is_empty()
    }

    /// Remembers a pipeline, unless the team has enough already.
    fn add(&mut self, team: TeamId, pipeline: PipelineId) {
        match self.due.iter_mut().rev().find(|(other, _)| *other == team) {
            Some((_, pipelines)) if pipelines.len() >= DUE_OF_TEAM || pipelines.contains(&pipeline) => {}
            Some((_, pipelines)) => pipelines.push_back(pipeline),
            None => self.due.push_back((team, VecDeque::from([pipeline]))),
        }
    }

    /// Runs that somebody deleted wait for no sweep.
    async fn find_deleted(&mut self, state: &DomainState) -> DomainResult<()> {
        let mut tx = state.db.system_read().await?;
        let found: Vec<(TeamId, PipelineId)> = sql!(
            &mut tx,
            fetch_all,
            query_as("SELECT DISTINCT team_id, pipeline_id FROM runs WHERE expired_at IS NOT NULL LIMIT $1").bind(PAGE)
        )?;
        for (team, pipeline) in found {
            self.add(team, pipeline);
        }
        Ok(())
    }

    /// Looks at every pipeline: at its oldest run that ended, and, where that is young enough, whether there are more
    /// than it keeps. Stops when enough was found, and continues there the next time.
    async fn sweep(&mut self, state: &DomainState, now: Timestamp) -> DomainResult<()> {
        while self.due.len() < DUE_TEAMS {
            let mut tx = state.db.system_read().await?;
            let (team, pipeline) = self.after.unwrap_or((TeamId(Uuid::nil()), PipelineId(Uuid::nil())));
            let page: Vec<SweptPipeline> = sql!(
                &mut tx,
                fetch_all,
                query_as(candidates!("(p.team_id, p.id) > ($1, $2) ORDER BY p.team_id, p.id LIMIT $5"))
                    .bind(team)
                    .bind(pipeline)
                    .bind(Limit::RetentionDays.name())
                    .bind(Limit::RetentionRuns.name())
                    .bind(PAGE)
            )?;
            for candidate in &page {
                let (Some(oldest), rule) = (candidate.oldest, candidate.rule(now)) else { continue };
                if oldest <= rule.cutoff || has_beyond(&mut tx, candidate, rule).await? {
                    self.add(candidate.team_id, candidate.id);
                }
            }
            drop(tx);
            self.after = page.last().map(|last| (last.team_id, last.id));
            if i64::try_from(page.len()).unwrap_or(i64::MAX) < PAGE {
                self.after = None;
                self.swept_at = Some(now);
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Whether a pipeline has more runs than it keeps: reads so many entries of the index.
async fn has_beyond(tx: &mut Tx, candidate: &SweptPipeline, rule: RetentionRule) -> Result<bool, sqlx::Error> {
    let beyond: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar(concat!(
            "SELECT finished_at FROM runs WHERE ",
            finished!(),
            " ORDER BY finished_at LIMIT 1 OFFSET $3"
        ))
        .bind(candidate.team_id)
        .bind(candidate.id)
        .bind(rule.runs)
    )?;
    Ok(beyond.is_some())
}

/// Takes a step with a pipeline. Gives what went, and whether there may be more.
async fn step(
    state: &DomainState,
    team: TeamId,
    pipeline: PipelineId,
    now: Timestamp,
) -> DomainResult<(RemovedCounts, bool)> {
    let mut most = ROWS;
    loop {
        match try_step(state, team, pipeline, now, most).await {
            Err(error) if most > 1 && failure::is_statement_timeout(&error) => {
                tracing::warn!(%team, rows = most, "a retention step took too long: halving the batch");
                most /= 2;
            }
            done => return Ok(done?),
        }
    }
}

async fn try_step(
    state: &DomainState,
    team: TeamId,
    pipeline: PipelineId,
    now: Timestamp,
    most: i64,
) -> Result<(RemovedCounts, bool), sqlx::Error> {
    let mut tx = state.db.team_write(team).await?;
    let marked = mark(&mut tx, pipeline, now, most).await?;
    let mut removed = RemovedCounts::default();
    for part in PARTS {
        let rows = sql!(&mut *tx, execute, query(part).bind(team).bind(pipeline).bind(most))?.rows_affected();
        removed.rows += rows;
        // The last of them are the runs.
        removed.runs = rows;
    }
    let left: bool =
        sql!(&mut *tx, fetch_one, query_scalar(concat!("SELECT EXISTS (", expired!(), ")")).bind(team).bind(pipeline))?;
    tx.commit().await?;
    Ok((removed, left || marked >= most.unsigned_abs()))
}

/// Marks runs that are due, the oldest first: those that ended before the cutoff, and those beyond the number that is
/// kept.
async fn mark(tx: &mut TeamTx, pipeline: PipelineId, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let team = tx.team();
    let candidate: Option<SweptPipeline> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(candidates!("p.team_id = $1 AND p.id = $2"))
            .bind(team)
            .bind(pipeline)
            .bind(Limit::RetentionDays.name())
            .bind(Limit::RetentionRuns.name())
    )?;
    let Some(rule) = candidate.map(|candidate| candidate.rule(now)) else { return Ok(0) };
    macro_rules! mark {
        ($which:literal) => {
            concat!(
                "UPDATE runs SET expired_at = $3 WHERE team_id = $1 AND kept_at IS NULL AND expired_at IS NULL AND id IN (
                     SELECT id FROM runs WHERE ",
                finished!(),
                $which,
                ")"
            )
        };
    }
    let by_age = sql!(
        &mut **tx,
        execute,
        query(mark!(" AND finished_at <= $4 ORDER BY finished_at, id LIMIT $5"))
            .bind(team)
            .bind(pipeline)
            .bind(now)
            .bind(rule.cutoff)
            .bind(most)
    )?
    .rows_affected();
    let by_number = sql!(
        &mut **tx,
        execute,
        query(mark!(" ORDER BY finished_at DESC, id DESC LIMIT $5 OFFSET $4"))
            .bind(team)
            .bind(pipeline)
            .bind(now)
            .bind(rule.runs)
            .bind(most)
    )?
    .rows_affected();
    Ok(by_age.max(by_number))
}
