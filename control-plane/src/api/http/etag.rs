//! `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1). A tag is a number that every change
//! raises: a revision, or that of the latest version; 0 before the first.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use restroy_sdk::problem::ProblemCode;

use crate::error::{ApiError, ApiResult};

/// The tag of a number.
fn tag(number: Option<i64>) -> String {
    format!("\"{}\"", number.unwrap_or(0))
}

/// The tag as a header.
pub fn etag(number: Option<i64>) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&tag(number)).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// 412 unless `If-Match` is absent or names the number that is current; `what` says of what.
pub fn if_match(headers: &HeaderMap, current: Option<i64>, what: &str) -> ApiResult<()> {
    let mut sent = headers.get_all(header::IF_MATCH).iter().peekable();
    if sent.peek().is_none() {
        return Ok(());
    }
    let wanted = tag(current);
    let matches = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == wanted || (tag == "*" && current.is_some()));
    if matches {
        return Ok(());
    }
    Err(ApiError::with(
        ProblemCode::VersionMismatch,
        format!("The {what} is at {wanted} now: read it, merge, and send that tag."),
    ))
}
