//! `GET /v1/runs/{id}/artifacts` and `…/{artifact_id}`: strangers' files, served so that a browser
//! keeps them and never runs them.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream::try_unfold;
use restroy_sdk::{
    api::{Page, run::Artifact},
    ids::{ArtifactId, Id, RunId, TeamId},
    time::Timestamp,
};
use sqlx::{FromRow, query_as, query_scalar};

use crate::{
    api::http::{Path, Query, SortedPageQuery, response_budget::Reservation},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    sql,
    state::AppState,
    store::{Db, sort::by_order},
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

/// List a run's artifacts
#[utoipa::path(
    get, path = "/v1/runs/{id}/artifacts", tag = "runs", operation_id = "list_artifacts",
    params(("id" = RunId, Path, description = "The run"), SortedPageQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<Artifact>))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<Artifact>>> {
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let selection = sorted.selection()?;
    let statement = by_order!(selection.order, id: "id", name: "name",
        "SELECT id, name, step, bytes, sha256, created_at FROM artifacts WHERE team_id = $1 AND run_id = $6");
    let mut tx = scope.read().await?;
    let found: Vec<ArtifactRow> = sql!(
        &mut *tx,
        fetch_all,
        query_as(statement)
            .bind(scope.team())
            .bind(selection.id())
            .bind(selection.place_name())
            .bind(&selection.name)
            .bind(selection.rows)
            .bind(id)
    )?;
    let Page { items, next_cursor } = sorted.page(found, |row| (row.id.uuid(), &row.name))?;
    let items = items.into_iter().map(artifact).collect();
    Ok(Json(Page { items, next_cursor }))
}

fn artifact(row: ArtifactRow) -> Artifact {
    Artifact {
        id: row.id,
        name: row.name,
        step: row.step,
        bytes: row.bytes,
        sha256: hex::encode(row.sha256),
        created_at: row.created_at,
    }
}

/// Download an artifact
///
/// Always an attachment of unknown type, whatever it holds.
#[utoipa::path(
    get, path = "/v1/runs/{id}/artifacts/{artifact_id}", tag = "runs", operation_id = "download_artifact",
    params(("id" = RunId, Path, description = "The run"),
           ("artifact_id" = ArtifactId, Path, description = "The artifact")),
    responses((status = 200, description = "Its content", content_type = "application/octet-stream", body = Vec<u8>))
)]
pub(super) async fn download(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, artifact)): Path<(RunId, ArtifactId)>,
) -> ApiResult<Response> {
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let mut tx = scope.read().await?;
    let found: Option<(String, i64)> = sql!(
        &mut *tx,
        fetch_optional,
        query_as("SELECT name, bytes FROM artifacts WHERE team_id = $1 AND run_id = $2 AND id = $3")
            .bind(scope.team())
            .bind(id)
            .bind(artifact)
    )?;
    drop(tx);
    let (name, bytes) = found.ok_or_else(ApiError::not_found)?;
    let reserved = Arc::new(state.answers.reserve_stream(caller.user_id, CHUNK_BYTES)?);
    let content = ArtifactContent { db: state.db, team: scope.team(), run: id, artifact, bytes, reserved };
    // What is refused is refused before the answer begins.
    let first = content.read_chunk(0).await?;
    let pieces = try_unfold((content, 0, Some(first)), async |(content, place, piece)| {
        if place >= content.bytes {
            return Ok(None);
        }
        let piece = match piece {
            Some(piece) => piece,
            None => content.read_chunk(place).await.map_err(|error| {
                tracing::warn!(problem = %error.0, "a download breaks off");
                io::Error::other("the download breaks off")
            })?,
        };
        let place = place + i64::try_from(piece.len()).unwrap_or(i64::MAX);
        Ok::<_, io::Error>(Some((content.reserved.chunk(piece), (content, place, None))))
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    let headers = response.headers_mut();
    for (header, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(header, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&disposition(&name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// How many bytes of an artifact are read at once, each time in a transaction of its own.
const CHUNK_BYTES: usize = 512 * 1024;

/// An artifact's content, read piece by piece.
struct ArtifactContent {
    db: Db,
    team: TeamId,
    run: RunId,
    artifact: ArtifactId,
    bytes: i64,
    reserved: Arc<Reservation>,
}

impl ArtifactContent {
    /// The piece that begins at a place; 404 when the artifact is gone.
    async fn read_chunk(&self, place: i64) -> ApiResult<Vec<u8>> {
        let mut tx = self.db.team_read(self.team).await?;
        let first = i32::try_from(place + 1).unwrap_or(i32::MAX);
        let found: Option<Vec<u8>> = sql!(
            &mut *tx,
            fetch_optional,
            query_scalar(
                "SELECT substr(content, $4, $5) FROM artifacts WHERE team_id = $1 AND run_id = $2 AND id = $3"
            )
            .bind(self.team)
            .bind(self.run)
            .bind(self.artifact)
            .bind(first)
            .bind(i32::try_from(CHUNK_BYTES).unwrap_or(i32::MAX))
        )?;
        let ended = |piece: &Vec<u8>| piece.is_empty() && place < self.bytes;
        found.filter(|piece| !ended(piece)).ok_or_else(ApiError::not_found)
    }
}

/// RFC 6266, with the name in the extended form of RFC 8187: every byte that is not plain is
/// percent-encoded, so that nothing in it can end the header.
fn disposition(name: &str) -> String {
    use std::fmt::Write as _;
    let mut value = String::from("attachment; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            value.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_name_cannot_end_the_header() {
        assert_eq!(disposition("r\r\nX: \"ü\".html"), "attachment; filename*=UTF-8''r%0D%0AX%3A%20%22%C3%BC%22.html");
    }
}
