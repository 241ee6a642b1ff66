//! The audit log.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    auth::Role,
    runs::purge,
    sql,
    state::MAX_PENDING_RECORDS,
    store::audit::{self, Actor, Entry},
};
use restroy_sdk::{
    ids::{AuditId, TeamId, UserId},
    time::{Clock as _, System, Timestamp},
};
use serde_json::{Value, json};

use crate::{
    runs_support::{Installation, steps, text},
    support::{Home, PASSWORD, Person, Reply, World},
};

/// Every page of a list.
async fn all(person: &Person<'_>, path: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = person.get(&format!("{path}{cursor}")).await.expect(200).body;
        entries.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return entries };
        cursor = format!("&cursor={next}");
    }
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn changes_are_audited_with_actor_origin_and_details() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Home { team, board, .. } = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Admin).await;
    let at = |query: &str| format!("/v1/teams/{team}/audit?{query}");
    ann.patch(&format!("/v1/teams/{team}"), json!({ "name": "Second" })).await.expect(200);
    let middle = world.state.ambient.now();
    bob.patch(&format!("/v1/boards/{board}"), json!({ "description": "Why" })).await.expect(200);

    let entries = all(&ann, &at("limit=2")).await;
    let expected = [
        "board.change",
        "team.rename",
        "pipeline.publish",
        "pipeline.define",
        "pipeline.create",
        "board.create",
        "team.create",
    ];
    assert_eq!(actions(&entries), expected);
    let rename = &entries[1];
    assert_eq!((&rename["before"], &rename["after"]), (&json!({ "name": "Home" }), &json!({ "name": "Second" })));
    assert_eq!((&rename["user_id"], &rename["user_name"]), (&json!(ann.id), &json!("ann")));
    assert_eq!((&rename["address"], &rename["token_id"]), (&json!("127.0.0.1"), &Value::Null));
    assert_eq!(rename["subject"], format!("team {team}"));
    let change = &entries[0];
    assert_eq!((&change["before"]["description"], &change["after"]["description"]), (&json!(""), &json!("Why")));

    for (query, expected) in [
        ("action=pipeline.".to_owned(), vec!["pipeline.publish", "pipeline.define", "pipeline.create"]),
        ("action=team.rename".to_owned(), vec!["team.rename"]),
        (format!("user={}", bob.id), vec!["board.change"]),
        (format!("subject=board%20{board}"), vec!["board.change", "board.create"]),
        (format!("from={middle}"), vec!["board.change"]),
        (format!("to={middle}&action=team."), vec!["team.rename", "team.create"]),
        (format!("user={}&action=team.", bob.id), vec![]),
    ] {
        assert_eq!(actions(&all(&ann, &at(&format!("{query}&limit=1"))).await), expected, "{query}");
    }
    for query in ["cursor=x", "user=x", "from=yesterday", "limit=0", "other=1", "action=%00"] {
        ann.get(&at(query)).await.problem("bad_request");
    }
    let viewer = world.person("viewer").await;
    viewer.join(&team, Role::Editor).await;
    viewer.get(&at("")).await.problem("forbidden");
    viewer.get(&format!("/v1/teams/{team}/audit/export")).await.problem("forbidden");
}

/// Notes something in a team `count` times, past the API.
async fn noted(world: &World, team: &str, user: &str, count: usize) {
    let (team, user): (TeamId, UserId) = (team.parse().unwrap(), user.parse().unwrap());
    let mut tx = world.state.db.team_write(team).await.unwrap();
    for _ in 0..count {
        let entry = Entry::new("test.note", "team", team);
        audit::record_in_team(&mut tx, &world.state.ambient, Actor::user(user, None), entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_export_is_the_whole_log() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    noted(&world, &team, &ann.id, 450).await;
    let other = ann.team("Other").await;
    noted(&world, &other, &ann.id, 1).await;
    let export = ann.get(&format!("/v1/teams/{team}/audit/export")).await.expect(200);
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all(&ann, &format!("/v1/teams/{team}/audit?limit=100")).await);
    assert_eq!(lines.len(), 451, "450 notes and the team's beginning");
    assert_eq!(lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), 451);
    let part = ann.get(&format!("/v1/teams/{team}/audit/export?action=team.")).await.expect(200);
    assert_eq!(part.text.lines().count(), 1);
    let none = ann.get(&format!("/v1/teams/{team}/audit/export?action=board.")).await.expect(200);
    assert_eq!(none.text, "");
}

#[tokio::test]
async fn an_export_ends_with_the_permission() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Admin).await;
    // More than the buffers between the two hold.
    let mut tx = world.state.db.team_write(team.parse().unwrap()).await.unwrap();
    for _ in 0..1_200 {
        let entry = Entry::new("test.note", "team", &team).details(json!({ "text": "x".repeat(30_000) }));
        audit::record_in_team(&mut tx, &world.state.ambient, Actor::user(ann.id.parse().unwrap(), None), entry)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let url = format!("{}/v1/teams/{team}/audit/export", world.url);
    let mut export = world.client.get(url).bearer_auth(&bob.token).send().await.unwrap();
    let mut read = export.chunk().await.unwrap().unwrap().len();
    let mut tx = world.state.db.system_write().await.unwrap();
    let user: UserId = bob.id.parse().unwrap();
    sql!(&mut tx, execute, sqlx::query("UPDATE memberships SET role = 'viewer' WHERE user_id = $1").bind(user))
        .unwrap();
    tx.commit().await.unwrap();
    let broken = loop {
        match export.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && read < 1_200 * 30_000, "it broke off, and says so: {read} bytes");
}

#[tokio::test]
async fn a_page_scans_a_bounded_number_of_entries_and_continues() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    noted(&world, &team, &ann.id, 10_050).await;
    let first = ann.get(&format!("/v1/teams/{team}/audit?action=team.")).await.expect(200);
    assert!(first.items().is_empty(), "the team's beginning lies further back");
    let next = first.body["next_cursor"].as_str().unwrap();
    let second = ann.get(&format!("/v1/teams/{team}/audit?action=team.&cursor={next}")).await.expect(200);
    assert_eq!(actions(second.items()), ["team.create"]);
    assert_eq!(second.body["next_cursor"], Value::Null);
    let export = ann.get(&format!("/v1/teams/{team}/audit/export?action=team.")).await.expect(200);
    assert_eq!(export.text.lines().count(), 1);
}

async fn login(world: &World, email: &str, password: &str) -> Reply {
    world.anonymous(Method::POST, "/v1/auth/login", Some(json!({ "email": email, "password": password }))).await
}

/// Waits until every failed attempt so far is noted.
async fn settled(world: &World) {
    drop(world.state.noting.acquire_many(u32::try_from(MAX_PENDING_RECORDS).unwrap()).await.unwrap());
}

#[tokio::test]
async fn sign_ins_are_audited_including_failed_ones() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let wrong = login(&world, "Ann@Example.com", "not the password").await.problem("invalid_credentials");
    let unknown = login(&world, "nobody@example.com", "not the password").await.problem("invalid_credentials");
    let plain = |reply: &Reply| {
        let mut body = reply.body.clone();
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    assert_eq!(plain(&wrong), plain(&unknown));
    settled(&world).await;
    let entries = all(&ann, "/v1/me/audit?limit=100").await;
    assert_eq!(actions(&entries), ["session.login_failed", "session.login", "user.register"]);
    assert_eq!(entries[0]["details"], json!({ "reason": "wrong_password" }));
    assert_eq!(entries[0]["address"], "127.0.0.1");
    assert!(!entries.iter().any(|entry| entry.to_string().contains("not the password")));

    // Of many attempts in a row the first ones are kept.
    for _ in 0..25 {
        login(&world, "ann@example.com", "guess").await.problem("invalid_credentials");
        settled(&world).await;
    }
    let failed = all(&ann, "/v1/me/audit?action=session.login_failed").await;
    assert_eq!(failed.len(), 20);
    world.clock.advance(std::time::Duration::from_hours(1));
    login(&world, "ann@example.com", "guess").await.problem("invalid_credentials");
    settled(&world).await;
    let ann = world.sign_in("ann@example.com").await;
    assert_eq!(all(&ann, "/v1/me/audit?action=session.login_failed").await.len(), 21);

    // What a person does in a team is the team's, and nobody sees another's.
    ann.team("Team").await;
    let bob = world.person("bob").await;
    assert_eq!(actions(&all(&bob, "/v1/me/audit?limit=100").await), ["session.login", "user.register"]);
    assert!(all(&ann, "/v1/me/audit?action=team.").await.is_empty());
}

#[tokio::test]
async fn what_changes_nothing_is_not_in_the_log() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let before = world.count("audit_log").await;
    for nothing in [json!({}), json!({ "name": "ann", "about": "", "timezone": "UTC" })] {
        ann.patch("/v1/me", nothing).await.expect(200);
    }
    ann.delete("/v1/me/sessions").await.expect(204);
    assert_eq!(world.count("audit_log").await, before);
    ann.patch("/v1/me", json!({ "name": "ann", "about": "Runs things." })).await.expect(200);
    world.sign_in("ann@example.com").await;
    ann.delete("/v1/me/sessions").await.expect(204);
    let entries = all(&ann, "/v1/me/audit?limit=100").await;
    assert_eq!(actions(&entries)[..3], ["session.end_others", "session.login", "user.change"]);
    assert_eq!(entries[2]["details"], json!({ "fields": ["about"] }));
}

#[tokio::test]
async fn guesses_within_a_session_are_audited() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let wrong = || json!({ "password": "not the password" });
    ann.post("/v1/me/totp", wrong()).await.problem("invalid");
    ann.post("/v1/me/totp", json!({ "password": PASSWORD })).await.expect(200);
    ann.post("/v1/me/totp/confirm", json!({ "code": "nocode" })).await.problem("invalid");
    for address in ["Ann@example.com", "nobody@example.com"] {
        world.anonymous(Method::POST, "/v1/auth/password-reset", Some(json!({ "email": address }))).await.expect(202);
    }
    settled(&world).await;
    let entries = all(&ann, "/v1/me/audit?limit=100").await;
    let told: BTreeSet<_> =
        entries.iter().map(|entry| (entry["action"].as_str(), entry["details"]["reason"].as_str())).collect();
    for expected in [
        (Some("session.login_failed"), Some("wrong_password_in_session")),
        (Some("session.login_failed"), Some("wrong_code_in_session")),
        (Some("user.password_reset_asked"), None),
    ] {
        assert!(told.contains(&expected), "{expected:?}: {told:?}");
    }
    let asked = world.count("audit_log WHERE action = 'user.password_reset_asked'").await;
    assert_eq!(asked, 1, "of an address without an account nothing is kept");
    // Guesses of one kind, as many as are kept, do not hide those of another.
    for _ in 0..25 {
        login(&world, "ann@example.com", "guess").await.problem("invalid_credentials");
        settled(&world).await;
    }
    ann.post("/v1/me/totp", wrong()).await.problem("invalid");
    settled(&world).await;
    let within = world.count("audit_log WHERE details LIKE '%wrong_password_in_session%'").await;
    assert_eq!(within, 2);
}

#[tokio::test]
async fn secret_reads_are_audited_per_run() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let document = steps(json!({ "a": { "script": "a.lua", "secrets": ["OWN", "SHARED", "MISSING"] } }));
    let place = ann.place(Some(document)).await;
    let scripts = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let script = text(&scripts["items"][0]["id"]);
    for path in
        [format!("/v1/scripts/{script}/configuration/OWN"), format!("/v1/teams/{}/configuration/SHARED", place.team)]
    {
        let secret = json!({ "value": "never told to anybody", "secret": true });
        ann.expect(StatusCode::OK, Method::PUT, &path, Some(secret)).await;
    }
    let run = ann.run(&place, json!({})).await;
    let held = it.executor().await.claim(&it.admitted().await).await.unwrap();
    assert_eq!(held.plan["steps"]["a"]["missing"], json!(["MISSING"]));
    let audit = ann.get(&format!("/v1/teams/{}/audit?action=secret.read", place.team)).await;
    let entries = audit["items"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["subject"], format!("run {run}"));
    assert_eq!(entries[0]["user_name"], "ann", "on whose behalf");
    let secrets = json!([
        { "key": "OWN", "level": "script", "revision": 1, "script_id": script },
        { "key": "SHARED", "level": "team", "revision": 1, "script_id": script },
    ]);
    assert_eq!(entries[0]["details"]["secrets"], secrets);
    assert_eq!(entries[0]["details"]["fence"], 1);
    assert!(entries[0]["details"]["executor_id"].is_string());
    assert!(!audit.to_string().contains("never told"));
    assert_eq!(it.count("SELECT count(*) FROM secret_reads WHERE level = 'team'").await, 1);
}

/// Runs a statement for all teams; the message it is refused with.
async fn refused(world: &World, statement: &'static str) -> String {
    let mut tx = world.state.db.system_write().await.unwrap();
    let done = sql!(&mut tx, execute, sqlx::query(statement));
    done.expect_err(statement).to_string()
}

#[tokio::test]
async fn the_log_is_only_appended_to_until_it_is_old() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    noted(&world, &team, &ann.id, 3).await;
    let before = world.count("audit_log").await;
    refused(&world, "UPDATE audit_log SET action = 'nothing'").await;
    let message = refused(&world, "DELETE FROM audit_log").await;
    assert!(message.contains("400 days"), "{message}");
    // Whoever is gone stays in the log.
    let mut tx = world.state.db.system_write().await.unwrap();
    sql!(&mut tx, execute, sqlx::query("DELETE FROM teams")).unwrap();
    sql!(&mut tx, execute, sqlx::query("DELETE FROM users")).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.count("audit_log").await, before);
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("audit_log").await, before);

    let day = 24 * 3_600 * 1_000_000_i64;
    for days in [399, 401, 900] {
        let at = Timestamp(System.now().micros() - days * day);
        let id = u128::try_from(at.micros() / 1000).unwrap() << 80 | 7;
        let mut tx = world.state.db.system_write().await.unwrap();
        let insert = "INSERT INTO audit_log (id, action, subject, created_at) VALUES ($1, 'old', 'x', $2)";
        let id = AuditId(uuid::Uuid::from_u128(id));
        sql!(&mut tx, execute, sqlx::query(insert).bind(id).bind(at)).unwrap();
        tx.commit().await.unwrap();
    }
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("audit_log WHERE action = 'old'").await, 1);
    assert_eq!(world.count("audit_log").await, before + 1);
}
