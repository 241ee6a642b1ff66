//! The start of a run: one durable transaction writes the run, its steps, its task and its first
//! event. People start runs over the API, schedules by the clock; both come through here.

use restroy_sdk::{
    document::{Concurrency, OnConflict},
    event::{EventKind, StepError},
    ids::{PipelineId, RunId, TaskId, VersionId},
    status::RunStatus,
    time::Timestamp,
};
use serde_json::{Map, Value};
use sqlx::{query, query_as, query_scalar};

use super::{
    announce::Announcements,
    cancel,
    end::{EndedBy, Ending, finish},
    events,
    limits::MAX_QUEUED_AGE,
    params,
    rows::RunRow,
    steps,
    trigger::Starter,
};
use crate::{
    DomainError, DomainResult, quotas, sql,
    state::DomainState,
    store::{
        TeamTx,
        quota::{self, Limit},
        storage,
        usage::{self, UsageDelta},
    },
};

/// A run that can be started: its version is chosen and its parameters are checked.
#[derive(Debug, Clone)]
pub struct Prepared {
    pipeline: PipelineId,
    version_id: VersionId,
    version: i64,
    steps: Vec<String>,
    concurrency: Option<Concurrency>,
    params: String,
}

/// A run that was started, in a transaction still to be committed.
#[derive(Debug)]
pub struct Started {
    /// The run.
    pub run: RunRow,
    /// What to announce once the transaction is committed.
    pub announcements: Announcements,
}

impl Started {
    /// The run.
    pub fn id(&self) -> RunId {
        self.run.id
    }

    /// Its state: `queued`, or `cancelled` when the pipeline's concurrency rule skipped it.
    pub fn status(&self) -> RunStatus {
        self.run.status
    }
}

/// Chooses the published version and checks the parameters against its schema, before anything is
/// written: 404, 409 when nothing is published, 413, 422 `invalid_params`.
pub async fn prepare(
    state: &DomainState,
    mut tx: TeamTx,
    pipeline: PipelineId,
    given: Map<String, Value>,
) -> DomainResult<Prepared> {
    let team = tx.team();
    let published: Option<Option<i64>> = sql!(
        &mut *tx,
        fetch_optional,
        query_scalar("SELECT published_version FROM pipelines WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL")
            .bind(team)
            .bind(pipeline)
    )?;
    let Some(version) = published.ok_or(DomainError::NotFound)? else {
        return Err(DomainError::conflict(
            "The pipeline has no published version: publish one (`PUT …/definition` with `\"publish\": true`).",
        ));
    };
    let version_id: VersionId = sql!(
        &mut *tx,
        fetch_one,
        query_scalar("SELECT id FROM pipeline_versions WHERE team_id = $1 AND pipeline_id = $2 AND number = $3")
            .bind(team)
            .bind(pipeline)
            .bind(version)
    )?;
    let input = quota::effective(&mut tx, Limit::StepInputBytes).await?;
    // The check may take a while, and others want the connection: it goes before that.
    let startable = if let Some(startable) = state.versions.get(version_id) {
        drop(tx);
        startable
    } else {
        let definition: String = sql!(
            &mut *tx,
            fetch_one,
            query_scalar("SELECT definition FROM pipeline_versions WHERE team_id = $1 AND id = $2")
                .bind(team)
                .bind(version_id)
        )?;
        drop(tx);
        state.versions.read(&state.tenants, team, version_id, definition).await?
    };
    let params = params::check(state, team, startable.schema.clone(), given).await?.to_string();
    params::check_size(&params, input)?;
    Ok(Prepared {
        pipeline,
        version_id,
        version,
        steps: startable.steps.clone(),
        concurrency: startable.concurrency.clone(),
        params,
    })
}

/// Starts a run. 409 when the board is archived or the pipeline gone, 429 when the team has as many
/// queued runs as it may have, started as many within the hour or stores as much; 503, to be prepared again at once, when another version was published since.
pub async fn start(
    state: &DomainState,
    tx: &mut TeamTx,
    mut prepared: Prepared,
    starter: &Starter,
) -> DomainResult<Started> {
    let now = state.ambient.now();
    let place = find_location(tx, prepared.pipeline).await?;
    if place.published_version != Some(prepared.version) {
        // Another version was published after this one was chosen: what holds now is chosen again.
        return Err(DomainError::ConcurrentChange);
    }
    check_starts(tx, now).await?;
    let (mut announcements, skipped) = apply_concurrency(tx, &prepared, now).await?;
    if skipped {
        // It never runs: nobody needs what it would have run with.
        "{}".clone_into(&mut prepared.params);
    } else {
        check_queue(tx, place.max_queued).await?;
        check_fuel(tx, now).await?;
    }
    let id: RunId = state.ambient.id();
    insert(state, tx, id, &place, &prepared, starter, now).await?;
    steps::insert_pending(tx, &state.ambient, id, prepared.steps.iter()).await?;
    events::append(tx, id, now, &[EventKind::RunQueued {}], None).await?;
    announcements.run_started(id);
    if skipped {
        let limit = prepared.concurrency.map_or(0, |concurrency| concurrency.limit);
        let message = format!(
            "The pipeline runs at most {limit} concurrently and skips the rest (`on_conflict: \
            skip`)."
        );
        let ending = Ending { status: RunStatus::Cancelled, error: Some(StepError::new("concurrency_limit", message)) };
        // It has no task yet.
        if let Some(ended) = finish(tx, id, now, &ending, EndedBy::ControlPlane).await? {
            announcements.run_ended(ended);
        }
    } else {
        insert_task(state, tx, id, now).await?;
        announcements.admit();
    }
    quotas::ensure_storage_below_limit(tx).await?;
    usage::add(tx, id, now, UsageDelta { runs: 1, ..UsageDelta::default() }).await?;
    Ok(Started { run: cancel::find(tx, id).await?, announcements })
}

#[derive(sqlx::FromRow)]
struct RunLocation {
    board_id: restroy_sdk::ids::BoardId,
    name: String,
    published_version: Option<i64>,
    config_revision: i64,
    board_config_revision: i64,
    team_config_revision: i64,
    archived: bool,
    max_queued: i64,
}

/// Where the run goes, as things are within this transaction.
async fn find_location(tx: &mut TeamTx, pipeline: PipelineId) -> DomainResult<RunLocation> {
    let team = tx.team();
    let place: Option<RunLocation> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT p.board_id, p.name, p.published_version, p.config_revision, b.config_revision AS board_config_revision,
                    t.config_revision AS team_config_revision, b.archived_at IS NOT NULL AS archived, t.max_queued
             FROM pipelines p
             JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
             JOIN teams t ON t.id = p.team_id AND t.deleted_at IS NULL
             WHERE p.team_id = $1 AND p.id = $2 AND p.deleted_at IS NULL"
        )
        .bind(team)
        .bind(pipeline)
    )?;
    let place = place.ok_or(DomainError::NotFound)?;
    if place.archived {
        return Err(DomainError::conflict("The board is archived and starts no runs. Unarchive it first."));
    }
    Ok(place)
}

/// Applies the document's `concurrency`: whether this run is skipped, and what ended to make room.
async fn apply_concurrency(
    tx: &mut TeamTx,
    prepared: &Prepared,
    now: Timestamp,
) -> DomainResult<(Announcements, bool)> {
    let mut announcements = Announcements::default();
    let Some(Concurrency { limit, on_conflict, .. }) = &prepared.concurrency else { return Ok((announcements, false)) };
    if *on_conflict == OnConflict::Queue {
        // Kept at admission.
        return Ok((announcements, false));
    }
    let team = tx.team();
    let active: Vec<RunId> = sql!(
        &mut **tx,
        fetch_all,
        query_scalar(
            "SELECT id FROM runs
             WHERE team_id = $1 AND status IN ('queued', 'running', 'waiting') AND pipeline_id = $2 ORDER BY id"
        )
        .bind(team)
        .bind(prepared.pipeline)
    )?;
    let limit = usize::try_from(*limit).unwrap_or(usize::MAX).max(1);
    let surplus = (active.len() + 1).saturating_sub(limit);
    if *on_conflict == OnConflict::Skip {
        return Ok((announcements, surplus > 0));
    }
    let ending = Ending::with_code(
        RunStatus::Cancelled,
        "concurrency_limit",
        "A newer run replaced this one (`on_conflict: cancel_running`).",
    );
    for run in active.into_iter().take(surplus) {
        if let Some(ended) = finish(tx, run, now, &ending, EndedBy::ControlPlane).await? {
            announcements.run_ended(ended);
        }
    }
    Ok((announcements, false))
}

async fn check_queue(tx: &mut TeamTx, most: i64) -> DomainResult<()> {
    let team = tx.team();
    let queued: i64 = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT COUNT(*) FROM runs WHERE team_id = $1 AND status IN ('queued', 'waiting')").bind(team)
    )?;
    if queued < most {
        return Ok(());
    }
    let detail = format!(
        "The team has {queued} queued and waiting runs; the limit is {most} (`runs_queued`). Wait for some to finish, \
        or cancel some."
    );
    Err(DomainError::named_limit_reached("runs_queued", most, detail))
}

/// Skipped runs count like all others: they take rows, and pass no other limit.
async fn check_starts(tx: &mut TeamTx, now: Timestamp) -> DomainResult<()> {
    match usage::exceeded(tx, Limit::StartsPerHour, 1, now).await? {
        Some(exceeded) => Err(DomainError::exceeded(&exceeded, now)),
        None => Ok(()),
    }
}

async fn check_fuel(tx: &mut TeamTx, now: Timestamp) -> DomainResult<()> {
    match usage::exceeded(tx, Limit::FuelPerDay, 1, now).await? {
        Some(exceeded) => Err(DomainError::exceeded(&exceeded, now)),
        None => Ok(()),
    }
}

async fn insert(
    state: &DomainState,
    tx: &mut TeamTx,
    id: RunId,
    place: &RunLocation,
    prepared: &Prepared,
    starter: &Starter,
    now: Timestamp,
) -> DomainResult<()> {
    let team = tx.team();
    let trigger = starter.columns();
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let size = storage::RUN + whole(prepared.params.len()) + whole(prepared.steps.len()) * storage::ROW;
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO runs (id, team_id, board_id, pipeline_id, version_id, version, pipeline_name, config_revision,
                               board_config_revision, team_config_revision, status, params, seed, concurrency_limit,
                               started_by, trigger_kind, trigger_by, trigger_id, trigger_name, schedule_id, fire_at,
                               created_at, deadline_at, stored_bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                     $22, $23, $24)"
        )
        .bind(id)
        .bind(team)
        .bind(place.board_id)
        .bind(prepared.pipeline)
        .bind(prepared.version_id)
        .bind(prepared.version)
        .bind(&place.name)
        .bind(place.config_revision)
        .bind(place.board_config_revision)
        .bind(place.team_config_revision)
        .bind(RunStatus::Queued)
        .bind(&prepared.params)
        .bind(state.ambient.random::<32>().to_vec())
        .bind(prepared.concurrency.as_ref().map(|concurrency| i64::from(concurrency.limit)))
        .bind(starter.user())
        .bind(trigger.trigger_kind)
        .bind(trigger.trigger_by)
        .bind(trigger.trigger_id)
        .bind(trigger.trigger_name)
        .bind(starter.schedule())
        .bind(trigger.fire_at)
        .bind(now)
        .bind(now.after(MAX_QUEUED_AGE))
        .bind(size)
    )?;
    Ok(())
}

async fn insert_task(state: &DomainState, tx: &mut TeamTx, run: RunId, now: Timestamp) -> DomainResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO tasks (id, team_id, run_id, kind, state, created_at)
             VALUES ($1, $2, $3, 'drive', 'pending', $4)"
        )
        .bind(state.ambient.id::<TaskId>())
        .bind(team)
        .bind(run)
        .bind(now)
    )?;
    Ok(())
}
