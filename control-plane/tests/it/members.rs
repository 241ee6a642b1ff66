//! Members: other roles, removal, leaving, handing over.

use restroy_control_plane::auth::Role;
use serde_json::json;

use crate::{
    invitations::mails,
    support::{Home, Person, World},
};

/// A team of ann's with an admin, an editor and a viewer.
async fn crew(world: &World) -> (Person<'_>, [Person<'_>; 3], String) {
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let mut people = Vec::new();
    for role in [Role::Admin, Role::Editor, Role::Viewer] {
        let person = world.person(role.as_str()).await;
        person.join(&team, role).await;
        people.push(person);
    }
    (ann, people.try_into().ok().unwrap(), team)
}

fn at(team: &str, person: &Person<'_>) -> String {
    format!("/v1/teams/{team}/members/{}", person.id)
}

#[tokio::test]
async fn roles_are_given_and_taken() {
    let world = World::new().await;
    let (ann, [admin, editor, viewer], team) = crew(&world).await;
    let boards = format!("/v1/teams/{team}/boards");
    viewer.post(&boards, json!({ "name": "A" })).await.problem("forbidden");
    admin.patch(&at(&team, &viewer), json!({ "role": "editor" })).await.expect(200);
    viewer.post(&boards, json!({ "name": "A" })).await.expect(201);
    let member = ann.get(&at(&team, &viewer)).await.expect(200).body;
    assert_eq!((&member["role"], &member["email"]), (&json!("editor"), &json!("viewer@example.com")));
    ann.patch(&at(&team, &viewer), json!({ "role": "viewer" })).await.expect(200);
    viewer.post(&boards, json!({ "name": "B" })).await.problem("forbidden");
    for role in ["emperor", "", "019a0000-0000-7000-8000-000000000000", "a\0"] {
        let refused = ann.patch(&at(&team, &viewer), json!({ "role": role })).await.problem("invalid");
        assert_eq!(refused.pointers(), ["/role"], "{role:?}");
    }
    editor.patch(&at(&team, &viewer), json!({ "role": "editor" })).await.problem("forbidden");
    let stranger = world.person("stranger").await;
    ann.get(&at(&team, &stranger)).await.problem("not_found");
    ann.patch(&at(&team, &stranger), json!({ "role": "viewer" })).await.problem("not_found");
    ann.delete(&at(&team, &stranger)).await.problem("not_found");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_hold_nor_acts_on_who_holds_more() {
    let world = World::new().await;
    let (ann, [admin, editor, viewer], team) = crew(&world).await;
    for (who, role) in [(&viewer, "owner"), (&admin, "owner"), (&ann, "viewer"), (&ann, "owner")] {
        admin.patch(&at(&team, who), json!({ "role": role })).await.problem("forbidden");
    }
    admin.delete(&at(&team, &ann)).await.problem("forbidden");
    admin.patch(&at(&team, &editor), json!({ "role": "admin" })).await.expect(200);
    editor.patch(&at(&team, &admin), json!({ "role": "viewer" })).await.expect(200);
    // A role that may change members but holds little else.
    let roles = format!("/v1/teams/{team}/roles");
    let clerk = json!({ "name": "Clerk", "permissions": ["member.edit", "member.remove", "member.read"] });
    ann.post(&roles, clerk).await.expect(201);
    ann.patch(&at(&team, &admin), json!({ "role": "Clerk" })).await.expect(200);
    admin.patch(&at(&team, &viewer), json!({ "role": "Clerk" })).await.problem("forbidden");
    admin.delete(&at(&team, &viewer)).await.problem("forbidden");
    admin.patch(&at(&team, &admin), json!({ "role": "viewer" })).await.problem("forbidden");
}

#[tokio::test]
async fn the_last_owner_stays() {
    let world = World::new().await;
    let (ann, [admin, ..], team) = crew(&world).await;
    ann.patch(&at(&team, &ann), json!({ "role": "admin" })).await.problem("conflict");
    ann.delete(&at(&team, &ann)).await.problem("conflict");
    ann.post(&format!("/v1/teams/{team}/leave"), json!({})).await.problem("conflict");
    // One whose role is as mighty is not an owner all the same.
    let all: Vec<_> = restroy_control_plane::auth::Permission::ALL.iter().map(|one| one.as_str()).collect();
    let roles = format!("/v1/teams/{team}/roles");
    ann.post(&roles, json!({ "name": "Deputy", "permissions": all })).await.expect(201);
    ann.patch(&at(&team, &admin), json!({ "role": "Deputy" })).await.expect(200);
    ann.post(&format!("/v1/teams/{team}/leave"), json!({})).await.problem("conflict");
    admin.delete(&at(&team, &ann)).await.problem("conflict");
    admin.post(&format!("/v1/teams/{team}/transfer"), json!({ "user_id": ann.id })).await.problem("forbidden");
    // A second owner, and the first may go.
    ann.patch(&at(&team, &admin), json!({ "role": "owner" })).await.expect(200);
    ann.post(&format!("/v1/teams/{team}/leave"), json!({})).await.expect(204);
    admin.post(&format!("/v1/teams/{team}/leave"), json!({})).await.problem("conflict");
}

#[tokio::test]
async fn who_is_removed_or_leaves_is_a_stranger_from_the_next_request_on() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let (bob, carl) = (world.person("bob").await, world.person("carl").await);
    for person in [&bob, &carl] {
        person.join(&home.team, Role::Viewer).await;
        let on_board = format!("/v1/boards/{}/members/{}", home.board, person.id);
        ann.put(&on_board, json!({ "role": "editor" })).await.expect(200);
    }
    ann.delete(&at(&home.team, &bob)).await.expect(204);
    carl.delete(&at(&home.team, &carl)).await.expect(204);
    for person in [&bob, &carl] {
        person.get(&format!("/v1/teams/{}", home.team)).await.problem("not_found");
        person.get(&format!("/v1/boards/{}", home.board)).await.problem("not_found");
        assert!(person.get("/v1/teams").await.expect(200).items().is_empty(), "the session goes on");
    }
    assert_eq!(world.count("board_members").await, 0, "who leaves the team leaves its boards");
    // Back again, they have no role on the board.
    bob.join(&home.team, Role::Viewer).await;
    let new = json!({ "name": "New" });
    bob.post(&format!("/v1/boards/{}/pipelines", home.board), new).await.problem("forbidden");
}

#[tokio::test]
async fn a_role_that_may_do_nothing_may_leave() {
    let world = World::new().await;
    let (ann, [_, _, viewer], team) = crew(&world).await;
    ann.post(&format!("/v1/teams/{team}/roles"), json!({ "name": "None", "permissions": [] })).await.expect(201);
    ann.patch(&at(&team, &viewer), json!({ "role": "None" })).await.expect(200);
    viewer.get(&format!("/v1/teams/{team}/members")).await.problem("forbidden");
    viewer.post(&format!("/v1/teams/{team}/leave"), json!({})).await.expect(204);
    viewer.post(&format!("/v1/teams/{team}/leave"), json!({})).await.problem("not_found");
}

#[tokio::test]
async fn a_team_is_handed_over() {
    let world = World::new().await;
    let (ann, [admin, editor, _], team) = crew(&world).await;
    let transfer = format!("/v1/teams/{team}/transfer");
    admin.post(&transfer, json!({ "user_id": admin.id })).await.problem("forbidden");
    let stranger = world.person("stranger").await;
    for id in [&stranger.id, &ann.id] {
        let refused = ann.post(&transfer, json!({ "user_id": id })).await.problem("invalid");
        assert_eq!(refused.pointers(), ["/user_id"]);
    }
    let team_now = ann.post(&transfer, json!({ "user_id": editor.id })).await.expect(200);
    assert_eq!(team_now.body["role"], "admin");
    assert_eq!(editor.get(&format!("/v1/teams/{team}")).await.expect(200).body["role"], "owner");
    ann.post(&transfer, json!({ "user_id": ann.id })).await.problem("forbidden");
    editor.delete(&at(&team, &ann)).await.expect(204);
}

#[tokio::test]
async fn who_is_removed_or_made_an_owner_hears_of_it() {
    let world = World::new().await;
    let (ann, [admin, editor, viewer], team) = crew(&world).await;
    admin.delete(&at(&team, &viewer)).await.expect(204);
    let told = mails(&world, "viewer@example.com").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("admin removed you from the team \"Team\""), "{}", told[0]);
    // Who leaves knows.
    admin.post(&format!("/v1/teams/{team}/leave"), json!({})).await.expect(204);
    assert!(mails(&world, "admin@example.com").await.is_empty());
    ann.post(&format!("/v1/teams/{team}/transfer"), json!({ "user_id": editor.id })).await.expect(200);
    let told = mails(&world, "editor@example.com").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("ann made you an owner of the team \"Team\""), "{}", told[0]);
    assert!(mails(&world, "ann@example.com").await.is_empty());
    // A role that makes nobody an owner informs nobody, and an existing owner is informed of nothing new.
    editor.patch(&at(&team, &ann), json!({ "role": "viewer" })).await.expect(200);
    assert!(mails(&world, "ann@example.com").await.is_empty());
    for _ in 0..12 {
        editor.patch(&at(&team, &ann), json!({ "role": "owner" })).await.expect(200);
        editor.patch(&at(&team, &ann), json!({ "role": "owner" })).await.expect(200);
        editor.patch(&at(&team, &ann), json!({ "role": "viewer" })).await.expect(200);
    }
    assert_eq!(mails(&world, "ann@example.com").await.len(), 10, "no more within a day");
    world.clock.advance(std::time::Duration::from_hours(25));
    let editor = world.sign_in("editor@example.com").await;
    editor.patch(&at(&team, &ann), json!({ "role": "owner" })).await.expect(200);
    assert_eq!(mails(&world, "ann@example.com").await.len(), 11);
}
