//! The way in: floods of registrations, resets, sign-ins, invitations and requests, made-up addresses of callers, and
//! scripts that use the installation's e-mail, or what they did not declare.

use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use restroy_sdk::status::RunStatus;
use serde_json::{Value, json};

use super::Neighbours;
use crate::process::http;

/// How many requests of a flood are under way at once.
const AT_ONCE: usize = 50;

/// Sends so many requests; gives how many were answered with each status.
async fn flood(
    times: usize,
    request: impl Fn(&Client, usize) -> reqwest::RequestBuilder,
) -> std::collections::BTreeMap<u16, usize> {
    let client = http();
    let mut answers = std::collections::BTreeMap::new();
    for first in (0..times).step_by(AT_ONCE) {
        let burst = (first..times.min(first + AT_ONCE)).map(|n| request(&client, n).send());
        for answer in join_all(burst).await {
            *answers.entry(answer.expect("the server answers").status().as_u16()).or_default() += 1;
        }
    }
    answers
}

/// A POST that says it comes through a proxy from an address of its own.
fn from_everywhere(client: &Client, url: &str, path: &str, n: usize, body: &Value) -> reqwest::RequestBuilder {
    let forwarded = format!("2001:db8:{:x}::1", n % 0xffff);
    client.request(Method::POST, format!("{url}{path}")).header("x-forwarded-for", forwarded).json(body)
}

#[tokio::test]
async fn floods_of_strangers_are_turned_away() {
    let mut neighbours = Neighbours::new(&[]).await;
    let url = neighbours.server.url.clone();
    for (path, body) in [
        ("/v1/auth/register", json!({ "password": "correct horse battery", "name": "Eve" })),
        ("/v1/auth/password-reset", json!({})),
        ("/v1/auth/login", json!({ "password": "correct horse battery" })),
        ("/v1/auth/verify-email", json!({ "token": "x", "password": "correct horse battery" })),
    ] {
        let answers = neighbours
            .during(async |_| {
                flood(400, |client, n| {
                    let mut body = body.clone();
                    if body.get("token").is_none() {
                        body["email"] = json!(format!("nobody{n}@example.net"));
                    }
                    from_everywhere(client, &url, path, n, &body)
                })
                .await
            })
            .await;
        // Whatever they write into X-Forwarded-For, they come from one address.
        assert!(answers.get(&429).is_some_and(|refused| *refused >= 200), "{path}: {answers:?}");
        assert!(answers.keys().all(|status| *status < 500 || *status == 503), "{path}: {answers:?}");
    }
}

#[tokio::test]
async fn requests_of_people_do_not_keep_leases_from_being_renewed() {
    let mut neighbours = Neighbours::new(&[]).await;
    let url = neighbours.server.url.clone();
    let answers =
        neighbours.during(async |_| flood(3_000, |client, n| client.get(format!("{url}/v1/runs/{n}"))).await).await;
    assert!(answers.keys().all(|status| *status < 500), "{answers:?}");
}

#[tokio::test]
async fn scripts_send_no_more_than_their_team_may() {
    let mut neighbours = Neighbours::new(&[]).await;
    let mails = "local sent, refused = 0, 0
        for i = 1, 300 do
            local ok, problem = pcall(email.send, {to = 'a' .. i .. '@example.net', subject = 'x', text = 'x'})
            if ok then sent = sent + 1 else refused = refused + 1 assert(problem.code == 'quota_exceeded', problem.code) end
        end
        return {sent = sent, refused = refused}";
    let undeclared = "local calls = 0
        for i = 1, 2000 do
            for _, f in ipairs{function() kv.set('a', 1) end, function() files.write('a', 'a') end,
                               function() email.send{to = 'a@example.net', subject = 'x', text = 'x'} end} do
                local ok, problem = pcall(f)
                assert(not ok and problem.code == 'not_granted')
                calls = calls + 1
            end
        end
        return calls";
    let sent = neighbours
        .during(async |attacker| {
            let pipeline = attacker.push_script("mails", mails, json!({ "email": true })).await;
            attacker.run(pipeline, json!({})).await.succeeded().output("only")
        })
        .await;
    assert_eq!(sent, json!({ "sent": 200, "refused": 100 }));
    let status = neighbours
        .during(async |attacker| {
            let pipeline = attacker.push_script("undeclared", undeclared, json!({})).await;
            attacker.run(pipeline, json!({})).await.run.status
        })
        .await;
    assert_eq!(status, RunStatus::Succeeded);
}

#[tokio::test]
async fn invitations_are_bounded_by_who_sends_them() {
    let mut neighbours = Neighbours::new(&[]).await;
    let mut refused = 0;
    let answers = neighbours
        .during(async |attacker| {
            let mut answers = Vec::new();
            for n in 0..130 {
                let invitation = restroy_sdk::api::invitation::NewInvitation {
                    email: format!("guest{n}@example.net"),
                    role: "viewer".into(),
                };
                answers.push(attacker.client.invite(attacker.team, &invitation).await);
            }
            answers
        })
        .await;
    for answer in answers {
        let Err(error) = answer else { continue };
        assert_eq!(error.problem().map(|problem| problem.status), Some(StatusCode::TOO_MANY_REQUESTS.as_u16()));
        refused += 1;
    }
    assert_eq!(refused, 30);
}
