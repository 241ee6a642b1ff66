//! Every route of the API's own document, called by a stranger and by nobody.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Home, Request, World};

/// Whom a route lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Anybody, without signing in.
    Public,
    /// Whoever is signed in, for what is their own.
    Own,
    /// The members of the thing's team: a stranger gets 404, for a thing that is there and for one
    /// that is not.
    Members,
}
use Reach::{Members, Own, Public};

/// Every route. One that is missing here, or is here and not in the document, fails the test.
const ROUTES: &[(&str, &str, Reach)] = &[
    ("POST", "/v1/auth/register", Public),
    ("POST", "/v1/auth/verify-email", Public),
    ("POST", "/v1/auth/login", Public),
    ("POST", "/v1/auth/refresh", Public),
    ("POST", "/v1/auth/logout", Own),
    ("POST", "/v1/auth/login/second-factor", Public),
    ("POST", "/v1/auth/oidc", Public),
    ("POST", "/v1/auth/oidc/finish", Public),
    ("POST", "/v1/auth/password-reset", Public),
    ("POST", "/v1/auth/password-reset/confirm", Public),
    ("GET", "/v1/me", Own),
    ("GET", "/v1/me/invitations", Own),
    ("POST", "/v1/me/invitations/accept", Own),
    ("POST", "/v1/me/invitations/{id}/accept", Own),
    ("POST", "/v1/me/invitations/{id}/decline", Own),
    ("GET", "/v1/permissions", Own),
    ("GET", "/v1/me/audit", Own),
    ("PATCH", "/v1/me", Own),
    ("DELETE", "/v1/me", Own),
    ("POST", "/v1/me/password", Own),
    ("GET", "/v1/me/sessions", Own),
    ("DELETE", "/v1/me/sessions", Own),
    ("DELETE", "/v1/me/sessions/{id}", Own),
    ("POST", "/v1/me/email", Own),
    ("POST", "/v1/me/email/confirm", Public),
    ("POST", "/v1/me/totp", Own),
    ("DELETE", "/v1/me/totp", Own),
    ("POST", "/v1/me/totp/confirm", Own),
    ("POST", "/v1/me/totp/recovery-codes", Own),
    ("GET", "/v1/me/api-tokens", Own),
    ("POST", "/v1/me/api-tokens", Own),
    ("DELETE", "/v1/me/api-tokens/{id}", Own),
    ("POST", "/v1/stream-tickets", Own),
    ("GET", "/v1/teams", Own),
    ("POST", "/v1/teams", Own),
    ("GET", "/v1/teams/{id}", Members),
    ("PATCH", "/v1/teams/{id}", Members),
    ("DELETE", "/v1/teams/{id}", Members),
    ("POST", "/v1/teams/{id}/restore", Members),
    ("POST", "/v1/teams/{id}/transfer", Members),
    ("POST", "/v1/teams/{id}/leave", Members),
    ("GET", "/v1/teams/{id}/members", Members),
    ("GET", "/v1/teams/{id}/members/{user}", Members),
    ("PATCH", "/v1/teams/{id}/members/{user}", Members),
    ("DELETE", "/v1/teams/{id}/members/{user}", Members),
    ("GET", "/v1/teams/{id}/roles", Members),
    ("POST", "/v1/teams/{id}/roles", Members),
    ("GET", "/v1/teams/{id}/roles/{role}", Members),
    ("PATCH", "/v1/teams/{id}/roles/{role}", Members),
    ("DELETE", "/v1/teams/{id}/roles/{role}", Members),
    ("GET", "/v1/teams/{id}/invitations", Members),
    ("POST", "/v1/teams/{id}/invitations", Members),
    ("DELETE", "/v1/teams/{id}/invitations/{invitation}", Members),
    ("GET", "/v1/teams/{id}/boards", Members),
    ("POST", "/v1/teams/{id}/boards", Members),
    ("GET", "/v1/teams/{id}/library", Members),
    ("POST", "/v1/teams/{id}/library", Members),
    ("GET", "/v1/teams/{id}/library/{name}", Members),
    ("PUT", "/v1/teams/{id}/library/{name}", Members),
    ("DELETE", "/v1/teams/{id}/library/{name}", Members),
    ("GET", "/v1/teams/{id}/library/{name}/versions", Members),
    ("GET", "/v1/teams/{id}/library/{name}/versions/{number}", Members),
    ("GET", "/v1/teams/{id}/limits", Members),
    ("GET", "/v1/teams/{id}/outbox", Members),
    ("GET", "/v1/teams/{id}/audit", Members),
    ("GET", "/v1/teams/{id}/audit/export", Members),
    ("GET", "/v1/teams/{id}/service-accounts", Members),
    ("POST", "/v1/teams/{id}/service-accounts", Members),
    ("DELETE", "/v1/teams/{id}/service-accounts/{account_id}", Members),
    ("GET", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", Members),
    ("POST", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", Members),
    ("GET", "/v1/teams/{id}/api-tokens", Members),
    ("DELETE", "/v1/teams/{id}/api-tokens/{token_id}", Members),
    ("GET", "/v1/teams/{id}/runs", Members),
    ("GET", "/v1/teams/{id}/usage", Members),
    ("GET", "/v1/boards/{id}", Members),
    ("PATCH", "/v1/boards/{id}", Members),
    ("DELETE", "/v1/boards/{id}", Members),
    ("GET", "/v1/boards/{id}/members", Members),
    ("PUT", "/v1/boards/{id}/members/{user}", Members),
    ("DELETE", "/v1/boards/{id}/members/{user}", Members),
    ("PUT", "/v1/boards/{id}/order", Members),
    ("POST", "/v1/boards/{id}/restore", Members),
    ("GET", "/v1/boards/{id}/kv", Members),
    ("GET", "/v1/boards/{id}/kv/{key}", Members),
    ("PUT", "/v1/boards/{id}/kv/{key}", Members),
    ("DELETE", "/v1/boards/{id}/kv/{key}", Members),
    ("GET", "/v1/boards/{id}/pipelines", Members),
    ("POST", "/v1/boards/{id}/pipelines", Members),
    ("GET", "/v1/pipelines/{id}", Members),
    ("PATCH", "/v1/pipelines/{id}", Members),
    ("DELETE", "/v1/pipelines/{id}", Members),
    ("POST", "/v1/pipelines/{id}/move", Members),
    ("POST", "/v1/pipelines/{id}/restore", Members),
    ("GET", "/v1/pipelines/{id}/definition", Members),
    ("PUT", "/v1/pipelines/{id}/definition", Members),
    ("GET", "/v1/pipelines/{id}/versions", Members),
    ("GET", "/v1/pipelines/{id}/versions/{number}", Members),
    ("GET", "/v1/pipelines/{id}/versions/{number}/capabilities", Members),
    ("GET", "/v1/pipelines/{id}/versions/{number}/diff/{other}", Members),
    ("POST", "/v1/pipelines/{id}/versions/{number}/publish", Members),
    ("POST", "/v1/pipelines/{id}/versions/{number}/restore", Members),
    ("GET", "/v1/pipelines/{id}/scripts", Members),
    ("GET", "/v1/pipelines/{id}/schedules", Members),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/pause", Members),
    ("POST", "/v1/pipelines/{id}/schedules/{name}/resume", Members),
    ("GET", "/v1/pipelines/{id}/runs", Members),
    ("POST", "/v1/pipelines/{id}/runs", Members),
    ("GET", "/v1/scripts/{id}", Members),
    ("GET", "/v1/scripts/{id}/versions", Members),
    ("GET", "/v1/scripts/{id}/configuration", Members),
    ("GET", "/v1/scripts/{id}/configuration/{key}", Members),
    ("PUT", "/v1/scripts/{id}/configuration/{key}", Members),
    ("DELETE", "/v1/scripts/{id}/configuration/{key}", Members),
    ("GET", "/v1/scripts/{id}/configuration/{key}/history", Members),
    ("GET", "/v1/boards/{id}/configuration", Members),
    ("GET", "/v1/boards/{id}/configuration/{key}", Members),
    ("PUT", "/v1/boards/{id}/configuration/{key}", Members),
    ("DELETE", "/v1/boards/{id}/configuration/{key}", Members),
    ("GET", "/v1/boards/{id}/configuration/{key}/history", Members),
    ("GET", "/v1/teams/{id}/configuration", Members),
    ("GET", "/v1/teams/{id}/configuration/{key}", Members),
    ("PUT", "/v1/teams/{id}/configuration/{key}", Members),
    ("DELETE", "/v1/teams/{id}/configuration/{key}", Members),
    ("GET", "/v1/teams/{id}/configuration/{key}/history", Members),
    ("POST", "/v1/scripts/{id}/check", Members),
    ("GET", "/v1/runs/{id}", Members),
    ("GET", "/v1/runs/{id}/steps", Members),
    ("GET", "/v1/runs/{id}/events", Members),
    ("GET", "/v1/runs/{id}/stream", Members),
    ("GET", "/v1/runs/{id}/artifacts", Members),
    ("GET", "/v1/runs/{id}/artifacts/{artifact_id}", Members),
    ("POST", "/v1/runs/{id}/cancel", Members),
    ("PUT", "/v1/runs/{id}/keep", Members),
    ("DELETE", "/v1/runs/{id}/keep", Members),
    ("DELETE", "/v1/runs/{id}", Members),
];

/// The routes that are for the members of a team.
pub(crate) fn of_members() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().filter(|(_, _, reach)| *reach == Members).map(|(method, path, _)| (*method, *path))
}

/// A body that the route takes.
pub(crate) fn body(method: &str, path: &str) -> Option<Value> {
    let definition = json!({ "definition": crate::support::one_step(), "files": crate::support::one_file() });
    Some(match (method, path) {
        ("POST", "/v1/stream-tickets") => json!({ "path": "/v1/runs/x/stream" }),
        (
            "POST",
            "/v1/teams"
            | "/v1/teams/{id}/boards"
            | "/v1/boards/{id}/pipelines"
            | "/v1/teams/{id}/service-accounts/{account_id}/api-tokens",
        )
        | ("PATCH", "/v1/teams/{id}" | "/v1/boards/{id}" | "/v1/pipelines/{id}" | "/v1/teams/{id}/roles/{role}") => {
            json!({ "name": "Name" })
        }
        ("DELETE", "/v1/teams/{id}") => json!({ "name": "Home" }),
        ("POST", "/v1/teams/{id}/transfer") => json!({ "user_id": "019a0000-0000-7000-8000-000000000000" }),
        ("POST", "/v1/teams/{id}/roles") => json!({ "name": "Name", "permissions": [] }),
        ("POST", "/v1/teams/{id}/invitations") => json!({ "email": "eve@example.com", "role": "viewer" }),
        ("PATCH", "/v1/teams/{id}/members/{user}") | ("PUT", "/v1/boards/{id}/members/{user}") => {
            json!({ "role": "viewer" })
        }
        ("POST", "/v1/me/invitations/accept") => json!({ "token": "x" }),
        ("POST", "/v1/teams/{id}/library") => json!({ "name": "name", "source": "return 1" }),
        ("PUT", "/v1/teams/{id}/library/{name}") => json!({ "source": "return 1" }),
        ("PUT", "/v1/boards/{id}/order") => json!({ "pipeline": "0198c8f0-0000-7000-8000-000000000001" }),
        ("POST", "/v1/pipelines/{id}/move") => json!({ "board": "0198c8f0-0000-7000-8000-000000000001" }),
        ("PUT", "/v1/pipelines/{id}/definition") => definition,
        ("POST", "/v1/pipelines/{id}/runs" | "/v1/pipelines/{id}/versions/{number}/restore") => json!({}),
        ("PUT", path) if path.ends_with("/{key}") => json!({ "value": "value" }),
        ("POST", "/v1/scripts/{id}/check") => json!({ "source": "" }),
        ("POST", "/v1/teams/{id}/service-accounts") => json!({ "name": "Name", "role": "viewer" }),
        _ => return None,
    })
}

/// What a WebSocket's handshake carries: without it the route is not reached.
pub(crate) fn headers(path: &str) -> Vec<(&'static str, String)> {
    if !path.ends_with("/stream") {
        return Vec::new();
    }
    [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[tokio::test]
async fn the_table_is_the_document() {
    let world = World::new().await;
    let document = world.anonymous(Method::GET, "/v1/openapi.json", None).await.expect(200).body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let public = ROUTES.contains(&(&method, path, Public));
            let open = operation["security"].as_array().unwrap().iter().any(|scheme| scheme == &json!({}));
            assert_eq!(open, public, "{method} {path} says otherwise about its credentials");
            assert!(operation["responses"]["default"].is_object(), "{method} {path} documents no problem");
            documented.insert((method, path.clone()));
        }
    }
    let table: BTreeSet<(String, String)> =
        ROUTES.iter().map(|(method, path, _)| ((*method).into(), (*path).into())).collect();
    assert_eq!(table, documented);
}

#[tokio::test]
async fn a_stranger_gets_404_and_nobody_401() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
    let eve = world.person("eve").await;
    Home::of(&eve).await; // a team of her own helps her nothing
    let before = world.count("audit_log").await;
    for (method, path, reach) in ROUTES.iter().filter(|(_, _, reach)| *reach != Public) {
        let verb: Method = method.parse().unwrap();
        let id = match path.split('/').nth(2).unwrap() {
            "teams" | "me" => &home.team, // for the latter any id would do
            "boards" => &home.board,
            "pipelines" => &home.pipeline,
            "scripts" => &home.script,
            "runs" => &run,
            _ => "",
        };
        let other = world.state.ambient.uuid().to_string();
        let fill = |id: &str| {
            let filled = path.replace("{id}", id).replace("{number}", "1").replace("{key}", "KEY");
            let filled = filled.replace("{user}", &ann.id).replace("{role}", "editor");
            let filled = filled.replace("{other}", "1").replace("{name}", "name");
            let filled = filled.replace("{artifact_id}", &other).replace("{invitation}", &other);
            filled.replace("{account_id}", &other).replace("{token_id}", &other)
        };
        let route_body = body(method, path);
        let nobody = world
            .send(Request { headers: headers(path), body: route_body.clone(), ..Request::new(verb.clone(), &fill(id)) })
            .await;
        assert_eq!(nobody.status, 401, "{method} {path} without a token: {}", nobody.text);
        nobody.problem("unauthorized");
        if *reach != Members {
            continue;
        }
        let mut answers = Vec::new();
        for id in [id, other.as_str(), "not-a-uuid"] {
            let reply = world
                .send(Request {
                    token: Some(&eve.token),
                    headers: headers(path),
                    body: route_body.clone(),
                    ..Request::new(verb.clone(), &fill(id))
                })
                .await;
            assert_eq!(reply.status, 404, "{method} {path} for a stranger: {}", reply.text);
            let mut body = reply.problem("not_found").body;
            body.as_object_mut().unwrap().remove("request_id");
            answers.push(body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {path}: {answers:?}");
    }
    assert_eq!(world.count("audit_log").await, before, "a stranger changed something");
    ann.get(&format!("/v1/runs/{run}")).await.expect(200);
}
