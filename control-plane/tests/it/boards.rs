//! Teams, boards and pipelines: names, archiving, deleting.

use restroy_control_plane::auth::Role;
use serde_json::json;

use crate::support::{Home, World, one_file, one_step};

#[tokio::test]
async fn a_team_is_made_renamed_and_listed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let id = ann.team("Team").await;
    let team = ann.get(&format!("/v1/teams/{id}")).await.expect(200).body;
    assert_eq!((&team["name"], &team["role"]), (&json!("Team"), &json!("owner")));
    ann.patch(&format!("/v1/teams/{id}"), json!({ "name": "Crew" })).await.expect(200);
    let me = ann.get("/v1/me").await.expect(200).body;
    assert_eq!(me["teams"], json!([{ "id": id, "name": "Crew", "role": "owner" }]));
    let members = ann.get(&format!("/v1/teams/{id}/members")).await.expect(200);
    assert_eq!(members.items().len(), 1);
    assert_eq!(members.items()[0]["email"], "ann@example.com");
    assert_eq!(ann.get("/v1/teams").await.expect(200).items().len(), 1);
    assert!(ann.get(&format!("/v1/teams/{id}/outbox")).await.expect(200).items().is_empty());
}

#[tokio::test]
async fn names_are_unique_until_their_owner_is_deleted() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (team, other) = (ann.team("Team").await, ann.team("Team").await);
    let board = ann.board(&team, "Board").await;
    let boards = format!("/v1/teams/{team}/boards");
    let taken = ann.post(&boards, json!({ "name": "Board" })).await.problem("name_taken");
    assert_eq!(taken.pointers(), ["/name"]);
    ann.board(&other, "Board").await;
    let second = ann.board(&team, "Second").await;
    ann.patch(&format!("/v1/boards/{second}"), json!({ "name": "Board" })).await.problem("name_taken");
    ann.pipeline(&board, "Pipeline").await;
    let pipelines = format!("/v1/boards/{board}/pipelines");
    ann.post(&pipelines, json!({ "name": "Pipeline" })).await.problem("name_taken");
    ann.pipeline(&second, "Pipeline").await;
    ann.delete(&format!("/v1/boards/{board}")).await.expect(204);
    ann.board(&team, "Board").await;
}

#[tokio::test]
async fn names_are_checked() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let boards = format!("/v1/teams/{}/boards", ann.team("Team").await);
    for name in ["", " a", "a ", "a\nb", &"x".repeat(65)] {
        let reply = ann.post(&boards, json!({ "name": name })).await.problem("invalid");
        assert_eq!(reply.pointers(), ["/name"], "{name:?}");
    }
    ann.post(&boards, json!({ "name": "ж".repeat(64) })).await.expect(201);
}

#[tokio::test]
async fn an_archived_board_is_read_not_changed_and_starts_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, pipeline, script, .. } = Home::of(&ann).await;
    let at = format!("/v1/boards/{board}");
    let archived = ann.patch(&at, json!({ "archived": true })).await.expect(200);
    assert_eq!(archived.body["archived"], true);
    ann.patch(&at, json!({ "name": "New" })).await.problem("conflict");
    ann.patch(&at, json!({ "name": "New", "archived": true })).await.problem("conflict");
    ann.post(&format!("{at}/pipelines"), json!({ "name": "New" })).await.problem("conflict");
    ann.publish(&pipeline, one_step(), one_file()).await.problem("conflict");
    ann.put(&format!("/v1/scripts/{script}/configuration/KEY"), json!({ "value": "v" })).await.problem("conflict");
    ann.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.problem("conflict");
    ann.get(&at).await.expect(200);
    ann.get(&format!("/v1/pipelines/{pipeline}/definition")).await.expect(200);
    let back = ann.patch(&at, json!({ "archived": false, "name": "New" })).await.expect(200);
    assert_eq!((&back.body["archived"], &back.body["name"]), (&json!(false), &json!("New")));
    ann.publish(&pipeline, one_step(), one_file()).await.expect(200);
}

#[tokio::test]
async fn what_lies_below_a_deleted_thing_is_gone() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, pipeline, script, .. } = Home::of(&ann).await;
    let run = ann.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.expect(202).id();
    let paths = [
        format!("/v1/boards/{board}"),
        format!("/v1/boards/{board}/pipelines"),
        format!("/v1/pipelines/{pipeline}"),
        format!("/v1/pipelines/{pipeline}/definition"),
        format!("/v1/scripts/{script}"),
        format!("/v1/runs/{run}"),
    ];
    for path in &paths {
        ann.get(path).await.expect(200);
    }
    ann.delete(&paths[0]).await.expect(204);
    for path in &paths {
        ann.get(path).await.problem("not_found");
    }
    ann.delete(&paths[0]).await.problem("not_found");
}

#[tokio::test]
async fn a_deleted_pipeline_ends_its_runs_and_frees_its_name() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { board, pipeline, .. } = Home::of(&ann).await;
    ann.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.expect(202);
    ann.delete(&format!("/v1/pipelines/{pipeline}")).await.expect(204);
    ann.get(&format!("/v1/pipelines/{pipeline}")).await.problem("not_found");
    assert_eq!(world.count("runs WHERE status = 'cancelled'").await, 1);
    assert_eq!(world.count("tasks WHERE state <> 'done'").await, 0);
    ann.pipeline(&board, "Pipeline").await;
}

#[tokio::test]
async fn a_role_without_the_permission_gets_403() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { team, board, pipeline, script } = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Viewer).await;
    bob.get(&format!("/v1/boards/{board}")).await.expect(200);
    let refused = bob.post(&format!("/v1/teams/{team}/boards"), json!({ "name": "b" })).await.problem("forbidden");
    assert!(refused.text.contains("board.create") && refused.text.contains("viewer"), "{}", refused.text);
    bob.delete(&format!("/v1/boards/{board}")).await.problem("forbidden");
    bob.publish(&pipeline, one_step(), one_file()).await.problem("forbidden");
    bob.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.problem("forbidden");
    let secret = json!({ "value": "12345678", "secret": true });
    bob.put(&format!("/v1/scripts/{script}/configuration/KEY"), secret).await.problem("forbidden");
    bob.get(&format!("/v1/teams/{team}/outbox")).await.problem("forbidden");
}

#[tokio::test]
async fn limits_are_named() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for n in 0..20 {
        ann.team(&format!("Team {n}")).await;
    }
    let over = ann.post("/v1/teams", json!({ "name": "One more" })).await.problem("quota_exceeded");
    assert!(over.text.contains("20 teams"), "{}", over.text);
}

#[tokio::test]
async fn deleted_boards_count_until_they_are_gone() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let first = ann.board(&team, "Board").await;
    for _ in 0..99 {
        ann.delete(&format!("/v1/boards/{}", ann.board(&team, "Again").await)).await.expect(204);
    }
    let boards = format!("/v1/teams/{team}/boards");
    let over = ann.post(&boards, json!({ "name": "Again" })).await.problem("quota_exceeded");
    assert!(over.text.contains("100 boards") && over.text.contains("30 days"), "{}", over.text);
    ann.delete(&format!("/v1/boards/{first}")).await.expect(204);
    ann.post(&format!("/v1/boards/{first}/restore"), json!(null)).await.expect(200);
}

#[tokio::test]
async fn a_run_is_on_the_board_of_its_pipeline() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
    ann.post(&format!("/v1/runs/{run}/cancel"), json!(null)).await.expect(200);
    let other = ann.board(&home.team, "Other").await;
    ann.post(&format!("/v1/pipelines/{}/move", home.pipeline), json!({ "board": other })).await.expect(200);
    assert_eq!(ann.get(&format!("/v1/runs/{run}")).await.expect(200).body["board_id"], json!(other));
    let listed = ann.get(&format!("/v1/teams/{}/runs", home.team)).await.expect(200);
    assert_eq!(listed.items()[0]["board_id"], json!(other));
}

#[tokio::test]
async fn runs_of_a_deleted_board_leave_the_teams_list() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202);
    let runs = format!("/v1/teams/{}/runs", home.team);
    assert_eq!(ann.get(&runs).await.expect(200).items().len(), 1);
    ann.delete(&format!("/v1/boards/{}", home.board)).await.expect(204);
    assert_eq!(ann.get(&runs).await.expect(200).items().len(), 0);
}

#[tokio::test]
async fn a_board_is_private_from_the_start_and_its_maker_its_member() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let (carol, ed) = (world.person("carol").await, world.person("ed").await);
    carol.join(&team, Role::Admin).await;
    ed.join(&team, Role::Editor).await;
    let boards = format!("/v1/teams/{team}/boards");
    // Who may make boards, and not administer them, makes open ones.
    ed.post(&boards, json!({ "name": "Ed's", "private": true })).await.problem("forbidden");
    ed.post(&boards, json!({ "name": "Ed's", "private": false })).await.expect(201);
    let made = carol.post(&boards, json!({ "name": "Carol's", "private": true })).await.expect(201);
    assert_eq!(made.body["private"], true);
    let at = format!("/v1/boards/{}", made.id());
    ed.get(&at).await.problem("not_found");
    let members = carol.get(&format!("{at}/members")).await.expect(200);
    let [member] = members.items() else { panic!("{}", members.text) };
    assert_eq!((&member["user_id"], &member["role"]), (&json!(carol.id), &json!("admin")));
    // The role on the board is what it says, whatever becomes of the one in the team.
    ann.patch(&format!("/v1/teams/{team}/members/{}", carol.id), json!({ "role": "viewer" })).await.expect(200);
    carol.patch(&at, json!({ "description": "Still mine" })).await.expect(200);
    ed.get(&at).await.problem("not_found");
    // No board has an owner.
    let own = ann.post(&boards, json!({ "name": "Ann's", "private": true })).await.expect(201).id();
    let members = ann.get(&format!("/v1/boards/{own}/members")).await.expect(200);
    assert_eq!(members.items()[0]["role"], "admin");
    // A role of the team's own is the role on the board.
    let keeper = json!({ "name": "Keeper", "permissions": ["board.create", "board.read", "board.administer"] });
    ann.post(&format!("/v1/teams/{team}/roles"), keeper).await.expect(201);
    ann.patch(&format!("/v1/teams/{team}/members/{}", ed.id), json!({ "role": "Keeper" })).await.expect(200);
    let kept = ed.post(&boards, json!({ "name": "Kept", "private": true })).await.expect(201).id();
    let members = ed.get(&format!("/v1/boards/{kept}/members")).await.expect(200);
    assert_eq!(members.items()[0]["role"], "Keeper");
}
