//! A database that refuses, waits, cuts connections or goes away: what can be done again is, what
//! may have been done is not, and nobody waits for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, StatusCode, header};
use restroy_control_plane::{
    api,
    store::{Db, Durability, PostgresOptions},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;

use crate::{
    races::at_once,
    runs_support::*,
    support::{PASSWORD, World},
};

pub(crate) async fn owner(it: &Installation) -> PgConnection {
    it.database.postgres().owner_url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

/// The same person at another replica, whose database is reached in another way.
pub(crate) async fn through(
    it: &Installation,
    person: &Person,
    change: impl FnOnce(&mut PostgresOptions),
) -> (Db, Person) {
    let mut options = PostgresOptions::new(&it.database.postgres().service_url);
    change(&mut options);
    let mut state = it.state.clone();
    state.domain.db = Db::open_postgres(&options).await.unwrap();
    let db = state.db.clone();
    (db, Person { base: format!("http://{}", serve(api::router(state)).await), ..person.clone() })
}

/// The code of an answer that is 503 and says when to come back.
async fn unavailable(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "unavailable", "{problem}");
    problem
}

/// Waits until some session of the services waits for a lock.
pub(crate) async fn until_one_waits(owner: &mut PgConnection) {
    let waiting = async {
        let statement = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND usename <> current_user AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(statement).fetch_one(&mut *owner).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn a_deadlock_is_not_the_callers_business() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let started = ann.run(&place, json!({})).await;
    let (mut first, mut watch) = (owner(&it).await, owner(&it).await);
    // The request holds the team and waits for the run; this holds the run and waits for the team. The
    // request looks for a circle first, finds it, and is the one to give way.
    run(&mut first, "SET deadlock_timeout = '1min'").await;
    run(&mut first, "BEGIN; SELECT 1 FROM runs FOR UPDATE").await;
    let cancel = {
        let (ann, path) = (ann.clone(), format!("/v1/runs/{started}/cancel"));
        tokio::spawn(async move { ann.call(Method::POST, &path, None).await })
    };
    until_one_waits(&mut watch).await;
    run(&mut first, "SELECT 1 FROM teams FOR NO KEY UPDATE").await;
    run(&mut first, "COMMIT").await;
    let (status, answer) = cancel.await.unwrap();
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(it.count("SELECT count(*) FROM audit_log WHERE action = 'run.cancel'").await, 1);
    assert_eq!(ann.kinds(&started).await, ["run.queued", "run.finished"]);
}

#[tokio::test]
async fn a_sign_in_that_is_done_again_counts_as_one() {
    let world = World::with(|all| (all.dev, all.sign_ins_per_minute) = (true, 1)).await;
    let account = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
    world.clock.advance(Duration::from_mins(1));
    let connect = async || {
        let url = &world.database.postgres().owner_url;
        url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    };
    let (mut holder, mut owner) = (connect().await, connect().await);
    run(&mut holder, "BEGIN; SELECT 1 FROM users FOR UPDATE").await;
    let login = async || {
        let login = json!({ "email": "ann@example.com", "password": PASSWORD });
        world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await
    };
    let cutting = async {
        until_one_waits(&mut owner).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND usename <> current_user AND wait_event_type = 'Lock'";
        run(&mut owner, cut).await;
        run(&mut holder, "COMMIT").await;
    };
    let (reply, ()) = tokio::join!(login(), cutting);
    reply.expect(200);
    login().await.problem("rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_and_double_nothing() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    it.sql("UPDATE teams SET max_queued = 10000").await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    let stop = Arc::new(AtomicBool::new(false));
    let cutting = {
        let (mut owner, stop) = (owner(&it).await, Arc::clone(&stop));
        tokio::spawn(async move {
            let mut cut = 0;
            while !stop.load(Ordering::SeqCst) {
                let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                                 WHERE datname = current_database() AND usename <> current_user";
                cut += sqlx::query_scalar::<_, i64>(statement).fetch_one(&mut owner).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            cut
        })
    };
    let answers = at_once((0..60).map(|n| {
        let (ann, path) = (ann.clone(), path.clone());
        async move {
            loop {
                let start = ann.request(Method::POST, &path).header("Idempotency-Key", format!("k{n}"));
                let (status, answer) = answer(start.json(&json!({}))).await;
                // Only a COMMIT without an answer may come to this, and the key makes it safe.
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    return (status, answer);
                }
                assert_eq!(answer["code"], "unavailable", "{answer}");
            }
        }
    }))
    .await;
    stop.store(true, Ordering::SeqCst);
    assert!(cutting.await.unwrap() > 0, "connections were cut");
    for (status, answer) in answers {
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    assert_eq!(it.count("SELECT count(*) FROM runs").await, 60);
    assert_eq!(it.count("SELECT count(*) FROM tasks").await, 60);
}

/// A way to the database that can be cut when a COMMIT has got through and its answer has not.
async fn proxy(service_url: &str) -> (String, Arc<AtomicBool>) {
    let mut url = Url::parse(service_url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&armed);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, server.clone(), Arc::clone(&cut)));
        }
    });
    (url.to_string(), armed)
}

async fn carry(mut client: TcpStream, server: String, armed: Arc<AtomicBool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    committing = up[..n].windows(7).any(|word| word == b"COMMIT\0") && armed.swap(false, Ordering::SeqCst);
                    server.write_all(&up[..n]).await.unwrap();
                }
            },
            read = server.read(&mut down) => match read {
                Ok(0) | Err(_) => return,
                // It is done, and nobody is informed.
                Ok(_) if committing => return,
                Ok(n) => {
                    if client.write_all(&down[..n]).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_is_not_repeated() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let (url, armed) = proxy(&it.database.postgres().service_url).await;
    let (_db, ann) = through(&it, &ann, |options| options.url = url).await;
    let path = format!("/v1/pipelines/{}/runs", place.pipeline);
    armed.store(true, Ordering::SeqCst);
    let start = || ann.request(Method::POST, &path).header("Idempotency-Key", "key").json(&json!({}));
    let problem = unavailable(start()).await;
    assert!(text(&problem["detail"]).contains("Idempotency-Key"), "{problem}");
    assert!(!armed.load(Ordering::SeqCst), "the way was cut");
    assert_eq!(it.count("SELECT count(*) FROM runs").await, 1, "it was carried out, once");
    assert_eq!(answer(start()).await.0, StatusCode::ACCEPTED);
    assert_eq!(it.count("SELECT count(*) FROM runs").await, 1, "and by its key is found again");
}

#[tokio::test]
async fn waiting_too_long_is_reported_and_leaves_nothing_broken() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let mut owner = owner(&it).await;
    let brief = Duration::from_millis(200);
    let path = format!("/v1/teams/{}/boards", place.team);
    for (round, lock) in [true, false].into_iter().enumerate() {
        let (_db, ann) = through(&it, &ann, |options| {
            options.connections = 2;
            if lock {
                options.lock_timeout = brief;
            } else {
                options.statement_timeout = brief;
            }
        })
        .await;
        run(&mut owner, "BEGIN; SELECT 1 FROM teams FOR UPDATE").await;
        for n in 0..4 {
            unavailable(ann.request(Method::POST, &path).json(&json!({ "name": format!("{n}") }))).await;
        }
        run(&mut owner, "ROLLBACK").await;
        // As often as there are connections, and more.
        for n in 0..6 {
            let board = json!({ "name": format!("{round} {n}") });
            ann.expect(StatusCode::CREATED, Method::POST, &path, Some(board)).await;
        }
    }
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_a_clear_answer() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let (db, ann) = through(&it, &ann, |options| {
        options.connections = 2;
        options.acquire_timeout = Duration::from_millis(200);
    })
    .await;
    let held = (db.system_read().await.unwrap(), db.system_write().await.unwrap());
    unavailable(ann.request(Method::GET, "/v1/me")).await;
    drop(held);
    ann.get("/v1/me").await;
    // Far more requests than connections, each with several transactions: none waits for a second
    // connection while it holds a first.
    let answers = at_once((0..40).map(|n| {
        let ann = ann.clone();
        async move { ann.call(Method::POST, "/v1/teams", Some(json!({ "name": format!("T{n}") }))).await.0 }
    }))
    .await;
    let settled = [StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    assert!(answers.iter().all(|status| settled.contains(status)), "{answers:?}");
    ann.get("/v1/me").await;
}

/// A caller may go away while its transaction begins.
#[tokio::test]
async fn a_transaction_that_nobody_waits_for_any_more_is_not_left_open() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let (db, ann) = through(&it, &ann, |options| options.connections = 2).await;
    let (mut holder, mut watch) = (owner(&it).await, owner(&it).await);
    run(&mut holder, "BEGIN; SELECT 1 FROM teams FOR UPDATE").await;
    let team = place.team.parse().unwrap();
    let waits = tokio::spawn({
        let db = db.clone();
        async move { db.begin_team_exclusive(team, Durability::Commit).await.map(drop) }
    });
    until_one_waits(&mut watch).await;
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    run(&mut holder, "ROLLBACK").await;
    // The row is had now, for nobody. Each connection must be fit for the next.
    for n in 0..6 {
        let board = json!({ "name": format!("{n}") });
        ann.expect(StatusCode::CREATED, Method::POST, &format!("/v1/teams/{}/boards", place.team), Some(board)).await;
        db.system_read().await.unwrap();
    }
}
