//! A database that takes no writes: what its callers are answered, what `/readyz` says, and that it serves again as
//! soon as it can.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::sql;
use restroy_sdk::ids::TeamId;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use crate::{
    database::PRODUCTION,
    support::{Home, Person, Reply, World},
};

/// Sets something for SQLite's connection that writes, or for the one whose writes survive a power cut.
async fn pragma(world: &World, durable: bool, pragma: &'static str) {
    let team = TeamId(world.state.ambient.uuid());
    let db = &world.state.db;
    let mut tx = if durable { db.team_write_durably(team).await } else { db.team_write(team).await }.unwrap();
    sql!(&mut *tx, execute, sqlx::query(pragma)).unwrap();
    tx.commit().await.unwrap();
}

/// No page more than there are.
const FULL: &str = "PRAGMA max_page_count = 1";
/// As many as SQLite can have.
const EMPTY: &str = "PRAGMA max_page_count = 4294967294";

/// What `/readyz` says, asked anew.
async fn readyz(world: &World) -> Reply {
    world.clock.advance(Duration::from_mins(1));
    world.anonymous(Method::GET, "/readyz", None).await
}

/// Starts a run whose parameters fill pages of their own.
async fn start(ann: &Person<'_>, home: &Home) -> Reply {
    let params: Value = json!({ "filling": "x".repeat(100_000) });
    ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({ "params": params })).await
}

#[tokio::test]
async fn a_full_disk_leaves_no_writer_unusable() {
    if PRODUCTION {
        return; // Postgres looks after its own connections.
    }
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    start(&ann, &home).await.expect(202);
    // As many pages as there are, for this connection: the next one reports that the disk is full.
    pragma(&world, true, FULL).await;
    let refused = start(&ann, &home).await.problem("insufficient_storage");
    assert_eq!(refused.status, 507);
    assert!(refused.body["detail"].as_str().unwrap().contains("disk is full"), "{}", refused.text);
    pragma(&world, true, EMPTY).await;
    start(&ann, &home).await.expect(202);

    // A statement of one row has SQLite roll all of its transaction back by itself.
    let db = &world.state.db;
    world.database.alter(db, "CREATE TABLE filling (bytes BLOB)".to_owned()).await;
    let team = TeamId(world.state.ambient.uuid());
    for durable in [false, true] {
        pragma(&world, durable, FULL).await;
        let mut tx = if durable { db.team_write_durably(team).await } else { db.team_write(team).await }.unwrap();
        let filled = sql!(&mut *tx, execute, sqlx::query("INSERT INTO filling VALUES (zeroblob(200000))"));
        let error = filled.expect_err("it is full");
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("13"), "{error}");
        drop(tx);
        // That connection is not used again; another one is there at once.
        for _ in 0..3 {
            pragma(&world, durable, EMPTY).await;
        }
    }
    start(&ann, &home).await.expect(202);
    ann.team("Another").await;
    readyz(&world).await.expect(200);
}

#[tokio::test]
async fn a_read_only_database_is_not_ready_and_starts_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    readyz(&world).await.expect(200);
    if PRODUCTION {
        set_read_only(&world, "on").await;
    } else {
        pragma(&world, false, "PRAGMA query_only = 1").await;
        pragma(&world, true, "PRAGMA query_only = 1").await;
    }
    let unready = readyz(&world).await.expect(503);
    assert_eq!(unready.body["reasons"], json!(["the database is read-only"]));
    let refused = start(&ann, &home).await.problem("unavailable");
    assert!(refused.body["detail"].as_str().unwrap().contains("read-only"), "{}", refused.text);
    ann.get("/v1/me").await.expect(200);
    if PRODUCTION {
        set_read_only(&world, "off").await;
        readyz(&world).await.expect(200);
        start(&ann, &home).await.expect(202);
    }
}

/// For every transaction from now on.
async fn set_read_only(world: &World, value: &str) {
    let owner = &world.database.postgres().owner_url;
    let name = owner.rsplit('/').next().unwrap();
    let statement =
        format!("BEGIN READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = {value}; COMMIT");
    world.database.alter(&world.state.db, statement).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    world.database.alter(&world.state.db, end.to_owned()).await;
}

#[tokio::test]
async fn a_locked_table_is_not_ready() {
    if !PRODUCTION {
        return; // SQLite has one lock, which writers queue for.
    }
    let world = World::new().await;
    readyz(&world).await.expect(200);
    let options: sqlx::postgres::PgConnectOptions = world.database.postgres().owner_url.parse().unwrap();
    let mut owner = options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE runs").execute(&mut owner).await.unwrap();
    let unready = readyz(&world).await.expect(503);
    assert_eq!(unready.body["reasons"], json!(["a table of the database is locked"]));
    sqlx::raw_sql("ROLLBACK").execute(&mut owner).await.unwrap();
    readyz(&world).await.expect(200);
}
