//! Requests: credentials and their renewal, problems, broken connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use futures_util::future::join_all;
use restroy_client::{Client, Error, MemoryTokens, Paging, TokenStore};
use restroy_sdk::{
    api::{Page, auth::Refresh, run::NewRun, team::Team},
    ids::{PipelineId, ScriptId},
    problem::ProblemCode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::installation::{bearer, client, problem, serve, tokens};

#[derive(Clone, Default)]
struct Counts {
    refreshes: Arc<AtomicUsize>,
}

async fn teams(headers: HeaderMap) -> Response {
    match bearer(&headers) {
        "access-2" => Json(Page::<Team> { items: Vec::new(), next_cursor: None }).into_response(),
        _ => problem(ProblemCode::Unauthorized),
    }
}

async fn refresh(State(counts): State<Counts>, Json(body): Json<Refresh>) -> Response {
    counts.refreshes.fetch_add(1, Ordering::SeqCst);
    match body.refresh_token.as_str() {
        "refresh-1" => Json(tokens("access-2", "refresh-2")).into_response(),
        _ => problem(ProblemCode::Unauthorized),
    }
}

async fn installation() -> (String, Counts) {
    let counts = Counts::default();
    let router = Router::new()
        .route("/v1/teams", get(teams))
        .route("/v1/auth/refresh", post(refresh))
        .route("/v1/auth/login", post(async || Json(tokens("access-2", "refresh-2"))))
        .route("/v1/auth/logout", post(async || StatusCode::NO_CONTENT))
        .with_state(counts.clone());
    (serve(router).await, counts)
}

#[tokio::test]
async fn an_old_access_token_is_renewed_once_for_all_who_need_it() {
    let (base, counts) = installation().await;
    let client = client(&base, "access-1");
    let paging = Paging::default();
    for result in join_all((0..8).map(|_| client.teams(&paging))).await {
        result.unwrap();
    }
    assert_eq!(counts.refreshes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_that_ended_is_forgotten() {
    let (base, _) = installation().await;
    let store = Arc::new(MemoryTokens::of(tokens("access-1", "revoked")));
    let client = Client::with_tokens(&base, store.clone()).unwrap();
    assert!(matches!(client.teams(&Paging::default()).await, Err(Error::SignedOut { .. })));
    assert!(store.load().unwrap().is_none());
}

#[tokio::test]
async fn login_and_logout_begin_and_end_the_session() {
    let (base, _) = installation().await;
    let client = Client::new(&base).unwrap();
    assert!(matches!(client.me().await, Err(Error::SignedOut { .. })));
    client.login("a@example.com", "correct horse").await.unwrap();
    client.teams(&Paging::default()).await.unwrap();
    client.logout(false).await.unwrap();
    assert!(matches!(client.teams(&Paging::default()).await, Err(Error::SignedOut { .. })));
}

#[tokio::test]
async fn a_problem_keeps_its_code_and_other_answers_are_distinguished() {
    let router = Router::new()
        .route("/v1/me", get(async || problem(ProblemCode::Forbidden)))
        .route("/v1/teams", get(async || (StatusCode::BAD_GATEWAY, "<html>")))
        .route("/v1/teams/{id}", get(async || "not json"));
    let client = client(&serve(router).await, "access-2");
    let error = client.me().await.unwrap_err();
    assert_eq!(error.problem().map(|problem| problem.code), Some(ProblemCode::Forbidden));
    assert!(
        matches!(client.teams(&Paging::default()).await, Err(Error::Answer { reason, .. }) if reason.contains("502"))
    );
    assert!(matches!(client.team(Uuid::nil().into()).await, Err(Error::Answer { .. })));
}

#[tokio::test]
async fn keys_and_bases_become_paths_faithfully() {
    let router = Router::new().route(
        "/below/v1/scripts/{id}/configuration/{key}",
        delete(
            async |Path((_, key)): Path<(Uuid, String)>| {
                if key == "a/b ?#ü" { StatusCode::NO_CONTENT } else { StatusCode::IM_A_TEAPOT }
            },
        ),
    );
    let base = format!("{}/below", serve(router).await);
    client(&base, "access-2").delete_configuration(ScriptId(Uuid::nil()), "a/b ?#ü").await.unwrap();
}

#[tokio::test]
async fn where_nobody_listens_the_address_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&base, "access-2").me().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { sent: false, .. }));
    let text = error.to_string();
    assert!(text.contains(&base) && text.to_lowercase().contains("refused"), "{text}");
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_sent_again_under_the_same_key() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut keys = Vec::new();
        for answer in ["", "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"params\":{}}") {
                assert!(socket.read_buf(&mut request).await.unwrap() > 0);
            }
            let request = String::from_utf8(request).unwrap();
            keys.extend(request.lines().find(|line| line.starts_with("idempotency-key: ")).map(str::to_owned));
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        keys
    });
    let error = client(&base, "access-2").start_run(PipelineId(Uuid::nil()), &NewRun::default()).await.unwrap_err();
    assert!(matches!(error, Error::Answer { reason, .. } if reason.contains("409")));
    let keys = server.await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn an_address_must_be_one() {
    for text in ["", "localhost:8080", "ftp://a", "http://u:p@a", "http://a/?x"] {
        assert!(matches!(Client::new(text), Err(Error::Address { .. })), "{text}");
    }
}
