//! Teams.

mod boards;
mod members;
mod outbox;
mod team;
mod usage;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(team::list_teams, team::create_team))
        .routes(routes!(team::get_team, team::rename_team))
        .routes(routes!(members::list_members))
        .routes(routes!(boards::list_boards, boards::create_board))
        .routes(routes!(outbox::list_outbox))
        .routes(routes!(usage::get_limits))
        .routes(routes!(usage::get_usage))
}
