//! Every route that writes, and what it leaves in the audit log.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use restroy_control_plane::{auth::Role, runs::purge_deleted, sql};
use restroy_sdk::ids::{ApiTokenId, AuditId, UserId};
use serde_json::{Value, json};

use crate::{
    documented::DOCUMENT,
    least_roles::{LEAST, Scene},
    strangers::of_members,
    support::{Home, PASSWORD, Person, Request, World},
};

/// What the log says of what a route did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// By an entry of this action, with what is there since.
    Made(&'static str),
    /// With what was there before, and what is since.
    Edited(&'static str),
    /// With what was there before.
    Gone(&'static str),
    /// That it happened: there is nothing to it that may be told, or stays.
    Happened(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}
use Told::{Edited, Gone, Happened, Made, Nothing};

/// Every route that is not a GET. One that is missing here, or is here and not in the document, fails the
/// test.
pub(crate) const ROUTES: &[(&str, &str, Told)] = &[
    ("POST", "/v1/auth/register", Happened("user.register")),
    ("POST", "/v1/auth/verify-email", Edited("user.verify")),
    ("POST", "/v1/auth/login", Happened("session.login")),
    ("POST", "/v1/auth/login/second-factor", Happened("session.login")),
    ("POST", "/v1/auth/refresh", Nothing("a session goes on; a refresh token that is shown twice is told")),
    ("POST", "/v1/auth/logout", Happened("session.logout")),
    ("POST", "/v1/auth/oidc", Nothing("nobody is known yet")),
    ("POST", "/v1/auth/oidc/finish", Happened("session.login")),
    ("POST", "/v1/auth/password-reset", Happened("user.password_reset_asked")),
    ("POST", "/v1/auth/password-reset/confirm", Happened("user.password_reset")),
    ("PATCH", "/v1/me", Happened("user.change")),
    ("DELETE", "/v1/me", Happened("user.delete")),
    ("POST", "/v1/me/password", Happened("user.password")),
    ("POST", "/v1/me/email", Happened("user.email_change_begun")),
    ("POST", "/v1/me/email/confirm", Happened("user.email_change")),
    ("POST", "/v1/me/totp", Nothing("nothing is in force until it is confirmed")),
    ("POST", "/v1/me/totp/confirm", Edited("user.totp_on")),
    ("POST", "/v1/me/totp/recovery-codes", Happened("user.recovery_codes")),
    ("DELETE", "/v1/me/totp", Edited("user.totp_off")),
    ("DELETE", "/v1/me/sessions", Happened("session.end_others")),
    ("DELETE", "/v1/me/sessions/{id}", Happened("session.end")),
    ("POST", "/v1/me/api-tokens", Made("token.create")),
    ("DELETE", "/v1/me/api-tokens/{id}", Gone("token.revoke")),
    ("POST", "/v1/me/invitations/accept", Made("member.join")),
    ("POST", "/v1/me/invitations/{id}/accept", Made("member.join")),
    ("POST", "/v1/me/invitations/{id}/decline", Edited("member.decline")),
    ("POST", "/v1/stream-tickets", Nothing("good for half a minute, for what its holder may read anyhow")),
    ("POST", "/v1/teams", Made("team.create")),
    ("PATCH", "/v1/teams/{id}", Edited("team.rename")),
    ("DELETE", "/v1/teams/{id}", Gone("team.delete")),
    ("POST", "/v1/teams/{id}/restore", Made("team.restore")),
    ("POST", "/v1/teams/{id}/transfer", Edited("team.transfer")),
    ("POST", "/v1/teams/{id}/leave", Gone("member.leave")),
    ("PATCH", "/v1/teams/{id}/members/{user}", Edited("member.role")),
    ("DELETE", "/v1/teams/{id}/members/{user}", Gone("member.remove")),
    ("POST", "/v1/teams/{id}/roles", Made("role.create")),
    ("PATCH", "/v1/teams/{id}/roles/{role}", Edited("role.change")),
    ("DELETE", "/v1/teams/{id}/roles/{role}", Gone("role.delete")),
    ("POST", "/v1/teams/{id}/invitations", Made("member.invite")),
    ("DELETE", "/v1/teams/{id}/invitations/{invitation}", Edited("member.uninvite")),
    ("POST", "/v1/teams/{id}/boards", Made("board.create")),
    ("POST", "/v1/teams/{id}/library", Made("library.create")),
    ("PUT", "/v1/teams/{id}/library/{name}", Edited("library.change")),
    ("DELETE", "/v1/teams/{id}/library/{name}", Gone("library.delete")),
    ("PUT", "/v1/teams/{id}/configuration/{key}", Edited("secret.set")),
    ("DELETE", "/v1/teams/{id}/configuration/{key}", Gone("secret.remove")),
    ("POST", "/v1/teams/{id}/service-accounts", Made("service_account.create")),
    ("DELETE", "/v1/teams/{id}/service-accounts/{account_id}", Gone("service_account.delete")),
    ("POST", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", Made("token.create")),
    ("DELETE", "/v1/teams/{id}/api-tokens/{token_id}", Gone("token.revoke")),
    ("PATCH", "/v1/boards/{id}", Edited("board.change")),
    ("DELETE", "/v1/boards/{id}", Gone("board.delete")),
    ("POST", "/v1/boards/{id}/restore", Made("board.restore")),
    ("PUT", "/v1/boards/{id}/members/{user}", Edited("board.member")),
    ("DELETE", "/v1/boards/{id}/members/{user}", Gone("board.member_remove")),
    ("PUT", "/v1/boards/{id}/order", Edited("board.order")),
    ("PUT", "/v1/boards/{id}/configuration/{key}", Edited("secret.set")),
    ("DELETE", "/v1/boards/{id}/configuration/{key}", Gone("secret.remove")),
    ("PUT", "/v1/boards/{id}/kv/{key}", Edited("kv.set")),
    ("DELETE", "/v1/boards/{id}/kv/{key}", Gone("kv.delete")),
    ("POST", "/v1/boards/{id}/pipelines", Made("pipeline.create")),
    ("PATCH", "/v1/pipelines/{id}", Edited("pipeline.change")),
    ("DELETE", "/v1/pipelines/{id}", Gone("pipeline.delete")),
    ("POST", "/v1/pipelines/{id}/restore", Made("pipeline.restore")),
    ("POST", "/v1/pipelines/{id}/move", Edited("pipeline.move")),
    ("PUT", "/v1/pipelines/{id}/definition", Edited("pipeline.define")),
    ("POST", "/v1/pipelines/{id}/versions/{number}/publish", Edited("pipeline.publish")),
    ("POST", "/v1/pipelines/{id}/versions/{number}/restore", Edited("pipeline.define")),
    ("POST", "/v1/pipelines/{id}/runs", Made("run.start")),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/pause", Edited("schedule.pause")),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/resume", Edited("schedule.resume")),
    ("PUT", "/v1/scripts/{id}/configuration/{key}", Edited("secret.set")),
    ("DELETE", "/v1/scripts/{id}/configuration/{key}", Gone("secret.remove")),
    ("POST", "/v1/scripts/{id}/check", Nothing("it looks, and changes nothing")),
    ("POST", "/v1/runs/{id}/cancel", Edited("run.cancel")),
    ("PUT", "/v1/runs/{id}/keep", Edited("run.keep")),
    ("DELETE", "/v1/runs/{id}/keep", Edited("run.unkeep")),
    ("DELETE", "/v1/runs/{id}", Gone("run.delete")),
];

/// Requires a login, whoever's token it is.
const LOGIN_ONLY: &str = "/v1/teams/{id}/service-accounts/{account_id}/api-tokens";
/// What nobody may find in the log.
const PLANTED: &str = "planted-where-it-must-not-be-told";

/// An entry as it lies in the database.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Noted {
    id: AuditId,
    pub(crate) action: String,
    user_id: Option<UserId>,
    token_id: Option<ApiTokenId>,
    address: Option<String>,
    details: String,
    state_before: Option<String>,
    state_after: Option<String>,
}

impl Noted {
    fn text(&self) -> String {
        let states = [self.state_before.as_deref(), self.state_after.as_deref()].map(Option::unwrap_or_default);
        format!("{} {} {}", self.details, states[0], states[1])
    }
}

/// The log, looked at again and again.
pub(crate) struct Log<'a> {
    world: &'a World,
    known: BTreeSet<AuditId>,
}

impl<'a> Log<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        Self { world, known: BTreeSet::new() }
    }

    /// The total.
    async fn all(&self) -> Vec<Noted> {
        let mut tx = self.world.state.db.system_read().await.unwrap();
        let select = "SELECT id, action, user_id, token_id, address, details, state_before, state_after
                      FROM audit_log ORDER BY id";
        sql!(&mut tx, fetch_all, sqlx::query_as(select)).unwrap()
    }

    /// What came since it was looked at last.
    pub(crate) async fn news(&mut self) -> Vec<Noted> {
        let mut entries = self.all().await;
        entries.retain(|entry| self.known.insert(entry.id));
        entries
    }

    /// Says what is wrong with what a call left in the log.
    pub(crate) async fn look(&mut self, told: Told, user: &str, token: Option<&str>) -> Result<(), String> {
        let mut news = self.news().await;
        // What is noted beside the answer comes soon.
        let patience = Instant::now() + Duration::from_secs(20);
        while news.is_empty() && !matches!(told, Nothing(_)) && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
            news = self.news().await;
        }
        let (action, before, after) = match told {
            Made(action) => (action, false, true),
            Edited(action) => (action, true, true),
            Gone(action) => (action, true, false),
            Happened(action) => (action, false, false),
            Nothing(_) if news.is_empty() => return Ok(()),
            Nothing(_) => return Err(format!("it left something: {news:?}")),
        };
        for entry in &news {
            if entry.user_id.map(|id| id.to_string()).as_deref() != Some(user)
                || entry.token_id.map(|id| id.to_string()).as_deref() != token
                || entry.address.as_deref() != Some("127.0.0.1")
            {
                return Err(format!("it does not say who: {entry:?}"));
            }
        }
        let [entry] = news.iter().filter(|entry| entry.action == action).collect::<Vec<_>>()[..] else {
            return Err(format!("no entry `{action}`, or more than one: {news:?}"));
        };
        let state = |state: &Option<String>| state.as_ref().map(|text| serde_json::from_str::<Value>(text).unwrap());
        let (was, is) = (state(&entry.state_before), state(&entry.state_after));
        let fits = |state: &Option<Value>, wanted: bool| state.as_ref().map(Value::is_object) == wanted.then_some(true);
        if !fits(&was, before) || !fits(&is, after) || (before && after && was == is) {
            return Err(format!("it does not say what was and what is: {entry:?}"));
        }
        Ok(())
    }

    /// Fails the test when one of these texts is anywhere in the log.
    pub(crate) async fn hides(&self, planted: &[String]) {
        for entry in self.all().await {
            let text = entry.text();
            let told: Vec<_> = planted.iter().filter(|planted| text.contains(*planted)).collect();
            assert!(told.is_empty(), "{} tells {told:?}: {text}", entry.action);
        }
    }
}

#[test]
fn the_table_is_the_document() {
    let mut documented = BTreeSet::new();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        let methods = operations.as_object().unwrap().keys().filter(|method| *method != "get");
        documented.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    let table = ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(table.collect::<BTreeSet<_>>(), documented);
}

/// Somebody's API token, as somebody who shows it; and its id.
async fn by_token<'a>(person: &Person<'a>) -> (Person<'a>, String) {
    let made = person
        .post("/v1/me/api-tokens", json!({ "name": "All that I may", "password": PASSWORD }))
        .await
        .expect(201)
        .body;
    let token = made["token"].as_str().unwrap().to_owned();
    let shown = Person { world: person.world, id: person.id.clone(), token, refresh: String::new() };
    (shown, made["id"].as_str().unwrap().to_owned())
}

/// Brings about what the route changes, and gives what it is sent where that is not what others send.
async fn prepare(scene: &Scene, owner: &Person<'_>, method: &str, path: &str) -> Option<Value> {
    let Home { board, pipeline, team, .. } = &scene.home;
    let secret = json!({ "value": PLANTED, "secret": true });
    match (method, path) {
        ("PUT", path) if path.ends_with("/configuration/{key}") => return Some(secret),
        ("DELETE", path) if path.ends_with("/configuration/{key}") => {
            owner.put(&scene.fill(path), secret).await.expect(200);
        }
        ("PUT", "/v1/boards/{id}/kv/{key}") => return Some(json!({ "value": PLANTED })),
        ("DELETE", "/v1/boards/{id}/kv/{key}") => {
            owner.put(&scene.fill(path), json!({ "value": PLANTED })).await.expect(200);
        }
        ("PATCH", "/v1/teams/{id}/members/{user}") | ("PUT", "/v1/boards/{id}/members/{user}") => {
            return Some(json!({ "role": "operator" }));
        }
        ("PUT", "/v1/boards/{id}/order") => {
            owner.pipeline(board, "Another").await;
        }
        ("DELETE", "/v1/runs/{id}/keep") => {
            owner.put(&scene.fill(path), Value::Null).await.expect(200);
        }
        ("DELETE", "/v1/runs/{id}") => {
            owner.post(&format!("/v1/runs/{}/cancel", scene.run), Value::Null).await.expect(200);
        }
        ("POST", "/v1/pipelines/{id}/move") => {
            owner.post(&format!("/v1/runs/{}/cancel", scene.run), Value::Null).await.expect(200);
            return Some(json!({ "board": owner.board(team, "Another").await }));
        }
        ("POST", path) if path.ends_with("/resume") => {
            owner.post(&scene.fill(&path.replace("/resume", "/pause")), Value::Null).await.expect(200);
        }
        ("POST", "/v1/pipelines/{id}/versions/{number}/publish") => {
            owner.publish(pipeline, crate::support::one_step(), crate::support::one_file()).await.expect(200);
        }
        ("POST", path) if path.ends_with("/restore") && !path.contains("/versions/") => {
            let name = path.contains("/teams/").then(|| json!({ "name": "Home" }));
            let thing = scene.fill(path.strip_suffix("/restore").unwrap());
            owner.call(Method::DELETE, &thing, name).await.expect(204);
        }
        _ => {}
    }
    scene.body(method, path)
}

#[tokio::test]
async fn actions_in_a_team_are_audited() {
    let members: BTreeSet<_> = of_members().collect();
    let routes: Vec<_> = ROUTES.iter().filter(|(method, path, _)| members.contains(&(*method, *path))).collect();
    assert!(routes.len() > 40, "the routes of teams are the most");
    let world = World::new().await;
    let (mut log, mut wrong, mut planted) = (Log::of(&world), Vec::new(), vec![PLANTED.to_owned()]);
    let target = world.person("target").await;
    let (target_token, target_token_id) = by_token(&target).await;
    // A person owns so many teams and no more.
    for (n, routes) in routes.chunks(20).enumerate() {
        let owner = world.person(&format!("founder{n}")).await;
        let (token, token_id) = by_token(&owner).await;
        planted.extend([owner.token.clone(), owner.refresh.clone(), token.token.clone()]);
        for (method, path, told) in routes {
            let scene = Scene::new(&owner, &[], &target).await;
            let body = prepare(&scene, &owner, method, path).await;
            let (caller, id) = match *path {
                "/v1/teams/{id}/leave" => (&target_token, Some(target_token_id.as_str())),
                LOGIN_ONLY => (&owner, None),
                _ => (&token, Some(token_id.as_str())),
            };
            log.news().await;
            let (_, _, _, status) = LEAST.iter().find(|row| (row.0, row.1) == (*method, *path)).unwrap();
            let filled = scene.fill(path);
            let request =
                Request { token: Some(&caller.token), body, ..Request::new(method.parse().unwrap(), &filled) };
            let reply = world.send(request).await;
            if reply.status.as_u16() != *status {
                wrong.push(format!("{method} {path}: {} {}", reply.status, reply.text));
            } else if let Err(why) = log.look(*told, &caller.id, id).await {
                wrong.push(format!("{method} {path}: {why}"));
            }
            planted.extend(reply.body["token"].as_str().map(str::to_owned));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    log.hides(&planted).await;
}

#[tokio::test]
async fn automatic_actions_are_audited_without_an_actor() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    ann.delete(&format!("/v1/pipelines/{}", home.pipeline)).await.expect(204);
    ann.delete(&format!("/v1/boards/{}", home.board)).await.expect(204);
    world.clock.advance(purge_deleted::RETENTION + std::time::Duration::from_hours(2));
    while purge_deleted::step(&world.state).await.unwrap() > 0 {}
    let ann = world.sign_in("ann@example.com").await;
    for (thing, id, name) in [("pipeline", &home.pipeline, "Pipeline"), ("board", &home.board, "Board")] {
        let path = format!("/v1/teams/{}/audit?action={thing}.purge", home.team);
        let entries = ann.get(&path).await.expect(200);
        let [entry] = entries.items() else { panic!("{}", entries.text) };
        assert_eq!((&entry["subject"], &entry["user_id"]), (&json!(format!("{thing} {id}")), &Value::Null));
        assert_eq!((&entry["before"], &entry["after"]), (&json!({ "name": name }), &Value::Null));
    }
}

#[tokio::test]
async fn a_team_is_notified_of_a_deleted_account() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let bob = world.person("bob").await;
    bob.join(&team, Role::Editor).await;
    let proof = json!({ "password": crate::support::PASSWORD });
    bob.call(Method::DELETE, "/v1/me", Some(proof)).await.expect(204);
    let entries = ann.get(&format!("/v1/teams/{team}/audit?action=member.leave")).await.expect(200);
    let [entry] = entries.items() else { panic!("{}", entries.text) };
    assert_eq!((&entry["user_id"], &entry["before"]), (&json!(bob.id), &json!({ "role": "editor" })));
    assert_eq!(entry["details"], json!({ "reason": "the account was deleted" }));
}

#[tokio::test]
async fn a_run_is_audited_once_however_often_its_start_is_repeated() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let path = format!("/v1/pipelines/{}/runs", home.pipeline);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let reply = ann.with(Method::POST, &path, &[("idempotency-key", "once")], Some(json!({}))).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        ids.insert(reply.id());
    }
    let entries = ann.get(&format!("/v1/teams/{}/audit?action=run.", home.team)).await.expect(200);
    let [entry] = entries.items() else { panic!("{}", entries.text) };
    assert_eq!(
        vec![entry["subject"].as_str().unwrap().to_owned()],
        ids.iter().map(|id| format!("run {id}")).collect::<Vec<_>>()
    );
    let after = entry["after"].as_object().unwrap();
    assert_eq!(after.keys().collect::<Vec<_>>(), ["pipeline_id", "version_id", "status"], "ids and nothing more");
}
