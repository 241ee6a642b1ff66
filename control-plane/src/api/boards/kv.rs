//! `/v1/boards/{id}/kv`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, board::KvEntry},
    ids::BoardId,
};

use crate::{
    api::http::{Filling, Paged, Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::kv,
};

/// What the board's scripts keep.
///
/// A page ends early when its entries take more than 1 MiB.
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
    let mut after = page.after::<String>()?;
    let (mut filling, now) = (Filling::new(&page)?, state.ambient.now());
    let mut tx = scope.read().await?;
    while let Some(rows) = filling.wants() {
        let entries = kv::list(&mut tx, id, after.as_deref(), now, rows).await?;
        after = entries.last().map(|entry| entry.key.clone()).or(after);
        filling.take(entries, rows, |entry| entry.key.len() + entry.value.to_string().len());
    }
    Ok(Json(filling.page(|entry| entry.key.clone())))
}
