//! The REST surface under `/v1`. One endpoint or resource a file, its OpenAPI beside each handler;
//! what all share is in [`http`].

mod auth;
mod boards;
pub mod health;
pub mod http;
mod limits;
mod me;
mod new_token;
mod openapi;
mod pipelines;
mod scripts;
mod stream_tickets;
mod teams;

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

/// Every route of the API, with its part of the OpenAPI document.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(auth::routes())
        .merge(me::routes())
        .merge(stream_tickets::routes())
        .merge(teams::routes())
        .merge(boards::routes())
        .merge(pipelines::routes())
        .merge(scripts::routes())
        .merge(crate::runs::api::routes())
}

/// The OpenAPI 3.1 document of the API.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    openapi::finish(&mut document);
    document
}

/// The API as a service: all routes, their OpenAPI document, health, and the layers around them.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: attempts to sign in are
/// counted by the peer's address.
pub fn router(state: AppState) -> Router {
    let (router, mut document) = routes().split_for_parts();
    openapi::finish(&mut document);
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let router = router
        .route("/v1/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }))
        .merge(health::routes())
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::around(router, &state).with_state(state)
}
