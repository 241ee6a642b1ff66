//! `GET /v1/teams/{id}/audit/export`: the whole log as it is read, page by page. Nothing is held but the
//! page on its way out, no transaction outlasts it, and whoever may not read the log any more is cut off.

use std::io;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::try_unfold;
use restroy_sdk::ids::{AuditId, TeamId};

use super::query::ExportQuery;
use crate::{
    api::http::{Path, Query},
    auth::{Caller, Permission},
    concurrency::response_budget::Reservation,
    error::ApiResult,
    state::AppState,
    store::audit::{self, EntryFilter, EntryPage},
};

/// How many entries are read at a time.
const STEP: u32 = 200;
/// What they take at most, as a rule, in bytes.
const STEP_BYTES: usize = 512 * 1024;

/// Export a team's audit log
///
/// Newline-delimited JSON, one entry per line, newest first, as of the start of the response. A response that
/// breaks off is incomplete.
#[utoipa::path(
    get, path = "/v1/teams/{id}/audit/export", tag = "audit",
    params(("id" = TeamId, Path, description = "The team"), ExportQuery),
    responses(
        (status = 200, description = "An entry a line", body = String, content_type = "application/x-ndjson",
            example = json!("{\"id\":\"0197a4e0-7c1b-7d3e-9a54-2f6b8c1d0e11\",\"action\":\"board.create\"}\n")),
    ),
)]
pub(super) async fn export_team_audit(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(query): Query<ExportQuery>,
) -> ApiResult<Response> {
    let filter = query.read()?;
    let reserved = state.answers.reserve_stream(caller.user_id, STEP_BYTES)?;
    let export = Export { state, caller, team: id, filter, _reserved: reserved };
    // What is refused is refused before the answer begins.
    let first = export.page(None).await?;
    let pages = try_unfold((export, Some(ExportCursor::Have(first))), async |(export, place)| {
        let found = match place {
            None => return Ok(None),
            Some(ExportCursor::Have(found)) => found,
            Some(ExportCursor::After(before)) => export.page(Some(before)).await.map_err(|error| {
                tracing::warn!(problem = %error.0, "an export of an audit log breaks off");
                io::Error::other("the export breaks off")
            })?,
        };
        let lines = lines(&found)?;
        Ok::<_, io::Error>(Some((lines, (export, found.next.map(ExportCursor::After)))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// Where an export is.
enum ExportCursor {
    /// This is to be sent next.
    Have(EntryPage),
    /// What comes before this entry is to be read next.
    After(AuditId),
}

struct Export {
    state: AppState,
    caller: Caller,
    team: TeamId,
    filter: EntryFilter,
    _reserved: Reservation,
}

impl Export {
    async fn page(&self, before: Option<AuditId>) -> ApiResult<EntryPage> {
        let caller = self.caller.revalidate(&self.state).await?;
        let scope = caller.team(&self.state, self.team, Permission::AuditRead).await?;
        let mut tx = scope.read().await?;
        Ok(audit::list_for_team(&mut tx, &self.filter, before, STEP).await?)
    }
}

fn lines(found: &EntryPage) -> io::Result<Bytes> {
    let mut lines = Vec::new();
    for entry in &found.entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}
