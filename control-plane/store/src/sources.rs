//! What a team's versions weigh: the documents of its pipelines, and the sources, each once.

use sqlx::query_scalar;

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
