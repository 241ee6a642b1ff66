//! Whoever made a token of a service account may have kept it: it carries no more than they hold.

use reqwest::Method;
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::support::{Home, PASSWORD, Person, World};

/// A service account that a person makes.
async fn robot(maker: &Person<'_>, team: &str, role: &str) -> String {
    let body = json!({ "name": format!("{role} of {}", maker.id.split('-').next_back().unwrap()), "role": role });
    let made = maker.post(&format!("/v1/teams/{team}/service-accounts"), body).await.expect(201);
    assert_eq!(made.body["created_by"], json!(maker.id));
    made.id()
}

/// Whoever shows a token of it, and the token's id.
async fn program<'a>(maker: &Person<'a>, team: &str, robot: &str, new: Value) -> (Person<'a>, String) {
    let made = maker.post(&format!("/v1/teams/{team}/service-accounts/{robot}/api-tokens"), new).await.expect(201);
    assert_eq!(made.body["created_by"], json!(maker.id));
    let token = made.body["token"].as_str().unwrap().to_owned();
    (Person { world: maker.world, id: robot.to_owned(), token, refresh: String::new() }, made.id())
}

/// The ids of the tokens that the audit log says were ended since somebody held less.
async fn ended(owner: &Person<'_>, team: &str) -> Vec<String> {
    let log = owner.get(&format!("/v1/teams/{team}/audit?action=token.revoke")).await.expect(200);
    log.items().iter().map(|entry| entry["subject"].as_str().unwrap().trim_start_matches("token ").to_owned()).collect()
}

#[tokio::test]
async fn who_is_removed_does_not_come_back_by_a_token() {
    let world = World::new().await;
    let (ann, eve) = (world.person("ann").await, world.person("eve").await);
    let home = Home::of(&ann).await;
    eve.join(&home.team, Role::Admin).await;
    let account = robot(&eve, &home.team, "admin").await;
    let (kept, id) = program(&eve, &home.team, &account, json!({ "name": "kept" })).await;
    let (anns, _) = program(&ann, &home.team, &account, json!({ "name": "Ann's" })).await;
    // Who made what is shown to whoever looks after tokens.
    let path = format!("/v1/teams/{}/service-accounts", home.team);
    assert_eq!(ann.get(&path).await.items()[0]["created_by"], json!(eve.id));
    let makers = |list: &[Value]| list.iter().map(|one| one["created_by"].clone()).collect::<Vec<_>>();
    let tokens = ann.get(&format!("{path}/{account}/api-tokens")).await.expect(200);
    assert_eq!(makers(tokens.items()), [json!(eve.id), json!(ann.id)]);
    let all = ann.get(&format!("/v1/teams/{}/api-tokens", home.team)).await.expect(200);
    assert_eq!(makers(all.items()), [json!(eve.id), json!(ann.id)]);

    let invitations = format!("/v1/teams/{}/invitations", home.team);
    let sent = kept.post(&invitations, json!({ "email": "eve2@example.com", "role": "admin" })).await.expect(201).id();
    let late = kept.post(&invitations, json!({ "email": "eve3@example.com", "role": "viewer" })).await.expect(201).id();
    let eve2 = world.person("eve2").await;
    eve2.post(&format!("/v1/me/invitations/{sent}/accept"), json!({})).await.expect(200);
    ann.delete(&format!("/v1/teams/{}/members/{}", home.team, eve2.id)).await.expect(204);
    ann.delete(&format!("/v1/teams/{}/members/{}", home.team, eve.id)).await.expect(204);
    kept.get("/v1/me").await.problem("unauthorized");
    kept.post(&invitations, json!({ "email": "eve@example.com", "role": "admin" })).await.problem("unauthorized");
    assert_eq!(ended(&ann, &home.team).await, [id]);
    // Nor by what the token sent before.
    let eve3 = world.person("eve3").await;
    eve3.post(&format!("/v1/me/invitations/{late}/accept"), json!({})).await.problem("conflict");
    anns.get(&format!("/v1/teams/{}", home.team)).await.expect(200);
}

#[tokio::test]
async fn a_token_ends_when_its_maker_may_less_than_it_carries() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let team = format!("/v1/teams/{}", home.team);
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Admin).await;
    let (admin, viewer) = (robot(&bob, &home.team, "admin").await, robot(&bob, &home.team, "viewer").await);
    let narrow = json!({ "name": "narrow", "permissions": ["team.read", "run.read"] });
    let (mighty, first) = program(&bob, &home.team, &admin, json!({ "name": "mighty" })).await;
    let (looks, _) = program(&bob, &home.team, &admin, narrow).await;
    let (reads, second) = program(&bob, &home.team, &viewer, json!({ "name": "reads" })).await;
    ann.patch(&format!("{team}/members/{}", bob.id), json!({ "role": "editor" })).await.expect(200);
    mighty.get(&team).await.problem("unauthorized");
    looks.get(&team).await.expect(200);
    reads.get(&team).await.expect(200);
    assert_eq!(ended(&ann, &home.team).await, *std::slice::from_ref(&first));
    // The same when it is the account that gets mightier: Bob knows the token.
    ann.patch(&format!("{team}/members/{viewer}"), json!({ "role": "admin" })).await.expect(200);
    reads.get(&team).await.problem("unauthorized");
    assert_eq!(ended(&ann, &home.team).await, [second, first]);
    bob.post(&format!("{team}/leave"), json!({})).await.expect(204);
    looks.get(&team).await.problem("unauthorized");
}

#[tokio::test]
async fn it_ends_with_a_role_an_account_and_a_handing_over_too() {
    let world = World::new().await;
    let (ann, bob, carl) = (world.person("ann").await, world.person("bob").await, world.person("carl").await);
    let home = Home::of(&ann).await;
    let team = format!("/v1/teams/{}", home.team);
    let all = ["token.manage", "run.read", "run.cancel", "member.read"];
    let role = ann.post(&format!("{team}/roles"), json!({ "name": "Keeper", "permissions": all })).await.expect(201);
    let owners = json!({ "name": "Owner's", "permissions": ["team.delete"] });
    ann.post(&format!("{team}/roles"), owners).await.expect(201);
    for (person, role) in [(&bob, "Keeper"), (&carl, "admin")] {
        person.join(&home.team, Role::Viewer).await;
        ann.patch(&format!("{team}/members/{}", person.id), json!({ "role": role })).await.expect(200);
    }
    let keeper = robot(&bob, &home.team, "Keeper").await;
    let (by_bob, _) = program(&bob, &home.team, &keeper, json!({ "name": "t" })).await;
    let other = robot(&carl, &home.team, "operator").await;
    let (by_carl, _) = program(&carl, &home.team, &other, json!({ "name": "t" })).await;
    let owner = robot(&ann, &home.team, "Owner's").await;
    let (by_ann, _) = program(&ann, &home.team, &owner, json!({ "name": "t" })).await;

    // A role that loses something loses it for the maker and for the account.
    let less = json!({ "permissions": ["token.manage", "run.read"] });
    ann.patch(&format!("{team}/roles/{}", role.id()), less).await.expect(200);
    by_bob.get(&team).await.expect(200);
    ann.patch(&format!("{team}/members/{}", bob.id), json!({ "role": "viewer" })).await.expect(200);
    by_bob.get(&team).await.problem("unauthorized");

    let proof = Some(json!({ "password": PASSWORD }));
    carl.call(Method::DELETE, "/v1/me", proof).await.expect(204);
    by_carl.get(&team).await.problem("unauthorized");

    by_ann.get(&team).await.expect(200);
    ann.post(&format!("{team}/transfer"), json!({ "user_id": bob.id })).await.expect(200);
    by_ann.get(&team).await.problem("unauthorized");
    assert_eq!(ended(&bob, &home.team).await.len(), 3);
}
