//! `/v1/teams/{id}/outbox`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, team::OutboxMessage},
    ids::{MessageId, TeamId},
};

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::http::{PageBuilder, PageQuery, Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::{outbox, sort::AgeOrder},
};

/// Which e-mails.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OutboxFilter {
    /// Only those in this state.
    #[param(inline)]
    status: Option<MailStatus>,
    /// Sort order (default: the newest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The states of an e-mail.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum MailStatus {
    /// No mail server is set up.
    Held,
    /// It is to be sent.
    Queued,
    /// The mail server has it.
    Sent,
    /// It was given up.
    Failed,
}

impl MailStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// List the e-mails sent by a team's runs
///
/// A page ends early when its e-mails take more than 1 MiB.
#[utoipa::path(
    get, path = "/v1/teams/{id}/outbox", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), OutboxFilter),
    responses((status = 200, description = "The newest first by default", body = Page<OutboxMessage>)),
)]
pub(super) async fn list_outbox(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(filter): Query<OutboxFilter>,
) -> ApiResult<Json<Page<OutboxMessage>>> {
    let scope = caller.team(&state, id, Permission::OutboxRead).await?;
    let (age, status) = (filter.sort.unwrap_or_default(), filter.status.map(MailStatus::as_str));
    let page = PageQuery::new(filter.limit, filter.cursor).for_list((age, status));
    let mut after: Option<MessageId> = page.after()?;
    let mut filling = PageBuilder::new(&page)?;
    let mut tx = scope.read().await?;
    let viewer = scope.board_viewer(Permission::RunRead);
    while let Some(rows) = filling.rows_wanted() {
        let messages = outbox::list(&mut tx, viewer, age, after, status, rows).await?;
        after = messages.last().map(|message| message.id).or(after);
        filling.push_rows(messages, rows, |message| message.text.len() + message.html.as_ref().map_or(0, String::len));
    }
    Ok(Json(filling.page(|message| message.id)))
}
