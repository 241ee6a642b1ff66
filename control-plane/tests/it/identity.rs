//! What a person does with their own account.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::{auth::Role, runs, sql};
use serde_json::{Value, json};

use crate::support::{Home, PASSWORD, Person, Reply, Request, World};

const OTHER: &str = "another good password";

async fn login(world: &World, email: &str, password: &str) -> Reply {
    let body = json!({ "email": email, "password": password });
    world.anonymous(Method::POST, "/v1/auth/login", Some(body)).await
}

async fn reset(world: &World, email: &str) -> Reply {
    world.anonymous(Method::POST, "/v1/auth/password-reset", Some(json!({ "email": email }))).await
}

async fn confirm_reset(world: &World, token: &str, password: &str) -> Reply {
    let body = json!({ "token": token, "password": password });
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", Some(body)).await
}

/// The installation's e-mails to an address, the oldest first.
async fn mails(world: &World, address: &str) -> Vec<String> {
    let mut tx = world.state.db.system_read().await.unwrap();
    let texts = "SELECT body_text FROM outbox WHERE recipients = $1 ORDER BY id";
    sql!(&mut tx, fetch_all, sqlx::query_scalar(texts).bind(json!([address]).to_string())).unwrap()
}

/// The token in the newest e-mail to an address.
async fn token(world: &World, address: &str) -> String {
    let mails = mails(world, address).await;
    let text = mails.last().unwrap_or_else(|| panic!("no e-mail to {address}"));
    text.split_once('#').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

fn bare(reply: &Reply) -> Value {
    let mut body = reply.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

#[tokio::test]
async fn a_profile_says_what_its_owner_says() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let patch = json!({ "name": "Ann", "about": "Runs\nthings.", "timezone": "Europe/Kyiv" });
    let me = ann.patch("/v1/me", patch).await.expect(200).body;
    assert_eq!((&me["name"], &me["timezone"]), (&json!("Ann"), &json!("Europe/Kyiv")));
    ann.patch("/v1/me", json!({ "about": "" })).await.expect(200);
    let me = ann.get("/v1/me").await.expect(200).body;
    assert_eq!((&me["name"], &me["about"], &me["kind"]), (&json!("Ann"), &json!(""), &json!("person")));
    assert!(me["last_login_at"].is_string());
    let bad = json!({ "name": "x".repeat(33), "about": "x".repeat(1025), "timezone": "" });
    let reply = ann.patch("/v1/me", bad).await.problem("invalid");
    assert_eq!(reply.pointers(), ["/name", "/about", "/timezone"]);
    let nowhere = ann.patch("/v1/me", json!({ "timezone": "Mars/Olympus" })).await.problem("invalid");
    assert_eq!(nowhere.pointers(), ["/timezone"]);
    ann.patch("/v1/me", json!({ "email": "eve@example.com" })).await.problem("invalid");
}

#[tokio::test]
async fn a_session_that_is_ended_elsewhere_ends_with_the_next_request() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let phone = world.sign_in("ann@example.com").await;
    let bob = world.person("bob").await;
    let page = ann.get("/v1/me/sessions").await.expect(200);
    assert_eq!(page.items().len(), 2);
    let (here, there) = (&page.items()[1], &page.items()[0]);
    assert_eq!((&here["current"], &there["current"]), (&json!(true), &json!(false)));
    assert_eq!(here["address"], "127.0.0.1");
    let path = format!("/v1/me/sessions/{}", there["id"].as_str().unwrap());
    bob.delete(&path).await.problem("not_found");
    phone.get("/v1/me").await.expect(200);
    ann.delete(&path).await.expect(204);
    phone.get("/v1/me").await.problem("unauthorized");
    ann.delete(&path).await.problem("not_found");

    let (tablet, laptop) = (world.sign_in("ann@example.com").await, world.sign_in("ann@example.com").await);
    ann.delete("/v1/me/sessions").await.expect(204);
    ann.get("/v1/me").await.expect(200);
    tablet.get("/v1/me").await.problem("unauthorized");
    laptop.get("/v1/me").await.problem("unauthorized");

    let third = world.sign_in("ann@example.com").await;
    third.call(Method::POST, "/v1/auth/logout?everywhere=true", None).await.expect(204);
    ann.get("/v1/me").await.problem("unauthorized");
    third.get("/v1/me").await.problem("unauthorized");
    bob.get("/v1/me").await.expect(200);

    // Those that were ended are forgotten after a day, those that are active are not.
    assert_eq!(world.count("sessions").await, 6);
    world.clock.advance(Duration::from_hours(23));
    runs::purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("sessions").await, 6);
    world.clock.advance(Duration::from_hours(2));
    runs::purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("sessions").await, 1);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let phone = world.sign_in("ann@example.com").await;
    let change = |old: &str, new: &str| json!({ "password": old, "new_password": new });
    let wrong = ann.post("/v1/me/password", change("not the password", OTHER)).await.problem("invalid");
    assert_eq!(wrong.pointers(), ["/password"]);
    let short = ann.post("/v1/me/password", change(PASSWORD, "short")).await.problem("invalid");
    assert_eq!(short.pointers(), ["/new_password"]);
    ann.post("/v1/me/password", change(PASSWORD, OTHER)).await.expect(204);
    ann.get("/v1/me").await.expect(200);
    phone.get("/v1/me").await.problem("unauthorized");
    login(&world, "ann@example.com", PASSWORD).await.problem("invalid_credentials");
    login(&world, "ann@example.com", OTHER).await.expect(200);
    assert_eq!(mails(&world, "ann@example.com").await.len(), 1, "the owner is told");
}

#[tokio::test]
async fn a_password_is_reset_once_and_every_session_ends() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    reset(&world, "Ann@Example.com").await.expect(202);
    let first = token(&world, "ann@example.com").await;
    reset(&world, "ann@example.com").await.expect(202);
    let second = token(&world, "ann@example.com").await;
    confirm_reset(&world, &first, "short").await.problem("invalid");
    confirm_reset(&world, &first, OTHER).await.expect(204);
    ann.get("/v1/me").await.problem("unauthorized");
    let refresh = Some(json!({ "refresh_token": ann.refresh }));
    world.anonymous(Method::POST, "/v1/auth/refresh", refresh).await.problem("unauthorized");
    login(&world, "ann@example.com", PASSWORD).await.problem("invalid_credentials");
    login(&world, "ann@example.com", OTHER).await.expect(200);
    for used in [&first, &second, "made up"] {
        let reply = confirm_reset(&world, used, PASSWORD).await.problem("invalid");
        assert_eq!(reply.pointers(), ["/token"]);
    }
    reset(&world, "ann@example.com").await.expect(202);
    let late = token(&world, "ann@example.com").await;
    world.clock.advance(Duration::from_secs(3601));
    confirm_reset(&world, &late, PASSWORD).await.problem("invalid");
}

#[tokio::test]
async fn a_reset_reveals_nothing_about_accounts_and_is_bounded() {
    let world = World::new().await;
    world.person("ann").await;
    for address in ["ann@example.com", "nobody@example.com"] {
        for _ in 0..7 {
            reset(&world, address).await.expect(202);
        }
        assert_eq!(mails(&world, address).await.len(), 5, "{address}");
    }
    let (known, unknown) = (reset(&world, "ann@example.com").await, reset(&world, "nobody@example.com").await);
    assert_eq!(known.body, unknown.body);
    // The same rows are written; those of nobody's account are good for nothing.
    let rows = world.count("one_time_tokens WHERE purpose = 'reset_password' AND user_id IS NULL").await;
    assert_eq!(rows, 5);
    assert!(mails(&world, "nobody@example.com").await.iter().all(|text| !text.contains('#')));
    reset(&world, "service@service.invalid").await.problem("invalid");
}

/// Whoever registers somebody else's address first gains nothing when its owner resets the password.
#[tokio::test]
async fn a_reset_verifies_the_address_and_replaces_what_was_there() {
    let world = World::with(|_| {}).await;
    let thief = json!({ "email": "ann@example.com", "password": "the thief's password", "name": "Thief" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(thief)).await.expect(202);
    let link = token(&world, "ann@example.com").await;
    reset(&world, "ann@example.com").await.expect(202);
    let own = token(&world, "ann@example.com").await;
    confirm_reset(&world, &own, PASSWORD).await.expect(204);
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
    let verify = Some(json!({ "token": link, "password": "the thief's password" }));
    world.anonymous(Method::POST, "/v1/auth/verify-email", verify).await.expect(204);
    login(&world, "ann@example.com", "the thief's password").await.problem("invalid_credentials");
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
}

async fn change_email(ann: &Person<'_>, to: &str) {
    ann.post("/v1/me/email", json!({ "email": to, "password": PASSWORD })).await.expect(202);
}

async fn confirm_email(world: &World, token: &str, stop: bool) -> Reply {
    let body = json!({ "token": token, "stop": stop });
    world.anonymous(Method::POST, "/v1/me/email/confirm", Some(body)).await
}

#[tokio::test]
async fn an_address_changes_when_both_confirm() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    ann.post("/v1/me/email", json!({ "email": "new@example.com", "password": "wrong one" })).await.problem("invalid");
    change_email(&ann, "new@example.com").await;
    let (old, new) = (token(&world, "ann@example.com").await, token(&world, "new@example.com").await);
    assert_eq!(confirm_email(&world, &new, false).await.expect(200).body["status"], "waiting");
    assert_eq!(ann.get("/v1/me").await.body["email"], "ann@example.com");
    reset(&world, "ann@example.com").await.expect(202);
    let stale = token(&world, "ann@example.com").await;
    assert_eq!(confirm_email(&world, &old, false).await.expect(200).body["status"], "changed");
    assert_eq!(ann.get("/v1/me").await.body["email"], "new@example.com");
    login(&world, "new@example.com", PASSWORD).await.expect(200);
    login(&world, "ann@example.com", PASSWORD).await.problem("invalid_credentials");
    confirm_email(&world, &old, false).await.problem("invalid");
    confirm_reset(&world, &stale, OTHER).await.problem("invalid");
}

#[tokio::test]
async fn another_password_stops_the_change() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    change_email(&ann, "new@example.com").await;
    let (old, new) = (token(&world, "ann@example.com").await, token(&world, "new@example.com").await);
    let change = json!({ "password": PASSWORD, "new_password": OTHER });
    ann.post("/v1/me/password", change).await.expect(204);
    for token in [old, new] {
        assert_eq!(confirm_email(&world, &token, false).await.problem("invalid").pointers(), ["/token"]);
    }
}

#[tokio::test]
async fn a_mailbox_that_is_the_accounts_no_more_resets_nothing() {
    let world = World::new().await;
    world.person("ann").await;
    reset(&world, "ann@example.com").await.expect(202);
    let token = token(&world, "ann@example.com").await;
    // As if the address had changed between the question and its row.
    let mut tx = world.state.db.system_write().await.unwrap();
    let moved = "UPDATE users SET email = 'New@example.com', email_folded = 'new@example.com'";
    sql!(&mut tx, execute, sqlx::query(moved)).unwrap();
    tx.commit().await.unwrap();
    confirm_reset(&world, &token, OTHER).await.problem("invalid");
    login(&world, "new@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn either_address_stops_the_change() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for stopper in ["ann@example.com", "new@example.com"] {
        change_email(&ann, "new@example.com").await;
        let other = if stopper == "ann@example.com" { "new@example.com" } else { "ann@example.com" };
        let (stop, confirm) = (token(&world, stopper).await, token(&world, other).await);
        assert_eq!(confirm_email(&world, &stop, true).await.expect(200).body["status"], "stopped");
        confirm_email(&world, &confirm, false).await.problem("invalid");
    }
    // A new change stops the one before: a confirmation of that does not count for this.
    change_email(&ann, "third@example.com").await;
    confirm_email(&world, &token(&world, "ann@example.com").await, false).await.expect(200);
    change_email(&ann, "fourth@example.com").await;
    let new = confirm_email(&world, &token(&world, "fourth@example.com").await, false).await.expect(200);
    assert_eq!(new.body["status"], "waiting");
    assert_eq!(ann.get("/v1/me").await.body["email"], "ann@example.com");
    change_email(&ann, "fifth@example.com").await;
    let body = json!({ "email": "sixth@example.com", "password": PASSWORD });
    ann.post("/v1/me/email", body).await.problem("rate_limited");
    world.clock.advance(Duration::from_hours(25));
    confirm_email(&world, &token(&world, "fifth@example.com").await, false).await.problem("invalid");
}

/// Who confirmed first may think better of it; whoever has lost the password has lost the change too.
#[tokio::test]
async fn a_change_that_waits_is_stopped_by_who_confirmed_it_and_by_another_password() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for first in ["ann@example.com", "new@example.com"] {
        let second = if first == "ann@example.com" { "new@example.com" } else { "ann@example.com" };
        change_email(&ann, "new@example.com").await;
        let (first, second) = (token(&world, first).await, token(&world, second).await);
        assert_eq!(confirm_email(&world, &first, false).await.expect(200).body["status"], "waiting");
        confirm_email(&world, &first, false).await.problem("invalid");
        assert_eq!(confirm_email(&world, &first, true).await.expect(200).body["status"], "stopped");
        confirm_email(&world, &second, false).await.problem("invalid");
        // There is nothing left to stop.
        confirm_email(&world, &first, true).await.problem("invalid");
        confirm_email(&world, &second, true).await.problem("invalid");
    }
    change_email(&ann, "new@example.com").await;
    let (old, new) = (token(&world, "ann@example.com").await, token(&world, "new@example.com").await);
    assert_eq!(confirm_email(&world, &new, false).await.expect(200).body["status"], "waiting");
    let change = json!({ "password": PASSWORD, "new_password": OTHER });
    ann.post("/v1/me/password", change).await.expect(204);
    confirm_email(&world, &old, false).await.problem("invalid");
    assert_eq!(ann.get("/v1/me").await.body["email"], "ann@example.com");
    // What was changed is not stopped any more.
    ann.post("/v1/me/email", json!({ "email": "new@example.com", "password": OTHER })).await.expect(202);
    let (old, new) = (token(&world, "ann@example.com").await, token(&world, "new@example.com").await);
    confirm_email(&world, &old, false).await.expect(200);
    assert_eq!(confirm_email(&world, &new, false).await.expect(200).body["status"], "changed");
    confirm_email(&world, &old, true).await.problem("invalid");
}

/// Many accounts cannot be used to send many e-mails to somebody.
#[tokio::test]
async fn an_address_gets_few_e_mails_about_changes_whoever_begins_them() {
    let world = World::new().await;
    let change = |email: &str| json!({ "email": email, "password": PASSWORD });
    let mut answers = Vec::new();
    for name in ["ann", "bob", "carl"] {
        let person = world.person(name).await;
        for email in ["victim@example.com", "Victim@example.com", "VICTIM@example.com"] {
            answers.push(person.post("/v1/me/email", change(email)).await.expect(202).body);
        }
        assert_eq!(mails(&world, &format!("{name}@example.com")).await.len(), 3, "one's own address is told");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let to_victim = "outbox WHERE lower(recipients) LIKE '%victim%'";
    assert_eq!(world.count(to_victim).await, 5);
    // It is a matter of an hour, also when somebody continues asking.
    world.clock.advance(Duration::from_secs(3601));
    let dora = world.person("dora").await;
    dora.post("/v1/me/email", change("victim@example.com")).await.expect(202);
    assert_eq!(world.count(to_victim).await, 6);
    let (old, new) = (token(&world, "dora@example.com").await, token(&world, "victim@example.com").await);
    confirm_email(&world, &old, false).await.expect(200);
    assert_eq!(confirm_email(&world, &new, false).await.expect(200).body["status"], "changed");
}

#[tokio::test]
async fn the_address_of_another_account_is_neither_revealed_nor_taken() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    world.person("bob").await;
    let change = |to: &str| json!({ "email": to, "password": PASSWORD });
    let free = ann.post("/v1/me/email", change("free@example.com")).await.expect(202);
    let taken = ann.post("/v1/me/email", change("BOB@example.com")).await.expect(202);
    assert_eq!(free.body, taken.body);
    let told = mails(&world, "BOB@example.com").await;
    assert!(told.len() == 1 && !told[0].contains('#'), "{told:?}");
    // One's own address in another spelling is one's own.
    ann.post("/v1/me/email", change("Ann@example.com")).await.expect(202);
    let (old, new) = (token(&world, "ann@example.com").await, token(&world, "Ann@example.com").await);
    confirm_email(&world, &old, false).await.expect(200);
    // Somebody may register the address while the change waits.
    assert_eq!(confirm_email(&world, &new, false).await.expect(200).body["status"], "changed");
    ann.post("/v1/me/email", change("carl@example.com")).await.expect(202);
    let (old, new) = (token(&world, "Ann@example.com").await, token(&world, "carl@example.com").await);
    world.person("carl").await;
    confirm_email(&world, &old, false).await.expect(200);
    confirm_email(&world, &new, false).await.problem("conflict");
}

#[tokio::test]
async fn a_person_goes_and_is_forgotten() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
    let bob = world.person("bob").await;
    let theirs = bob.team("Bob's").await;
    ann.join(&theirs, Role::Editor).await;
    let wrong = ann.call(Method::DELETE, "/v1/me", Some(json!({ "password": "not the password" }))).await;
    assert_eq!(wrong.problem("invalid").pointers(), ["/password"]);

    // Others would be left without an owner.
    bob.join(&home.team, Role::Admin).await;
    let proof = || Some(json!({ "password": PASSWORD }));
    let refused = ann.call(Method::DELETE, "/v1/me", proof()).await.problem("conflict");
    assert!(refused.body["detail"].as_str().unwrap().contains("`Home`"), "{}", refused.text);
    ann.get("/v1/me").await.expect(200);
    let mut tx = world.state.db.system_write().await.unwrap();
    sql!(&mut tx, execute, sqlx::query("DELETE FROM memberships WHERE role = 'admin'")).unwrap();
    tx.commit().await.unwrap();

    ann.call(Method::DELETE, "/v1/me", proof()).await.expect(204);
    ann.get("/v1/me").await.problem("unauthorized");
    let gone = login(&world, "ann@example.com", PASSWORD).await.problem("invalid_credentials");
    let never = login(&world, "never@example.com", PASSWORD).await.problem("invalid_credentials");
    assert_eq!(bare(&gone), bare(&never));
    assert_eq!(world.count("runs WHERE status = 'cancelled'").await, 1, "{run}");
    assert_eq!(world.count("teams WHERE deleted_at IS NOT NULL").await, 1);
    let members = bob.get(&format!("/v1/teams/{theirs}/members")).await.expect(200);
    assert_eq!(members.items().len(), 1);

    // The address is free for somebody new, who is somebody else.
    let again = world.person("ann").await;
    assert_ne!(again.id, ann.id);
    assert_eq!(again.get("/v1/me").await.body["teams"], json!([]));

    runs::purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("users WHERE email = 'ann@example.com'").await, 2);
    world.clock.advance(Duration::from_hours(30 * 24 + 1));
    runs::purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("users WHERE email = 'ann@example.com'").await, 1);
    assert_eq!(world.count("users WHERE email = '' AND password_hash = '' AND purged_at IS NOT NULL").await, 1);
    assert_eq!(world.count("users").await, 3);
}

#[tokio::test]
async fn an_owner_among_owners_may_go() {
    let world = World::new().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let team = ann.team("Both").await;
    bob.join(&team, Role::Owner).await;
    ann.call(Method::DELETE, "/v1/me", Some(json!({ "password": PASSWORD }))).await.expect(204);
    bob.get(&format!("/v1/teams/{team}")).await.expect(200);
    let gone = world.send(Request { token: Some(&ann.token), ..Request::new(Method::GET, "/v1/teams") }).await;
    gone.problem("unauthorized");
}
