//! The rows of runs, tasks and attempts as they are read, and what the API makes of them.

use restroy_sdk::{
    api::run::{Run, StepRun, Waiting},
    event::{StepError, StepRef},
    ids::{BoardId, ExecutorId, PipelineId, RunId, StepRunId, TaskId, TeamId, UserId, VersionId},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use serde_json::value::RawValue;
use sqlx::FromRow;
use uuid::Uuid;

use super::trigger::TriggerColumns;
use crate::DomainResult;

/// The columns of a [`RunRow`], without the parameters, from `runs`. The board is that of the pipeline, which may
/// have been moved since.
macro_rules! run_columns {
    () => {
        "id, team_id, (SELECT p.board_id FROM pipelines p WHERE p.team_id = runs.team_id AND p.id = runs.pipeline_id) \
         AS board_id, pipeline_id, version_id, version, pipeline_name, config_revision, \
         board_config_revision, team_config_revision, status, \
         CASE WHEN status = 'waiting' THEN (SELECT s.step FROM step_runs s WHERE s.team_id = runs.team_id \
             AND s.run_id = runs.id AND s.status = 'waiting' ORDER BY s.due_at, s.id LIMIT 1) END AS waiting_step, \
         CASE WHEN status = 'waiting' THEN (SELECT MIN(s.due_at) FROM step_runs s WHERE s.team_id = runs.team_id \
             AND s.run_id = runs.id AND s.status = 'waiting') END AS waiting_until, \
         error, last_seq, started_by, trigger_kind, trigger_by, trigger_id, trigger_name, fire_at, created_at, started_at, finished_at, kept_at"
    };
}
pub(crate) use run_columns;

/// A run, without its parameters and seed.
#[derive(Debug, Clone, FromRow)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    pub(crate) team_id: TeamId,
    pub(crate) board_id: BoardId,
    pub(crate) pipeline_id: PipelineId,
    /// The pipeline's version.
    pub version_id: VersionId,
    pub(crate) version: i64,
    pub(crate) pipeline_name: String,
    pub(crate) config_revision: i64,
    pub(crate) board_config_revision: i64,
    pub(crate) team_config_revision: i64,
    /// How it stands.
    pub status: RunStatus,
    /// While it waits: the step that is due next, and when.
    pub(crate) waiting_step: Option<String>,
    pub(crate) waiting_until: Option<Timestamp>,
    pub(crate) error: Option<String>,
    /// The number of its newest event.
    pub last_seq: i64,
    pub(crate) started_by: Option<UserId>,
    #[sqlx(flatten)]
    pub(crate) trigger: TriggerColumns,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) kept_at: Option<Timestamp>,
}

impl RunRow {
    /// As the API shows it.
    pub fn into_api(self, params: Option<Box<RawValue>>) -> DomainResult<Run> {
        Ok(Run {
            id: self.id,
            team_id: self.team_id,
            board_id: self.board_id,
            pipeline_id: self.pipeline_id,
            pipeline_name: self.pipeline_name,
            version: self.version,
            status: self.status,
            waiting: self.waiting_step.zip(self.waiting_until).map(|(step, until)| Waiting { step, until }),
            error: stored(self.error.as_deref())?,
            params,
            last_seq: self.last_seq,
            trigger: self.trigger.into_api(self.started_by, self.created_at),
            started_by: self.started_by,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            kept_at: self.kept_at,
        })
    }
}

/// A task.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TaskRow {
    pub id: TaskId,
    pub(crate) team_id: TeamId,
    pub(crate) run_id: RunId,
    pub(crate) state: String,
    pub(crate) fence: i64,
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) owner: Option<ExecutorId>,
    /// The claim that it is leased by, as its executor named it.
    pub(crate) claim_id: Option<Uuid>,
    /// The newest batch that was taken under the lease.
    pub(crate) last_batch: i64,
}

/// The columns of a [`TaskRow`].
macro_rules! task_columns {
    () => {
        "id, team_id, run_id, state, fence, lease_until, owner, claim_id, last_batch"
    };
}
pub(crate) use task_columns;

/// The columns of a [`StepRow`].
macro_rules! step_columns {
    () => {
        "id, step, idx, attempt, status, items, output, error, usage, engine_id, due_at, retried, started_at, finished_at"
    };
}
pub(crate) use step_columns;

/// An attempt at a step.
#[derive(Debug, Clone, FromRow)]
pub struct StepRow {
    /// The attempt.
    pub id: StepRunId,
    pub(crate) step: String,
    pub(crate) idx: i64,
    pub(crate) attempt: i64,
    /// How it stands.
    pub status: StepStatus,
    pub(crate) items: Option<i64>,
    /// What it returned, as JSON.
    pub output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) usage: Option<String>,
    pub(crate) engine_id: Option<String>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) retried: bool,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

impl StepRow {
    /// Which step, item and attempt.
    pub(crate) fn step_ref(&self) -> StepRef {
        step_ref(&self.step, self.idx, self.attempt)
    }

    /// Why it did not succeed.
    pub(crate) fn error(&self) -> DomainResult<Option<StepError>> {
        stored(self.error.as_deref())
    }

    /// What it returned.
    pub fn output(&self) -> DomainResult<Option<serde_json::Value>> {
        stored(self.output.as_deref())
    }

    /// As the API shows it.
    pub fn into_api(self) -> DomainResult<StepRun> {
        Ok(StepRun {
            id: self.id,
            step: self.step_ref(),
            status: self.status,
            output: self.output()?,
            error: self.error()?,
            usage: stored(self.usage.as_deref())?.unwrap_or_default(),
            engine_id: self.engine_id,
            waiting_until: self.due_at.filter(|_| self.status == StepStatus::Waiting),
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

/// From the database's numbers: item 0 is the step itself.
pub(crate) fn step_ref(step: &str, idx: i64, attempt: i64) -> StepRef {
    StepRef {
        step: step.to_owned(),
        index: u32::try_from(idx).ok().filter(|idx| *idx > 0),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
    }
}

/// Reads JSON that we stored.
pub(crate) fn stored<T: serde::de::DeserializeOwned>(text: Option<&str>) -> DomainResult<Option<T>> {
    Ok(text.map(serde_json::from_str).transpose()?)
}
