//! Boards.

mod board;
mod kv;
mod order;
mod pipelines;
mod restore;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(board::get_board, board::patch_board, board::delete_board))
        .routes(routes!(pipelines::list_pipelines, pipelines::create_pipeline))
        .routes(routes!(order::put_order))
        .routes(routes!(restore::restore_board))
        .routes(routes!(kv::list_kv))
}
