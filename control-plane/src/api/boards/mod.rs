//! Boards.

mod board;
mod kv;
mod members;
mod order;
mod pipelines;
mod restore;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(board::get_board, board::patch_board, board::delete_board))
        .routes(routes!(pipelines::list_pipelines, pipelines::create_pipeline))
        .routes(routes!(order::put_pipeline_order))
        .routes(routes!(restore::restore_board))
        .routes(routes!(kv::list_kv))
        .routes(routes!(members::list_board_members))
        .routes(routes!(members::put_board_member, members::remove_board_member))
        .routes(routes!(kv::get_kv, kv::put_kv, kv::delete_kv))
}
