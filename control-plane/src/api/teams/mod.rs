//! Teams.

mod api_tokens;
mod boards;
mod members;
mod outbox;
mod service_accounts;
mod team;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(team::list_teams, team::create_team))
        .routes(routes!(team::get_team, team::rename_team))
        .routes(routes!(members::list_members))
        .routes(routes!(boards::list_boards, boards::create_board))
        .routes(routes!(outbox::list_outbox))
        .routes(routes!(service_accounts::list_accounts, service_accounts::create_account))
        .routes(routes!(service_accounts::delete_account))
        .routes(routes!(service_accounts::list_account_tokens, service_accounts::create_account_token))
        .routes(routes!(api_tokens::list_team_tokens))
        .routes(routes!(api_tokens::revoke_team_token))
}
