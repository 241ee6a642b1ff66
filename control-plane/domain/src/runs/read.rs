//! Runs and attempts as people read them.

use restroy_sdk::{
    api::{run::Run, trigger::TriggerKind},
    ids::{PipelineId, RunId, StepRunId},
    status::{RunStatus, StepStatus},
};
use serde_json::value::RawValue;
use sqlx::{query_as, query_scalar};
use uuid::Uuid;

use super::{
    cancel::find,
    rows::{RunRow, StepRow, run_columns, step_columns},
};
use crate::{
    DomainResult, sql,
    store::{
        TeamTx,
        boards::{Viewer, seen},
        sort::{AgeOrder, by_age},
    },
};

/// A run with the parameters that it was started with.
pub async fn find_with_params(tx: &mut TeamTx, run: RunId) -> DomainResult<Run> {
    let row = find(tx, run).await?;
    let team = tx.team();
    let params: String = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT params FROM runs WHERE team_id = $1 AND id = $2").bind(team).bind(run)
    )?;
    row.into_api(Some(RawValue::from_string(params)?))
}

/// Attempts of a run, at most `most`, that come after one in the order.
pub async fn attempts(
    tx: &mut TeamTx,
    run: RunId,
    age: AgeOrder,
    after: Option<StepRunId>,
    status: Option<StepStatus>,
    most: i64,
) -> DomainResult<Vec<StepRow>> {
    let team = tx.team();
    let statement = by_age!(
        age,
        "id",
        concat!(
            "SELECT ",
            step_columns!(),
            " FROM step_runs WHERE team_id = $1 AND run_id = $4 AND ($5 IS NULL OR status = $5)"
        )
    );
    Ok(sql!(&mut **tx, fetch_all, query_as(statement).bind(team).bind(after).bind(most).bind(run).bind(status))?)
}

/// The statement, by age; `$1` to `$6` are team, place, status, pattern of the name, number of rows and kind
/// of trigger. Each finds its beginning in an index.
macro_rules! runs {
    ($status:literal, $end:literal, $($which:expr),+) => {
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM runs WHERE team_id = $1 AND expired_at IS NULL AND ",
            $status,
            " AND ($4 IS NULL OR lower(pipeline_name) LIKE $4 ESCAPE '\\')
              AND ($6 IS NULL OR trigger_kind = $6) AND ",
            $($which,)+
            " AND id ",
            $end,
            " LIMIT $5"
        )
    };
}

/// Those in any state, and those in the one of `$3`.
macro_rules! by_status {
    ($status:expr, $end:literal) => {
        if $status.is_some() {
            runs_by_age!("status = $3", $end)
        } else {
            runs_by_age!("($3 IS NULL OR $3 = $3)", $end)
        }
    };
}

/// Those of a pipeline, `$7`, and those of a team that its viewer sees, `$7` to `$9`.
macro_rules! runs_by_age {
    ($status:literal, $end:literal) => {
        (
            runs!($status, $end, "pipeline_id = $7"),
            runs!(
                $status,
                $end,
                "EXISTS (SELECT 1 FROM pipelines p
                     JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                     WHERE p.team_id = $1 AND p.id = runs.pipeline_id AND p.deleted_at IS NULL AND ",
                seen!("run.read", "$7", "$8", "$9"),
                ")"
            ),
        )
    };
}

/// Which runs of a list to read.
#[derive(Debug)]
pub struct RunSelection {
    /// In which order.
    pub age: AgeOrder,
    /// After which run in this order.
    pub after: Option<RunId>,
    /// Only those in this state.
    pub status: Option<RunStatus>,
    /// Only those that this kind of trigger started.
    pub trigger: Option<TriggerKind>,
    /// Only those whose pipeline had this in its name, a pattern of LIKE.
    pub name: Option<String>,
    /// At most so many.
    pub rows: i64,
}

impl RunSelection {
    /// The run to continue from; before the first there is one that is none.
    fn place(&self) -> RunId {
        let first = if self.age == AgeOrder::Oldest { Uuid::nil() } else { Uuid::max() };
        self.after.unwrap_or(RunId(first))
    }

    /// The statements for a pipeline and for a team.
    fn statements(&self) -> (&'static str, &'static str) {
        match self.age {
            AgeOrder::Oldest => by_status!(self.status, "> $2 ORDER BY id"),
            AgeOrder::Newest => by_status!(self.status, "< $2 ORDER BY id DESC"),
        }
    }
}

/// The runs of a pipeline.
pub async fn of_pipeline(tx: &mut TeamTx, pipeline: PipelineId, wanted: &RunSelection) -> DomainResult<Vec<RunRow>> {
    let (team, (statement, _)) = (tx.team(), wanted.statements());
    Ok(sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(wanted.place())
            .bind(wanted.status)
            .bind(&wanted.name)
            .bind(wanted.rows)
            .bind(wanted.trigger)
            .bind(pipeline)
    )?)
}

/// The runs of a team whose boards a viewer sees.
pub async fn of_team(tx: &mut TeamTx, viewer: Viewer, wanted: &RunSelection) -> DomainResult<Vec<RunRow>> {
    let (team, (_, statement)) = (tx.team(), wanted.statements());
    Ok(sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(wanted.place())
            .bind(wanted.status)
            .bind(&wanted.name)
            .bind(wanted.rows)
            .bind(wanted.trigger)
            .bind(viewer.in_team)
            .bind(viewer.administers)
            .bind(viewer.user)
    )?)
}
