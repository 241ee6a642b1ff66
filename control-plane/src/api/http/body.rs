//! JSON bodies. Nothing is built from one before its values are counted, so that a small body does not
//! become a large tree; what is long is read on the threads for the work of tenants, in its sender's turn.

use std::error::Error;

use axum::{
    Extension,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
};
use restroy_sdk::{
    json_bounds::{JsonErrorKind, JsonLimits, JsonSize, measure},
    problem::{FieldError, LimitHit, Problem, ProblemCode},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    FieldErrors,
    receive::{ReceiveError, RequestMemory},
};
use crate::{
    api::rules::ValidatedBody,
    error::{ApiError, ApiResult},
    state::AppState,
};

/// A longer body is not read on the threads that serve requests, in bytes.
const SHORT: usize = 32 * 1024;
/// Nor is one of more values.
const FEW: usize = 4_000;

/// A JSON body: 415 when it says that it is something else, 413 above the route's limit, 400 when
/// it is no JSON, nests too deep or does not come in time, 413 as well when it has too many values, 503 when too much
/// is under way, 422 with the place when it is not of the expected form or a field breaks its rule.
#[derive(Debug, Clone, Copy)]
pub struct Body<T>(pub T);

/// Whose turn it is when a long body is read: an extension that says who sent it, set once that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodySender(pub(crate) Uuid);

impl<T: DeserializeOwned + ValidatedBody + Send + 'static> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        if !is_json(&request) {
            return Err(ApiError::with(
                ProblemCode::UnsupportedMediaType,
                "Send a JSON body with `Content-Type: application/json`.",
            ));
        }
        let limit = request.extensions().get::<BodyLimit>().copied();
        let limits = request.extensions().get::<JsonLimits>().copied().unwrap_or(JsonLimits::BODY);
        let sender = request.extensions().get::<BodySender>().map_or(Uuid::nil(), |sender| sender.0);
        let held = request.extensions().get::<RequestMemory>().cloned();
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| read_error(&rejection, limit))?;
        let long = bytes.len() > SHORT;
        let size = if long {
            let bytes = bytes.clone();
            state.tenants.run(sender, move || check_json_bounds(&bytes, limits)).await??
        } else {
            check_json_bounds(&bytes, limits)?
        };
        if let Some(held) = held {
            held.reserve_tree(size.tree_bytes).await.map_err(|_| out_of_memory())?;
        }
        let body: T = if long || size.nodes > FEW {
            state.tenants.run(sender, move || parse_json(&bytes)).await??
        } else {
            parse_json(&bytes)?
        };
        let mut fields = FieldErrors::new();
        body.check(&mut fields);
        fields.finish()?;
        Ok(Self(body))
    }
}

/// What a body may have here, in bytes; for the answer to one that has more.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(usize);

/// The layers that bound the bodies of what lies within; the innermost counts.
pub fn body_limit(bytes: usize) -> (DefaultBodyLimit, Extension<BodyLimit>) {
    (DefaultBodyLimit::max(bytes), Extension(BodyLimit(bytes)))
}

fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn read_error(rejection: &BytesRejection, limit: Option<BodyLimit>) -> ApiError {
    match receive_error(rejection) {
        Some(ReceiveError::Slow) => return ApiError::with(ProblemCode::BadRequest, "The body did not arrive in time."),
        Some(ReceiveError::Full) => return out_of_memory(),
        None => {}
    }
    // The rejection's own response knows best whether it was the limit.
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let mut problem = Problem::new(ProblemCode::TooLarge).detail("The body exceeds this route's limit.");
        if let Some(BodyLimit(bytes)) = limit {
            let value = i64::try_from(bytes).unwrap_or(i64::MAX);
            problem = problem.detail(format!("This route accepts at most {bytes} bytes."));
            problem = problem.limit(LimitHit { name: "body_bytes".into(), value, free_at: None });
        }
        problem.into()
    } else {
        ApiError::with(ProblemCode::BadRequest, "The body is incomplete.")
    }
}

fn out_of_memory() -> ApiError {
    ApiError::with(ProblemCode::Unavailable, "Too many request bodies in progress. Try again shortly.")
}

/// Counts what is in a body before anything is built from it.
fn check_json_bounds(bytes: &[u8], limits: JsonLimits) -> ApiResult<JsonSize> {
    measure(bytes, limits).map_err(|error| match error.kind {
        JsonErrorKind::TooManyNodes(most) => {
            let detail = format!(
                "The body has more than {most} JSON values (objects, arrays, strings, numbers; limit `json_values`): send \
                 fewer at once."
            );
            let value = i64::try_from(most).unwrap_or(i64::MAX);
            let problem = Problem::new(ProblemCode::TooLarge).detail(detail);
            problem.limit(LimitHit { name: "json_values".into(), value, free_at: None }).into()
        }
        JsonErrorKind::TooDeep(_) | JsonErrorKind::LoneSurrogate | JsonErrorKind::NumberOutOfRange => {
            ApiError::with(ProblemCode::BadRequest, format!("The body is not accepted: {error}."))
        }
        JsonErrorKind::Syntax(_) | JsonErrorKind::NotUtf8 => {
            ApiError::with(ProblemCode::BadRequest, format!("The body is not JSON: {error}."))
        }
    })
}

/// Whether it was one of our bounds.
fn receive_error(rejection: &BytesRejection) -> Option<ReceiveError> {
    let mut error: Option<&dyn Error> = Some(rejection);
    while let Some(found) = error {
        if let Some(refused) = found.downcast_ref() {
            return Some(*refused);
        }
        error = found.source();
    }
    None
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new(pointer, error.to_string())])
        } else {
            Problem::new(ProblemCode::BadRequest).detail(format!("The body is not JSON: {error}."))
        }
    })?;
    deserializer
        .end()
        .map_err(|error| ApiError::with(ProblemCode::BadRequest, format!("The body is not JSON: {error}.")))?;
    // Into a struct a list is read too, field by field; no route says that it takes one.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let fault = FieldError::new("", "an object such as `{\"name\": \"…\"}`, not a list");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    Ok(value)
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        out.push('/');
        match segment {
            Segment::Seq { index } => out.push_str(&index.to_string()),
            Segment::Map { key } => out.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => out.push_str(variant),
            Segment::Unknown => out.push('?'),
        }
    }
    out
}
