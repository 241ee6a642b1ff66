//! Files that a run keeps. A name given again replaces what was kept under it: a step that is
//! attempted again keeps its newest file.

use restroy_sdk::{
    ids::{ArtifactId, RunId},
    time::Timestamp,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{query_as, query_scalar};

use super::{CallOutcome, refusal};
use crate::{
    runs::limits::{MAX_ARTIFACT, MAX_RUN_ARTIFACT_BYTES, MAX_RUN_ARTIFACTS},
    sql,
    state::DomainState,
    store::{TeamTx, storage},
};

/// The longest name, in bytes.
const MAX_NAME: usize = 255;

/// Keeps a file; answers `{id, name, bytes, sha256}`.
pub(super) async fn keep(
    state: &DomainState,
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    step: &str,
    name: &str,
    content: &[u8],
) -> CallOutcome {
    let reserved = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || name.chars().any(reserved) {
        let message = format!("An artifact's name has 1 to {MAX_NAME} bytes, no folders and no dot at its start.");
        return Err(refusal("artifact_bad_name", message));
    }
    if content.len() > MAX_ARTIFACT {
        let message = format!("An artifact has at most {MAX_ARTIFACT} bytes; this one has {}.", content.len());
        return Err(refusal("artifact_too_large", message));
    }
    let team = tx.team();
    let (count, bytes, before): (i64, i64, Option<i64>) = sql!(
        &mut **tx,
        fetch_one,
        query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
                    (SELECT bytes FROM artifacts WHERE team_id = $1 AND run_id = $2 AND name = $3)
             FROM artifacts WHERE team_id = $1 AND run_id = $2 AND name <> $3"
        )
        .bind(team)
        .bind(run)
        .bind(name)
    )?;
    let length = i64::try_from(content.len()).unwrap_or(i64::MAX);
    if count >= MAX_RUN_ARTIFACTS || bytes + length > MAX_RUN_ARTIFACT_BYTES {
        let message =
            format!("A run keeps at most {MAX_RUN_ARTIFACTS} artifacts of {MAX_RUN_ARTIFACT_BYTES} bytes together.");
        return Err(refusal("artifact_limit", message));
    }
    let grown = length - before.unwrap_or(-storage::ROW);
    storage::add_to_run(tx, run, grown).await?;
    super::check_storage(tx).await?;
    let digest = Sha256::digest(content);
    let id: ArtifactId = sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "INSERT INTO artifacts (id, team_id, run_id, name, step, bytes, sha256, content, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (run_id, name) DO UPDATE SET
                 step = excluded.step, bytes = excluded.bytes, sha256 = excluded.sha256, content = excluded.content,
                 created_at = excluded.created_at
             RETURNING id"
        )
        .bind(state.ambient.id::<ArtifactId>())
        .bind(team)
        .bind(run)
        .bind(name)
        .bind(step)
        .bind(length)
        .bind(digest.to_vec())
        .bind(content)
        .bind(now)
    )?;
    Ok(json!({ "id": id, "name": name, "bytes": length, "sha256": hex::encode(digest) }))
}
