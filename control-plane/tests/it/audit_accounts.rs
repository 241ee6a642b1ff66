//! What is done to an account, from its registration to its end, and what it leaves in the audit log.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use restroy_control_plane::sql;
use serde_json::{Value, json};

use crate::{
    audit_routes::{Log, ROUTES},
    second_factor::code,
    strangers::of_members,
    support::{PASSWORD, Person, Reply, Request, World},
};

const NEW_PASSWORD: &str = "battery staple horse";
const LAST_PASSWORD: &str = "horse staple battery";

/// A person who goes through every route of accounts.
struct Course<'a> {
    world: &'a World,
    log: Log<'a>,
    email: &'static str,
    /// The access token.
    token: Option<String>,
    done: BTreeSet<(&'static str, &'static str)>,
    wrong: Vec<String>,
    /// What must not be found in the log.
    planted: Vec<String>,
}

impl Course<'_> {
    /// Calls a route, and looks what it leaves.
    async fn call(&mut self, method: &'static str, route: &'static str, id: &str, body: Value) -> Reply {
        let told = ROUTES.iter().find(|row| (row.0, row.1) == (method, route)).map(|row| row.2);
        let told = told.unwrap_or_else(|| panic!("{method} {route} is in no table"));
        self.log.news().await;
        let reply = self.send(method, &route.replace("{id}", id), body).await;
        assert!(reply.status.is_success(), "{method} {route}: {}", reply.text);
        let user = self.id().await;
        if let Err(why) = self.log.look(told, &user, None).await {
            self.wrong.push(format!("{method} {route}: {why}"));
        }
        self.done.insert((method, route));
        reply
    }

    async fn send(&mut self, method: &str, path: &str, body: Value) -> Reply {
        let body = Some(body).filter(|body| !body.is_null());
        let verb = method.parse().unwrap();
        let reply = self.world.send(Request { token: self.token.as_deref(), body, ..Request::new(verb, path) }).await;
        for field in ["access_token", "refresh_token", "token", "secret", "ticket", "challenge"] {
            self.planted.extend(reply.body[field].as_str().map(str::to_owned));
        }
        let codes = reply.body["recovery_codes"].as_array().into_iter().flatten();
        self.planted.extend(codes.filter_map(|code| code.as_str().map(str::to_owned)));
        reply
    }

    /// The account's id.
    async fn id(&self) -> String {
        let mut tx = self.world.state.db.system_read().await.unwrap();
        let select = "SELECT id FROM users WHERE email = $1";
        let id: restroy_sdk::ids::UserId =
            sql!(&mut tx, fetch_one, sqlx::query_scalar(select).bind(self.email)).unwrap();
        id.to_string()
    }

    /// Signs in, without a second factor.
    async fn login(&mut self, password: &str) -> Reply {
        self.token = None;
        let body = json!({ "email": self.email, "password": password });
        let tokens = self.call("POST", "/v1/auth/login", "", body).await;
        self.token = Some(tokens.body["access_token"].as_str().unwrap().to_owned());
        tokens
    }

    /// The newest tokens that were mailed to an address, the last `count` of them.
    async fn mailed(&mut self, count: usize) -> Vec<String> {
        let mut tx = self.world.state.db.system_read().await.unwrap();
        let texts: Vec<String> =
            sql!(&mut tx, fetch_all, sqlx::query_scalar("SELECT body_text FROM outbox ORDER BY id")).unwrap();
        let token = |text: &String| Some(text.split_once('#')?.1.split_whitespace().next()?.to_owned());
        let mut tokens: Vec<String> = texts.iter().filter_map(token).collect();
        self.planted.extend(tokens.iter().cloned());
        tokens.split_off(tokens.len() - count)
    }
}

#[tokio::test]
async fn actions_on_an_account_are_audited() {
    let world = World::with(|_| {}).await;
    let host = host(&world).await;
    let mut ann = Course {
        world: &world,
        log: Log::of(&world),
        email: "ann@example.com",
        token: None,
        done: BTreeSet::new(),
        wrong: Vec::new(),
        planted: [PASSWORD, NEW_PASSWORD, LAST_PASSWORD, "$argon2", "moved@example.com"].map(str::to_owned).into(),
    };
    let account = json!({ "email": ann.email, "password": PASSWORD, "name": "ann" });
    ann.call("POST", "/v1/auth/register", "", account).await;
    let token = ann.mailed(1).await.remove(0);
    ann.call("POST", "/v1/auth/verify-email", "", json!({ "token": token, "password": PASSWORD })).await;
    let tokens = ann.login(PASSWORD).await.body;
    ann.call("POST", "/v1/auth/refresh", "", json!({ "refresh_token": tokens["refresh_token"] })).await;
    ann.call("PATCH", "/v1/me", "", json!({ "name": "Ann", "about": "Somebody" })).await;

    let made = ann.call("POST", "/v1/me/api-tokens", "", json!({ "name": "CI", "password": PASSWORD })).await.id();
    ann.call("DELETE", "/v1/me/api-tokens/{id}", &made, Value::Null).await;
    let body = json!({ "email": "moved@example.com", "password": PASSWORD });
    ann.call("POST", "/v1/me/email", "", body).await;
    let confirmations = ann.mailed(2).await;
    ann.send("POST", "/v1/me/email/confirm", json!({ "token": confirmations[0] })).await.expect(200);
    // Its account is looked for by the address that it has then.
    ann.email = "moved@example.com";
    let changed = ann.call("POST", "/v1/me/email/confirm", "", json!({ "token": confirmations[1] })).await;
    assert_eq!(changed.body["status"], "changed");
    let body = json!({ "password": PASSWORD, "new_password": NEW_PASSWORD });
    ann.call("POST", "/v1/me/password", "", body).await;

    second_factor(&mut ann).await;
    sessions(&mut ann).await;
    invitations(&mut ann, &host).await;

    ann.call("POST", "/v1/auth/password-reset", "", json!({ "email": ann.email })).await;
    let token = ann.mailed(1).await.remove(0);
    let body = json!({ "token": token, "password": LAST_PASSWORD });
    ann.call("POST", "/v1/auth/password-reset/confirm", "", body).await;
    ann.login(LAST_PASSWORD).await;
    ann.call("POST", "/v1/teams", "", json!({ "name": "Her own" })).await;
    let path = "/v1/runs/019a0000-0000-7000-8000-000000000000/stream";
    ann.call("POST", "/v1/stream-tickets", "", json!({ "path": path })).await;
    ann.call("POST", "/v1/auth/logout", "", Value::Null).await;
    ann.login(LAST_PASSWORD).await;
    ann.call("DELETE", "/v1/me", "", json!({ "password": LAST_PASSWORD })).await;

    assert!(ann.wrong.is_empty(), "{:#?}", ann.wrong);
    let members: BTreeSet<_> = of_members().collect();
    let all: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| (*method, *path)).collect();
    // An OpenID provider stands beside the tests of it.
    let rest: Vec<_> = all.difference(&members).filter(|(_, path)| !path.starts_with("/v1/auth/oidc")).collect();
    assert_eq!(rest, ann.done.iter().collect::<Vec<_>>(), "every route that is of no team");
    let planted = std::mem::take(&mut ann.planted);
    assert!(planted.len() > 40, "what was handed out was kept: {}", planted.len());
    ann.log.hides(&planted).await;
}

/// Somebody with a team, who signed up before.
async fn host(world: &World) -> Person<'_> {
    let account = json!({ "email": "host@example.com", "password": PASSWORD, "name": "host" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
    let mut tx = world.state.db.system_write().await.unwrap();
    let now = world.state.ambient.now();
    let verified = "UPDATE users SET email_verified_at = $1";
    sql!(&mut tx, execute, sqlx::query(verified).bind(now)).unwrap();
    let read = "UPDATE outbox SET body_text = 'it was read'";
    sql!(&mut tx, execute, sqlx::query(read)).unwrap();
    tx.commit().await.unwrap();
    world.sign_in("host@example.com").await
}

async fn second_factor(ann: &mut Course<'_>) {
    let begun = ann.call("POST", "/v1/me/totp", "", json!({ "password": NEW_PASSWORD })).await;
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    let shown = code(ann.world, &secret, 0);
    ann.call("POST", "/v1/me/totp/confirm", "", json!({ "code": shown })).await;
    ann.world.clock.advance(Duration::from_secs(30));
    let body = json!({ "email": ann.email, "password": NEW_PASSWORD });
    let asked = ann.send("POST", "/v1/auth/login", body).await.problem("second_factor_required");
    let body = json!({ "challenge": asked.body["challenge"], "code": code(ann.world, &secret, 0) });
    ann.call("POST", "/v1/auth/login/second-factor", "", body).await;
    ann.call("POST", "/v1/me/totp/recovery-codes", "", json!({ "password": NEW_PASSWORD })).await;
    ann.call("DELETE", "/v1/me/totp", "", json!({ "password": NEW_PASSWORD })).await;
}

async fn sessions(ann: &mut Course<'_>) {
    let old = ann.login(NEW_PASSWORD).await.body["session_id"].as_str().unwrap().to_owned();
    ann.login(NEW_PASSWORD).await;
    ann.call("DELETE", "/v1/me/sessions/{id}", &old, Value::Null).await;
    ann.call("DELETE", "/v1/me/sessions", "", Value::Null).await;
}

async fn invitations(ann: &mut Course<'_>, host: &Person<'_>) {
    for (route, leaves) in [
        ("/v1/me/invitations/{id}/accept", true),
        ("/v1/me/invitations/{id}/decline", false),
        ("/v1/me/invitations/accept", false),
    ] {
        let team = host.team("Host's").await;
        // For the address as it was typed: the log of a team has it, that of an account has not.
        let new = json!({ "email": "MOVED@example.com", "role": "viewer" });
        let invitation = host.post(&format!("/v1/teams/{team}/invitations"), new).await.expect(201).id();
        let body = match route {
            "/v1/me/invitations/accept" => json!({ "token": ann.mailed(1).await.remove(0) }),
            _ => Value::Null,
        };
        ann.call("POST", route, &invitation, body).await;
        if leaves {
            ann.send("POST", &format!("/v1/teams/{team}/leave"), Value::Null).await.expect(204);
        }
    }
}
