//! Pipelines.

use restroy_sdk::{
    api::pipeline::{Pipeline, Retention},
    ids::{BoardId, PipelineId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    TeamTx,
    order::{self, OrderPosition},
    sort::{ListSelection, by_order},
};
use crate::sql;

#[derive(sqlx::FromRow)]
struct PipelineRow {
    id: PipelineId,
    team_id: TeamId,
    board_id: BoardId,
    name: String,
    description: String,
    published_version: Option<i64>,
    latest_version: Option<i64>,
    created_at: Timestamp,
    updated_at: Timestamp,
    revision: i64,
    deleted_at: Option<Timestamp>,
    retention_days: Option<i64>,
    retention_runs: Option<i64>,
}

/// What [`PipelineRow`] reads.
macro_rules! columns {
    () => {
        "id, team_id, board_id, name, description, published_version, latest_version, created_at, updated_at, revision, \
         deleted_at, retention_days, retention_runs"
    };
}

impl From<PipelineRow> for Pipeline {
    fn from(row: PipelineRow) -> Self {
        Self {
            id: row.id,
            team_id: row.team_id,
            board_id: row.board_id,
            name: row.name,
            description: row.description,
            published_version: row.published_version,
            latest_version: row.latest_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            deleted_at: row.deleted_at,
            retention: Retention { days: row.retention_days, runs: row.retention_runs },
        }
    }
}

/// How many pipelines the board has.
pub async fn count(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM pipelines WHERE team_id = $1 AND board_id = $2 AND deleted_at IS NULL")
            .bind(team)
            .bind(board)
    )
}

/// How many pipelines the board has, those that were deleted and are not removed yet among them.
pub async fn count_with_deleted(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM pipelines WHERE team_id = $1 AND board_id = $2").bind(team).bind(board)
    )
}

/// A pipeline to be made.
#[derive(Debug)]
pub struct PipelineInsert<'a> {
    /// The pipeline's id.
    pub id: PipelineId,
    /// On which board; it stands at the end.
    pub board: BoardId,
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
}

/// Makes a pipeline; a unique violation when the name is taken.
pub async fn insert(tx: &mut TeamTx, new: PipelineInsert<'_>, now: Timestamp) -> Result<Pipeline, sqlx::Error> {
    let team = tx.team();
    let position = order::end(tx, new.board).await?;
    let row: PipelineRow = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "INSERT INTO pipelines (id, team_id, board_id, name, description, position, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
             RETURNING ",
            columns!()
        ))
        .bind(new.id)
        .bind(team)
        .bind(new.board)
        .bind(new.name)
        .bind(new.description)
        .bind(position)
        .bind(now)
    )?;
    Ok(row.into())
}

/// A pipeline of the team.
pub async fn get(tx: &mut TeamTx, id: PipelineId) -> Result<Option<Pipeline>, sqlx::Error> {
    let team = tx.team();
    let row: Option<PipelineRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM pipelines WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        ))
        .bind(team)
        .bind(id)
    )?;
    Ok(row.map(Pipeline::from))
}

/// The board's pipelines in their order, after `after`; with their places.
pub async fn list(
    tx: &mut TeamTx,
    board: BoardId,
    after: Option<OrderPosition>,
    name: Option<&str>,
    rows: i64,
) -> Result<Vec<(Pipeline, OrderPosition)>, sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct PositionedRow {
        #[sqlx(flatten)]
        row: PipelineRow,
        position: i64,
    }
    let team = tx.team();
    let epoch = order::epoch(tx, board).await?;
    let after = match after {
        Some(after) => Some(after.current(tx, board, epoch).await?),
        None => None,
    };
    let (position, id) = after.unzip();
    let rows: Vec<PositionedRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(concat!(
            "SELECT ",
            columns!(),
            ", position FROM pipelines
             WHERE team_id = $1 AND board_id = $2 AND deleted_at IS NULL
               AND ($3 IS NULL OR (position, id) > ($3, $4))
               AND ($6 IS NULL OR lower(name) LIKE $6 ESCAPE '\\')
             ORDER BY position, id LIMIT $5"
        ))
        .bind(team)
        .bind(board)
        .bind(position)
        .bind(id)
        .bind(rows)
        .bind(name)
    )?;
    let placed = |placed: PositionedRow| {
        let place = OrderPosition { epoch, position: placed.position, id: placed.row.id };
        (placed.row.into(), place)
    };
    Ok(rows.into_iter().map(placed).collect())
}

/// The board's pipelines, or those that were deleted, in another order than theirs.
pub async fn list_sorted(
    tx: &mut TeamTx,
    board: BoardId,
    deleted: bool,
    selection: &ListSelection,
) -> Result<Vec<Pipeline>, sqlx::Error> {
    let team = tx.team();
    let statement = if deleted {
        by_order!(selection.order, id: "id", name: "name",
            concat!("SELECT ", columns!(),
             " FROM pipelines WHERE team_id = $1 AND board_id = $6 AND deleted_at IS NOT NULL"))
    } else {
        by_order!(selection.order, id: "id", name: "name",
            concat!("SELECT ", columns!(),
             " FROM pipelines WHERE team_id = $1 AND board_id = $6 AND deleted_at IS NULL"))
    };
    let rows: Vec<PipelineRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(board)
    )?;
    Ok(rows.into_iter().map(Pipeline::from).collect())
}

/// What of a pipeline can be changed beside its versions.
#[derive(Debug)]
pub struct PipelineUpdate<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// How long its runs are kept, and how many.
    pub retention: Retention,
}

/// Changes a pipeline; a unique violation when the name is taken.
pub async fn update(
    tx: &mut TeamTx,
    id: PipelineId,
    change: &PipelineUpdate<'_>,
    now: Timestamp,
) -> Result<Pipeline, sqlx::Error> {
    let team = tx.team();
    let row: PipelineRow = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "UPDATE pipelines SET name = $3, description = $4, updated_at = $5, retention_days = $6, retention_runs = $7,
                                  revision = revision + 1
             WHERE team_id = $1 AND id = $2 RETURNING ",
            columns!()
        ))
        .bind(team)
        .bind(id)
        .bind(change.name)
        .bind(change.description)
        .bind(now)
        .bind(change.retention.days)
        .bind(change.retention.runs)
    )?;
    Ok(row.into())
}

/// Puts a pipeline to the end of another board; a unique violation when its name is taken there. Its
/// schedules and runs go along, the board's keys and values do not.
pub async fn put_on(tx: &mut TeamTx, id: PipelineId, board: BoardId, now: Timestamp) -> Result<Pipeline, sqlx::Error> {
    let team = tx.team();
    let position = order::end(tx, board).await?;
    let row: PipelineRow = sql!(
        &mut **tx,
        fetch_one,
        query_as(concat!(
            "UPDATE pipelines SET board_id = $3, position = $4, updated_at = $5, revision = revision + 1
             WHERE team_id = $1 AND id = $2 RETURNING ",
            columns!()
        ))
        .bind(team)
        .bind(id)
        .bind(board)
        .bind(position)
        .bind(now)
    )?;
    Ok(row.into())
}

/// How many of the pipeline's runs continue or wait.
pub async fn count_active_runs(tx: &mut TeamTx, id: PipelineId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM runs
             WHERE team_id = $1 AND pipeline_id = $2 AND status IN ('queued', 'running', 'waiting')"
        )
        .bind(team)
        .bind(id)
    )
}

/// Deletes a pipeline, softly: it and its runs are found no more.
pub async fn delete(tx: &mut TeamTx, id: PipelineId, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE pipelines SET deleted_at = $3, revision = revision + 1
             WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL"
        )
        .bind(team)
        .bind(id)
        .bind(now)
    )?;
    Ok(())
}

/// Brings back a pipeline that was deleted after `since`; none when it is not one, a unique violation when
/// its name is taken.
pub async fn restore(
    tx: &mut TeamTx,
    id: PipelineId,
    since: Timestamp,
    now: Timestamp,
) -> Result<Option<Pipeline>, sqlx::Error> {
    let team = tx.team();
    let row: Option<PipelineRow> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(concat!(
            "UPDATE pipelines SET deleted_at = NULL, updated_at = $3, revision = revision + 1
             WHERE team_id = $1 AND id = $2 AND deleted_at > $4 RETURNING ",
            columns!()
        ))
        .bind(team)
        .bind(id)
        .bind(now)
        .bind(since)
    )?;
    Ok(row.map(Pipeline::from))
}

/// The name of a deleted pipeline, and its board.
pub async fn get_deleted(tx: &mut TeamTx, id: PipelineId) -> Result<Option<(String, BoardId)>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_as("SELECT name, board_id FROM pipelines WHERE team_id = $1 AND id = $2 AND deleted_at IS NOT NULL")
            .bind(team)
            .bind(id)
    )
}

/// Notes the newest version.
pub async fn set_latest(tx: &mut TeamTx, id: PipelineId, number: i64, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE pipelines SET latest_version = $3, updated_at = $4, revision = revision + 1
             WHERE team_id = $1 AND id = $2"
        )
        .bind(team)
        .bind(id)
        .bind(number)
        .bind(now)
    )?;
    Ok(())
}

/// Runs start with that version from now on.
pub async fn set_published(tx: &mut TeamTx, id: PipelineId, number: i64, now: Timestamp) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE pipelines SET published_version = $3, updated_at = $4, revision = revision + 1
             WHERE team_id = $1 AND id = $2"
        )
        .bind(team)
        .bind(id)
        .bind(number)
        .bind(now)
    )?;
    Ok(())
}

/// Counts a change of the pipeline's configuration; the new revision.
pub async fn raise_config_revision(tx: &mut TeamTx, id: PipelineId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "UPDATE pipelines SET config_revision = config_revision + 1
             WHERE team_id = $1 AND id = $2 RETURNING config_revision"
        )
        .bind(team)
        .bind(id)
    )
}
