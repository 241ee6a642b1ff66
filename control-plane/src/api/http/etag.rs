//! Conditional changes (RFC 9110, section 13.1): the tag of a thing as it is, and whether a request that
//! was made for it still fits.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use restroy_sdk::problem::ProblemCode;

use crate::error::{ApiError, ApiResult};

/// The tag as a header of the answer: what counts the changes of a thing, or names its state.
pub fn etag(tag: impl fmt::Display) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// 412 unless the request's `If-Match` is absent or names `current`, and its `If-None-Match` is absent or
/// names something else. `*` is whatever there is; `current` is `None` where nothing is yet, whose tag is
/// `"0"`.
pub fn check_preconditions(headers: &HeaderMap, current: Option<impl fmt::Display>) -> ApiResult<()> {
    let present = current.is_some();
    let current = current.map_or_else(|| "\"0\"".to_owned(), |tag| format!("\"{tag}\""));
    let named = |name: HeaderName| {
        let mut sent = headers.get_all(name).iter().peekable();
        sent.peek()?;
        let mut tags = sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
        Some(tags.any(|tag| tag == current || (tag == "*" && present)))
    };
    if named(header::IF_MATCH) == Some(false) || named(header::IF_NONE_MATCH) == Some(true) {
        let state = if present { format!("at {current}") } else { "not there".to_owned() };
        let detail = format!("It is {state} now: read it, merge, and send that tag.");
        return Err(ApiError::with(ProblemCode::VersionMismatch, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_another_state_is_refused() {
        let with = |name: HeaderName, tag: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(tag))]);
        let matching = |tag| with(header::IF_MATCH, tag);
        let none = |tag| with(header::IF_NONE_MATCH, tag);
        for (headers, current, fit) in [
            (HeaderMap::new(), None, true),
            (HeaderMap::new(), Some("1"), true),
            (matching("\"1\""), Some("1"), true),
            (matching("\"0\", \"1\""), Some("1"), true),
            (matching("*"), Some("1"), true),
            (matching("\"1\""), Some("2"), false),
            (matching("1"), Some("1"), false),
            (matching("W/\"1\""), Some("1"), false),
            (matching("*"), None, false),
            (matching("\"1\""), None, false),
            (matching("\"0\""), None, true),
            (matching("\"0\""), Some("1"), false),
            (none("*"), None, true),
            (none("*"), Some("1"), false),
            (none("\"1\""), Some("1"), false),
            (none("\"1\""), Some("2"), true),
        ] {
            assert_eq!(check_preconditions(&headers, current).is_ok(), fit, "{headers:?} at {current:?}");
        }
    }
}
