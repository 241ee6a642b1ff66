//! Teams that are deleted, brought back, and removed in the end.

use std::time::Duration;

use restroy_control_plane::{
    auth::Role,
    runs::{purge_teams, schedule},
};
use serde_json::json;

use crate::support::{Home, PASSWORD, Person, World, one_file};

const DAY: Duration = Duration::from_hours(24);

async fn delete(person: &Person<'_>, team: &str, name: &str) -> crate::support::Reply {
    person.call(reqwest::Method::DELETE, &format!("/v1/teams/{team}"), Some(json!({ "name": name }))).await
}

#[tokio::test]
async fn a_deleted_team_is_gone_with_all_that_is_in_it_and_comes_back() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let document = json!({
        "restroy": 1, "steps": { "a": { "script": "scripts/a.lua" } },
        "schedules": { "often": { "cron": "* * * * *" } },
    });
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
    let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
    let admin = world.person("admin").await;
    admin.join(&home.team, Role::Admin).await;
    let invitations = format!("/v1/teams/{}/invitations", home.team);
    ann.post(&invitations, json!({ "email": "bob@example.com", "role": "viewer" })).await.expect(201);
    let bob = world.person("bob").await;

    delete(&admin, &home.team, "Home").await.problem("forbidden");
    assert_eq!(delete(&ann, &home.team, "home").await.problem("invalid").pointers(), ["/name"]);
    ann.delete(&format!("/v1/teams/{}", home.team)).await.problem("unsupported_media_type");
    let restore = format!("/v1/teams/{}/restore", home.team);
    ann.post(&restore, json!({})).await.problem("not_found");
    delete(&ann, &home.team, "Home").await.expect(204);
    for path in [
        format!("/v1/teams/{}", home.team),
        format!("/v1/teams/{}/members", home.team),
        format!("/v1/boards/{}", home.board),
        format!("/v1/pipelines/{}", home.pipeline),
        format!("/v1/scripts/{}", home.script),
        format!("/v1/runs/{run}"),
    ] {
        ann.get(&path).await.problem("not_found");
    }
    delete(&ann, &home.team, "Home").await.problem("not_found");
    assert!(ann.get("/v1/teams").await.expect(200).items().is_empty());
    assert!(bob.get("/v1/me/invitations").await.expect(200).items().is_empty());
    assert_eq!(world.count("runs WHERE status = 'cancelled'").await, 1);
    assert_eq!(world.count("tasks WHERE state <> 'done'").await, 0);
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(schedule::fire_due(&world.state).await.unwrap(), 0, "its schedules stand still");

    let deleted = ann.get("/v1/teams?deleted=true").await.expect(200);
    assert_eq!(deleted.items()[0]["id"], json!(home.team));
    assert!(admin.get("/v1/teams?deleted=true").await.expect(200).items().is_empty());
    admin.post(&restore, json!({})).await.problem("forbidden");
    bob.post(&restore, json!({})).await.problem("not_found");
    let back = ann.post(&restore, json!({})).await.expect(200);
    assert_eq!((&back.body["name"], &back.body["role"]), (&json!("Home"), &json!("owner")));
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await.expect(200).body["status"], "cancelled");
    assert_eq!(admin.get(&format!("/v1/boards/{}", home.board)).await.expect(200).body["name"], "Board");
    assert_eq!(schedule::fire_due(&world.state).await.unwrap(), 1, "and go on");
    ann.post(&restore, json!({})).await.problem("not_found");
}

#[tokio::test]
async fn a_team_does_not_come_back_without_an_owner() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Home").await;
    let keeper = world.person("keeper").await;
    keeper.join(&team, Role::Viewer).await;
    let role = json!({ "name": "Keeper", "permissions": ["team.delete"] });
    ann.post(&format!("/v1/teams/{team}/roles"), role).await.expect(201);
    ann.patch(&format!("/v1/teams/{team}/members/{}", keeper.id), json!({ "role": "Keeper" })).await.expect(200);
    let proof = json!({ "password": PASSWORD });
    ann.call(reqwest::Method::DELETE, "/v1/me", Some(proof.clone())).await.problem("conflict");
    delete(&keeper, &team, "Home").await.expect(204);
    ann.call(reqwest::Method::DELETE, "/v1/me", Some(proof)).await.expect(204);
    let refused = keeper.post(&format!("/v1/teams/{team}/restore"), json!({})).await.problem("conflict");
    assert!(refused.text.contains("no owners left"), "{}", refused.text);
}

#[tokio::test]
async fn who_deletes_their_account_leaves_a_trace_in_their_teams() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Home").await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Viewer).await;
    bob.call(reqwest::Method::DELETE, "/v1/me", Some(json!({ "password": PASSWORD }))).await.expect(204);
    let left = ann.get(&format!("/v1/teams/{team}/audit?action=member.leave")).await.expect(200);
    assert_eq!(left.items()[0]["before"]["role"], "viewer", "{}", left.text);
}

#[tokio::test]
async fn after_thirty_days_nothing_is_left() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let kept = Home::of(&ann).await;
    let tables = ["runs", "run_events", "pipelines", "boards", "script_versions", "memberships", "roles"];
    let count = async || {
        let mut counts = Vec::new();
        for table in tables {
            counts.push(world.count(&format!("{table} WHERE team_id IS NOT NULL")).await);
        }
        counts.push(world.count("idempotency_keys").await);
        counts
    };
    let before = count().await;
    let home = Home::of(&ann).await;
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    let key = [("idempotency-key", "one")];
    for _ in 0..12 {
        ann.post(&runs, json!({})).await.expect(202);
    }
    ann.with(reqwest::Method::POST, &runs, &key, Some(json!({}))).await.expect(202);
    let roles = format!("/v1/teams/{}/roles", home.team);
    ann.post(&roles, json!({ "name": "R", "permissions": ["run.read"] })).await.expect(201);
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Viewer).await;
    ann.patch(&format!("/v1/teams/{}/members/{}", home.team, bob.id), json!({ "role": "R" })).await.expect(200);
    ann.put(&format!("/v1/boards/{}/members/{}", home.board, bob.id), json!({ "role": "R" })).await.expect(200);
    let invitations = format!("/v1/teams/{}/invitations", home.team);
    ann.post(&invitations, json!({ "email": "carl@example.com", "role": "R" })).await.expect(201);
    delete(&ann, &home.team, "Home").await.expect(204);

    world.clock.advance(DAY * 29 + Duration::from_mins(24 * 60 - 1));
    assert!(!purge_teams::step(&world.state).await.unwrap());
    let ann = world.sign_in("ann@example.com").await;
    assert_eq!(ann.get("/v1/teams?deleted=true").await.expect(200).items().len(), 1);
    world.clock.advance(Duration::from_mins(2));
    ann.post(&format!("/v1/teams/{}/restore", home.team), json!({})).await.problem("not_found");
    assert!(ann.get("/v1/teams?deleted=true").await.expect(200).items().is_empty());
    assert!(!purge_teams::step(&world.state).await.unwrap(), "nobody meets the purge at the last moment");
    world.clock.advance(Duration::from_hours(1));
    let ann = world.sign_in("ann@example.com").await;
    let mut steps = 0;
    while purge_teams::step(&world.state).await.unwrap() {
        steps += 1;
        assert!(steps < 50, "it ends");
    }
    assert!(steps > 2, "in small steps, not {steps}");
    assert_eq!(count().await, before);
    assert_eq!(world.count("teams").await, 1);
    assert_eq!(world.count("invitations").await + world.count("role_permissions").await, 0);
    ann.get(&format!("/v1/pipelines/{}", kept.pipeline)).await.expect(200);
}

#[tokio::test]
async fn the_limit_of_teams_cannot_be_bypassed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let first = ann.team("Team").await;
    delete(&ann, &first, "Team").await.expect(204);
    for n in 0..19 {
        ann.team(&format!("Team {n}")).await;
    }
    let over = ann.post("/v1/teams", json!({ "name": "One more" })).await.problem("quota_exceeded");
    assert!(over.text.contains("20 teams") && over.text.contains("30 days"), "{}", over.text);
    ann.post(&format!("/v1/teams/{first}/restore"), json!({})).await.expect(200);
    delete(&ann, &first, "Team").await.expect(204);
    world.clock.advance(DAY * 31);
    while purge_teams::step(&world.state).await.unwrap() {}
    world.sign_in("ann@example.com").await.team("One more").await;
}
