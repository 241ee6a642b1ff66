//! Which pages may use the API: a browser sends the page's origin, and any page may try.

use axum::http::{HeaderMap, header};
use restroy_sdk::problem::ProblemCode;
use url::Url;

use crate::error::{ApiError, ApiResult};

/// Refuses with 403 unless the request comes from a page of this installation, from an origin that
/// the operator allowed, or from no page at all (no `Origin`: not a browser).
pub fn check(public_url: &str, allowed: &[String], headers: &HeaderMap) -> ApiResult<()> {
    let mut sent = headers.get_all(header::ORIGIN).iter();
    let Some(first) = sent.next() else { return Ok(()) };
    let origin = first.to_str().ok().filter(|_| sent.next().is_none()).and_then(normalized);
    match origin {
        Some(origin) if allowed_origins(public_url, allowed).contains(&origin) => Ok(()),
        _ => Err(ApiError::with(
            ProblemCode::Forbidden,
            "Pages of this origin may not open streams here; the operator can allow it (`allowed_origins`).",
        )),
    }
}

/// The installation's own origin and those that the operator allowed.
pub fn allowed_origins(public_url: &str, allowed: &[String]) -> Vec<String> {
    let allowed = allowed.iter().filter_map(|url| normalized(url));
    normalized(public_url).into_iter().chain(allowed).collect()
}

/// Scheme, host and port, in one spelling.
fn normalized(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}
