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
};

use crate::{
    api::http::{Path, Query, SortedPageQuery},
    auth::{Caller, Permission},
    concurrency::response_budget::Reservation,
    error::{ApiError, ApiResult},
    runs::artifacts,
    state::AppState,
    store::Db,
};

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
    let found = artifacts::list(&mut scope.read().await?, id, &selection).await?;
    Ok(Json(sorted.page(found, |artifact| (artifact.id.uuid(), &artifact.name))?))
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
    let (name, bytes) = artifacts::find(&mut scope.read().await?, id, artifact).await?;
    let reserved = Arc::new(state.answers.reserve_stream(caller.user_id, CHUNK_BYTES)?);
    let content = ArtifactContent { db: state.db.clone(), team: scope.team(), run: id, artifact, bytes, reserved };
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
        let found = artifacts::read(&mut tx, self.run, self.artifact, place, CHUNK_BYTES).await?;
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
