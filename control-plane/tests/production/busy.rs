//! A database with much to do: one team's work is not the others' trouble, and the purge does not give up.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    runs::purge,
    store::{Db, PostgresOptions},
};
use serde_json::json;

use crate::{
    retries::{owner, run, through, until_one_waits},
    runs_support::*,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_that_waits_takes_no_connections_from_others() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let bob = it.person("bob").await;
    let invitations = format!("/v1/teams/{}/invitations", place.team);
    let to_bob = json!({ "email": "bob@example.com", "role": "viewer" });
    let sent = ann.expect(StatusCode::CREATED, Method::POST, &invitations, Some(to_bob)).await;
    let accept = format!("/v1/me/invitations/{}/accept", text(&sent["id"]));
    let (_db, ann) = through(&it, &ann, |options| {
        options.connections = 4;
        options.acquire_timeout = Duration::from_secs(5);
        options.lock_timeout = Duration::from_mins(1);
        options.statement_timeout = Duration::from_mins(1);
    })
    .await;
    let bob = Person { base: ann.base.clone(), ..bob };
    let (mut first, mut watch) = (owner(&it).await, owner(&it).await);
    run(&mut first, "BEGIN; SELECT 1 FROM teams FOR UPDATE").await;
    let mut waiting = Vec::new();
    for n in 0..24 {
        let (ann, path) = (ann.clone(), invitations.clone());
        let body = json!({ "email": format!("p{n}@example.com"), "role": "viewer" });
        waiting.push(tokio::spawn(async move { ann.call(Method::POST, &path, Some(body)).await }));
        let (bob, path) = (bob.clone(), accept.clone());
        waiting.push(tokio::spawn(async move { bob.call(Method::POST, &path, None).await }));
    }
    until_one_waits(&mut watch).await;
    for _ in 0..20 {
        bob.get("/v1/me").await;
    }
    run(&mut first, "ROLLBACK").await;
    for request in waiting {
        let (status, answer) = request.await.unwrap();
        // Who waited for too long was answered so; of those who accept, one is the first.
        let fine = [StatusCode::CREATED, StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE];
        assert!(fine.contains(&status), "{answer}");
    }
}

/// What goes takes a while for each row: all at once would take too long, and then nothing would ever go.
#[tokio::test]
async fn a_step_of_the_purge_that_takes_too_long_is_halved() {
    let it = Installation::start().await;
    let mut owner = owner(&it).await;
    run(
        &mut owner,
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN OLD; END $$;
         CREATE TRIGGER slowly BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION slowly();
         CREATE TRIGGER slowly BEFORE DELETE ON run_events FOR EACH ROW EXECUTE FUNCTION slowly();
         INSERT INTO users (id, email, email_folded, name, password_hash, created_at)
         SELECT gen_random_uuid(), n::text, n::text, 'x', '', 0 FROM generate_series(1, 100) n",
    )
    .await;
    let (ann, place) = it.pipeline(None).await;
    for _ in 0..80 {
        ann.run(&place, json!({})).await;
    }
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &format!("/v1/pipelines/{}", place.pipeline), None).await;
    it.clock.advance(Duration::from_hours(31 * 24));
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(400),
        ..PostgresOptions::new(&it.database.postgres().service_url)
    };
    let mut state = it.state.clone();
    state.domain.db = Db::open_postgres(&options).await.unwrap();
    let mut passes = 0;
    while purge::pass(&state).await.is_err() {
        // On a busy machine anything may take that long.
        passes += 1;
        assert!(passes < 20, "it comes to an end");
    }
    for left in ["SELECT COUNT(*) FROM users WHERE email_verified_at IS NULL", "SELECT COUNT(*) FROM runs"] {
        assert_eq!(it.count(left).await, 0, "{left}");
    }
}
