//! `/v1/teams/{id}/outbox`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, team::OutboxMessage},
    ids::{MessageId, TeamId},
};

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::{boards, outbox},
};

/// The e-mails that the team's runs sent.
#[utoipa::path(
    get, path = "/v1/teams/{id}/outbox", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), Paged),
    responses((status = 200, description = "The newest first", body = Page<OutboxMessage>)),
)]
pub(super) async fn list_outbox(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<OutboxMessage>>> {
    let scope = caller.team(&state, id, Permission::OutboxRead).await?;
    let (before, rows) = (page.after::<MessageId>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let messages = outbox::list(&mut tx, boards::Viewer::new(&scope, Permission::RunRead), before, rows).await?;
    Ok(Json(paged(&page, messages, |message| message.id)?))
}
