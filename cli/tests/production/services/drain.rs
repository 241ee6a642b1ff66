//! SIGTERM: a service ends in good order, and others carry on with what it had.

use restroy_sdk::event::EventKind;

use super::{
    cluster::{Cluster, http},
    member::{Member, losses},
    service::eventually,
    watch::{Watch, assert_whole},
};

/// Begins, and ends when it is let.
const WAITS: &str = "print('begun') for _ = 1, 2000 do if kv.get('go') then return 1 end sleep(0.1) end";

#[tokio::test]
async fn an_executor_finishes_what_it_has_and_takes_nothing_new() {
    let cluster = Cluster::new();
    let first = cluster.control_plane("control-plane-1");
    let mut one = cluster.executor_with("one", &first.run_api, &[("RESTROY_DRAIN", "5m")]);
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let run = ada.start(ada.push_script("waits", WAITS).await).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    one.service.signal("TERM");
    let ready = format!("{}/readyz", one.metrics);
    eventually("unready", async || {
        let answer = http().get(&ready).send().await.unwrap();
        (answer.status() == 503 && answer.text().await.unwrap().contains("stopping")).then_some(())
    })
    .await;

    // It has slots to spare. Whatever comes now is for the other.
    let other = cluster.executor("other", &first.run_api);
    ada.signal("go").await;
    let events = ada.succeeded(run).await;
    assert_eq!(losses(&events), 0);
    let owners = "SELECT owner::text FROM tasks JOIN runs ON runs.id = run_id ORDER BY runs.created_at";
    assert_eq!(cluster.sql(owners).await, [one.id, other.id]);
    assert!(one.service.ended().success());
}

#[tokio::test]
async fn an_executor_hands_back_what_it_cannot_finish() {
    let cluster = Cluster::new();
    let first = cluster.control_plane("control-plane-1");
    let mut one = cluster.executor_with("one", &first.run_api, &[("RESTROY_DRAIN", "300ms")]);
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let run = ada.start(ada.push_script("waits", WAITS).await).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    let other = cluster.executor("other", &first.run_api);
    one.service.signal("TERM");
    // The lease would continue for half a minute. It is not waited for.
    assert!(one.service.ended().success());
    cluster.until_sql("SELECT owner::text FROM tasks WHERE state = 'leased'", &[&other.id]).await;
    ada.signal("go").await;
    assert_whole(&watch.end().await);
    let events = ada.succeeded(run).await;
    assert_eq!(losses(&events), 1);
    assert!(!events.iter().any(|event| matches!(event.kind, EventKind::StepRetrying { .. })));
    let lost = format!("SELECT lost::text FROM tasks WHERE run_id = '{run}'");
    assert_eq!(cluster.sql(&lost).await, ["0"], "no loss is counted");
}

#[tokio::test]
async fn a_control_plane_sends_its_watchers_to_the_other() {
    let cluster = Cluster::new();
    let (mut first, second) = cluster.two_control_planes();
    let _executor = cluster.executor("executor-2", &second.run_api);
    let ada = Member::new(&cluster, &second.url, "ada").await;
    let run = ada.start(ada.push_script("waits", WAITS).await).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    first.service.signal("TERM");
    let mut seen = watch.end().await;
    assert_eq!(seen.close, Some(1012), "connect again, and another answers");
    assert_eq!(first.service.ended().code(), Some(0));

    let rest = Watch::start(&second.url, &ada.token, run, seen.last()).await;
    ada.signal("go").await;
    let rest = rest.end().await;
    seen.frames.extend(rest.frames);
    seen.close = rest.close;
    assert_whole(&seen);
}
