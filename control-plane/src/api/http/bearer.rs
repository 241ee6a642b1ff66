//! The token that a request brings.

use axum::http::{header, request::Parts};

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1; the scheme in any case).
pub(crate) fn bearer_token(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
