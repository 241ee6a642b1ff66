//! Conditional changes (RFC 9110, section 13.1): the tag of a thing as it is, and whether a request that
//! was made for it still fits.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use restroy_sdk::problem::ProblemCode;

use crate::error::{ApiError, ApiResult};

/// The tag as a header of the answer.
pub fn etag(tag: &str) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// The tag of what counts its changes: a revision, or the number of the latest version; 0 before the first.
pub fn numbered(number: Option<i64>) -> [(HeaderName, HeaderValue); 1] {
    etag(&number.unwrap_or(0).to_string())
}

/// 412 unless `If-Match` is absent or names the number that is current; `what` says of what.
pub fn if_match(headers: &HeaderMap, current: Option<i64>, what: &str) -> ApiResult<()> {
    let wanted = format!("\"{}\"", current.unwrap_or(0));
    let mut sent = headers.get_all(header::IF_MATCH).iter().peekable();
    if sent.peek().is_none() {
        return Ok(());
    }
    let tags = sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
    if tags.into_iter().any(|tag| tag == wanted || (tag == "*" && current.is_some())) {
        return Ok(());
    }
    let detail = format!("The {what} is at {wanted} now: read it, merge, and send that tag.");
    Err(ApiError::with(ProblemCode::VersionMismatch, detail))
}

/// 412 unless the request's `If-Match` is absent or names `current`, and its `If-None-Match` is absent or
/// names something else. `*` is whatever there is; `current` is `None` where nothing is.
pub fn fits(headers: &HeaderMap, current: Option<&str>) -> ApiResult<()> {
    let named = |name: HeaderName| {
        let mut sent = headers.get_all(name).iter().peekable();
        sent.peek()?;
        let mut tags = sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        Some(tags.any(|tag| match (tag.trim(), current) {
            ("*", current) => current.is_some(),
            (tag, Some(current)) => tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(current),
            (_, None) => false,
        }))
    };
    if named(header::IF_MATCH) == Some(false) || named(header::IF_NONE_MATCH) == Some(true) {
        let state = current.map_or("not there".to_owned(), |tag| format!("at \"{tag}\""));
        let detail = format!("It is {state} now: read it, and send that tag.");
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
            (none("*"), None, true),
            (none("*"), Some("1"), false),
            (none("\"1\""), Some("1"), false),
            (none("\"1\""), Some("2"), true),
        ] {
            assert_eq!(fits(&headers, current).is_ok(), fit, "{headers:?} at {current:?}");
        }
    }
}
