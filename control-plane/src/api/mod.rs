//! The REST surface under `/v1`. One endpoint or resource a file, its OpenAPI beside each handler;
//! what all share is in [`http`].

mod audit;
mod auth;
mod boards;
mod compile;
mod configuration;
mod docs;
pub mod health;
pub mod http;
mod library;
pub(crate) mod limits;
mod me;
mod my_invitations;
mod new_token;
mod notices;
mod openapi;
mod permissions;
mod pipelines;
mod restore;
mod rules;
mod runs;
mod scripts;
mod strangers;
mod stream_tickets;
mod teams;

use axum::{Extension, Router, http::header, routing::get};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;

use crate::{concurrency::response_budget::Accounted, state::AppState};

/// Every route of the API, with its part of the OpenAPI document.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(audit::routes())
        .merge(auth::routes())
        .merge(me::routes())
        .merge(my_invitations::routes())
        .merge(permissions::routes())
        .merge(stream_tickets::routes())
        .merge(teams::routes())
        .merge(boards::routes())
        .merge(pipelines::routes())
        .merge(library::routes())
        .merge(scripts::routes())
        .merge(configuration::routes())
        .merge(runs::routes())
}

/// The OpenAPI 3.1 document of the API.
pub fn document() -> serde_json::Value {
    openapi::finish(routes().into_openapi())
}

/// The API as a service: all routes, their OpenAPI document, health, and the layers around them.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: attempts to sign in are
/// counted by the peer's address.
pub fn router(state: AppState) -> Router {
    let (router, document) = routes().split_for_parts();
    let document = openapi::finish(document);
    let reference = docs::Reference::from_document(&document);
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let router = router
        .route(
            "/v1/openapi.json",
            get(move || async move { (Extension(Accounted), [(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .route("/docs", get(move || async move { (Extension(Accounted), reference) }))
        .merge(health::routes())
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::public_api_layers(http::in_flight_layers(router, &state), &state).with_state(state)
}
