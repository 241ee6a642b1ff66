//! `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1) of a definition: the number of the
//! pipeline's latest version, 0 before the first.

use axum::http::{HeaderMap, HeaderValue, header};
use restroy_sdk::problem::ProblemCode;

use crate::error::{ApiError, ApiResult};

/// The tag of a latest version.
pub(super) fn etag(latest: Option<i64>) -> String {
    format!("\"{}\"", latest.unwrap_or(0))
}

/// The tag as a header.
pub(super) fn header_of(latest: Option<i64>) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&etag(latest)).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// 412 unless `If-Match` is absent or names the latest version.
pub(super) fn check(headers: &HeaderMap, latest: Option<i64>) -> ApiResult<()> {
    let mut sent = headers.get_all(header::IF_MATCH).iter().peekable();
    if sent.peek().is_none() {
        return Ok(());
    }
    let current = etag(latest);
    let matches = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == current || (tag == "*" && latest.is_some()));
    if matches {
        return Ok(());
    }
    Err(ApiError::with(
        ProblemCode::VersionMismatch,
        format!("The definition is at {current} now: read it, merge, and send that tag."),
    ))
}
