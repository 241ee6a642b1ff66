//! What nobody needs any more goes, also where some of it cannot, and where there is much of it.

use std::{collections::BTreeSet, time::Duration};

use restroy_control_plane::{
    runs::{dispatch, purge},
    sql,
};
use serde_json::{Value, json};

use crate::{
    database::PRODUCTION,
    support::{Home, PASSWORD, World},
};

const DAY: Duration = Duration::from_hours(24);

/// References: the table, and the columns with commas between.
const REFERENCES: (&str, &str) = (
    "SELECT m.name, group_concat(f.\"from\") FROM sqlite_master m, pragma_foreign_key_list(m.name) f
     WHERE m.type = 'table' GROUP BY m.name, f.id",
    "SELECT c.conrelid::regclass::text, (
         SELECT string_agg(a.attname::text, ',') FROM unnest(c.conkey) k
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k)
     FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace",
);
/// Indexes: the table, the columns in order, and the text of which a condition is the end.
const INDEXES: (&str, &str) = (
    "SELECT m.name, (SELECT group_concat(x.name) FROM pragma_index_info(l.name) x),
            coalesce((SELECT s.sql FROM sqlite_master s WHERE l.partial = 1 AND s.type = 'index' AND s.name = l.name), '')
     FROM sqlite_master m, pragma_index_list(m.name) l WHERE m.type = 'table'",
    "SELECT i.indrelid::regclass::text, (
         SELECT string_agg(a.attname::text, ',' ORDER BY k.place)
         FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number),
         coalesce(pg_get_expr(i.indpred, i.indrelid), '')
     FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace",
);

/// Whether an index finds the rows that refer to one by these columns. With the team alone it would look through
/// all that the team has.
fn finds(index: &str, condition: &str, reference: &BTreeSet<&str>) -> bool {
    let leading: BTreeSet<&str> = index.split(',').take_while(|column| reference.contains(column)).collect();
    let all = reference.iter().all(|column| leading.contains(column) || (*column == "team_id" && reference.len() > 1));
    let condition = condition.rsplit(" WHERE ").next().unwrap_or_default().trim_matches(['(', ')']);
    let applies = condition.is_empty() || reference.iter().any(|column| condition == format!("{column} IS NOT NULL"));
    all && applies
}

#[tokio::test]
async fn every_reference_is_found_by_an_index() {
    let world = World::new().await;
    let mut tx = world.state.db.system_read().await.unwrap();
    let statement = tx.pick(REFERENCES.0, REFERENCES.1);
    let references: Vec<(String, String)> = sql!(&mut tx, fetch_all, sqlx::query_as(statement)).unwrap();
    let statement = tx.pick(INDEXES.0, INDEXES.1);
    let indexes: Vec<(String, Option<String>, String)> = sql!(&mut tx, fetch_all, sqlx::query_as(statement)).unwrap();
    assert!(references.len() > 40, "{references:?}");
    for (table, columns) in &references {
        let of: BTreeSet<&str> = columns.split(',').collect();
        let found = indexes.iter().any(|(on, index, condition)| {
            on == table && index.as_deref().is_some_and(|index| finds(index, condition, &of))
        });
        assert!(found, "no index finds the rows of `{table}` by ({columns}): removing what they refer to looks at all");
    }
}

/// Has the database refuse to remove some rows.
async fn hold(world: &World, table: &str, condition: &str) {
    let sqlite = format!(
        "CREATE TRIGGER held_{table} BEFORE DELETE ON {table} WHEN {condition}
         BEGIN SELECT RAISE(ABORT, 'held'); END"
    );
    let postgres = format!(
        "CREATE TRIGGER held_{table} BEFORE DELETE ON {table} FOR EACH ROW WHEN ({condition})
         EXECUTE FUNCTION refuse('held')"
    );
    world.database.alter(&world.state.db, if PRODUCTION { postgres } else { sqlite }).await;
}

async fn release(world: &World, table: &str) {
    let on = if PRODUCTION { format!(" ON {table}") } else { String::new() };
    world.database.alter(&world.state.db, format!("DROP TRIGGER held_{table}{on}")).await;
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else_from_it() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let kept = Home::of(&ann).await;
    // Each time the first that is deleted, and so the first to go, cannot.
    let (held, light) = (Home::of(&ann).await, Home::of(&ann).await);
    let (stuck, gone) = (ann.pipeline(&kept.board, "Held").await, ann.pipeline(&kept.board, "Light").await);
    for pipeline in [&stuck, &gone] {
        ann.publish(pipeline, crate::support::one_step(), crate::support::one_file()).await.expect(200);
    }
    ann.patch(&format!("/v1/pipelines/{}", held.pipeline), json!({ "name": "Held" })).await.expect(200);
    for pipeline in [&held.pipeline, &light.pipeline, &stuck, &gone] {
        ann.post(&format!("/v1/pipelines/{pipeline}/runs"), json!({})).await.expect(202);
    }
    for team in [&held.team, &light.team] {
        let name = Some(json!({ "name": "Home" }));
        ann.call(reqwest::Method::DELETE, &format!("/v1/teams/{team}"), name).await.expect(204);
    }
    for pipeline in [&stuck, &gone] {
        ann.delete(&format!("/v1/pipelines/{pipeline}")).await.expect(204);
    }
    let token = ann.post("/v1/me/api-tokens", json!({ "name": "CI", "password": PASSWORD })).await.expect(201).id();
    ann.delete(&format!("/v1/me/api-tokens/{token}")).await.expect(204);
    let mut tx = world.state.db.system_write().await.unwrap();
    let unverified = "INSERT INTO users (id, email, email_folded, name, password_hash, created_at)
                      VALUES ($1, 'x', 'x', 'x', '', 0)";
    sql!(&mut tx, execute, sqlx::query(unverified).bind(world.state.ambient.uuid())).unwrap();
    tx.commit().await.unwrap();
    hold(&world, "runs", "OLD.pipeline_name = 'Held'").await;
    hold(&world, "users", "OLD.email_verified_at IS NULL").await;

    world.clock.advance(DAY * 31);
    purge::pass(&world.state).await.expect_err("of an account");
    let left = async || {
        let mut left = Vec::new();
        for table in ["teams", "pipelines", "runs", "users WHERE email = 'x'", "api_tokens"] {
            left.push(world.count(table).await);
        }
        left
    };
    assert_eq!(left().await, [2, 3, 2, 1, 0], "what can be removed is gone");
    release(&world, "runs").await;
    release(&world, "users").await;
    purge::pass(&world.state).await.unwrap();
    assert_eq!(left().await, [1, 1, 0, 0, 0]);
    let ann = world.sign_in("ann@example.com").await;
    ann.get(&format!("/v1/pipelines/{}", kept.pipeline)).await.expect(200);
}

#[tokio::test]
async fn a_long_history_goes_piece_by_piece() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    for _ in 0..120 {
        ann.post(&runs, json!({})).await.expect(202);
    }
    let name = Some(json!({ "name": "Home" }));
    ann.call(reqwest::Method::DELETE, &format!("/v1/teams/{}", home.team), name).await.expect(204);
    world.clock.advance(DAY * 31);
    purge::pass(&world.state).await.unwrap();
    for table in ["teams", "runs", "run_events", "tasks", "step_runs", "script_versions", "usage"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_board_with_many_runs_is_deleted_at_once_and_its_runs_never_start() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let runs = format!("/v1/pipelines/{}/runs", home.pipeline);
    for _ in 0..130 {
        ann.post(&runs, json!({})).await.expect(202);
    }
    let board = format!("/v1/boards/{}", home.board);
    ann.delete(&board).await.expect(204);
    let waiting = "runs WHERE status = 'queued'";
    assert_eq!(world.count(waiting).await, 30, "as many are cancelled as hold up nobody");
    assert_eq!(dispatch::admit(&world.state).await.unwrap(), 0);
    let restore = format!("{board}/restore");
    ann.post(&restore, Value::Null).await.problem("conflict");
    purge::pass(&world.state).await.unwrap();
    assert_eq!(world.count(waiting).await, 0);
    assert_eq!(world.count("runs WHERE status = 'cancelled'").await, 130);
    assert_eq!(world.count("tasks WHERE state <> 'done'").await, 0);
    ann.post(&restore, Value::Null).await.expect(200);
}
