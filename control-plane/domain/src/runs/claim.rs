//! Claims: one compare-and-set hands a task out, and raises its fence.

use restroy_run_queue::run_api::{Claim, Claimed};
use restroy_sdk::{
    event::EventKind,
    ids::{ExecutorId, RunId, TaskId},
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{
    announce::Announcements,
    cancel, events,
    executor::{self, Executor, check_engine},
    lease,
    lease_expiry::{self, EndedLease},
    limits::MAX_ACTIVE,
    plan,
    rows::{TaskRow, task_columns},
    suspend,
};
use crate::{
    DomainError, DomainResult,
    auth::token::hash,
    sql,
    state::DomainState,
    store::{Bypass, TeamTx, Tx, usage},
};

/// Gives a task to an executor that asks for it, with all that its run is to be executed by.
pub async fn claim(state: &DomainState, executor: &Executor, id: TaskId, claim: Claim) -> DomainResult<Claimed> {
    check_engine(&claim.engine_id)?;

    // What never changes is read first, beside other readers.
    let mut tx = state.db.system_read().await?;
    let task = task(&mut tx, id).await?;
    let again = is_repeat(&task, executor.id, &claim, state.ambient.now());
    if !again && !claimable(&task, state.ambient.now()) {
        return Err(DomainError::NotClaimable);
    }
    executor::has_slot(&mut tx, executor, id).await?;
    drop(tx);
    let mut tx = state.db.team_read(task.team_id).await?;
    let run = cancel::find(&mut tx, task.run_id).await?;
    let fixed = plan::run_constants(&mut tx, &run).await?;
    drop(tx);

    let mut tx = state.db.team_write(task.team_id).await?;
    tx.lock_run(run.id).await?;
    let now = state.ambient.now();
    if matches!(run.status, RunStatus::Queued | RunStatus::Waiting) && put_back(&mut tx, &task).await? {
        tx.commit().await?;
        return Err(DomainError::NotClaimable);
    }
    let (fence, token, mut announcements) = match take_task(state, &mut tx, &task, executor, &claim, now).await? {
        ClaimOutcome::Taken { fence, token, announcements } => (fence, token, announcements),
        ClaimOutcome::TooLate => return Err(DomainError::NotClaimable),
        ClaimOutcome::Ended(lost) => {
            // The expired lease was one too many: the run has failed, and that is kept.
            lost.announcements.commit(tx, state).await?;
            return Err(DomainError::NotClaimable);
        }
    };
    let first = start_run(&mut tx, run.id, now).await?;
    let run = cancel::find(&mut tx, run.id).await?;
    announcements.run_changed(run.id);
    let waited = now.since(run.created_at);
    let plan = plan::plan(&mut tx, state, (id, executor.id, fence), run, fixed, (now, claim.fetches_outputs)).await?;
    let egress_left = usage::egress_left(&mut tx, now).await?;
    // Last of all, since it keeps the executor's other claims waiting: what it holds is counted over all teams.
    let mut tx = tx.leave_bypassing_rls(Bypass::ExecutorSlots).await?;
    executor::take_slot(&mut tx, executor, id).await?;
    announcements.commit(tx, state).await?;
    if first {
        state.metrics.run_claimed(waited);
    }
    Ok(Claimed { token, fence, lease_ms: lease::lease_ms(state), plan, egress_left: Some(egress_left) })
}

async fn task(tx: &mut Tx, id: TaskId) -> DomainResult<TaskRow> {
    let task: Option<TaskRow> =
        sql!(tx, fetch_optional, query_as(concat!("SELECT ", task_columns!(), " FROM tasks WHERE id = $1")).bind(id))?;
    // A task that went with its run is as good as one that is done.
    task.ok_or(DomainError::NotClaimable)
}

fn claimable(task: &TaskRow, now: Timestamp) -> bool {
    match task.state.as_str() {
        "admitted" => true,
        "leased" => task.lease_until.is_none_or(|until| until < now),
        _ => false,
    }
}

/// Whether this very claim was granted before, and nothing was done under it: its answer did not arrive.
/// Granting it anew under another fence takes nothing from anybody.
fn is_repeat(task: &TaskRow, executor: ExecutorId, claim: &Claim, now: Timestamp) -> bool {
    task.state == "leased"
        && task.owner == Some(executor)
        && claim.claim_id.is_some()
        && task.claim_id == claim.claim_id
        && task.last_batch == 0
        && task.lease_until.is_some_and(|until| until >= now)
}

/// Lets a task wait again that was admitted just before its board was archived, or its pipeline deleted: what
/// starts or resumes does so here. Whether it was such a task.
async fn put_back(tx: &mut TeamTx, task: &TaskRow) -> DomainResult<bool> {
    let team = tx.team();
    let done = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE tasks SET state = 'pending', admitted_at = NULL
             WHERE team_id = $1 AND id = $2 AND state = 'admitted' AND EXISTS (
                 SELECT 1 FROM runs r
                 JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id
                 WHERE r.team_id = $1 AND r.id = $3 AND r.status IN ('queued', 'waiting')
                   AND ((b.archived_at IS NOT NULL AND r.status = 'queued')
                        OR b.deleted_at IS NOT NULL OR p.deleted_at IS NOT NULL))"
        )
        .bind(team)
        .bind(task.id)
        .bind(task.run_id)
    )?;
    Ok(done.rows_affected() == 1)
}

enum ClaimOutcome {
    Taken { fence: i64, token: String, announcements: Announcements },
    TooLate,
    Ended(EndedLease),
}

/// Takes the task as it was seen, if it still is so. A lease that ran out is lost first, which is reported to
/// watchers and counted; one that is claimed again is taken over as it is.
async fn take_task(
    state: &DomainState,
    tx: &mut TeamTx,
    task: &TaskRow,
    executor: &Executor,
    claim: &Claim,
    now: Timestamp,
) -> DomainResult<ClaimOutcome> {
    let (mut from, mut fence, mut announcements) = (task.state.as_str(), task.fence, Announcements::default());
    if claimable(task, now) && from == "leased" {
        let Some(expired) = lease_expiry::expire_if_overdue(tx, task, now).await? else {
            return Ok(ClaimOutcome::TooLate);
        };
        if expired.run_ended() {
            return Ok(ClaimOutcome::Ended(expired));
        }
        (from, fence, announcements) = ("pending", expired.fence, expired.announcements);
    }
    let team = tx.team();
    let token = lease::new_token(&state.ambient, team, executor.lane);
    let taken = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE tasks SET state = 'leased', fence = fence + 1, token_hash = $5, owner = $6, lease_until = $7,
                    last_batch = 0, claim_id = $8, confirms = $9
             WHERE team_id = $1 AND id = $2 AND state = $3 AND fence = $4"
        )
        .bind(team)
        .bind(task.id)
        .bind(from)
        .bind(fence)
        .bind(hash(&token))
        .bind(executor.id)
        .bind(now.after(state.settings.lease))
        .bind(claim.claim_id)
        .bind(claim.confirms)
    )?;
    if taken.rows_affected() == 0 {
        return Ok(ClaimOutcome::TooLate);
    }
    Ok(ClaimOutcome::Taken { fence: fence + 1, token, announcements })
}

/// The first claim of a run starts it; whether it was that.
async fn start_run(tx: &mut TeamTx, run: RunId, now: Timestamp) -> DomainResult<bool> {
    let team = tx.team();
    let started = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE runs SET status = $4, started_at = COALESCE(started_at, $3), deadline_at = $5
             WHERE team_id = $1 AND id = $2 AND status = 'queued'"
        )
        .bind(team)
        .bind(run)
        .bind(now)
        .bind(RunStatus::Running)
        .bind(now.after(MAX_ACTIVE))
    )?;
    if started.rows_affected() == 0 {
        // One that was suspended continues; its first step that starts says so.
        suspend::resume(tx, run, now).await?;
    } else {
        events::append(tx, run, now, &[EventKind::RunStarted {}], None).await?;
    }
    Ok(started.rows_affected() > 0)
}
