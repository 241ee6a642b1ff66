//! `POST /v1/stream-tickets`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::api::auth::{NewTicket, Ticket};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::http::Body;
use crate::{
    auth::{Caller, ticket},
    error::ApiResult,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create_stream_ticket))
}

/// Create a ticket for a WebSocket
///
/// Valid once, for 30 seconds, on one path, for the caller.
#[utoipa::path(
    post, path = "/v1/stream-tickets", tag = "streams", request_body = NewTicket,
    responses((status = 201, description = "Pass it as `?ticket=`", body = Ticket)),
)]
async fn create_stream_ticket(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewTicket>,
) -> ApiResult<(StatusCode, Json<Ticket>)> {
    let (ticket, expires_at) = ticket::issue(&state, caller, &new.path).await?;
    Ok((StatusCode::CREATED, Json(Ticket { ticket, expires_at })))
}
