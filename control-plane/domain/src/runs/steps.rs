//! Attempts at steps in the database.

use std::collections::BTreeMap;

use restroy_sdk::{
    ids::{Id as _, RunId, StepRunId},
    status::StepStatus,
    time::{Ambient, Timestamp},
};
use sqlx::{FromRow, query, query_as, query_scalar};

use super::{
    machine::{AttemptState, StepKey},
    rows::{StepRow, step_columns},
};
use crate::{
    DomainResult, sql,
    store::{TeamTx, Tx},
};

/// The newest attempt of each place that has one. One round trip on Postgres, however many places.
pub(crate) async fn newest(
    tx: &mut TeamTx,
    run: RunId,
    places: Vec<StepKey>,
) -> DomainResult<BTreeMap<StepKey, AttemptState>> {
    let team = tx.team();
    let rows: Vec<StepRow> = match &mut **tx {
        Tx::Sqlite(tx, _) => {
            let mut rows = Vec::with_capacity(places.len());
            for (step, idx) in &places {
                let row = query_as(concat!(
                    "SELECT ",
                    step_columns!(),
                    " FROM step_runs WHERE team_id = $1 AND run_id = $2 AND step = $3 AND idx = $4
                      ORDER BY attempt DESC LIMIT 1"
                ));
                let row = row.bind(team).bind(run).bind(step).bind(i64::from(*idx));
                rows.extend(row.fetch_optional(&mut **tx).await?);
            }
            rows
        }
        Tx::Postgres(tx, _) => {
            let (steps, items): (Vec<String>, Vec<i64>) =
                places.into_iter().map(|(step, idx)| (step, i64::from(idx))).unzip();
            query_as(concat!(
                "SELECT DISTINCT ON (step, idx) ",
                step_columns!(),
                " FROM step_runs JOIN UNNEST($3::text[], $4::bigint[]) AS wanted (at_step, at_idx)
                       ON step = at_step AND idx = at_idx
                  WHERE team_id = $1 AND run_id = $2 ORDER BY step, idx, attempt DESC"
            ))
            .bind(team)
            .bind(run)
            .bind(steps)
            .bind(items)
            .fetch_all(&mut **tx)
            .await?
        }
    };
    let mut found = BTreeMap::new();
    for row in rows {
        let place = (row.step.clone(), u32::try_from(row.idx).unwrap_or(u32::MAX));
        found.insert(place, attempt(&row)?);
    }
    Ok(found)
}

fn attempt(row: &StepRow) -> DomainResult<AttemptState> {
    Ok(AttemptState {
        number: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        status: row.status,
        items: row.items.and_then(|items| u32::try_from(items).ok()),
        retried: row.retried,
        due_at: row.due_at,
        output: row.output.clone(),
        error: row.error()?,
        usage: super::rows::stored(row.usage.as_deref())?,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

/// The statement of [`save`], but for where its rows come from.
macro_rules! save_attempts {
    ($rows:literal) => {
        concat!(
            "INSERT INTO step_runs (id, team_id, run_id, step, idx, attempt, status, items, output, error, usage,
                                    engine_id, due_at, retried, started_at, finished_at) ",
            $rows,
            " ON CONFLICT (run_id, step, idx, attempt) DO UPDATE SET
                 status = excluded.status, items = excluded.items, output = excluded.output, error = excluded.error,
                 usage = excluded.usage, engine_id = excluded.engine_id, due_at = excluded.due_at,
                 retried = excluded.retried, started_at = excluded.started_at, finished_at = excluded.finished_at"
        )
    };
}

/// Writes attempts as they are now. One round trip on Postgres, however many they are.
pub(crate) async fn save(
    tx: &mut TeamTx,
    ambient: &Ambient,
    run: RunId,
    attempts: &BTreeMap<(StepKey, u32), AttemptState>,
    engine_id: &str,
) -> DomainResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let team = tx.team();
    match &mut **tx {
        Tx::Sqlite(tx, _) => {
            for (((step, idx), _), attempt) in attempts {
                let error = attempt.error.as_ref().map(serde_json::to_string).transpose()?;
                let usage = attempt.usage.as_ref().map(serde_json::to_string).transpose()?;
                let values =
                    save_attempts!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
                query(values)
                    .bind(ambient.id::<StepRunId>())
                    .bind(team)
                    .bind(run)
                    .bind(step)
                    .bind(i64::from(*idx))
                    .bind(i64::from(attempt.number))
                    .bind(attempt.status)
                    .bind(attempt.items.map(i64::from))
                    .bind(&attempt.output)
                    .bind(error)
                    .bind(usage)
                    .bind(engine_id)
                    .bind(attempt.due_at)
                    .bind(attempt.retried)
                    .bind(attempt.started_at)
                    .bind(attempt.finished_at)
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Tx::Postgres(tx, _) => {
            let json = |value: Option<serde_json::Result<String>>| value.transpose();
            let errors = attempts.values().map(|one| json(one.error.as_ref().map(serde_json::to_string)));
            let usages = attempts.values().map(|one| json(one.usage.as_ref().map(serde_json::to_string)));
            let times = |time: fn(&AttemptState) -> Option<Timestamp>| -> Vec<Option<i64>> {
                attempts.values().map(|one| time(one).map(|time| time.0)).collect()
            };
            let values = save_attempts!(
                "SELECT id, $1, $2, step, idx, attempt, status, items, output, error, usage, $3, due_at, retried,
                        started_at, finished_at
                 FROM UNNEST($4::uuid[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::bigint[], $10::text[],
                             $11::text[], $12::text[], $13::bigint[], $14::boolean[], $15::bigint[], $16::bigint[])
                      AS saved (id, step, idx, attempt, status, items, output, error, usage, due_at, retried,
                                started_at, finished_at)"
            );
            query(values)
                .bind(team)
                .bind(run)
                .bind(engine_id)
                .bind(attempts.keys().map(|_| ambient.id::<StepRunId>().uuid()).collect::<Vec<_>>())
                .bind(attempts.keys().map(|((step, _), _)| step.clone()).collect::<Vec<_>>())
                .bind(attempts.keys().map(|((_, idx), _)| i64::from(*idx)).collect::<Vec<_>>())
                .bind(attempts.values().map(|one| i64::from(one.number)).collect::<Vec<_>>())
                .bind(attempts.values().map(|one| one.status.as_str()).collect::<Vec<_>>())
                .bind(attempts.values().map(|one| one.items.map(i64::from)).collect::<Vec<_>>())
                .bind(attempts.values().map(|one| one.output.clone()).collect::<Vec<_>>())
                .bind(errors.collect::<Result<Vec<_>, _>>()?)
                .bind(usages.collect::<Result<Vec<_>, _>>()?)
                .bind(times(|one| one.due_at))
                .bind(attempts.values().map(|one| one.retried).collect::<Vec<_>>())
                .bind(times(|one| one.started_at))
                .bind(times(|one| one.finished_at))
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

/// Records the steps of a new run: all of them wait for their turn.
pub(crate) async fn insert_pending(
    tx: &mut TeamTx,
    ambient: &Ambient,
    run: RunId,
    names: impl Iterator<Item = &String>,
) -> DomainResult<()> {
    let team = tx.team();
    match &mut **tx {
        Tx::Sqlite(tx, _) => {
            for name in names {
                query(
                    "INSERT INTO step_runs (id, team_id, run_id, step, idx, attempt, status)
                     VALUES ($1, $2, $3, $4, 0, 1, $5)",
                )
                .bind(ambient.id::<StepRunId>())
                .bind(team)
                .bind(run)
                .bind(name)
                .bind(StepStatus::Pending)
                .execute(&mut **tx)
                .await?;
            }
        }
        Tx::Postgres(tx, _) => {
            let (ids, names): (Vec<_>, Vec<_>) =
                names.map(|name| (ambient.id::<StepRunId>().uuid(), name.clone())).unzip();
            query(
                "INSERT INTO step_runs (id, team_id, run_id, step, idx, attempt, status)
                 SELECT id, $1, $2, step, 0, 1, $3 FROM UNNEST($4::uuid[], $5::text[]) AS pending (id, step)",
            )
            .bind(team)
            .bind(run)
            .bind(StepStatus::Pending)
            .bind(ids)
            .bind(names)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

/// A step whose newest attempt has not ended, or whose retry is still to come.
pub(crate) async fn open_step(tx: &mut TeamTx, run: RunId) -> Result<Option<String>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_scalar(
            "SELECT step FROM step_runs WHERE team_id = $1 AND run_id = $2
             AND status IN ('pending', 'running', 'waiting') LIMIT 1"
        )
        .bind(team)
        .bind(run)
    )
}

/// Whether an attempt may still call the host: its step is in the run and it has not ended.
pub(crate) async fn is_attempt_open(
    tx: &mut TeamTx,
    run: RunId,
    step: &restroy_sdk::event::StepRef,
) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    let (known, ended): (bool, bool) = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT EXISTS (SELECT 1 FROM step_runs WHERE team_id = $1 AND run_id = $2 AND step = $3 AND idx = 0),
                    EXISTS (SELECT 1 FROM step_runs WHERE team_id = $1 AND run_id = $2 AND step = $3 AND idx = $4
                            AND attempt >= $5
                            AND (attempt > $5 OR status NOT IN ('pending', 'running', 'waiting')))"
        )
        .bind(team)
        .bind(run)
        .bind(&step.step)
        .bind(i64::from(step.index.unwrap_or(0)))
        .bind(i64::from(step.attempt))
    )?;
    Ok(known && !ended)
}

/// An attempt, as far as whoever takes the run on needs to know.
#[derive(Debug, FromRow)]
pub(crate) struct CommittedRow {
    pub(crate) step: String,
    pub(crate) idx: i64,
    pub(crate) attempt: i64,
    pub(crate) status: StepStatus,
    pub(crate) items: Option<i64>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) retried: bool,
    pub(crate) due_at: Option<Timestamp>,
}

/// How many attempts are read at once: an error may be 90 KiB.
const COMMITTED_PAGE: i64 = 100;

/// The next attempts of a run that have ever begun or ended, in the order of steps, items, attempts, after `last`; none
/// at the end. Outputs are read only where they are wanted.
pub(crate) async fn committed_attempts(
    tx: &mut TeamTx,
    run: RunId,
    last: Option<&CommittedRow>,
    outputs: bool,
) -> Result<Vec<CommittedRow>, sqlx::Error> {
    let team = tx.team();
    let (step, idx, attempt) = last.map_or(("", -1, -1), |last| (last.step.as_str(), last.idx, last.attempt));
    sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT step, idx, attempt, status, items, CASE WHEN $7 THEN output END AS output, error, retried, due_at
             FROM step_runs WHERE team_id = $1 AND run_id = $2
             AND (started_at IS NOT NULL OR finished_at IS NOT NULL)
             AND (step, idx, attempt) > ($3, $4, $5)
             ORDER BY step, idx, attempt LIMIT $6"
        )
        .bind(team)
        .bind(run)
        .bind(step)
        .bind(idx)
        .bind(attempt)
        .bind(COMMITTED_PAGE)
        .bind(outputs)
    )
}

/// How many outputs of a step are looked at for a page.
const OUTPUTS_PAGE: i64 = 1_000;

/// What a step and its items returned, from beyond item `after` on, as many as fit into `room` bytes, and at least one if
/// `room` is whole (`first`): item and text. And whether that is all.
pub(crate) async fn outputs(
    tx: &mut TeamTx,
    run: RunId,
    step: &str,
    after: i64,
    (room, first): (u64, bool),
) -> Result<(Vec<(i64, String)>, bool), sqlx::Error> {
    let team = tx.team();
    // Their sizes first, so that no more than a page is ever read.
    let sizes: Vec<(i64, i64)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT idx, CAST(octet_length(output) AS BIGINT) FROM step_runs
             WHERE team_id = $1 AND run_id = $2 AND step = $3 AND idx > $4 AND output IS NOT NULL
             ORDER BY idx, attempt LIMIT $5"
        )
        .bind(team)
        .bind(run)
        .bind(step)
        .bind(after)
        .bind(OUTPUTS_PAGE)
    )?;
    let mut left = room;
    let mut until = None;
    for (number, (idx, bytes)) in sizes.iter().enumerate() {
        let bytes = u64::try_from(*bytes).unwrap_or_default();
        if bytes > left && !(first && number == 0) {
            break;
        }
        left = left.saturating_sub(bytes);
        until = Some((number + 1, *idx));
    }
    let Some((taken, until)) = until else { return Ok((Vec::new(), sizes.is_empty())) };
    let all = taken == sizes.len() && sizes.len() < usize::try_from(OUTPUTS_PAGE).unwrap_or(usize::MAX);
    let outputs = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT idx, output FROM step_runs
             WHERE team_id = $1 AND run_id = $2 AND step = $3 AND idx > $4 AND idx <= $5 AND output IS NOT NULL
             ORDER BY idx, attempt"
        )
        .bind(team)
        .bind(run)
        .bind(step)
        .bind(after)
        .bind(until)
    )?;
    Ok((outputs, all))
}
