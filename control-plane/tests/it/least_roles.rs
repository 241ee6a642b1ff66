//! Every route of a team, called as each built-in role: who is refused, and what the least of those
//! who are not gets.

use std::collections::BTreeSet;

use reqwest::Method;
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::{
    strangers::{body, headers, of_members},
    support::{Home, Person, Reply, Request, World, one_file, one_step},
};

use Role::{Admin, Editor, Operator, Owner, Viewer};

/// The least role that a route takes, and what it gets. One that is missing here, or is here and not
/// among the routes of members, fails the test.
pub(crate) const LEAST: &[(&str, &str, Role, u16)] = &[
    ("GET", "/v1/teams/{id}", Viewer, 200),
    ("PATCH", "/v1/teams/{id}", Admin, 200),
    ("DELETE", "/v1/teams/{id}", Owner, 204),
    ("POST", "/v1/teams/{id}/restore", Owner, 200),
    ("POST", "/v1/teams/{id}/transfer", Owner, 200),
    ("POST", "/v1/teams/{id}/leave", Viewer, 204),
    ("GET", "/v1/teams/{id}/members", Viewer, 200),
    ("GET", "/v1/teams/{id}/members/{user}", Viewer, 200),
    ("PATCH", "/v1/teams/{id}/members/{user}", Admin, 200),
    ("DELETE", "/v1/teams/{id}/members/{user}", Admin, 204),
    ("GET", "/v1/teams/{id}/roles", Viewer, 200),
    ("POST", "/v1/teams/{id}/roles", Admin, 201),
    ("GET", "/v1/teams/{id}/roles/{role}", Viewer, 200),
    ("PATCH", "/v1/teams/{id}/roles/{role}", Admin, 200),
    ("DELETE", "/v1/teams/{id}/roles/{role}", Admin, 204),
    ("GET", "/v1/teams/{id}/invitations", Admin, 200),
    ("POST", "/v1/teams/{id}/invitations", Admin, 201),
    ("DELETE", "/v1/teams/{id}/invitations/{invitation}", Admin, 204),
    ("GET", "/v1/teams/{id}/boards", Viewer, 200),
    ("POST", "/v1/teams/{id}/boards", Editor, 201),
    ("GET", "/v1/teams/{id}/library", Viewer, 200),
    ("POST", "/v1/teams/{id}/library", Editor, 201),
    ("GET", "/v1/teams/{id}/library/{name}", Viewer, 200),
    ("PUT", "/v1/teams/{id}/library/{name}", Editor, 200),
    ("DELETE", "/v1/teams/{id}/library/{name}", Editor, 204),
    ("GET", "/v1/teams/{id}/library/{name}/versions", Viewer, 200),
    ("GET", "/v1/teams/{id}/library/{name}/versions/{number}", Viewer, 200),
    ("GET", "/v1/teams/{id}/configuration", Viewer, 200),
    ("GET", "/v1/teams/{id}/configuration/{key}", Viewer, 200),
    ("PUT", "/v1/teams/{id}/configuration/{key}", Editor, 200),
    ("DELETE", "/v1/teams/{id}/configuration/{key}", Editor, 204),
    ("GET", "/v1/teams/{id}/configuration/{key}/history", Viewer, 200),
    ("GET", "/v1/teams/{id}/limits", Viewer, 200),
    ("GET", "/v1/teams/{id}/usage", Viewer, 200),
    ("GET", "/v1/teams/{id}/audit", Admin, 200),
    ("GET", "/v1/teams/{id}/audit/export", Admin, 200),
    ("GET", "/v1/teams/{id}/outbox", Operator, 200),
    ("GET", "/v1/teams/{id}/runs", Viewer, 200),
    ("GET", "/v1/teams/{id}/service-accounts", Viewer, 200),
    ("POST", "/v1/teams/{id}/service-accounts", Admin, 201),
    ("DELETE", "/v1/teams/{id}/service-accounts/{account_id}", Admin, 204),
    ("GET", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", Admin, 200),
    ("POST", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", Admin, 201),
    ("GET", "/v1/teams/{id}/api-tokens", Admin, 200),
    ("DELETE", "/v1/teams/{id}/api-tokens/{token_id}", Admin, 204),
    ("GET", "/v1/boards/{id}", Viewer, 200),
    ("PATCH", "/v1/boards/{id}", Editor, 200),
    ("DELETE", "/v1/boards/{id}", Admin, 204),
    ("GET", "/v1/boards/{id}/members", Viewer, 200),
    ("PUT", "/v1/boards/{id}/members/{user}", Admin, 200),
    ("DELETE", "/v1/boards/{id}/members/{user}", Admin, 204),
    ("POST", "/v1/boards/{id}/restore", Admin, 200),
    ("PUT", "/v1/boards/{id}/order", Editor, 204),
    ("GET", "/v1/boards/{id}/configuration", Viewer, 200),
    ("GET", "/v1/boards/{id}/configuration/{key}", Viewer, 200),
    ("PUT", "/v1/boards/{id}/configuration/{key}", Editor, 200),
    ("DELETE", "/v1/boards/{id}/configuration/{key}", Editor, 204),
    ("GET", "/v1/boards/{id}/configuration/{key}/history", Viewer, 200),
    ("GET", "/v1/boards/{id}/kv", Viewer, 200),
    ("GET", "/v1/boards/{id}/kv/{key}", Viewer, 200),
    ("PUT", "/v1/boards/{id}/kv/{key}", Editor, 200),
    ("DELETE", "/v1/boards/{id}/kv/{key}", Editor, 204),
    ("GET", "/v1/boards/{id}/pipelines", Viewer, 200),
    ("POST", "/v1/boards/{id}/pipelines", Editor, 201),
    ("GET", "/v1/pipelines/{id}", Viewer, 200),
    ("PATCH", "/v1/pipelines/{id}", Editor, 200),
    ("DELETE", "/v1/pipelines/{id}", Editor, 204),
    ("POST", "/v1/pipelines/{id}/move", Editor, 200),
    ("POST", "/v1/pipelines/{id}/restore", Editor, 200),
    ("GET", "/v1/pipelines/{id}/definition", Viewer, 200),
    ("PUT", "/v1/pipelines/{id}/definition", Editor, 200),
    ("GET", "/v1/pipelines/{id}/versions", Viewer, 200),
    ("GET", "/v1/pipelines/{id}/versions/{number}", Viewer, 200),
    ("POST", "/v1/pipelines/{id}/versions/{number}/publish", Editor, 200),
    ("GET", "/v1/pipelines/{id}/versions/{number}/capabilities", Viewer, 200),
    ("GET", "/v1/pipelines/{id}/versions/{number}/diff/{other}", Viewer, 200),
    ("POST", "/v1/pipelines/{id}/versions/{number}/restore", Editor, 201),
    ("GET", "/v1/pipelines/{id}/scripts", Viewer, 200),
    ("GET", "/v1/pipelines/{id}/schedules", Viewer, 200),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/pause", Editor, 200),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/resume", Editor, 200),
    ("GET", "/v1/pipelines/{id}/runs", Viewer, 200),
    ("POST", "/v1/pipelines/{id}/runs", Operator, 202),
    ("GET", "/v1/scripts/{id}", Viewer, 200),
    ("GET", "/v1/scripts/{id}/versions", Viewer, 200),
    ("GET", "/v1/scripts/{id}/configuration", Viewer, 200),
    ("GET", "/v1/scripts/{id}/configuration/{key}", Viewer, 200),
    ("GET", "/v1/scripts/{id}/configuration/{key}/history", Viewer, 200),
    ("PUT", "/v1/scripts/{id}/configuration/{key}", Editor, 200),
    ("DELETE", "/v1/scripts/{id}/configuration/{key}", Editor, 204),
    ("POST", "/v1/scripts/{id}/check", Viewer, 200),
    ("GET", "/v1/runs/{id}", Viewer, 200),
    ("GET", "/v1/runs/{id}/steps", Viewer, 200),
    ("GET", "/v1/runs/{id}/events", Viewer, 200),
    ("GET", "/v1/runs/{id}/stream", Viewer, 101),
    ("GET", "/v1/runs/{id}/artifacts", Viewer, 200),
    ("GET", "/v1/runs/{id}/artifacts/{artifact_id}", Viewer, 404),
    ("POST", "/v1/runs/{id}/cancel", Operator, 200),
    ("PUT", "/v1/runs/{id}/keep", Editor, 200),
    ("DELETE", "/v1/runs/{id}/keep", Editor, 200),
    ("DELETE", "/v1/runs/{id}", Editor, 204),
];

/// A team with something of everything that a route is called on.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) run: String,
    target: String,
    role: String,
    invitation: String,
    robot: String,
    token: String,
}

impl Scene {
    pub(crate) async fn new(owner: &Person<'_>, people: &[(Role, Person<'_>)], target: &Person<'_>) -> Self {
        let home = Home::of(owner).await;
        for (role, person) in people {
            person.join(&home.team, *role).await;
        }
        target.join(&home.team, Viewer).await;
        let mut scheduled = one_step();
        scheduled["schedules"] = json!({ "name": { "cron": "0 8 * * MON" } });
        owner.publish(&home.pipeline, scheduled, one_file()).await.expect(200);
        let run = owner.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
        for place in [
            format!("/v1/scripts/{}/configuration", home.script),
            format!("/v1/boards/{}/configuration", home.board),
            format!("/v1/teams/{}/configuration", home.team),
            format!("/v1/boards/{}/kv", home.board),
        ] {
            owner.put(&format!("{place}/KEY"), json!({ "value": "value" })).await.expect(200);
        }
        let module = json!({ "name": "name", "source": "return 1" });
        owner.post(&format!("/v1/teams/{}/library", home.team), module).await.expect(201);
        let roles = format!("/v1/teams/{}/roles", home.team);
        let role = owner.post(&roles, json!({ "name": "Own", "permissions": [] })).await.expect(201).id();
        let invitations = format!("/v1/teams/{}/invitations", home.team);
        let new = json!({ "email": "carl@example.com", "role": "viewer" });
        let invitation = owner.post(&invitations, new).await.expect(201).id();
        let on_board = format!("/v1/boards/{}/members/{}", home.board, target.id);
        owner.put(&on_board, json!({ "role": "viewer" })).await.expect(200);
        let robots = format!("/v1/teams/{}/service-accounts", home.team);
        let robot = owner.post(&robots, json!({ "name": "Robot", "role": "viewer" })).await.expect(201).id();
        let tokens = format!("{robots}/{robot}/api-tokens");
        let token = owner.post(&tokens, json!({ "name": "CI" })).await.expect(201).id();
        Self { home, run, target: target.id.clone(), role, invitation, robot, token }
    }

    pub(crate) fn fill(&self, path: &str) -> String {
        let id = match path.split('/').nth(2).unwrap() {
            "teams" => &self.home.team,
            "boards" => &self.home.board,
            "pipelines" => &self.home.pipeline,
            "scripts" => &self.home.script,
            "runs" => &self.run,
            other => panic!("what is of `{other}`?"),
        };
        let filled = path.replace("{id}", id).replace("{number}", "1").replace("{other}", "1").replace("{key}", "KEY");
        let filled = filled.replace("{name}", "name");
        let filled = filled.replace("{user}", &self.target).replace("{role}", &self.role);
        let filled = filled.replace("{account_id}", &self.robot).replace("{token_id}", &self.token);
        filled.replace("{invitation}", &self.invitation).replace("{artifact_id}", &self.target)
    }

    pub(crate) fn body(&self, method: &str, path: &str) -> Option<Value> {
        match path {
            "/v1/teams/{id}/transfer" => Some(json!({ "user_id": self.target })),
            "/v1/teams/{id}/library" if method == "POST" => Some(json!({ "name": "another", "source": "return 1" })),
            "/v1/boards/{id}/order" => Some(json!({ "pipeline": self.home.pipeline })),
            "/v1/pipelines/{id}/move" => Some(json!({ "board": self.home.board })),
            _ => body(method, path),
        }
    }

    async fn call(&self, person: &Person<'_>, method: &str, path: &str) -> Reply {
        let verb: Method = method.parse().unwrap();
        let (filled, body) = (self.fill(path), self.body(method, path));
        let request =
            Request { token: Some(&person.token), headers: headers(path), body, ..Request::new(verb, &filled) };
        person.world.send(request).await
    }
}

#[tokio::test]
async fn each_role_gets_what_the_table_says() {
    let table: BTreeSet<(&str, &str)> = LEAST.iter().map(|(method, path, ..)| (*method, *path)).collect();
    assert_eq!(table, of_members().collect(), "the table is the routes of members");

    let world = World::new().await;
    let mut people = Vec::new();
    for role in Role::ALL.iter().rev() {
        people.push((*role, world.person(&format!("a-{role}")).await));
    }
    let target = world.person("target").await;
    let mut wrong = Vec::new();
    // A person owns so many teams and no more.
    for (n, routes) in LEAST.chunks(20).enumerate() {
        let founder = world.person(&format!("founder{n}")).await;
        for (method, path, least, status) in routes {
            let scene = Scene::new(&founder, &people, &target).await;
            if let Some(thing) = path.strip_suffix("/restore").filter(|thing| !thing.contains("/versions/")) {
                let name = thing.contains("/teams/").then(|| json!({ "name": "Home" }));
                founder.call(Method::DELETE, &scene.fill(thing), name).await.expect(204);
            }
            if (*method, *path) == ("DELETE", "/v1/runs/{id}") {
                founder.post(&format!("/v1/runs/{}/cancel", scene.run), Value::Null).await.expect(200);
            }
            let before = world.count("audit_log").await;
            let place = people.iter().position(|(role, _)| role == least).unwrap();
            for (role, person) in &people[..place] {
                let reply = scene.call(person, method, path).await;
                if reply.status != 403 || reply.body["code"] != "forbidden" {
                    wrong.push(format!("{method} {path} as {role}: {} instead of 403", reply.status));
                }
            }
            if world.count("audit_log").await != before {
                wrong.push(format!("{method} {path}: who was refused changed something"));
            }
            let mightier = if *method == "GET" { people.len() } else { place + 1 };
            for (role, person) in &people[place..mightier] {
                let reply = scene.call(person, method, path).await;
                if reply.status != *status {
                    wrong.push(format!(
                        "{method} {path} as {role}: {} instead of {status}: {}",
                        reply.status, reply.text
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
