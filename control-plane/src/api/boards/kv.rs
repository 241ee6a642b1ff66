//! `/v1/boards/{id}/kv`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, board::KvEntry},
    ids::BoardId,
};

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::kv,
};

/// What the board's scripts keep.
#[utoipa::path(
    get, path = "/v1/boards/{id}/kv", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), Paged),
    responses((status = 200, description = "By key", body = Page<KvEntry>)),
)]
pub(super) async fn list_kv(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<KvEntry>>> {
    let scope = caller.board(&state, id, Permission::KvRead).await?;
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let entries = kv::list(&mut tx, id, after.as_deref(), state.ambient.now(), rows).await?;
    Ok(Json(paged(&page, entries, |entry| entry.key.clone())?))
}
