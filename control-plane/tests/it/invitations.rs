//! Invitations: sent, accepted, declined, revoked, expired; for people with and without an account.

use std::time::Duration;

use restroy_control_plane::{auth::Role, runs::purge, sql};
use serde_json::{Value, json};

use crate::support::{Person, Reply, World};

const DAY: Duration = Duration::from_hours(24);

async fn invite(by: &Person<'_>, team: &str, email: &str, role: &str) -> Reply {
    by.post(&format!("/v1/teams/{team}/invitations"), json!({ "email": email, "role": role })).await
}

/// What lies in the outbox for an address, the oldest first.
pub(crate) async fn mails(world: &World, email: &str) -> Vec<String> {
    let mut tx = world.state.db.system_read().await.unwrap();
    let texts = "SELECT body_text FROM outbox WHERE team_id IS NULL AND recipients = $1 ORDER BY id";
    let recipients = json!([email]).to_string();
    sql!(&mut tx, fetch_all, sqlx::query_scalar(texts).bind(recipients)).unwrap()
}

/// The token in an e-mail.
fn token(mail: &str) -> String {
    mail.split_once("/invitations#").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

async fn waiting(person: &Person<'_>) -> Vec<Value> {
    person.get("/v1/me/invitations").await.expect(200).items().to_vec()
}

async fn states(by: &Person<'_>, team: &str) -> Vec<String> {
    let page = by.get(&format!("/v1/teams/{team}/invitations")).await.expect(200);
    page.items().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_person_joins_by_an_invitation() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let team = ann.team("Team").await;
    let sent = invite(&ann, &team, "Bob@Example.com", "editor").await.expect(201);
    assert_eq!((&sent.body["state"], &sent.body["role"]), (&json!("pending"), &json!("editor")));
    assert_eq!(sent.body["invited_by"], json!(ann.id));
    assert!(!sent.text.contains("token"), "{}", sent.text);
    let found = waiting(&bob).await;
    assert_eq!((&found[0]["team_name"], &found[0]["invited_by"]), (&json!("Team"), &json!("ann")));
    assert_eq!(found[0]["id"], json!(sent.id()));
    let accept = format!("/v1/me/invitations/{}/accept", sent.id());
    let joined = bob.post(&accept, json!({})).await.expect(200);
    assert_eq!((&joined.body["id"], &joined.body["role"]), (&json!(team), &json!("editor")));
    bob.board(&team, "Board").await;
    bob.post(&accept, json!({})).await.problem("not_found");
    assert!(waiting(&bob).await.is_empty());
    assert_eq!(states(&ann, &team).await, ["accepted"]);
    assert_eq!(invite(&ann, &team, "bob@example.com", "viewer").await.problem("conflict").status, 409);
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_the_address_has_an_account() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    world.person("known").await;
    let mut bodies = Vec::new();
    for email in ["known@example.com", "nobody@example.com"] {
        let mut body = invite(&ann, &team, email, "viewer").await.expect(201).body;
        assert_eq!(mails(&world, email).await.len(), 1);
        for field in ["id", "email", "created_at", "expires_at"] {
            assert!(body.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
    let of_teams = ann.get(&format!("/v1/teams/{team}/outbox")).await.expect(200);
    assert!(of_teams.items().is_empty(), "the token is for the addressee alone: {}", of_teams.text);
}

#[tokio::test]
async fn an_invitation_waits_for_an_account() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    invite(&ann, &team, "new@example.com", "operator").await.expect(201);
    let mail = mails(&world, "new@example.com").await.remove(0);
    assert!(mail.contains("\"ann\" invites you into the team \"Team\""), "{mail}");
    let new = world.person("new").await;
    assert_eq!(waiting(&new).await.len(), 1);
    // The token is good for that address only, and once.
    let by_token = json!({ "token": token(&mail) });
    let eve = world.person("eve").await;
    let refused = eve.post("/v1/me/invitations/accept", by_token.clone()).await.problem("invalid");
    assert_eq!(refused.pointers(), ["/token"]);
    let joined = new.post("/v1/me/invitations/accept", by_token.clone()).await.expect(200);
    assert_eq!(joined.body["role"], "operator");
    new.post("/v1/me/invitations/accept", by_token).await.problem("invalid");
    new.post("/v1/me/invitations/accept", json!({ "token": "" })).await.problem("invalid");
}

#[tokio::test]
async fn invitations_of_others_are_not_there() {
    let world = World::new().await;
    let (ann, eve) = (world.person("ann").await, world.person("eve").await);
    let team = ann.team("Team").await;
    let sent = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
    for what in ["accept", "decline"] {
        eve.post(&format!("/v1/me/invitations/{sent}/{what}"), json!({})).await.problem("not_found");
    }
    assert_eq!(states(&ann, &team).await, ["pending"]);
    // Another team's invitation is none of this one.
    let other = eve.team("Other").await;
    eve.delete(&format!("/v1/teams/{other}/invitations/{sent}")).await.problem("not_found");
}

#[tokio::test]
async fn what_is_declined_revoked_or_late_is_settled() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let team = ann.team("Team").await;
    let first = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
    invite(&ann, &team, "BOB@example.com", "viewer").await.problem("conflict");
    bob.post(&format!("/v1/me/invitations/{first}/decline"), json!({})).await.expect(204);
    bob.post(&format!("/v1/me/invitations/{first}/accept"), json!({})).await.problem("not_found");
    let second = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
    let at = format!("/v1/teams/{team}/invitations/{second}");
    ann.delete(&at).await.expect(204);
    let refused = ann.delete(&at).await.problem("conflict");
    assert!(refused.text.contains("revoked"), "{}", refused.text);
    assert!(waiting(&bob).await.is_empty());
    let third = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
    assert_eq!(states(&ann, &team).await, ["pending", "revoked", "declined"]);

    world.clock.advance(DAY * 7 + Duration::from_secs(1));
    let (ann, bob) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    assert!(waiting(&bob).await.is_empty());
    bob.post(&format!("/v1/me/invitations/{third}/accept"), json!({})).await.problem("not_found");
    assert_eq!(states(&ann, &team).await[0], "expired");
    ann.delete(&format!("/v1/teams/{team}/invitations/{third}")).await.problem("conflict");
    invite(&ann, &team, "bob@example.com", "viewer").await.expect(201);

    world.clock.advance(DAY * 31);
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("invitations").await, 1, "what ended a month ago is gone");
}

#[tokio::test]
async fn nobody_invites_to_more_than_they_hold_nor_leaves_a_way_in_behind() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let (admin, viewer, bob) = (world.person("admin").await, world.person("viewer").await, world.person("bob").await);
    admin.join(&team, Role::Admin).await;
    viewer.join(&team, Role::Viewer).await;
    invite(&viewer, &team, "bob@example.com", "viewer").await.problem("forbidden");
    viewer.get(&format!("/v1/teams/{team}/invitations")).await.problem("forbidden");
    invite(&admin, &team, "bob@example.com", "owner").await.problem("forbidden");
    let by_ann = invite(&ann, &team, "carl@example.com", "owner").await.expect(201).id();
    admin.delete(&format!("/v1/teams/{team}/invitations/{by_ann}")).await.problem("forbidden");
    // Who is gone, or holds less now, invites nobody.
    let sent = invite(&admin, &team, "bob@example.com", "admin").await.expect(201).id();
    let member = format!("/v1/teams/{team}/members/{}", admin.id);
    ann.patch(&member, json!({ "role": "editor" })).await.expect(200);
    let accept = format!("/v1/me/invitations/{sent}/accept");
    bob.post(&accept, json!({})).await.problem("conflict");
    assert_eq!(states(&ann, &team).await, ["revoked", "pending"], "it does not come to life again");
    ann.patch(&member, json!({ "role": "admin" })).await.expect(200);
    bob.post(&accept, json!({})).await.problem("not_found");
    let sent = invite(&admin, &team, "bob@example.com", "viewer").await.expect(201).id();
    ann.delete(&member).await.expect(204);
    bob.post(&format!("/v1/me/invitations/{sent}/accept"), json!({})).await.problem("conflict");
}

#[tokio::test]
async fn an_address_gets_so_many_mails_a_day_and_a_team_waits_for_so_many() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    for n in 0..22 {
        let sent = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
        assert_eq!(mails(&world, "bob@example.com").await.len(), (n + 1).min(20), "alike, but no more e-mails");
        ann.delete(&format!("/v1/teams/{team}/invitations/{sent}")).await.expect(204);
    }
    // From whichever team.
    let other = ann.team("Other").await;
    invite(&ann, &other, "bob@example.com", "viewer").await.expect(201);
    assert_eq!(mails(&world, "bob@example.com").await.len(), 20);
    // Of one person fewer are taken in a day.
    let admin = world.person("admin").await;
    admin.join(&team, Role::Admin).await;
    for n in 0..100 {
        let by = if n < 50 { &ann } else { &admin };
        invite(by, &team, &format!("p{n}@example.com"), "viewer").await.expect(201);
    }
    let over = invite(&admin, &team, "one.more@example.com", "viewer").await.problem("quota_exceeded");
    assert!(over.text.contains("100 pending invitations"), "{}", over.text);
    assert!(mails(&world, "one.more@example.com").await.is_empty());
    world.clock.advance(DAY + Duration::from_secs(1));
    let ann = world.sign_in("ann@example.com").await;
    let bob = world.person("bob").await;
    let found = waiting(&bob).await;
    bob.post(&format!("/v1/me/invitations/{}/decline", found[0]["id"].as_str().unwrap()), json!({})).await.expect(204);
    invite(&ann, &other, "bob@example.com", "viewer").await.expect(201);
    assert_eq!(mails(&world, "bob@example.com").await.len(), 21);
}

#[tokio::test]
async fn a_role_that_goes_leaves_its_invitations_there() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let roles = format!("/v1/teams/{team}/roles");
    let own = json!({ "name": "Own", "permissions": ["board.read"] });
    for n in 0..22 {
        ann.post(&roles, own.clone()).await.expect(201);
        let sent = invite(&ann, &team, "bob@example.com", "Own").await.expect(201).id();
        ann.delete(&format!("{roles}/Own")).await.problem("conflict");
        ann.delete(&format!("/v1/teams/{team}/invitations/{sent}")).await.expect(204);
        ann.delete(&format!("{roles}/Own")).await.expect(204);
        assert_eq!(mails(&world, "bob@example.com").await.len(), (n + 1).min(20), "the limit holds");
        ann.delete(&format!("/v1/teams/{team}/invitations/{sent}")).await.problem("conflict");
    }
    let list = ann.get(&format!("/v1/teams/{team}/invitations")).await.expect(200);
    assert_eq!(list.items().len(), 22);
    assert!(list.items().iter().all(|one| one["role"] == "Own" && one.get("role_id").is_none()), "{}", list.text);

    // What waits too late for its role is not good for another role of that name.
    ann.post(&roles, own.clone()).await.expect(201);
    let late = invite(&ann, &team, "bob@example.com", "Own").await.expect(201).id();
    world.clock.advance(DAY * 7 + Duration::from_secs(1));
    let ann = world.sign_in("ann@example.com").await;
    ann.delete(&format!("{roles}/Own")).await.expect(204);
    ann.post(&roles, json!({ "name": "Own", "permissions": ["token.manage"] })).await.expect(201);
    assert_eq!(states(&ann, &team).await[0], "expired");
    let bob = world.person("bob").await;
    bob.post(&format!("/v1/me/invitations/{late}/accept"), json!({})).await.problem("not_found");
}

#[tokio::test]
async fn a_person_sends_so_many_a_day_whatever_they_delete() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for round in 0..2 {
        let team = ann.team("Team").await;
        for n in 0..45 {
            invite(&ann, &team, &format!("p{round}-{n}@example.com"), "viewer").await.expect(201);
        }
        let name = Some(json!({ "name": "Team" }));
        ann.call(reqwest::Method::DELETE, &format!("/v1/teams/{team}"), name).await.expect(204);
    }
    // Nor by whom they let act for them.
    let team = ann.team("Team").await;
    let accounts = format!("/v1/teams/{team}/service-accounts");
    let robot = ann.post(&accounts, json!({ "name": "Robot", "role": "admin" })).await.expect(201).id();
    let made = ann.post(&format!("{accounts}/{robot}/api-tokens"), json!({ "name": "CI" })).await.expect(201);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let robot = Person { world: &world, id: robot, token, refresh: String::new() };
    for n in 0..10 {
        invite(&robot, &team, &format!("q{n}@example.com"), "viewer").await.expect(201);
    }
    for by in [&ann, &robot] {
        let over = invite(by, &team, "one.more@example.com", "viewer").await.problem("quota_exceeded");
        assert!(over.text.contains("100 invitations of one person"), "{}", over.text);
    }
    assert_eq!(world.count("outbox").await, 100);
    world.clock.advance(DAY + Duration::from_secs(1));
    let ann = world.sign_in("ann@example.com").await;
    invite(&ann, &team, "one.more@example.com", "viewer").await.expect(201);
}

#[tokio::test]
async fn an_existing_member_did_not_join() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let team = ann.team("Team").await;
    let sent = invite(&ann, &team, "bob@example.com", "admin").await.expect(201).id();
    bob.join(&team, Role::Viewer).await;
    let accepted = bob.post(&format!("/v1/me/invitations/{sent}/accept"), json!({})).await.expect(200);
    assert_eq!(accepted.body["role"], "viewer", "they stay what they are");
    assert!(waiting(&bob).await.is_empty());
    let log = ann.get(&format!("/v1/teams/{team}/audit?action=member.join")).await.expect(200);
    assert!(log.items().is_empty(), "{}", log.text);
}

#[tokio::test]
async fn names_in_an_e_mail_are_not_links() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    ann.patch("/v1/me", json!({ "name": "Bank http://evil.example" })).await.expect(200);
    let team = ann.team("You won: evil.example/now \"really\"").await;
    invite(&ann, &team, "bob@example.com", "viewer").await.expect(201);
    let mail = mails(&world, "bob@example.com").await.remove(0);
    assert!(!mail.contains("evil.example") && !mail.contains("http://evil"), "{mail}");
    assert!(mail.starts_with("\"Bank http:[/]/evil[.]example\" invites you into the team \"You won: "), "{mail}");
}

#[tokio::test]
async fn bodies_are_checked_and_repeats_are_the_same_invitation() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let path = format!("/v1/teams/{}/invitations", ann.team("Team").await);
    for (body, pointer) in [
        (json!({ "email": "nobody", "role": "viewer" }), "/email"),
        (json!({ "email": "a\0@example.com", "role": "viewer" }), "/email"),
        (json!({ "email": "a@example.com", "role": "emperor" }), "/role"),
    ] {
        assert_eq!(ann.post(&path, body).await.problem("invalid").pointers(), [pointer]);
    }
    let body = json!({ "email": "a@example.com", "role": "viewer" });
    let key = [("idempotency-key", "one")];
    let first = ann.with(reqwest::Method::POST, &path, &key, Some(body.clone())).await.expect(201);
    let again = ann.with(reqwest::Method::POST, &path, &key, Some(body)).await.expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(mails(&world, "a@example.com").await.len(), 1);
}

#[tokio::test]
async fn a_team_takes_so_many_members() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let team = ann.team("Team").await;
    let sent = invite(&ann, &team, "bob@example.com", "viewer").await.expect(201).id();
    let late = invite(&ann, &team, "carl@example.com", "viewer").await.expect(201).id();
    let mut tx = world.state.db.system_write().await.unwrap();
    for n in 0..998_u32 {
        let id = world.state.ambient.uuid();
        let user = "INSERT INTO users (id, email, email_folded, name, password_hash, created_at)
                    VALUES ($1, $2, $2, 'Member', '', 0)";
        sql!(&mut tx, execute, sqlx::query(user).bind(id).bind(format!("m{n}@example.com"))).unwrap();
        let member = "INSERT INTO memberships (team_id, user_id, role, created_at) VALUES ($1, $2, 'viewer', 0)";
        let team: restroy_sdk::ids::TeamId = team.parse().unwrap();
        sql!(&mut tx, execute, sqlx::query(member).bind(team).bind(id)).unwrap();
    }
    tx.commit().await.unwrap();
    bob.post(&format!("/v1/me/invitations/{sent}/accept"), json!({})).await.expect(200);
    let carl = world.person("carl").await;
    let over = carl.post(&format!("/v1/me/invitations/{late}/accept"), json!({})).await.problem("quota_exceeded");
    assert!(over.text.contains("1000 members"), "{}", over.text);
    invite(&ann, &team, "dora@example.com", "viewer").await.problem("quota_exceeded");
    // There is room again, and the invitation still waits.
    ann.delete(&format!("/v1/teams/{team}/members/{}", bob.id)).await.expect(204);
    carl.post(&format!("/v1/me/invitations/{late}/accept"), json!({})).await.expect(200);
}
