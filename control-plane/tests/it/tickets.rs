//! Stream tickets and the origins of pages.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use reqwest::Method;
use restroy_control_plane::{
    DomainError,
    auth::{origin, ticket},
};
use serde_json::json;

use crate::support::{Person, World};

const PATH: &str = "/v1/runs/019a0000-0000-7000-8000-000000000000/stream";

async fn issue(person: &Person<'_>) -> String {
    let made = person.post("/v1/stream-tickets", json!({ "path": PATH })).await.expect(201);
    made.body["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_is_good_once_for_its_path_and_user() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let ticket = issue(&ann).await;
    let caller = ticket::redeem(&world.state, &ticket, PATH, None).await.unwrap();
    assert_eq!(caller.user_id.to_string(), ann.id);
    let again = ticket::redeem(&world.state, &ticket, PATH, None).await.unwrap_err();
    assert!(matches!(again, DomainError::Unauthenticated(_)), "{again}");
    let ticket = issue(&ann).await;
    ticket::redeem(&world.state, &ticket, "/v1/runs/x/stream", None).await.unwrap_err();
    ticket::redeem(&world.state, &ticket, PATH, None).await.unwrap_err(); // spent all the same
    ticket::redeem(&world.state, "made up", PATH, None).await.unwrap_err();
}

#[tokio::test]
async fn a_ticket_ends_after_thirty_seconds_and_with_its_session() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let ticket = issue(&ann).await;
    world.clock.advance(Duration::from_secs(31));
    ticket::redeem(&world.state, &ticket, PATH, None).await.unwrap_err();
    let ticket = issue(&ann).await;
    ann.call(Method::POST, "/v1/auth/logout", None).await.expect(204);
    ticket::redeem(&world.state, &ticket, PATH, None).await.unwrap_err();
}

#[tokio::test]
async fn tickets_are_for_streams_and_bounded() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for path in ["", "/v1/me", "/v1/runs/x/stream?after=1", "https://elsewhere/v1/stream", "/v1/../stream"] {
        let refused = ann.post("/v1/stream-tickets", json!({ "path": path })).await.problem("invalid");
        assert_eq!(refused.pointers(), ["/path"], "{path}");
    }
    for _ in 0..100 {
        issue(&ann).await;
    }
    ann.post("/v1/stream-tickets", json!({ "path": PATH })).await.problem("rate_limited");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let world = World::with(|settings| {
        settings.public_url = "https://restroy.example".into();
        settings.allowed_origins = vec!["https://Console.example:443/".into(), "http://localhost:5173".into()];
    })
    .await;
    let check = |origins: &[&str]| {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append("origin", HeaderValue::from_str(origin).unwrap());
        }
        let settings = &world.state.settings;
        origin::check(&settings.public_url, &settings.allowed_origins, &headers).is_ok()
    };
    assert!(check(&[])); // not a browser
    assert!(check(&["https://restroy.example"]));
    assert!(check(&["https://console.example"]));
    assert!(check(&["http://localhost:5173"]));
    for origin in
        ["null", "", "https://restroy.example.evil", "http://restroy.example", "http://localhost:5174", "file://"]
    {
        assert!(!check(&[origin]), "{origin}");
    }
    assert!(!check(&["https://restroy.example", "https://evil.example"]));
}
