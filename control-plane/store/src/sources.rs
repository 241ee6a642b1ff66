//! The sources of a team, each kept once, and what its versions weigh with their documents.

use restroy_sdk::{ids::ScriptVersionId, time::Ambient};
use sha2::{Digest, Sha256};
use sqlx::{query, query_scalar};

use super::{
    TeamTx,
    quota::{self, Limit},
};
use crate::sql;

/// What each row counts beyond its text, in bytes: very many very small ones take room as well.
const ROW: i64 = 1_024;

/// The bytes of the team's versions. Read from two indexes that hold nothing else.
pub async fn bytes(tx: &mut TeamTx) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT CAST((SELECT coalesce(sum(bytes + $2), 0) FROM script_versions WHERE team_id = $1)
                       + (SELECT coalesce(sum(bytes + $2), 0) FROM pipeline_versions WHERE team_id = $1) AS BIGINT)"
        )
        .bind(team)
        .bind(ROW)
    )
}

/// The limit, and what there is, when that is more.
pub async fn above_limit(tx: &mut TeamTx) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let (most, present) = (quota::effective(tx, Limit::VersionBytes).await?, bytes(tx).await?);
    Ok((present > most).then_some((most, present)))
}

/// The team's copy of a source; made if there is none.
pub(super) async fn script_version(
    tx: &mut TeamTx,
    ambient: &Ambient,
    source: &str,
) -> Result<ScriptVersionId, sqlx::Error> {
    let team = tx.team();
    let hash = Sha256::digest(source.as_bytes()).to_vec();
    sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO script_versions (id, team_id, sha256, source, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (team_id, sha256) DO NOTHING"
        )
        .bind(ambient.id::<ScriptVersionId>())
        .bind(team)
        .bind(&hash)
        .bind(source)
        .bind(ambient.now())
    )?;
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT id FROM script_versions WHERE team_id = $1 AND sha256 = $2").bind(team).bind(hash)
    )
}
