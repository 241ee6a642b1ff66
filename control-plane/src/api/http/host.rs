//! For whom requests to a developer's own installation are.
//!
//! There anybody may register and run scripts, with this machine's network; what guards it is that only this machine
//! reaches it. A browser on it opens strangers' pages, though. One whose name leads to loopback now (DNS rebinding)
//! would take the API for a part of its own site, so requests for names that are not this machine's are refused.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use restroy_sdk::problem::ProblemCode;
use url::Url;

use crate::{
    error::ApiError,
    state::{AppState, Settings},
};

/// Lets through what is for this machine; elsewhere than in `dev`, everything.
pub(super) async fn require_local_host(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !state.settings.dev || is_local_name(request.headers(), &state.settings) {
        return next.run(request).await;
    }
    let detail = "This is a local installation. Use `localhost` or its address, not another name.";
    ApiError::with(ProblemCode::Forbidden, detail).into_response()
}

/// Whether the name is one that no stranger can make lead here: an address, `localhost` (RFC 6761, section 6.3), or
/// that of the installation. Browsers always send one.
fn is_local_name(headers: &HeaderMap, settings: &Settings) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let own = Url::parse(&settings.public_url).ok();
    name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || own.as_ref().and_then(Url::host_str) == Some(&name)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_strangers_name_is_not_this_machines() {
        let settings = Settings { public_url: "http://box.example:8080".into(), ..Settings::default() };
        let ours = |host: &'static str| {
            is_local_name(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]), &settings)
        };
        for host in
            ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "localhost", "LocalHost.:8080", "a.localhost", "box.example"]
        {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example:8080", "evil.example:8080", ""] {
            assert!(!ours(host), "{host}");
        }
    }
}
