//! The layers around the router: request ids, problem documents for every error wherever it comes
//! from, security headers, other origins, rates, logs, panics, body limits.

use std::time::Duration;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use restroy_sdk::problem::{MEDIA_TYPE, Problem, ProblemCode};
use tokio::time::Instant;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use super::{
    body_limit,
    host::require_local_host,
    in_flight::limit_in_flight,
    receive::{BodyBounds, receive},
    retry::retry,
};
use crate::{
    auth::{
        PeerAddress, origin,
        rate::{CountedRates, RateClass},
    },
    concurrency::lanes::{Lanes, limit_concurrency},
    error::ApiError,
    metrics::method_label,
    state::{AppState, Settings},
};

/// What a body may have unless its route says otherwise, in bytes.
const BODY_LIMIT: usize = 2 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// A browser that was here by https comes back by nothing else, for two years (RFC 6797).
const HSTS: &str = "max-age=63072000";
/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 64;

/// Puts the layers around the router of people's API.
pub fn public_api_layers(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    handler_layers(router, state)
        .layer(middleware::from_fn_with_state(state.clone(), rate_limit))
        .layer(middleware::from_fn_with_state(state.clone(), require_local_host))
        .layer(cross_origin(&state.settings))
        .layer(middleware::from_fn_with_state(state.clone(), outer_layer))
}

/// Puts the layers around the router of the run API. Executors are not people: no rates of network addresses and
/// accounts, no pages of other origins, but a bound on what each does at once.
pub fn run_api_layers(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    handler_layers(router, state)
        .layer(middleware::from_fn_with_state(Lanes::default(), limit_concurrency))
        .layer(middleware::from_fn_with_state(state.clone(), require_local_host))
        .layer(middleware::from_fn_with_state(state.clone(), outer_layer))
}

/// The innermost layers: bodies within their bounds, requests done again after a fault of ours, panics caught.
fn handler_layers(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    router
        .layer(middleware::from_fn(retry))
        .layer(middleware::from_fn_with_state(BodyBounds::new(&state.settings), receive))
        .layer(body_limit(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(|_panic| ApiError::new(ProblemCode::Internal).into_response()))
}

/// The layer that bounds what people's requests hold at once: the innermost.
pub fn in_flight_layers(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    router.layer(middleware::from_fn_with_state(state.clone(), limit_in_flight))
}

/// Pages of known origins may call the API (the Fetch standard, section 3.2). They send their tokens
/// themselves: no cookies, no credentials.
fn cross_origin(settings: &Settings) -> CorsLayer {
    let origins = origin::allowed_origins(&settings.public_url, &settings.allowed_origins)
        .into_iter()
        .filter_map(|origin| HeaderValue::from_str(&origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            REQUEST_ID,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, REQUEST_ID, RATE_LIMIT_POLICY, RATE_LIMIT])
        .max_age(Duration::from_hours(1))
}

/// Counts the request, and reports in its answer how its caller stands. Probes are not counted.
async fn rate_limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if matches!(path, "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let upgrade = request.headers().contains_key(header::UPGRADE) && path.ends_with("/stream");
    let class = if upgrade { RateClass::Streams } else { RateClass::Address };
    let counted = CountedRates::default();
    let (mut parts, body) = request.into_parts();
    let peer = PeerAddress::from_parts(&parts, &state.settings.trusted_proxies);
    let mut response = match state.rates.count_address(class, peer.0, state.ambient.now(), &counted) {
        Ok(()) => {
            parts.extensions.insert(counted.clone());
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused.into_response(),
    };
    if let Some((policy, standing)) = counted.headers() {
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, standing)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// A path that leads nowhere.
pub async fn fallback() -> ApiError {
    ApiError::not_found()
}

/// A path that does not take the method.
pub async fn method_not_allowed() -> ApiError {
    ApiError::new(ProblemCode::MethodNotAllowed)
}

/// The outermost: gives the request its id, and the answer its headers and, when it is an error,
/// its form.
async fn outer_layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = request_id(&state, &request);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    let response = next.run(request).await;
    let mut response = into_problem(response, &id);
    let route = route.as_ref().map(MatchedPath::as_str);
    state.metrics.request(route, method_label(&method), response.status().as_u16(), started.elapsed());
    tracing::debug!(
        request_id = %id,
        %method,
        %path, // never the query: it may carry a ticket
        status = response.status().as_u16(),
        millis = started.elapsed().as_millis(),
        "request"
    );
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if state.settings.public_url.starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The caller's own id when it is a plain one, else a new one.
fn request_id(state: &AppState, request: &Request) -> String {
    let plain = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain) {
        Some(id) => id.to_owned(),
        None => state.ambient.uuid().to_string(),
    }
}

/// Says of an answer, as an extension, that it is complete as it is, although its status is that of an
/// error: it is no problem document.
#[derive(Debug, Clone, Copy)]
pub struct CompleteResponse;

/// Whatever says error becomes a problem document with the request's id.
fn into_problem(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let complete = response.extensions().get::<CompleteResponse>().is_some();
    if complete || (!status.is_client_error() && !status.is_server_error()) {
        return response;
    }
    let mut problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::new(code(status)));
    problem.request_id = Some(id.to_owned());
    let Ok(body) = serde_json::to_vec(&problem) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts.headers.remove(header::CONTENT_LENGTH);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        parts.headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    if status == StatusCode::UNAUTHORIZED {
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Response::from_parts(parts, body.into())
}

/// For answers that did not come from a handler of ours.
fn code(status: StatusCode) -> ProblemCode {
    match status {
        StatusCode::UNAUTHORIZED => ProblemCode::Unauthorized,
        StatusCode::FORBIDDEN => ProblemCode::Forbidden,
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        status if status.is_server_error() => ProblemCode::Internal,
        _ => ProblemCode::BadRequest,
    }
}
