//! The REST surface under `/v1`. One resource a file, its OpenAPI beside each handler; what all
//! share is in [`http`].

pub mod http;
mod openapi;

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

/// Every route of the API, with its part of the OpenAPI document.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base()).merge(crate::runs::api::routes())
}

/// The API as a service: all routes, their OpenAPI document, health, and the layers around them.
pub fn router(state: AppState) -> Router {
    let (router, mut document) = routes().split_for_parts();
    openapi::finish(&mut document);
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let router = router
        .route("/v1/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }))
        .fallback(http::fallback)
        .method_not_allowed_fallback(http::method_not_allowed);
    http::around(router, &state).with_state(state)
}
