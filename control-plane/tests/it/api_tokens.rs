//! API tokens of people and of service accounts.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::auth::{Permission, Role};
use serde_json::{Value, json};

use crate::support::{Home, PASSWORD, Person, World, one_file, one_step};

const TOKENS: &str = "/v1/me/api-tokens";

/// A new token, with the password that it takes.
fn with_password(mut new: Value) -> Value {
    new["password"] = PASSWORD.into();
    new
}

/// A program that shows a token.
async fn program<'a>(person: &Person<'a>, new: Value) -> (Person<'a>, String) {
    let made = person.post(TOKENS, with_password(new)).await.expect(201);
    let token = made.body["token"].as_str().unwrap().to_owned();
    (Person { world: person.world, id: person.id.clone(), token, refresh: String::new() }, made.id())
}

#[tokio::test]
async fn a_token_does_what_its_holder_may_and_is_shown_once() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let (ci, id) = program(&ann, json!({ "name": "CI" })).await;
    assert!(ci.token.starts_with("rst_") && ci.token.len() == 52);
    assert_eq!(ci.get("/v1/me").await.expect(200).body["id"], ann.id.as_str());
    ci.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    ci.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202);
    let list = ann.get(TOKENS).await.expect(200);
    assert!(!list.text.contains("rst_") && list.items().len() == 1, "{}", list.text);
    assert!(list.items()[0]["last_used_at"].is_string());
    assert_eq!(world.count("api_tokens WHERE hash IS NOT NULL").await, 1);

    let bob = world.person("bob").await;
    bob.delete(&format!("{TOKENS}/{id}")).await.problem("not_found");
    ci.get("/v1/me").await.expect(200);
    ann.delete(&format!("{TOKENS}/{id}")).await.expect(204);
    ci.get("/v1/me").await.problem("unauthorized");
    ann.delete(&format!("{TOKENS}/{id}")).await.problem("not_found");
}

#[tokio::test]
async fn a_stolen_session_alone_makes_no_token() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for wrong in [json!({ "name": "CI" }), json!({ "name": "CI", "password": "not the password" })] {
        ann.post(TOKENS, wrong).await.problem("invalid");
    }
    assert_eq!(world.count("api_tokens").await, 0);
    program(&ann, json!({ "name": "Nightly build" })).await;
    assert_eq!(
        world.count("outbox WHERE body_text LIKE '%Nightly build%from 127.0.0.1%'").await,
        1,
        "its owner is told"
    );
    // The password is not to be found by what is kept of the request.
    assert_eq!(world.count("audit_log WHERE details LIKE '%password%' AND action = 'token.create'").await, 0);
}

#[tokio::test]
async fn a_password_reset_revokes_tokens_by_default() {
    let world = World::new().await;
    world.person("ann").await;
    for keep in [true, false] {
        let ann = world.sign_in("ann@example.com").await;
        let (ci, _) = program(&ann, json!({ "name": "CI" })).await;
        let body = Some(json!({ "email": "ann@example.com" }));
        world.anonymous(Method::POST, "/v1/auth/password-reset", body).await.expect(202);
        let mut confirm = json!({ "token": reset_token(&world).await, "password": PASSWORD });
        if keep {
            confirm["revoke_api_tokens"] = false.into();
        }
        world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", Some(confirm)).await.expect(204);
        let expected = if keep { 200 } else { 401 };
        ci.get("/v1/me").await.expect(expected);
    }
}

/// The token in the newest e-mail about a password reset.
async fn reset_token(world: &World) -> String {
    let mut tx = world.state.db.system_read().await.unwrap();
    let newest = "SELECT body_text FROM outbox WHERE body_text LIKE '%/reset-password#%' ORDER BY id DESC LIMIT 1";
    let text: String = restroy_control_plane::sql!(&mut tx, fetch_one, sqlx::query_scalar(newest)).unwrap();
    text.split_once('#').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_cannot_change_the_account() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (ci, id) = program(&ann, json!({ "name": "CI" })).await;
    let proof = || Some(json!({ "password": PASSWORD }));
    let session = ann.get("/v1/me/sessions").await.items()[0]["id"].as_str().unwrap().to_owned();
    let change = json!({ "password": PASSWORD, "new_password": "another good password" });
    let email = json!({ "email": "eve@example.com", "password": PASSWORD });
    let stream = json!({ "path": "/v1/runs/x/stream" });
    for (method, path, body) in [
        (Method::PATCH, "/v1/me".to_owned(), Some(json!({ "name": "Eve" }))),
        (Method::DELETE, "/v1/me".into(), proof()),
        (Method::POST, "/v1/me/password".into(), Some(change)),
        (Method::POST, "/v1/me/email".into(), Some(email)),
        (Method::GET, "/v1/me/sessions".into(), None),
        (Method::DELETE, "/v1/me/sessions".into(), None),
        (Method::DELETE, format!("/v1/me/sessions/{session}"), None),
        (Method::POST, "/v1/me/totp".into(), proof()),
        (Method::POST, "/v1/me/totp/confirm".into(), Some(json!({ "code": "123456" }))),
        (Method::DELETE, "/v1/me/totp".into(), proof()),
        (Method::GET, TOKENS.into(), None),
        (Method::POST, TOKENS.into(), Some(with_password(json!({ "name": "more" })))),
        (Method::DELETE, format!("{TOKENS}/{id}"), None),
        (Method::POST, "/v1/auth/logout".into(), None),
        (Method::POST, "/v1/teams".into(), Some(json!({ "name": "Mine" }))),
        (Method::POST, "/v1/stream-tickets".into(), Some(stream)),
        (Method::GET, "/v1/me/audit".into(), None),
        (Method::GET, "/v1/me/invitations".into(), None),
        (Method::POST, "/v1/me/invitations/accept".into(), Some(json!({ "token": "x" }))),
    ] {
        let reply = ci.call(method.clone(), &path, body).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text);
        reply.problem("forbidden");
    }
    ci.get("/v1/me").await.expect(200);
    ann.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn a_scope_and_a_team_narrow_it() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (home, other) = (Home::of(&ann).await, ann.team("Other").await);
    let (runner, _) = program(&ann, json!({ "name": "runner", "permissions": ["pipeline.run", "run.read"] })).await;
    let pipeline = format!("/v1/pipelines/{}", home.pipeline);
    let run = runner.post(&format!("{pipeline}/runs"), json!({})).await.expect(202).id();
    runner.get(&format!("/v1/runs/{run}")).await.expect(200);
    let refused = runner.get(&pipeline).await.problem("forbidden");
    assert!(refused.body["detail"].as_str().unwrap().contains("token"), "{}", refused.text);
    runner.post(&format!("/v1/runs/{run}/cancel"), json!({})).await.problem("forbidden");

    let (bound, _) = program(&ann, json!({ "name": "bound", "team_id": home.team })).await;
    bound.get(&pipeline).await.expect(200);
    let outside = bound.get(&format!("/v1/teams/{other}")).await.problem("not_found");
    let nowhere = bound.get(&format!("/v1/teams/{}", world.state.ambient.uuid())).await.problem("not_found");
    assert_eq!(outside.body["title"], nowhere.body["title"]);
    assert_eq!(bound.get("/v1/teams").await.items().len(), 1);
    assert_eq!(bound.get("/v1/me").await.body["teams"].as_array().unwrap().len(), 1);

    let eve = world.person("eve").await;
    let reply = eve.post(TOKENS, with_password(json!({ "name": "x", "team_id": home.team }))).await.problem("invalid");
    assert_eq!(reply.pointers(), ["/team_id"]);
    for (bad, pointers) in [
        (json!({ "name": "", "permissions": ["pipeline.run", "all"] }), &["/name", "/permissions/1"][..]),
        (json!({ "name": "Old", "expires_at": "2020-01-01T00:00:00Z" }), &["/expires_at"]),
    ] {
        assert_eq!(ann.post(TOKENS, with_password(bad)).await.problem("invalid").pointers(), pointers);
    }
    ann.post(TOKENS, with_password(json!({ "name": "none", "permissions": [] }))).await.problem("invalid");
}

#[tokio::test]
async fn it_never_grants_more_than_its_holder_has_at_the_time() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Viewer).await;
    let all: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
    let (ci, _) = program(&bob, json!({ "name": "all", "permissions": all })).await;
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    ci.post(&runs, json!({})).await.problem("forbidden");
    let role = |role: &'static str| {
        let world = &world;
        let bob = bob.id.parse::<restroy_sdk::ids::UserId>().unwrap();
        async move {
            let mut tx = world.state.db.system_write().await.unwrap();
            let change = "UPDATE memberships SET role = $1 WHERE user_id = $2";
            restroy_control_plane::sql!(&mut tx, execute, sqlx::query(change).bind(role).bind(bob)).unwrap();
            tx.commit().await.unwrap();
        }
    };
    role("operator").await;
    ci.post(&runs, json!({})).await.expect(202);
    role("viewer").await;
    ci.post(&runs, json!({})).await.problem("forbidden");
}

#[tokio::test]
async fn tokens_end_and_are_bounded() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let end = world.state.ambient.now().after(Duration::from_hours(1));
    let (short, _) = program(&ann, json!({ "name": "short", "expires_at": end })).await;
    short.get("/v1/me").await.expect(200);
    world.clock.advance(Duration::from_secs(3601));
    short.get("/v1/me").await.problem("unauthorized");
    let ann = world.sign_in("ann@example.com").await;
    assert!(ann.get(TOKENS).await.items().is_empty());
    for n in 0..50 {
        ann.post(TOKENS, with_password(json!({ "name": format!("n{n}") }))).await.expect(201);
    }
    ann.post(TOKENS, with_password(json!({ "name": "one more" }))).await.problem("quota_exceeded");
    let page = ann.get(&format!("{TOKENS}?limit=30")).await.expect(200);
    let next = page.body["next_cursor"].as_str().unwrap();
    assert_eq!(ann.get(&format!("{TOKENS}?limit=30&cursor={next}")).await.items().len(), 20);

    let garbage = ["rst_", "rst_AAAA", &short.token[..51], &format!("{}A", short.token)].map(str::to_owned);
    for token in garbage {
        let person = Person { world: &world, id: String::new(), token, refresh: String::new() };
        person.get("/v1/me").await.problem("unauthorized");
    }
    // All of them end with the account, or when that is asked for with another password.
    let (ci, _) = {
        ann.delete(&format!("{TOKENS}/{}", page.items()[0]["id"].as_str().unwrap())).await.expect(204);
        program(&ann, json!({ "name": "CI" })).await
    };
    let change = json!({ "password": PASSWORD, "new_password": "another good password" });
    ann.post("/v1/me/password", change).await.expect(204);
    ci.get("/v1/me").await.expect(200);
    let change = json!({ "password": "another good password", "new_password": PASSWORD, "revoke_api_tokens": true });
    ann.post("/v1/me/password", change).await.expect(204);
    ci.get("/v1/me").await.problem("unauthorized");
}

#[tokio::test]
async fn a_repeat_makes_one_token_and_does_not_show_it_again() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let new = with_password(json!({ "name": "CI" }));
    let make = || ann.with(Method::POST, TOKENS, &[("idempotency-key", "k")], Some(new.clone()));
    let (first, again) = (make().await.expect(201), make().await.expect(201));
    assert_eq!(first.id(), again.id());
    assert!(first.body["token"].is_string() && again.body["token"].is_null(), "{}", again.text);
    assert_eq!(world.count("api_tokens").await, 1);
    assert_eq!(world.count("idempotency_keys WHERE answer LIKE '%rst\\_%' ESCAPE '\\'").await, 0);
}

#[tokio::test]
async fn a_service_account_acts_in_its_team_only() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let path = format!("/v1/teams/{}/service-accounts", home.team);
    let robot = ann.post(&path, json!({ "name": "Robot", "role": "operator" })).await.expect(201).id();
    ann.post(&path, json!({ "name": "Robot", "role": "viewer" })).await.problem("name_taken");
    for role in ["owner", "king"] {
        assert_eq!(
            ann.post(&path, json!({ "name": "X", "role": role })).await.problem("invalid").pointers(),
            ["/role"]
        );
    }
    let tokens = format!("{path}/{robot}/api-tokens");
    let made = ann.post(&tokens, json!({ "name": "CI" })).await.expect(201);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let robot_acts = Person { world: &world, id: robot.clone(), token, refresh: String::new() };
    let me = robot_acts.get("/v1/me").await.expect(200).body;
    assert_eq!((&me["kind"], &me["name"]), (&json!("service"), &json!("Robot")));
    robot_acts.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202);
    robot_acts.post(&format!("/v1/teams/{}/boards", home.team), json!({ "name": "B" })).await.problem("forbidden");
    robot_acts.post("/v1/teams", json!({ "name": "Own" })).await.problem("forbidden");

    // It is not a person: not among the members, and nobody signs in as it, whatever its address is.
    assert_eq!(ann.get(&format!("/v1/teams/{}/members", home.team)).await.items().len(), 1);
    assert_eq!(ann.get(&path).await.items()[0]["role"], "operator");
    let login = json!({ "email": me["email"], "password": "" });
    world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.problem("invalid_credentials");
    let register = json!({ "email": me["email"], "password": PASSWORD, "name": "Eve" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(register)).await.problem("invalid");

    // Who manages tokens sees and ends it; an editor does neither.
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    bob.get(&tokens).await.problem("forbidden");
    bob.post(&tokens, json!({ "name": "mine" })).await.problem("forbidden");
    let other = ann.team("Other").await;
    ann.get(&format!("/v1/teams/{other}/service-accounts/{robot}/api-tokens")).await.problem("not_found");
    ann.post(&tokens, json!({ "name": "CI", "team_id": other })).await.problem("invalid");
    assert_eq!(ann.get(&tokens).await.items().len(), 1);
    ann.delete(&format!("{path}/{robot}")).await.expect(204);
    robot_acts.get("/v1/me").await.problem("unauthorized");
    ann.delete(&format!("{path}/{robot}")).await.problem("not_found");
    ann.post(&path, json!({ "name": "Robot", "role": "viewer" })).await.expect(201);
}

#[tokio::test]
async fn nobody_makes_a_service_account_above_themselves() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let path = format!("/v1/teams/{}/service-accounts", home.team);
    let admin = ann.post(&path, json!({ "name": "Admin", "role": "admin" })).await.expect(201).id();
    // A token of narrow scope holds less than its holder: it makes nothing above itself, and no token at all.
    let (narrow, _) = program(&ann, json!({ "name": "narrow", "permissions": ["token.manage", "member.read"] })).await;
    narrow.post(&path, json!({ "name": "R", "role": "viewer" })).await.problem("forbidden");
    narrow.delete(&format!("{path}/{admin}")).await.problem("forbidden");
    let (wide, _) = program(&ann, json!({ "name": "wide" })).await;
    wide.post(&path, json!({ "name": "R", "role": "viewer" })).await.expect(201);
    wide.post(&format!("{path}/{admin}/api-tokens"), json!({ "name": "more" })).await.problem("forbidden");
}

#[tokio::test]
async fn a_service_account_has_a_role_of_the_teams_own_and_never_owns() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let team = format!("/v1/teams/{}", home.team);
    let own = json!({ "name": "Releaser", "permissions": ["board.read", "pipeline.read", "pipeline.run", "run.read"] });
    let role = ann.post(&format!("{team}/roles"), own).await.expect(201).id();
    let path = format!("{team}/service-accounts");
    let robot = ann.post(&path, json!({ "name": "Robot", "role": role })).await.expect(201);
    assert_eq!(robot.body["role"], "Releaser");
    let robot = robot.id();
    assert_eq!(ann.get(&path).await.items()[0]["role"], "Releaser");
    let made = ann.post(&format!("{path}/{robot}/api-tokens"), json!({ "name": "CI" })).await.expect(201);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let acts = Person { world: &world, id: robot.clone(), token, refresh: String::new() };
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    let run = acts.post(&runs, json!({})).await.expect(202).id();
    acts.post(&format!("/v1/runs/{run}/cancel"), json!({})).await.problem("forbidden");
    assert_eq!(acts.get("/v1/me").await.body["teams"][0]["role"], "Releaser");

    // Its role is changed like that of a member, with effect on its next request.
    let member = format!("{team}/members/{robot}");
    ann.patch(&member, json!({ "role": "operator" })).await.expect(200);
    acts.post(&format!("/v1/runs/{run}/cancel"), json!({})).await.expect(200);
    assert_eq!(ann.patch(&member, json!({ "role": "owner" })).await.problem("invalid").pointers(), ["/role"]);
    let transfer = ann.post(&format!("{team}/transfer"), json!({ "user_id": robot })).await.problem("invalid");
    assert_eq!(transfer.pointers(), ["/user_id"]);
    ann.post(&format!("{team}/leave"), json!({})).await.problem("conflict");

    // What it does stands in the audit log with its token.
    let log = ann.get(&format!("{team}/audit?user={robot}")).await.expect(200);
    let cancelled = log.items().iter().find(|entry| entry["action"] == "run.cancel").unwrap();
    assert_eq!(cancelled["token_id"], made.body["id"]);
}

#[tokio::test]
async fn a_token_shows_no_more_of_private_boards_than_it_carries() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let board = format!("/v1/boards/{}", home.board);
    ann.patch(&board, json!({ "private": true })).await.expect(200);
    ann.put(&format!("{board}/members/{}", ann.id), json!({ "role": "viewer" })).await.expect(200);
    ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202);
    let runs = format!("/v1/teams/{}/runs", home.team);
    let boards = format!("/v1/teams/{}/boards", home.team);
    assert_eq!((ann.get(&runs).await.items().len(), ann.get(&boards).await.items().len()), (1, 1));

    // Neither by the role in the team nor by the one on the board.
    let (looks, _) = program(&ann, json!({ "name": "looks", "permissions": ["team.read", "board.read"] })).await;
    let seen = looks.get(&runs).await;
    assert!(seen.status == 403 || seen.items().is_empty(), "{}", seen.text);
    assert_eq!(looks.get(&boards).await.items().len(), 1);
    looks.get(&board).await.expect(200);
    looks.patch(&board, json!({ "name": "Mine" })).await.problem("forbidden");
    // Who administers boards sees them all; a token of theirs without that permission, only where they are members.
    ann.delete(&format!("{board}/members/{}", ann.id)).await.expect(204);
    ann.get(&board).await.expect(200);
    looks.get(&board).await.problem("not_found");
    assert!(looks.get(&boards).await.items().is_empty());
}

#[tokio::test]
async fn a_token_gives_no_more_than_it_carries() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let home = Home::of(&ann).await;
    bob.join(&home.team, Role::Viewer).await;
    let team = format!("/v1/teams/{}", home.team);
    let permissions = ["team.read", "member.read", "member.edit", "member.invite", "role.edit", "board.read"];
    let (narrow, _) = program(&ann, json!({ "name": "narrow", "permissions": permissions })).await;
    narrow.patch(&format!("{team}/members/{}", bob.id), json!({ "role": "editor" })).await.problem("forbidden");
    let invite = json!({ "email": "carl@example.com", "role": "viewer" });
    narrow.post(&format!("{team}/invitations"), invite).await.problem("forbidden");
    let more = json!({ "name": "More", "permissions": ["pipeline.run"] });
    narrow.post(&format!("{team}/roles"), more).await.problem("forbidden");
    let as_much = json!({ "name": "As much", "permissions": ["board.read"] });
    narrow.post(&format!("{team}/roles"), as_much).await.expect(201);
}

#[tokio::test]
async fn a_team_keeps_tokens_out() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let home = Home::of(&ann).await;
    let bobs = bob.team("Bob's").await;
    bob.join(&home.team, Role::Editor).await;
    let (everywhere, wide) = program(&bob, json!({ "name": "everywhere" })).await;
    let (here, bound) = program(&bob, json!({ "name": "here", "team_id": home.team })).await;
    program(&bob, json!({ "name": "elsewhere", "team_id": bobs })).await;
    let path = format!("/v1/teams/{}/api-tokens", home.team);
    bob.get(&path).await.problem("forbidden");
    let list = ann.get(&path).await.expect(200);
    let names: Vec<_> = list.items().iter().map(|token| token["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["everywhere", "here"]);
    for id in [&wide, &bound] {
        ann.delete(&format!("{path}/{id}")).await.expect(204);
        ann.delete(&format!("{path}/{id}")).await.problem("not_found");
    }
    here.get("/v1/me").await.problem("unauthorized");
    // A person's own token continues where it is not barred.
    everywhere.get(&format!("/v1/teams/{}", home.team)).await.problem("not_found");
    everywhere.get(&format!("/v1/boards/{}", home.board)).await.problem("not_found");
    everywhere.get(&format!("/v1/teams/{bobs}")).await.expect(200);
    assert_eq!(everywhere.get("/v1/teams").await.items().len(), 1);
    bob.get(&format!("/v1/teams/{}", home.team)).await.expect(200);
}
