//! The files that a run kept, read.

use restroy_sdk::{
    api::run::Artifact,
    ids::{ArtifactId, RunId},
    time::Timestamp,
};
use sqlx::{FromRow, query_as, query_scalar};

use crate::{
    DomainError, DomainResult, sql,
    store::{
        TeamTx,
        sort::{ListSelection, by_order},
    },
};

#[derive(FromRow)]
struct ArtifactRow {
    id: ArtifactId,
    name: String,
    step: String,
    bytes: i64,
    sha256: Vec<u8>,
    created_at: Timestamp,
}

impl From<ArtifactRow> for Artifact {
    fn from(row: ArtifactRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            step: row.step,
            bytes: row.bytes,
            sha256: hex::encode(row.sha256),
            created_at: row.created_at,
        }
    }
}

/// A run's artifacts, without their content.
pub async fn list(tx: &mut TeamTx, run: RunId, selection: &ListSelection) -> DomainResult<Vec<Artifact>> {
    let team = tx.team();
    let statement = by_order!(selection.order, id: "id", name: "name",
        "SELECT id, name, step, bytes, sha256, created_at FROM artifacts WHERE team_id = $1 AND run_id = $6");
    let found: Vec<ArtifactRow> = sql!(
        &mut **tx,
        fetch_all,
        query_as(statement)
            .bind(team)
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(run)
    )?;
    Ok(found.into_iter().map(Artifact::from).collect())
}

/// The name of an artifact and how many bytes it has.
pub async fn find(tx: &mut TeamTx, run: RunId, artifact: ArtifactId) -> DomainResult<(String, i64)> {
    let team = tx.team();
    let found = sql!(
        &mut **tx,
        fetch_optional,
        query_as("SELECT name, bytes FROM artifacts WHERE team_id = $1 AND run_id = $2 AND id = $3")
            .bind(team)
            .bind(run)
            .bind(artifact)
    )?;
    found.ok_or(DomainError::NotFound)
}

/// At most `most` bytes of an artifact's content from a place on, counted from 0; nothing when the artifact is gone.
pub async fn read(
    tx: &mut TeamTx,
    run: RunId,
    artifact: ArtifactId,
    from: i64,
    most: usize,
) -> DomainResult<Option<Vec<u8>>> {
    let team = tx.team();
    Ok(sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT substr(content, $4, $5) FROM artifacts WHERE team_id = $1 AND run_id = $2 AND id = $3")
            .bind(team)
            .bind(run)
            .bind(artifact)
            .bind(i32::try_from(from + 1).unwrap_or(i32::MAX))
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
    )?)
}
