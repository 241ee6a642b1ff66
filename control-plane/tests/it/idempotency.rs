//! `Idempotency-Key`.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::World;

#[tokio::test]
async fn the_same_request_twice_creates_once() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let boards = format!("/v1/teams/{team}/boards");
    let post = |key: &'static str, name: &str| {
        let body = Some(json!({ "name": name }));
        let (ann, boards) = (&ann, &boards);
        async move { ann.with(Method::POST, boards, &[("idempotency-key", key)], body).await }
    };
    let first = post("k", "Board").await.expect(201);
    let again = post("k", "Board").await.expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(world.count("boards").await, 1);
    post("k", "Another").await.problem("idempotency_mismatch");
    post("k2", "Board").await.problem("name_taken");
    post("k2", "Another").await.expect(201); // what failed left no trace
    let (one, two) = tokio::join!(post("k3", "Third"), post("k3", "Third"));
    assert_eq!(one.expect(201).body, two.expect(201).body);
    assert_eq!(world.count("boards").await, 3);
}

#[tokio::test]
async fn an_id_typed_in_another_way_is_the_same_route() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let mut made = Vec::new();
    for id in [team.clone(), team.to_uppercase(), team.replace('-', "")] {
        let body = Some(json!({ "email": "bob@example.com", "role": "viewer" }));
        let path = format!("/v1/teams/{id}/invitations");
        made.push(ann.with(Method::POST, &path, &[("idempotency-key", "k")], body).await.expect(201).id());
    }
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    assert_eq!(world.count("invitations").await, 1);
    assert_eq!(world.count("idempotency_keys").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_a_route_and_team_and_lasts_a_day() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = |name: &str| {
        let body = Some(json!({ "name": name }));
        let ann = &ann;
        async move { ann.with(Method::POST, "/v1/teams", &[("idempotency-key", "k")], body).await.expect(201).id() }
    };
    let first = team("Team").await;
    assert_eq!(team("Team").await, first);
    let bob = world.person("bob").await;
    let body = Some(json!({ "name": "Team" }));
    let bobs = bob.with(Method::POST, "/v1/teams", &[("idempotency-key", "k")], body).await.expect(201).id();
    assert_ne!(bobs, first);
    let boards = format!("/v1/teams/{first}/boards");
    let body = Some(json!({ "name": "Team" }));
    ann.with(Method::POST, &boards, &[("idempotency-key", "k")], body).await.expect(201);
    world.clock.advance(Duration::from_hours(25));
    let ann = world.sign_in("ann@example.com").await;
    let body = Some(json!({ "name": "Team" }));
    let later = ann.with(Method::POST, "/v1/teams", &[("idempotency-key", "k")], body).await.expect(201).id();
    assert_ne!(later, first);
}

#[tokio::test]
async fn odd_keys_are_refused_and_one_in_progress_is_a_conflict() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let long = "x".repeat(256);
    for key in ["", &long] {
        let body = Some(json!({ "name": "Team" }));
        ann.with(Method::POST, "/v1/teams", &[("idempotency-key", key)], body).await.problem("bad_request");
    }
    let send = || ann.with(Method::POST, "/v1/teams", &[("idempotency-key", "k")], Some(json!({ "name": "Team" })));
    send().await.expect(201);
    let mut tx = world.state.db.system_write().await.unwrap();
    let forget = "UPDATE idempotency_keys SET status = NULL, answer = NULL";
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(forget)).unwrap();
    tx.commit().await.unwrap();
    send().await.problem("idempotency_in_flight");
}
