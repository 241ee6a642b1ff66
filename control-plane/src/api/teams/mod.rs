//! Teams.

mod api_tokens;
mod boards;
mod invitations;
mod member;
mod members;
mod notices;
mod outbox;
mod removal;
mod role;
mod roles;
mod service_accounts;
mod team;
mod transfer;
mod usage;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use member::find_role;

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(team::list_teams, team::create_team))
        .routes(routes!(team::get_team, team::rename_team, removal::delete_team))
        .routes(routes!(removal::restore_team))
        .routes(routes!(transfer::transfer_team))
        .routes(routes!(member::leave_team))
        .routes(routes!(members::list_members))
        .routes(routes!(member::get_member, member::patch_member, member::remove_member))
        .routes(routes!(roles::list_roles, roles::create_role))
        .routes(routes!(role::get_role, role::patch_role, role::delete_role))
        .routes(routes!(invitations::list_invitations, invitations::create_invitation))
        .routes(routes!(invitations::revoke_invitation))
        .routes(routes!(boards::list_boards, boards::create_board))
        .routes(routes!(outbox::list_outbox))
        .routes(routes!(usage::get_team_limits))
        .routes(routes!(usage::get_team_usage))
        .routes(routes!(service_accounts::list_service_accounts, service_accounts::create_service_account))
        .routes(routes!(service_accounts::delete_service_account))
        .routes(routes!(service_accounts::list_service_account_tokens, service_accounts::create_service_account_token))
        .routes(routes!(api_tokens::list_team_api_tokens))
        .routes(routes!(api_tokens::revoke_team_api_token))
}
