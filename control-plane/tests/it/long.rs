//! What costs what it reads, whatever lies beside it. The sizes are such that nothing else comes to an end.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    database::PRODUCTION,
    runs_support::{Installation, steps, text},
};

/// A statement with a random id in it, and truth and falsehood, as the database at hand has them.
fn statement(text: &str) -> sqlx::AssertSqlSafe<String> {
    let (id, yes, no) = if PRODUCTION { ("gen_random_uuid()", "true", "false") } else { ("randomblob(16)", "1", "0") };
    sqlx::AssertSqlSafe(text.replace("$ID", id).replace("$YES", yes).replace("$NO", no))
}

async fn write(it: &Installation, text: &str) {
    let mut tx = it.state.db.system_write().await.unwrap();
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(statement(text))).unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_claim_costs_the_keys_and_not_their_revisions() {
    let it = Installation::start().await;
    let document = steps(json!({ "a": { "script": "a.lua", "config": { "URL": "default", "TEAM": "default" } } }));
    let (ann, place) = it.pipeline(Some(document)).await;
    let scripts = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let script = text(&scripts["items"][0]["id"]);
    for (place, key) in [(format!("scripts/{script}"), "URL"), (format!("teams/{}", place.team), "TEAM")] {
        let path = format!("/v1/{place}/configuration/{key}");
        let put = json!({ "value": "as the run started" });
        ann.expect(reqwest::StatusCode::OK, Method::PUT, &path, Some(put)).await;
    }
    let run = ann.run(&place, json!({})).await;
    write(
        &it,
        "INSERT INTO configurations (id, team_id, script_id, key, revision, config_revision, secret, plain, newest, created_at)
         WITH RECURSIVE n (i) AS (SELECT CAST(2 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
         SELECT $ID, c.team_id, c.script_id, c.key, n.i, n.i, $NO, 'later', n.i = 30000, c.created_at
         FROM n CROSS JOIN (SELECT * FROM configurations) c",
    )
    .await;
    let executor = it.executor().await;
    let held = executor.claim(&it.admitted().await).await.expect("the task is claimed");
    assert_eq!(held.plan["steps"]["a"]["config"], json!({ "URL": "as the run started", "TEAM": "as the run started" }));
    // Lists and counts look at what is in force only.
    let list = ann.get(&format!("/v1/scripts/{script}/configuration")).await;
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["value"]), (1, &json!("later")));
    let events = ann.kinds(&run).await;
    assert_eq!(events, ["run.queued", "run.started"]);
}

#[tokio::test]
async fn a_page_of_scripts_costs_the_scripts_and_not_their_versions() {
    let it = Installation::start().await;
    let steps_of: Value = (0..10).map(|n| (format!("s{n}"), json!({ "script": format!("s{n:02}.lua") }))).collect();
    let (ann, place) = it.pipeline(Some(steps(steps_of))).await;
    write(
        &it,
        "INSERT INTO pipeline_versions (id, team_id, pipeline_id, number, definition, created_at)
         WITH RECURSIVE n (i) AS (SELECT CAST(2 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
         SELECT $ID, p.team_id, p.id, n.i, '{}', p.created_at FROM n CROSS JOIN pipelines p",
    )
    .await;
    write(
        &it,
        "INSERT INTO pipeline_version_scripts (team_id, version_id, script_id, script_version_id)
         SELECT v.team_id, v.id, s.id, w.id
         FROM pipeline_versions v CROSS JOIN scripts s CROSS JOIN script_versions w WHERE v.number > 1",
    )
    .await;
    write(&it, "UPDATE scripts SET version_id = (SELECT id FROM pipeline_versions WHERE number = 6000)").await;
    write(&it, "UPDATE pipelines SET latest_version = 6000").await;
    let first = ann.get(&format!("/v1/pipelines/{}/scripts?limit=7", place.pipeline)).await;
    let next = text(&first["next_cursor"]);
    let last = ann.get(&format!("/v1/pipelines/{}/scripts?limit=7&cursor={next}", place.pipeline)).await;
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    let all: Vec<Value> = [items(&first), items(&last)].concat();
    let paths: Vec<_> = all.iter().map(|script| text(&script["path"])).collect();
    assert_eq!(paths, (0..10).map(|n| format!("s{n:02}.lua")).collect::<Vec<_>>());
    assert!(all.iter().all(|script| script["current"] == true));
    // All versions have the same source.
    let sources = ann.get(&format!("/v1/scripts/{}/versions", text(&all[0]["id"]))).await;
    assert_eq!(items(&sources).len(), 1);
}
