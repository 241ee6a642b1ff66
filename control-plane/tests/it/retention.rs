//! Retention: exactly what is due goes, with everything of it, in small steps and in turns.

use std::{collections::BTreeSet, time::Duration};

use proptest::{
    prelude::{Just, ProptestConfig, Strategy},
    prop_oneof,
    test_runner::TestRunner,
};
use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    runs::retention::{RemovedCounts, RetentionSweeper},
    sql,
    store::quota::{self, Limit},
};
use serde_json::{Value, json};

use crate::runs_support::*;

const DAY: Duration = Duration::from_hours(24);
/// A day, in microseconds.
const DAY_US: i64 = 86_400_000_000;

async fn give(it: &Installation, team: &str, limit: Limit, value: i64) {
    quota::set(&it.state.db, &it.state.ambient, team.parse().unwrap(), &[(limit, Some(value))]).await.unwrap();
}

/// Takes steps until nothing is due any more.
async fn sweep(it: &Installation) -> RemovedCounts {
    let (mut retention, mut all) = (RetentionSweeper::default(), RemovedCounts::default());
    loop {
        let removed = retention.pass(&it.state, 10).await.unwrap();
        all.runs += removed.runs;
        all.rows += removed.rows;
        if !retention.has_more() {
            return all;
        }
    }
}

async fn runs(ann: &Person, pipeline: &str) -> Vec<String> {
    let page = ann.get(&format!("/v1/pipelines/{pipeline}/runs?limit=100&sort=created_at")).await;
    page["items"].as_array().unwrap().iter().map(|run| text(&run["id"])).collect()
}

async fn cancel(ann: &Person, run: &str) {
    ann.expect(StatusCode::OK, Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
}

async fn retain(ann: &Person, pipeline: &str, retention: Value) -> (StatusCode, Value) {
    ann.call(Method::PATCH, &format!("/v1/pipelines/{pipeline}"), Some(json!({ "retention": retention }))).await
}

#[tokio::test]
async fn old_runs_go_with_everything_of_theirs() {
    let it = Installation::start().await;
    let Scene { ann, place, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    held.called("k", json!({ "method": "kv_set", "key": "k", "value": 1 })).await;
    held.called("m", json!({ "method": "email_send", "to": ["a@b.c"], "subject": "S", "text": "T" })).await;
    held.artifact("f", "f", b"content").await;
    held.reported(2, json!([finished("a"), run_finished("succeeded")])).await;
    assert_eq!(sweep(&it).await.runs, 0, "it is not due");
    it.clock.advance(30 * DAY);
    let ann = ann.login("ann").await;
    let open = ann.run(&place, json!({})).await;
    let removed = sweep(&it).await;
    assert_eq!(removed.runs, 1);
    assert!(removed.rows >= 7, "{removed:?}");
    assert_eq!(runs(&ann, &place.pipeline).await, [open]);
    for (table, left) in [
        ("SELECT count(*) FROM runs", 1),
        ("SELECT count(*) FROM run_events", 1),
        ("SELECT count(*) FROM step_runs", 1),
        ("SELECT count(*) FROM tasks", 1),
        ("SELECT count(*) FROM host_calls", 0),
        ("SELECT count(*) FROM artifacts", 0),
        ("SELECT count(*) FROM kv_entries", 1),
        // An e-mail may still be on its way, and its key is good for as long as it is there.
        ("SELECT count(*) FROM outbox WHERE run_id IS NULL AND team_id IS NOT NULL", 1),
    ] {
        assert_eq!(it.count(table).await, left, "{table}");
    }
}

#[tokio::test]
async fn a_pipeline_says_how_long_within_what_the_team_may() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let path = format!("/v1/pipelines/{}", place.pipeline);
    assert_eq!(ann.get(&path).await["retention"], json!({ "days": null, "runs": null }));
    for (retention, at) in [
        (json!({ "days": 31 }), "/retention/days"),
        (json!({ "days": 0 }), "/retention/days"),
        (json!({ "runs": 10_001 }), "/retention/runs"),
        (json!({ "runs": -1 }), "/retention/runs"),
    ] {
        let (status, problem) = retain(&ann, &place.pipeline, retention).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(at)),
            "{problem}"
        );
    }
    let (status, pipeline) = retain(&ann, &place.pipeline, json!({ "days": 2, "runs": 3 })).await;
    assert_eq!((status, &pipeline["retention"]), (StatusCode::OK, &json!({ "days": 2, "runs": 3 })));
    // Another change leaves it.
    ann.expect(StatusCode::OK, Method::PATCH, &path, Some(json!({ "description": "d" }))).await;
    assert_eq!(ann.get(&path).await["retention"], json!({ "days": 2, "runs": 3 }));

    let mut started = Vec::new();
    for _ in 0..5 {
        let run = ann.run(&place, json!({})).await;
        cancel(&ann, &run).await;
        it.clock.advance(Duration::from_secs(1));
        started.push(run);
    }
    assert_eq!(sweep(&it).await.runs, 2);
    assert_eq!(runs(&ann, &place.pipeline).await, started[2..]);
    // The plan holds also where a pipeline said more when it could.
    give(&it, &place.team, Limit::RetentionRuns, 1).await;
    assert_eq!(sweep(&it).await.runs, 2);
    it.clock.advance(2 * DAY);
    assert_eq!(sweep(&it).await.runs, 1);
}

#[tokio::test]
async fn what_is_kept_stays_and_what_is_deleted_goes_at_once() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    let [kept, deleted, open] =
        [ann.run(&place, json!({})).await, ann.run(&place, json!({})).await, ann.run(&place, json!({})).await];
    cancel(&ann, &kept).await;
    cancel(&ann, &deleted).await;
    let keep = format!("/v1/runs/{kept}/keep");
    for _ in 0..2 {
        let run = ann.expect(StatusCode::OK, Method::PUT, &keep, None).await;
        assert!(run["kept_at"].is_string(), "{run}");
    }
    for (run, why) in [(&kept, "kept"), (&open, "not ended")] {
        let problem = ann.expect(StatusCode::CONFLICT, Method::DELETE, &format!("/v1/runs/{run}"), None).await;
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
    let path = format!("/v1/runs/{deleted}");
    ann.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::PUT, format!("{path}/keep")),
        (Method::GET, format!("{path}/events")),
    ] {
        ann.expect(StatusCode::NOT_FOUND, method, &path, None).await;
    }
    let both = BTreeSet::from([kept.clone(), open.clone()]);
    assert_eq!(runs(&ann, &place.pipeline).await.into_iter().collect::<BTreeSet<_>>(), both);
    assert_eq!(sweep(&it).await.runs, 1);
    it.clock.advance(40 * DAY);
    assert_eq!(sweep(&it).await.runs, 0);
    let ann = ann.login("ann").await;
    assert_eq!(ann.expect(StatusCode::OK, Method::DELETE, &keep, None).await["kept_at"], Value::Null);
    assert_eq!(sweep(&it).await.runs, 1);
    assert_eq!(runs(&ann, &place.pipeline).await, [open]);
}

#[tokio::test]
async fn a_team_with_much_to_remove_does_not_keep_others_from_their_turn() {
    let it = Installation::start().await;
    let (ann, big) = it.pipeline(None).await;
    let bob = it.person("bob").await;
    let small = bob.place(None).await;
    for _ in 0..110 {
        let run = ann.run(&big, json!({})).await;
        cancel(&ann, &run).await;
    }
    for _ in 0..3 {
        let run = bob.run(&small, json!({})).await;
        cancel(&bob, &run).await;
    }
    it.clock.advance(31 * DAY);
    let mut retention = RetentionSweeper::default();
    // A step with each of the two: the runs that are deleted piece by piece at a time, and all of the other's.
    let removed = retention.pass(&it.state, 2).await.unwrap();
    assert_eq!((removed.runs, retention.has_more()), (50 + 3, true));
    let bob = bob.login("bob").await;
    assert!(runs(&bob, &small.pipeline).await.is_empty());
    while retention.has_more() {
        retention.pass(&it.state, 1).await.unwrap();
    }
    assert_eq!(it.count("SELECT count(*) FROM runs").await, 0);
}

/// A run as the model has it.
#[derive(Debug, Clone)]
struct Modelled {
    pipeline: usize,
    /// When it ended, in hours before now; none when it has not.
    ended: Option<i64>,
    kept: bool,
}

fn modelled() -> impl Strategy<Value = Modelled> {
    let ended = prop_oneof![1 => Just(None), 6 => (0..72_i64).prop_map(Some)];
    (0..3_usize, ended, proptest::bool::weighted(0.25)).prop_map(|(pipeline, ended, kept)| Modelled {
        pipeline,
        ended,
        kept,
    })
}

/// Which of them are still there, by the rules.
fn left(runs: &[(String, Modelled)], rules: &[(i64, usize)]) -> BTreeSet<String> {
    let mut left: BTreeSet<String> = runs.iter().map(|(id, _)| id.clone()).collect();
    for (pipeline, (days, most)) in rules.iter().enumerate() {
        let mut candidates: Vec<(i64, &String)> = runs
            .iter()
            .filter(|(_, run)| run.pipeline == pipeline && !run.kept)
            .filter_map(|(id, run)| Some((run.ended?, id)))
            .collect();
        // The newest first: the fewest hours ago, and of those that ended together the greater id.
        candidates.sort_by_key(|(ended, id)| (*ended, std::cmp::Reverse(*id)));
        for (place, (ended, id)) in candidates.into_iter().enumerate() {
            if ended >= days * 24 || place >= *most {
                left.remove(id);
            }
        }
    }
    left
}

#[tokio::test]
async fn exactly_what_is_due_goes() {
    let it = Installation::start().await;
    let (ann, place) = it.pipeline(None).await;
    give(&it, &place.team, Limit::RunsQueued, 10_000).await;
    let mut pipelines = vec![place.pipeline.clone()];
    for name in ["Second", "Third"] {
        let pipeline = ann.pipeline_on(&place.board, name).await;
        ann.publish(&pipeline, steps(json!({ "a": { "script": "a.lua" } }))).await;
        pipelines.push(pipeline);
    }
    it.clock.advance(100 * DAY);
    let ann = ann.login("ann").await;
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() });
    let strategy = (proptest::collection::vec(modelled(), 1..14), proptest::collection::vec((1..3_i64, 1..5_usize), 3));
    for _ in 0..8 {
        let tree = strategy.new_tree(&mut runner).unwrap();
        let (modelled, rules) = proptest::strategy::ValueTree::current(&tree);
        it.sql("UPDATE runs SET kept_at = NULL, expired_at = 1 WHERE finished_at IS NOT NULL").await;
        for run in it_runs(&it).await {
            let (status, _) = ann.call(Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
            assert!(status == StatusCode::OK || status == StatusCode::NOT_FOUND);
        }
        it.sql("UPDATE runs SET expired_at = 1").await;
        sweep(&it).await;
        assert_eq!(it.count("SELECT count(*) FROM runs").await, 0);

        for (pipeline, (days, most)) in pipelines.iter().zip(&rules) {
            assert_eq!(retain(&ann, pipeline, json!({ "days": days, "runs": most })).await.0, StatusCode::OK);
        }
        let now = it.state.ambient.now().micros();
        let mut made = Vec::new();
        for run in modelled {
            let pipeline =
                Place { pipeline: pipelines[run.pipeline].clone(), team: String::new(), board: String::new() };
            let id = ann.run(&pipeline, json!({})).await;
            if let Some(hours) = run.ended {
                cancel(&ann, &id).await;
                let at = now - hours * DAY_US / 24;
                it.set_finished(&id, at).await;
            }
            if run.kept {
                ann.expect(StatusCode::OK, Method::PUT, &format!("/v1/runs/{id}/keep"), None).await;
            }
            made.push((id, run));
        }
        sweep(&it).await;
        let there: BTreeSet<String> = it_runs(&it).await.into_iter().collect();
        assert_eq!(there, left(&made, &rules), "{made:?} under {rules:?}");
        assert_eq!(sweep(&it).await, RemovedCounts::default(), "once is enough");
    }
}

/// The ids of all runs.
async fn it_runs(it: &Installation) -> Vec<String> {
    let mut tx = it.state.db.system_read().await.unwrap();
    let ids: Vec<restroy_sdk::ids::RunId> =
        sql!(&mut tx, fetch_all, sqlx::query_scalar("SELECT id FROM runs")).unwrap();
    ids.iter().map(ToString::to_string).collect()
}

trait SetFinished {
    async fn set_finished(&self, run: &str, at: i64);
}

impl SetFinished for Installation {
    async fn set_finished(&self, run: &str, at: i64) {
        let mut tx = self.state.db.system_write().await.unwrap();
        let id: restroy_sdk::ids::RunId = run.parse().unwrap();
        sql!(&mut tx, execute, sqlx::query("UPDATE runs SET finished_at = $2 WHERE id = $1").bind(id).bind(at))
            .unwrap();
        tx.commit().await.unwrap();
    }
}
