//! JSON that is small as text and large as a tree, on every route that takes JSON.

use futures_util::{StreamExt as _, stream};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::Neighbours;
use crate::{process::http, world::Tenant};

/// Texts of up to 2 MiB that become, or would become, very much.
fn bombs() -> Vec<(&'static str, String)> {
    let whole = |part: &str, times: usize| format!("{{\"params\":{{\"a\":[{}0]}}}}", part.repeat(times));
    vec![
        ("objects", whole("{\"\":0},", 299_000)),
        ("arrays", whole("[0],", 500_000)),
        ("numbers", whole("0,", 1_000_000)),
        ("deep", "{\"a\":".repeat(300_000)),
        ("deep arrays", format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))),
        ("chains", whole(&format!("{}0{},", "{\"a\":".repeat(90), "}".repeat(90)), 3_800)),
        ("cut off", whole("{\"\":0},", 299_000).trim_end_matches('}').to_owned()),
        ("names", format!("{{{}\"z\":0}}", (0..180_000).map(|n| format!("\"{n}\":0,")).collect::<Vec<_>>().concat())),
    ]
}

/// A route of the API that takes JSON, with ids in it.
fn routes(document: &Value, tenant: &Tenant, pipeline: &str) -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["requestBody"]["content"]["application/json"].is_null() {
                continue;
            }
            let id = match path.split('/').nth(2) {
                Some("teams") => tenant.team.to_string(),
                Some("boards") => tenant.board.to_string(),
                _ => pipeline.to_owned(),
            };
            let path = path.replacen("{id}", &id, 1);
            let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
            routes.push((method.to_uppercase().parse().unwrap(), path.join("/")));
        }
    }
    routes
}

async fn token(http: &Client, url: &str, name: &str) -> String {
    let body = json!({ "email": format!("{name}@example.com"), "password": format!("password of {name}") });
    let answer = http.post(format!("{url}/v1/auth/login")).json(&body).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_route_builds_a_tree_of_what_is_too_much() {
    let mut neighbours = Neighbours::new(&[]).await;
    let http = http();
    let url = neighbours.server.url.clone();
    let pipeline = neighbours.attacker.push_script("small", "return params.a", json!({})).await.to_string();
    let document: Value = http.get(format!("{url}/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
    let routes = routes(&document, &neighbours.attacker, &pipeline);
    assert!(routes.len() > 30, "{routes:?}");
    let token = token(&http, &url, "attacker").await;
    let bombs = bombs();
    let answers = neighbours
        .during(async |_| {
            // Each bomb at each route, on the longest-bodied all of them.
            let mut requests = Vec::new();
            for (at, (method, path)) in routes.iter().enumerate() {
                let all = path.ends_with("/runs") || path.ends_with("/definition") || path.contains("/kv/");
                for (number, (name, body)) in bombs.iter().enumerate() {
                    if all || at % bombs.len() == number {
                        requests.push((method.clone(), path.clone(), *name, body.clone()));
                    }
                }
            }
            let send = |(method, path, name, body): (Method, String, &'static str, String)| {
                let request = http.request(method.clone(), format!("{url}{path}"));
                let request = request.bearer_auth(&token).header("content-type", "application/json").body(body);
                async move { (method, path, name, request.send().await.map(|answer| answer.status())) }
            };
            stream::iter(requests).map(send).buffer_unordered(8).collect::<Vec<_>>().await
        })
        .await;
    for (method, path, name, status) in answers {
        // A connection may be closed before a body is sent to its end that is refused at once.
        let Ok(status) = status else { continue };
        let refused = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(refused, "{method} {path} with {name}: {status}");
    }
}

#[tokio::test]
async fn parameters_within_their_limits_do_not_exhaust_memory_together() {
    let mut neighbours = Neighbours::new(&[]).await;
    let http = http();
    let url = neighbours.server.url.clone();
    let pipeline = neighbours.attacker.push_script("small", "return 1", json!({})).await;
    let token = token(&http, &url, "attacker").await;
    let body = format!("{{\"params\":{{\"a\":[{}0]}}}}", "{\"\":0},".repeat(49_000));
    let statuses = neighbours
        .during(async |_| {
            let send = |_: usize| {
                let request = http.post(format!("{url}/v1/pipelines/{pipeline}/runs")).bearer_auth(&token);
                let request = request.header("content-type", "application/json").body(body.clone());
                async move { request.send().await.unwrap().status() }
            };
            stream::iter(0..24).map(send).buffer_unordered(12).collect::<Vec<_>>().await
        })
        .await;
    for status in statuses {
        let known = [StatusCode::ACCEPTED, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        assert!(known.contains(&status), "{status}");
    }
}
