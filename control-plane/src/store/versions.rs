//! Pipeline versions as they are stored: the document and its sources.

use std::collections::BTreeMap;

use restroy_sdk::{document::Document, ids::VersionId};
use sqlx::{query_as, query_scalar};

use super::{StoreError, TeamTx};
use crate::sql;

/// A version's document, and its sources by path.
pub async fn load(tx: &mut TeamTx, version: VersionId) -> Result<(Document, BTreeMap<String, String>), StoreError> {
    let team = tx.team();
    let definition: String = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT definition FROM pipeline_versions WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(version)
    )?;
    Ok((serde_json::from_str(&definition)?, files(tx, version).await?))
}

/// A version's sources by path.
pub async fn files(tx: &mut TeamTx, version: VersionId) -> Result<BTreeMap<String, String>, StoreError> {
    let team = tx.team();
    let rows: Vec<(String, String)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT s.path, v.source
             FROM pipeline_version_scripts p
             JOIN scripts s ON s.team_id = p.team_id AND s.id = p.script_id
             JOIN script_versions v ON v.team_id = p.team_id AND v.id = p.script_version_id
             WHERE p.team_id = $1 AND p.version_id = $2"
        )
        .bind(team)
        .bind(version)
    )?;
    Ok(rows.into_iter().collect())
}
