//! A team's own roles.

use restroy_control_plane::auth::{Permission, Role};
use serde_json::{Value, json};

use crate::support::{Home, World};

fn names(page: &crate::support::Reply) -> Vec<&str> {
    page.items().iter().map(|role| role["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_team_makes_roles_of_its_own() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let roles = format!("/v1/teams/{team}/roles");
    let new =
        json!({ "name": "Release manager", "description": "Ships.", "permissions": ["pipeline.run", "run.read"] });
    let made = ann.post(&roles, new).await.expect(201);
    assert_eq!(made.body["permissions"], json!(["team.read", "pipeline.run", "run.read"]), "team.read comes with it");
    assert_eq!((&made.body["built_in"], &made.body["description"]), (&json!(false), &json!("Ships.")));

    let page = ann.get(&roles).await.expect(200);
    assert_eq!(names(&page), ["owner", "admin", "editor", "operator", "viewer", "Release manager"]);
    assert_eq!(page.items()[0]["permissions"].as_array().unwrap().len(), Permission::ALL.len());
    assert!(page.items()[..5].iter().all(|role| role["built_in"] == true && role["id"].is_null()));

    for wanted in [made.id(), "Release%20manager".into()] {
        assert_eq!(ann.get(&format!("{roles}/{wanted}")).await.expect(200).body, made.body);
    }
    let at = format!("{roles}/{}", made.id());
    let changed = ann.patch(&at, json!({ "name": "Shipper", "permissions": ["run.cancel"] })).await.expect(200);
    assert_eq!(changed.body["permissions"], json!(["team.read", "run.cancel"]));
    assert_eq!((&changed.body["name"], &changed.body["description"]), (&json!("Shipper"), &json!("Ships.")));
    ann.delete(&at).await.expect(204);
    ann.get(&at).await.problem("not_found");
    assert_eq!(names(&ann.get(&roles).await.expect(200)).len(), 5);
}

#[tokio::test]
async fn the_list_is_paged() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let roles = format!("/v1/teams/{}/roles", ann.team("Team").await);
    for n in 0..4 {
        ann.post(&roles, json!({ "name": format!("Role {n}"), "permissions": [] })).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut path = format!("{roles}?limit=2");
    loop {
        let page = ann.get(&path).await.expect(200);
        assert!(page.items().len() <= 2);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        path = format!("{roles}?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["owner", "admin", "editor", "operator", "viewer", "Role 0", "Role 1", "Role 2", "Role 3"]);
}

#[tokio::test]
async fn permissions_are_listed_with_what_they_mean() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let mut seen: Vec<Value> = Vec::new();
    let mut path = "/v1/permissions?limit=7".to_owned();
    loop {
        let page = ann.get(&path).await.expect(200);
        seen.extend(page.items().iter().cloned());
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/permissions?limit=7&cursor={next}");
    }
    let listed: Vec<&str> = seen.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let all: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
    assert_eq!(listed, all);
    assert!(seen.iter().all(|one| one["description"].as_str().unwrap().len() > 5));
    let run = seen.iter().find(|one| one["name"] == "pipeline.run").unwrap();
    assert_eq!((&run["description"], &run["on_boards"]), (&json!("Start runs."), &json!(true)));
    ann.get("/v1/permissions?cursor=Ym9ndXM").await.problem("bad_request");
}

#[tokio::test]
async fn names_and_permissions_are_checked() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let roles = format!("/v1/teams/{}/roles", ann.team("Team").await);
    for name in ["", " a", "a\0", "owner", "Viewer", "019a0000-0000-7000-8000-000000000000"] {
        let refused = ann.post(&roles, json!({ "name": name, "permissions": [] })).await.problem("invalid");
        assert_eq!(refused.pointers()[0], "/name", "{name:?}");
    }
    let unknown = json!({ "name": "A", "permissions": ["run.read", "everything"] });
    assert_eq!(ann.post(&roles, unknown).await.problem("invalid").pointers(), ["/permissions/1"]);
    let many = json!({ "name": "A", "permissions": vec!["run.read"; 500] });
    assert_eq!(ann.post(&roles, many).await.problem("invalid").pointers(), ["/permissions"]);
    ann.post(&roles, json!({ "name": "A", "permissions": [] })).await.expect(201);
    let taken = ann.post(&roles, json!({ "name": "A", "permissions": [] })).await.problem("name_taken");
    assert_eq!(taken.pointers(), ["/name"]);
    for n in 1..50 {
        ann.post(&roles, json!({ "name": format!("B{n}"), "permissions": [] })).await.expect(201);
    }
    let over = ann.post(&roles, json!({ "name": "C", "permissions": [] })).await.problem("quota_exceeded");
    assert!(over.text.contains("50 roles"), "{}", over.text);
}

#[tokio::test]
async fn built_in_roles_stay_as_they_are() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let roles = format!("/v1/teams/{}/roles", ann.team("Team").await);
    ann.patch(&format!("{roles}/viewer"), json!({ "permissions": [] })).await.problem("conflict");
    ann.delete(&format!("{roles}/viewer")).await.problem("conflict");
    ann.delete(&format!("{roles}/nobody")).await.problem("not_found");
}

#[tokio::test]
async fn a_change_takes_effect_with_the_next_request() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Viewer).await;
    let roles = format!("/v1/teams/{}/roles", home.team);
    let role = ann.post(&roles, json!({ "name": "Starter", "permissions": ["pipeline.run"] })).await.expect(201).id();
    let member = format!("/v1/teams/{}/members/{}", home.team, bob.id);
    let given = ann.patch(&member, json!({ "role": "Starter" })).await.expect(200);
    assert_eq!((&given.body["role"], &given.body["role_id"]), (&json!("Starter"), &json!(role)));
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    bob.post(&runs, json!({})).await.expect(202);
    bob.get(&runs).await.problem("forbidden");
    ann.patch(&format!("{roles}/{role}"), json!({ "permissions": ["run.read"] })).await.expect(200);
    let refused = bob.post(&runs, json!({})).await.problem("forbidden");
    assert!(refused.text.contains("Starter"), "the role is named: {}", refused.text);
    bob.get(&runs).await.expect(200);
    // The team's name for it, wherever it is shown.
    ann.patch(&format!("{roles}/{role}"), json!({ "name": "Reader" })).await.expect(200);
    assert_eq!(bob.get(&format!("/v1/teams/{}", home.team)).await.expect(200).body["role"], "Reader");
    assert_eq!(bob.get("/v1/me").await.expect(200).body["teams"][0]["role"], "Reader");
}

#[tokio::test]
async fn a_role_in_use_is_not_deleted() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let (bob, carl) = (world.person("bob").await, world.person("carl").await);
    bob.join(&home.team, Role::Viewer).await;
    carl.join(&home.team, Role::Viewer).await;
    let roles = format!("/v1/teams/{}/roles", home.team);
    let role = ann.post(&roles, json!({ "name": "R", "permissions": ["run.read"] })).await.expect(201).id();
    let member = |person: &str| format!("/v1/teams/{}/members/{person}", home.team);
    let on_board = format!("/v1/boards/{}/members/{}", home.board, carl.id);
    let invitations = format!("/v1/teams/{}/invitations", home.team);
    ann.patch(&member(&bob.id), json!({ "role": role })).await.expect(200);
    ann.put(&on_board, json!({ "role": "R" })).await.expect(200);
    let invited = ann.post(&invitations, json!({ "email": "dora@example.com", "role": "R" })).await.expect(201).id();
    let at = format!("{roles}/{role}");
    let refused = ann.delete(&at).await.problem("conflict");
    assert!(refused.text.contains("1 members of the team, 1 members of boards and 1 invitations"), "{}", refused.text);
    ann.patch(&member(&bob.id), json!({ "role": "viewer" })).await.expect(200);
    ann.delete(&at).await.problem("conflict");
    ann.delete(&on_board).await.expect(204);
    ann.delete(&at).await.problem("conflict");
    ann.delete(&format!("{invitations}/{invited}")).await.expect(204);
    ann.delete(&at).await.expect(204);
}

#[tokio::test]
async fn nobody_puts_into_a_role_what_they_do_not_hold() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Admin).await;
    let roles = format!("/v1/teams/{team}/roles");
    let refused = bob.post(&roles, json!({ "name": "A", "permissions": ["run.read", "team.delete"] })).await;
    let refused = refused.problem("forbidden");
    assert!(refused.text.contains("`team.delete`") && !refused.text.contains("run.read"), "{}", refused.text);
    let own = bob.post(&roles, json!({ "name": "A", "permissions": ["run.read"] })).await.expect(201).id();
    let grow = json!({ "permissions": ["team.transfer"] });
    bob.patch(&format!("{roles}/{own}"), grow).await.problem("forbidden");
    // Nor takes from one that holds more, under whatever pretext.
    let big = ann.post(&roles, json!({ "name": "Big", "permissions": ["team.delete"] })).await.expect(201).id();
    bob.patch(&format!("{roles}/{big}"), json!({ "name": "Small" })).await.problem("forbidden");
    bob.patch(&format!("{roles}/{big}"), json!({ "permissions": [] })).await.problem("forbidden");
    bob.delete(&format!("{roles}/{big}")).await.problem("forbidden");
    let carl = world.person("carl").await;
    carl.join(&team, Role::Editor).await;
    carl.post(&roles, json!({ "name": "B", "permissions": [] })).await.problem("forbidden");
    carl.get(&roles).await.expect(200);
}
