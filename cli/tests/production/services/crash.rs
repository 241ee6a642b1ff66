//! Processes that die, and one that only seems to be dead.

use restroy_client::Paging;
use restroy_sdk::problem::ProblemCode;
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, figure, http, until_figure},
    load::Load,
    member::{Member, losses, outputs},
    proxy::Proxy,
    watch::{Watch, assert_whole},
};

/// Has an effect, says so, continues when it is let, and has another.
const WAITS: &str = "
    kv.incr('before')
    print('begun')
    for _ = 1, 2000 do
        if kv.get('go') then break end
        sleep(0.1)
    end
    return kv.incr('after')
";

#[tokio::test]
async fn the_work_of_a_killed_executor_is_taken_over() {
    let mut cluster = Cluster::new();
    cluster.lease = "2s";
    let (first, second, one, other) = cluster.two_of_each();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_script("waits", WAITS).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        let run = ada.start(pipeline).await;
        watches.push((run, Watch::start(&second.url, &ada.token, run, 0).await));
    }
    for (_, watch) in &mut watches {
        watch.until("step.output").await;
    }
    let killed = cluster.owner(watches[0].0, [&one, &other]).await;
    killed.service.signal("KILL");
    watches[0].1.until("step.lost").await;
    ada.signal("go").await;
    for (run, watch) in watches {
        assert_whole(&watch.end().await);
        ada.succeeded(run).await;
        let steps = ada.client.steps(run, &Paging::longest()).await.unwrap().items;
        assert_eq!(steps.iter().map(|step| step.step.attempt).collect::<Vec<_>>(), [1], "no retry is spent");
    }
    assert_eq!((ada.kv("before").await, ada.kv("after").await), (Some(json!(3)), Some(json!(3))), "effects once");
}

#[tokio::test]
async fn an_executor_that_stood_still_for_too_long_is_refused() {
    let mut cluster = Cluster::new();
    cluster.lease = "2s";
    let (first, second) = cluster.two_control_planes();
    let proxy = Proxy::start(&first.run_api).await;
    let one = cluster.executor("one", &proxy.url);
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let run = ada.start(ada.push_script("waits", WAITS).await).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    let task = cluster.sql(&format!("SELECT id::text FROM tasks WHERE run_id = '{run}'")).await.remove(0);
    let at = format!("{}/run/v1/tasks/{task}", first.run_api);
    let token = proxy.token_of(&task);
    let write = async |route: &str, body: Value| {
        let answer = http().post(format!("{at}/{route}")).bearer_auth(&token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(write("renew", json!({})).await.0, 200, "it is the token of whoever has the task");

    let other = cluster.executor("other", &second.run_api);
    one.service.signal("STOP");
    watch.until("step.lost").await;
    let owner = format!("SELECT owner::text FROM tasks WHERE run_id = '{run}' AND state = 'leased'");
    cluster.until_sql(&owner, &[&other.id]).await;
    let step = json!({"step": "only", "attempt": 1});
    let ends = json!({"n": 1000, "engine_id": "e", "events": [{"type": "run.finished", "status": "failed"}]});
    let writes =
        json!({"step": step, "call_number": 9, "key": "k", "call": {"method": "kv_incr", "key": "after", "by": 1}});
    for (route, body) in [("renew", json!({})), ("events", ends), ("calls", writes), ("release", json!({}))] {
        let (status, problem) = write(route, body).await;
        assert_eq!((status, &problem["code"]), (409, &json!(ProblemCode::LeaseLost)), "{route}: {problem}");
    }

    one.service.signal("CONT");
    until_figure(&one.metrics, "restroy_executor_leases_lost_total", |lost| lost == 1).await;
    until_figure(&one.metrics, "restroy_executor_busy_slots", |busy| busy == 0).await;
    assert!(one.service.log().contains("the task's lease was lost"));
    ada.signal("go").await;
    assert_whole(&watch.end().await);
    let events = ada.succeeded(run).await;
    assert_eq!((losses(&events), outputs(&events)), (1, vec![json!(1)]));
    assert_eq!((ada.kv("before").await, ada.kv("after").await), (Some(json!(1)), Some(json!(1))), "effects once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_continue_when_a_control_plane_is_killed() {
    let mut cluster = Cluster::new();
    cluster.lease = "2s";
    let (first, second, one, _other) = cluster.two_of_each();
    let ada = Member::new(&cluster, &second.url, "ada").await;
    let load = Load::start(&ada, ada.push_counter().await, &[&first.url, &second.url]);
    let pipeline = ada.push_script("speaks", "for i = 1, 40 do print(i) sleep(0.05) end").await;
    let run = ada.start(pipeline).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    load.more(10).await;
    first.service.signal("KILL");
    let mut seen = watch.end().await;
    assert_eq!(seen.close, None, "it had no time to say anything");
    load.more(10).await;

    // The stream continues at the other, behind what came before.
    let rest = Watch::start(&second.url, &ada.token, run, seen.last()).await.end().await;
    seen.frames.extend(rest.frames);
    seen.close = rest.close;
    assert_whole(&seen);

    // Where it was, another one comes: the executor that spoke to it works for it.
    let taken = r#"restroy_executor_claims_total{outcome="taken""#;
    let before = figure(&one.metrics, taken).await.unwrap();
    let _first = cluster.control_plane_again("control-plane-1-again", &first);
    until_figure(&one.metrics, taken, |now| now > before).await;
    load.all_succeed_once(&cluster, &ada).await;
}
