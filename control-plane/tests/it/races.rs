//! Many who do the conflicting thing at once, through two replicas on one database: what counts,
//! numbers, names or spends something holds all the same.

use std::{future::Future, sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use restroy_control_plane::{api, auth::ticket, executor_api, runs, state::AppState};
use serde_json::{Value, json};

use crate::runs_support::*;

/// Does things at once; gives what came of each, in order.
pub(crate) async fn at_once<T: Send + 'static>(
    things: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let started: Vec<_> = things.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::with_capacity(started.len());
    for thing in started {
        done.push(thing.await.unwrap());
    }
    done
}

/// An installation of two replicas.
pub(crate) struct Pair {
    pub(crate) it: Arc<Installation>,
    /// The second replica.
    pub(crate) second: AppState,
    api: [String; 2],
    run_api: [String; 2],
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let it = Installation::start().await;
        let mut second = it.state.clone();
        second.domain.replica = it.state.ambient.uuid();
        let api = [it.api, serve(api::router(second.clone())).await].map(|at| format!("http://{at}"));
        let run_api = [it.run_api, serve(executor_api::router(second.clone())).await];
        let run_api = run_api.map(|at| format!("http://{at}/run/v1"));
        Self { it, second, api, run_api }
    }

    /// The replicas' states, in turn.
    pub(crate) fn state(&self, n: usize) -> AppState {
        if n.is_multiple_of(2) { self.it.state.clone() } else { self.second.clone() }
    }

    /// A person who calls the replicas in turn.
    pub(crate) fn at(&self, person: &Person, n: usize) -> Person {
        Person { base: self.api[n % 2].clone(), ..person.clone() }
    }

    /// An executor that calls the replicas in turn.
    pub(crate) fn executor_at(&self, executor: &Executor, n: usize) -> Executor {
        Executor { base: self.run_api[n % 2].clone(), ..executor.clone() }
    }

    /// The same request of a person many times at once.
    async fn many(
        &self,
        times: usize,
        person: &Person,
        method: Method,
        path: &str,
        body: impl Fn(usize) -> Value,
    ) -> Vec<(StatusCode, Value)> {
        at_once((0..times).map(|n| {
            let (person, method, path, body) = (self.at(person, n), method.clone(), path.to_owned(), body(n));
            async move { person.call(method, &path, Some(body)).await }
        }))
        .await
    }
}

/// How many were answered so.
fn count(answers: &[(StatusCode, Value)], status: StatusCode) -> usize {
    answers.iter().filter(|(got, _)| *got == status).count()
}

/// All were answered in one of two ways; gives how many in each.
#[track_caller]
fn split(answers: &[(StatusCode, Value)], one: StatusCode, other: StatusCode) -> (usize, usize) {
    let counts = (count(answers, one), count(answers, other));
    assert_eq!(counts.0 + counts.1, answers.len(), "{answers:?}");
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let name = |n: usize| json!({ "name": format!("N{n}") });
    let (created, refused) = (StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS);

    // Twenty teams of one owner, of which one is there.
    let teams = pair.many(24, &ann, Method::POST, "/v1/teams", name).await;
    assert_eq!(split(&teams, created, refused), (19, 5));

    // A hundred boards of a team, of which one is there.
    let path = format!("/v1/teams/{}/boards", place.team);
    let boards = pair.many(103, &ann, Method::POST, &path, name).await;
    assert_eq!(split(&boards, created, refused), (99, 4));

    // A hundred tickets.
    let path = format!("/v1/runs/{}/stream", place.pipeline);
    let tickets = pair.many(104, &ann, Method::POST, "/v1/stream-tickets", |_| json!({ "path": path })).await;
    assert_eq!(split(&tickets, created, refused), (100, 4));

    // Queued runs.
    pair.it.sql("UPDATE teams SET max_queued = 3").await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let runs = pair.many(8, &ann, Method::POST, &path, |_| json!({})).await;
    assert_eq!(split(&runs, StatusCode::ACCEPTED, refused), (3, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_and_an_idempotency_key_are_taken_once() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let path = format!("/v1/teams/{}/boards", place.team);
    let boards = pair.many(8, &ann, Method::POST, &path, |_| json!({ "name": "Same" })).await;
    assert_eq!(split(&boards, StatusCode::CREATED, StatusCode::CONFLICT), (1, 7));

    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let answers = at_once((0..8).map(|n| {
        let start = pair.at(&ann, n).request(Method::POST, &path).header("Idempotency-Key", "k").json(&json!({}));
        answer(start)
    }))
    .await;
    assert_eq!(count(&answers, StatusCode::ACCEPTED), 8, "{answers:?}");
    let first = &answers[0].1["id"];
    assert!(answers.iter().all(|(_, run)| run["id"] == *first), "{answers:?}");
    assert_eq!(ann.get(&path).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_registered_once_and_gets_few_mails() {
    let mut pair = Pair::start().await;
    // Where addresses must be verified.
    let settings = restroy_control_plane::state::Settings {
        registration: restroy_control_plane::auth::Registration::Open,
        sign_ins_per_minute: 1_000,
        requests_per_minute: 1_000_000,
        requests_at_once: 1_000,
        ..restroy_control_plane::state::Settings::default()
    };
    for api in &mut pair.api {
        let mut state = pair.it.state.clone();
        state.settings = Arc::new(settings.clone());
        *api = format!("http://{}", serve(api::router(state)).await);
    }
    let nobody = Person { http: pair.it.http.clone(), base: String::new(), token: String::new() };
    let register = |n: usize| json!({ "email": "Ann@example.com", "password": "correct horse battery", "name": format!("ann {n}") });
    let answers = pair.many(8, &nobody, Method::POST, "/v1/auth/register", register).await;
    assert_eq!(count(&answers, StatusCode::ACCEPTED), 8, "{answers:?}");
    assert_eq!(pair.it.count("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(pair.it.count("SELECT COUNT(*) FROM outbox").await, 5, "an address gets five in an hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_shown_twice_ends_the_session() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    let login = json!({ "email": "ann@example.com", "password": "correct horse battery" });
    let tokens = ann.expect(StatusCode::OK, Method::POST, "/v1/auth/login", Some(login)).await;
    let refresh = |_| json!({ "refresh_token": tokens["refresh_token"] });
    let answers = pair.many(6, &ann, Method::POST, "/v1/auth/refresh", refresh).await;
    assert_eq!(split(&answers, StatusCode::OK, StatusCode::UNAUTHORIZED), (1, 5));
    let newest = &answers.iter().find(|(status, _)| *status == StatusCode::OK).unwrap().1["refresh_token"];
    let next = ann.call(Method::POST, "/v1/auth/refresh", Some(json!({ "refresh_token": newest }))).await;
    assert_eq!(next.0, StatusCode::UNAUTHORIZED, "the whole family is gone: {}", next.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_spent_once() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    let path = "/v1/runs/019a0000-0000-7000-8000-000000000000/stream";
    let made = ann.expect(StatusCode::CREATED, Method::POST, "/v1/stream-tickets", Some(json!({ "path": path }))).await;
    let redeemed = at_once((0..8).map(|n| {
        let (state, ticket) = (pair.state(n), text(&made["ticket"]));
        async move { ticket::redeem(&state, &ticket, path, None).await.is_ok() }
    }))
    .await;
    assert_eq!(redeemed.into_iter().filter(|redeemed| *redeemed).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_revisions_are_numbered_without_gaps() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let path = format!("/v1/pipelines/{}/definition", place.pipeline);
    let document = steps(json!({ "a": { "script": "a.lua" } }));
    let put =
        |n: usize| json!({ "definition": document, "files": { "a.lua": format!("return {n}") }, "publish": true });
    let answers = pair.many(8, &ann, Method::PUT, &path, put).await;
    assert_eq!(count(&answers, StatusCode::OK), 8, "{answers:?}");
    let mut numbers: Vec<i64> = answers.iter().map(|(_, version)| version["number"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=9).collect::<Vec<_>>());
    let pipeline = ann.get(&format!("/v1/pipelines/{}", place.pipeline)).await;
    assert_eq!(pipeline["published_version"], pipeline["latest_version"]);

    let scripts = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let path = format!("/v1/scripts/{}/configuration/KEY", text(&scripts["items"][0]["id"]));
    let answers = pair
        .many(8, &ann, Method::PUT, &path, |n| json!({ "value": format!("value no. {n}"), "secret": n % 2 == 0 }))
        .await;
    assert_eq!(count(&answers, StatusCode::OK), 8, "{answers:?}");
    let mut revisions: Vec<i64> = answers.iter().map(|(_, entry)| entry["revision"].as_i64().unwrap()).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
    assert_eq!(pair.it.count("SELECT config_revision FROM pipelines").await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_proceeds_on_a_board_archived_or_deleted_meanwhile() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let start = format!("/v1/pipelines/{}/runs", place.pipeline);
    let board = format!("/v1/boards/{}", place.board);

    let (archived, started) = tokio::join!(
        ann.call(Method::PATCH, &board, Some(json!({ "archived": true }))),
        pair.many(6, &ann, Method::POST, &start, |_| json!({})),
    );
    assert_eq!(archived.0, StatusCode::OK, "{}", archived.1);
    let (accepted, _) = split(&started, StatusCode::ACCEPTED, StatusCode::CONFLICT);
    assert_eq!(ann.get(&start).await["items"].as_array().unwrap().len(), accepted);
    let late = ann.call(Method::POST, &start, Some(json!({}))).await;
    assert_eq!(late.0, StatusCode::CONFLICT);

    ann.expect(StatusCode::OK, Method::PATCH, &board, Some(json!({ "archived": false }))).await;
    let (deleted, started) =
        tokio::join!(ann.call(Method::DELETE, &board, None), pair.many(6, &ann, Method::POST, &start, |_| json!({})),);
    assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{}", deleted.1);
    split(&started, StatusCode::ACCEPTED, StatusCode::NOT_FOUND);
    let open = "SELECT COUNT(*) FROM runs WHERE status IN ('queued', 'running', 'waiting')";
    assert_eq!(pair.it.count(open).await, 0, "what was started before it was deleted is cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_waits_for_nobody() {
    let pair = Pair::start().await;
    let scene = pair.it.claimed(None).await;
    for n in 0..40 {
        let call = json!({ "method": "kv_set", "key": format!("k{n}"), "value": n, "ttl_ms": 1_000 });
        scene.held.called(&format!("first {n}"), call).await;
    }
    pair.it.clock.advance(Duration::from_secs(2));
    let writes = at_once((0..40).map(|n| {
        let (held, state) = (scene.held.clone(), pair.state(n));
        async move {
            let call = json!({ "method": "kv_set", "key": format!("k{n}"), "value": "again", "ttl_ms": null });
            let purged = async { runs::purge::step(&state).await.map(|_| ()) };
            let key = format!("second {n}");
            tokio::join!(held.called(&key, call), purged)
        }
    }))
    .await;
    for (_, purged) in writes {
        purged.unwrap();
    }
    let left = ann_kv(&scene).await;
    assert_eq!(left, 40, "what was written again is there");
    let drift = "SELECT CAST(b.kv_bytes - (SELECT SUM(e.bytes) FROM kv_entries e) AS BIGINT) FROM boards b";
    assert_eq!(pair.it.count(drift).await, 0);
}

async fn ann_kv(scene: &Scene) -> usize {
    let page = scene.ann.get(&format!("/v1/boards/{}/kv?limit=100", scene.place.board)).await;
    page["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_keeps_an_owner_and_its_limits_whoever_acts_at_once() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    let place = ann.place(None).await;
    let team = format!("/v1/teams/{}", place.team);
    let me = |answer: &Value| text(&answer["id"]);
    let ann_id = me(&ann.get("/v1/me").await);
    let mut owners = vec![ann.clone()];
    for n in 0..3 {
        let person = pair.it.person(&format!("owner{n}")).await;
        let invitation = json!({ "email": format!("owner{n}@example.com"), "role": "owner" });
        let made =
            ann.expect(StatusCode::CREATED, Method::POST, &format!("{team}/invitations"), Some(invitation)).await;
        // The same invitation, accepted many times at once.
        let accept = format!("/v1/me/invitations/{}/accept", me(&made));
        let accepted = pair.many(4, &person, Method::POST, &accept, |_| json!({})).await;
        assert_eq!(split(&accepted, StatusCode::OK, StatusCode::NOT_FOUND), (1, 3));
        owners.push(person);
    }
    // All owners leave at once: one cannot.
    let left = at_once(owners.iter().enumerate().map(|(n, owner)| {
        let (owner, path) = (pair.at(owner, n), format!("{team}/leave"));
        async move { owner.call(Method::POST, &path, None).await }
    }))
    .await;
    assert_eq!(split(&left, StatusCode::NO_CONTENT, StatusCode::CONFLICT), (3, 1));
    let owner_rows = "SELECT COUNT(*) FROM memberships WHERE role = 'owner'";
    assert_eq!(pair.it.count(owner_rows).await, 1);
    let last = &owners[left.iter().position(|(status, _)| *status == StatusCode::CONFLICT).unwrap()];

    // Two owners demote each other at once.
    let other = if me(&last.get("/v1/me").await) == ann_id { &owners[1] } else { &owners[0] };
    let other_id = me(&other.get("/v1/me").await);
    let email = text(&other.get("/v1/me").await["email"]);
    let invitation = json!({ "email": email, "role": "owner" });
    let made = last.expect(StatusCode::CREATED, Method::POST, &format!("{team}/invitations"), Some(invitation)).await;
    let accept = format!("/v1/me/invitations/{}/accept", me(&made));
    other.expect(StatusCode::OK, Method::POST, &accept, None).await;
    let last_id = me(&last.get("/v1/me").await);
    let demote = |n: usize, who: &Person, whom: &str| {
        let (who, path) = (pair.at(who, n), format!("{team}/members/{whom}"));
        async move { who.call(Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await }
    };
    let demoted = at_once([demote(0, last, &other_id), demote(1, other, &last_id)]).await;
    assert_eq!(split(&demoted, StatusCode::OK, StatusCode::FORBIDDEN), (1, 1));
    assert_eq!(pair.it.count(owner_rows).await, 1);
    let owner = if demoted[0].0 == StatusCode::OK { last } else { other };

    // Roles, invitations to one address, e-mails to it.
    let role = |n: usize| json!({ "name": format!("R{n}"), "permissions": ["run.read"] });
    let roles = pair.many(54, owner, Method::POST, &format!("{team}/roles"), role).await;
    assert_eq!(split(&roles, StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS), (50, 4));
    let invitation = |_| json!({ "email": "new@example.com", "role": "viewer" });
    let invited = pair.many(6, owner, Method::POST, &format!("{team}/invitations"), invitation).await;
    assert_eq!(split(&invited, StatusCode::CREATED, StatusCode::CONFLICT), (1, 5));
}
