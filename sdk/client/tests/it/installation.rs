//! A small installation on loopback that answers as a test reports it to.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use restroy_client::{Client, MemoryTokens};
use restroy_sdk::{
    api::auth::Tokens,
    problem::{MEDIA_TYPE, Problem, ProblemCode},
};
use uuid::Uuid;

/// Serves `router` and gives its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Tokens that hold `access`.
pub(crate) fn tokens(access: &str, refresh: &str) -> Tokens {
    Tokens {
        access_token: access.into(),
        token_type: "Bearer".into(),
        expires_in: 900,
        refresh_token: refresh.into(),
        session_id: Uuid::nil().into(),
    }
}

/// A client of `base` that is signed in with the access token `access`.
pub(crate) fn client(base: &str, access: &str) -> Client {
    Client::with_tokens(base, Arc::new(MemoryTokens::of(tokens(access, "refresh-1")))).unwrap()
}

/// A problem as an answer.
pub(crate) fn problem(code: ProblemCode) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap();
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], Json(Problem::new(code))).into_response()
}

/// The token of a request's `Authorization` header.
pub(crate) fn bearer(headers: &header::HeaderMap) -> &str {
    headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap().trim_start_matches("Bearer "))
}
