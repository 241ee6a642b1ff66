//! Boards.

mod board;
mod kv;
mod members;
mod pipelines;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(board::get_board, board::patch_board, board::delete_board))
        .routes(routes!(pipelines::list_pipelines, pipelines::create_pipeline))
        .routes(routes!(kv::list_kv))
        .routes(routes!(members::list_members))
        .routes(routes!(members::put_member, members::remove_member))
}
