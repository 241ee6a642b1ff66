//! Schedules, when several control-planes look at the clock.

use serde_json::json;

use super::{cluster::Cluster, member::Member};

/// Schedules of the pipeline.
const SCHEDULES: usize = 20;
/// Times at which all of them are due.
const TIMES: usize = 3;

#[tokio::test]
async fn each_due_time_fires_once() {
    let cluster = Cluster::new();
    let (first, _second) = cluster.two_control_planes();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    // In a year's time: it is the test that says when they are due.
    let schedule = json!({"cron": "0 0 1 1 *", "overlap": "allow"});
    let schedules: serde_json::Map<_, _> = (0..SCHEDULES).map(|n| (format!("s{n}"), schedule.clone())).collect();
    let definition = json!({"restroy": 1, "schedules": schedules, "steps": {"only": {"script": "scripts/only.lua"}}});
    ada.push("yearly", definition, &[("scripts/only.lua", "return 1")]).await;
    for time in 1..=TIMES {
        let due = cluster
            .sql(
                "UPDATE schedules SET next_fire_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                 RETURNING id::text",
            )
            .await;
        assert_eq!(due.len(), SCHEDULES);
        let late = "SELECT count(*)::text FROM schedules
                    WHERE next_fire_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        cluster.until_sql(late, &["0"]).await;
        let runs = "SELECT schedule_id || ' ' || count(*) || ' ' || count(DISTINCT fire_at)
                    FROM runs GROUP BY schedule_id ORDER BY schedule_id";
        let mut wanted: Vec<_> = due.iter().map(|id| format!("{id} {time} {time}")).collect();
        wanted.sort();
        assert_eq!(cluster.sql(runs).await, wanted, "a run for each time of each schedule");
    }
}
