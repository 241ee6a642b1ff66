//! The audit log: of a team, and of one's own account.

mod export;
mod me;
mod query;
mod team;

pub(super) use query::MAX_TEXT;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(team::list_team_audit))
        .routes(routes!(export::export_team_audit))
        .routes(routes!(me::list_my_audit))
}
