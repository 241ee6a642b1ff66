//! The examples do what they say, on real input.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use restroy_client::Paging;
use restroy_sdk::{api::script::PutConfiguration, event::EventKind, ids::PipelineId, status::StepStatus};
use serde_json::{Value, json};
use sqlx::{Row as _, sqlite::SqlitePool};
use tokio::sync::Mutex;

use crate::world::World;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Publishes an example, its document changed by `change`.
async fn push_example(world: &World, name: &str, change: impl FnOnce(&mut Value)) -> PipelineId {
    let folder = root().join("examples").join(name);
    let yaml = std::fs::read_to_string(folder.join("pipeline.yaml")).unwrap();
    let mut definition = serde_json::to_value(restroy_sdk::document::read_yaml(&yaml).unwrap()).unwrap();
    change(&mut definition);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("scripts/{}", path.file_name().unwrap().to_str().unwrap());
        files.insert(name, std::fs::read_to_string(&path).unwrap());
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    world.push(name, definition, &files).await
}

/// The observations as a table, for figures computed by another program: SQLite.
async fn observations(csv: &str) -> SqlitePool {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::query("CREATE TABLE day (date TEXT, rain REAL, hi REAL, lo REAL)").execute(&pool).await.unwrap();
    for line in csv.lines().skip(1) {
        let mut fields = line.split(',');
        let date = fields.next().unwrap().replace('/', "-");
        let mut number = || fields.next().unwrap().parse::<f64>().unwrap();
        sqlx::query("INSERT INTO day VALUES ($1, $2, $3, $4)")
            .bind(date)
            .bind(number())
            .bind(number())
            .bind(number())
            .execute(&pool)
            .await
            .unwrap();
    }
    pool
}

fn assert_near(ours: &Value, theirs: f64, what: &str) {
    let ours = ours.as_f64().unwrap_or_else(|| panic!("{what} is no number: {ours}"));
    assert!((ours - theirs).abs() < 1e-6, "{what}: {ours} instead of {theirs}");
}

#[tokio::test]
async fn the_weather_reports_figures_are_those_that_sql_computes() {
    let csv = std::fs::read_to_string(root().join("examples/weather-report/seattle-weather.csv")).unwrap();
    let world = World::new(&[]).await;
    let pipeline = push_example(&world, "weather-report", |_| {}).await;
    let finished = world.run(pipeline, json!({"csv": csv, "to": "ada@example.com"})).await.succeeded();
    let figures = finished.output("report");
    let table = observations(&csv).await;

    let months = sqlx::query(
        "SELECT CAST(substr(date, 1, 4) AS INTEGER) AS year, CAST(substr(date, 6, 2) AS INTEGER) AS month,
                count(*) AS days, avg(hi) AS hi, avg(lo) AS lo, sum(rain) AS rain, sum(rain > 0) AS wet
         FROM day GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .fetch_all(&table)
    .await
    .unwrap();
    assert_eq!(months.len(), 48);
    assert_eq!(figures["months"].as_array().unwrap().len(), months.len());
    for (ours, row) in figures["months"].as_array().unwrap().iter().zip(&months) {
        let (year, month): (i64, i64) = (row.get("year"), row.get("month"));
        let what = format!("{year}-{month}");
        assert_eq!((ours["year"].as_i64(), ours["month"].as_i64()), (Some(year), Some(month)));
        assert_eq!(ours["days"].as_i64(), Some(row.get("days")), "{what}");
        assert_eq!(ours["wet_days"].as_i64(), Some(row.get("wet")), "{what}");
        assert_near(&ours["temp_max"], row.get("hi"), &what);
        assert_near(&ours["temp_min"], row.get("lo"), &what);
        assert_near(&ours["precipitation"], row.get("rain"), &what);
    }

    for (name, column, order) in [("hottest", "hi", "DESC"), ("coldest", "lo", "ASC"), ("wettest", "rain", "DESC")] {
        let query = format!("SELECT date, {column} AS value FROM day ORDER BY {column} {order}, date LIMIT 1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&table).await.unwrap();
        assert_eq!(figures["extremes"][name]["date"].as_str(), Some(row.get("date")), "{name}");
        assert_near(&figures["extremes"][name]["value"], row.get("value"), name);
    }

    // Gaps and islands: days without rain, less their rank among them, stay the same within a spell.
    let spell = sqlx::query(
        "SELECT count(*) AS days, min(date) AS first, max(date) AS last
         FROM (SELECT date, julianday(date) - row_number() OVER (ORDER BY date) AS island FROM day WHERE rain = 0)
         GROUP BY island ORDER BY days DESC, first LIMIT 1",
    )
    .fetch_one(&table)
    .await
    .unwrap();
    assert_eq!(figures["dry_spell"]["days"].as_i64(), Some(spell.get("days")));
    assert_eq!(figures["dry_spell"]["from"].as_str(), Some(spell.get("first")));
    assert_eq!(figures["dry_spell"]["to"].as_str(), Some(spell.get("last")));

    let outbox = world.client.outbox(world.team, &Paging::longest()).await.unwrap().items;
    assert_eq!(outbox.len(), 1);
    assert_eq!(
        (outbox[0].to.as_slice(), outbox[0].run_id),
        (["ada@example.com".to_owned()].as_slice(), Some(finished.run.id))
    );
    assert!(outbox[0].text.contains("1461 days"), "{}", outbox[0].text);
    let years = finished.steps.iter().filter(|run| run.step.step == "year" && run.step.index.is_some()).count();
    assert_eq!(years, 4);
}

#[derive(Default)]
struct Crm {
    keys: Mutex<Vec<String>>,
}

/// The customer database that the newsletter asks.
async fn crm(crm: Arc<Crm>) -> String {
    let subscribers = json!({"items": [
        {"email": "one@example.com", "name": "One", "active": true},
        {"email": "two@example.com", "name": "Two", "active": false},
        {"email": "three@example.com", "name": "Three", "active": true},
    ]});
    let issue = get(move |Path(id): Path<String>, headers: HeaderMap| async move {
        crm.keys.lock().await.push(headers["authorization"].to_str().unwrap().to_owned());
        if id == "7" {
            Ok(Json(json!({"subject": "Issue 7", "text": "What is new."})))
        } else {
            Err(StatusCode::NOT_FOUND)
        }
    });
    let router =
        Router::new().route("/issues/{id}", issue).route("/subscribers", get(|| async move { Json(subscribers) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn the_newsletter_goes_to_everybody_who_subscribed() {
    let service = Arc::new(Crm::default());
    let url = crm(Arc::clone(&service)).await;
    let world = World::new(&["--allow-loopback-http"]).await;
    let pipeline = push_example(&world, "newsletter", |definition| {
        let fetch = &mut definition["steps"]["fetch"];
        fetch["config"]["api_url"] = json!(url);
        fetch["allow"]["http"] = json!([url]);
    })
    .await;

    let without_secret = world.run(pipeline, json!({"issue": "7"})).await;
    assert_eq!(without_secret.error_code("fetch"), "secret_missing");

    let scripts = world.client.scripts(pipeline, &Paging::longest()).await.unwrap().items;
    let fetch = scripts.iter().find(|script| script.path == "scripts/fetch.lua").unwrap().id;
    let secret = PutConfiguration { value: "key-of-the-crm".into(), secret: true, usable_only: false };
    world.client.put_configuration(fetch, "API_KEY", &secret).await.unwrap();
    let finished = world.run(pipeline, json!({"issue": "7"})).await.succeeded();
    assert_eq!(finished.output("report"), json!({"issue": "7", "sent": 2}));
    assert_eq!(service.keys.lock().await.as_slice(), ["Bearer key-of-the-crm"]);
    let outbox = world.client.outbox(world.team, &Paging::longest()).await.unwrap().items;
    let mut recipients: Vec<_> = outbox.iter().flat_map(|mail| mail.to.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, ["one@example.com", "three@example.com"]);
    assert!(outbox.iter().all(|mail| mail.subject == "Issue 7" && mail.text.contains("What is new.")));

    // An issue that does not exist fails `fetch` at once, skips `send`, and `report` says so all the same.
    let missing = world.run(pipeline, json!({"issue": "8"})).await;
    assert_eq!(missing.error_code("fetch"), "script_error");
    let status = |step: &str| missing.steps.iter().rfind(|run| run.step.step == step).map(|run| run.status);
    assert_eq!((status("send"), status("report")), (Some(StepStatus::Skipped), Some(StepStatus::Succeeded)));
    assert_eq!(missing.output("report"), json!({"issue": "8", "sent": 0}));
}

#[tokio::test]
async fn the_dependency_audit_remembers_what_it_saw() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let world = World::new(&[]).await;
    let pipeline = push_example(&world, "dependency-audit", |_| {}).await;
    let first = world.run(pipeline, json!({"lock": lock})).await.succeeded();
    let packages = lock.matches("[[package]]").count();
    assert!(first.lines().iter().any(|line| line.contains(&packages.to_string())), "{:?}", first.lines());
    let duplicates = first.output("duplicates");
    let names: Vec<_> = duplicates.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, twice(&lock));

    let less = without_package(&lock, "wasmtime-wizer");
    let second = world.run(pipeline, json!({"lock": less})).await.succeeded();
    assert!(
        second.lines().iter().any(|line| line.contains("wasmtime-wizer")),
        "the second audit says what changed: {:?}",
        second.lines()
    );
    let progressed = first.events.iter().any(|event| matches!(event.kind, EventKind::StepProgress { .. }));
    assert!(progressed);
}

/// The names that a lock holds more than once.
fn twice(lock: &str) -> Vec<&str> {
    let mut names: Vec<_> =
        lock.lines().filter_map(|line| line.strip_prefix("name = ")).map(|name| name.trim_matches('"')).collect();
    names.sort_unstable();
    let mut found: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    found.dedup();
    found
}

/// A lock without a package and what points at it.
fn without_package(lock: &str, name: &str) -> String {
    let quoted = format!("\"{name}\"");
    lock.split("\n\n")
        .filter(|block| !block.contains(&format!("name = {quoted}")))
        .map(|block| {
            block.lines().filter(|line| !line.trim_start().starts_with(&quoted)).collect::<Vec<_>>().join("\n")
        })
        .collect::<Vec<_>>()
        .join("\n\n")
}
