//! `POST /v1/stream-tickets`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::api::auth::{NewTicket, Ticket};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::http::{Body, Fields};
use crate::{
    auth::{Caller, ticket},
    error::ApiResult,
    state::AppState,
};

/// The longest path that a ticket is for.
const MAX_PATH: usize = 200;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create_ticket))
}

/// Makes a ticket for a WebSocket: good once, for 30 seconds, on one path, in the caller's name.
#[utoipa::path(
    post, path = "/v1/stream-tickets", tag = "streams", request_body = NewTicket,
    responses((status = 201, description = "Pass it as `?ticket=`", body = Ticket)),
)]
async fn create_ticket(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewTicket>,
) -> ApiResult<(StatusCode, Json<Ticket>)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte);
    let path = &new.path;
    if !path.starts_with("/v1/") || !path.ends_with("/stream") || path.len() > MAX_PATH || !path.bytes().all(plain) {
        Fields::new().fault("/path", "the path of a stream, such as `/v1/runs/{id}/stream`").done()?;
    }
    let (ticket, expires_at) = ticket::issue(&state, caller, path).await?;
    Ok((StatusCode::CREATED, Json(Ticket { ticket, expires_at })))
}
