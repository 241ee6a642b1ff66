//! `GET /v1/runs/{id}/artifacts` and `…/{artifact_id}`: strangers' files, served so that a browser
//! keeps them and never runs them.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::{Page, run::Artifact},
    ids::{ArtifactId, Id, RunId},
    time::Timestamp,
};
use sqlx::{FromRow, query_as};

use crate::{
    api::http::{Path, Query, Sorted},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    sql,
    state::AppState,
    store::sort::by_order,
};

#[derive(FromRow)]
struct Row {
    id: ArtifactId,
    name: String,
    step: String,
    bytes: i64,
    sha256: Vec<u8>,
    created_at: Timestamp,
}

/// The files that a run kept
#[utoipa::path(
    get, path = "/v1/runs/{id}/artifacts", tag = "runs", operation_id = "list_artifacts",
    params(("id" = RunId, Path, description = "The run"), Sorted),
    responses((status = 200, description = "The oldest first unless told", body = Page<Artifact>))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(sorted): Query<Sorted>,
) -> ApiResult<Json<Page<Artifact>>> {
    let scope = caller.run(&state, id, Permission::RunRead).await?;
    let selection = sorted.selection()?;
    let statement = by_order!(selection.order, id: "id", name: "name",
        "SELECT id, name, step, bytes, sha256, created_at FROM artifacts WHERE team_id = $1 AND run_id = $6");
    let mut tx = scope.read().await?;
    let found: Vec<Row> = sql!(
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

fn artifact(row: Row) -> Artifact {
    Artifact {
        id: row.id,
        name: row.name,
        step: row.step,
        bytes: row.bytes,
        sha256: hex::encode(row.sha256),
        created_at: row.created_at,
    }
}

/// A file that a run kept
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
    let found: Option<(String, Vec<u8>)> = sql!(
        &mut *tx,
        fetch_optional,
        query_as("SELECT name, content FROM artifacts WHERE team_id = $1 AND run_id = $2 AND id = $3")
            .bind(scope.team())
            .bind(id)
            .bind(artifact)
    )?;
    let (name, content) = found.ok_or_else(ApiError::not_found)?;
    let mut response = content.into_response();
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
