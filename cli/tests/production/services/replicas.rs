//! Two control-planes serve as one: whatever is begun at one can be watched and ended at the other.

use restroy_sdk::status::RunStatus;

use super::{
    cluster::{Cluster, until_figure},
    member::Member,
    watch::{Watch, assert_whole},
};

#[tokio::test]
async fn a_run_is_followed_live_at_both() {
    let cluster = Cluster::new();
    let (first, second) = cluster.two_control_planes();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_script("lines", "for i = 1, 5 do print('line ' .. i) sleep(0.05) end return 1").await;
    let run = ada.start(pipeline).await;
    let mut watches = Vec::new();
    for url in [&second.url, &first.url, &second.url, &first.url] {
        watches.push(Watch::start(url, &ada.token, run, 0).await);
    }
    for watch in &mut watches {
        watch.until("run.queued").await;
    }
    // All are there before anything is executed: what follows reaches them live.
    let (_one, _other) = (cluster.executor("one", &first.run_api), cluster.executor("other", &second.run_api));
    let mut seen = Vec::new();
    for watch in watches {
        seen.push(watch.end().await);
    }
    assert_whole(&seen[0]);
    assert!(seen.iter().all(|other| (&other.frames, other.close) == (&seen[0].frames, seen[0].close)), "{seen:#?}");

    // Whoever breaks off continues anywhere, behind what came before.
    for (url, after) in [(&first.url, 2), (&second.url, 4)] {
        let rest = Watch::start(url, &ada.token, run, i64::try_from(after).unwrap()).await.end().await;
        assert_eq!((&rest.frames[..], rest.close), (&seen[0].frames[after..], Some(1000)));
    }
}

#[tokio::test]
async fn a_run_is_cancelled_through_the_other() {
    let mut cluster = Cluster::new();
    cluster.lease = "2s";
    let (first, second, one, other) = cluster.two_of_each();
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_script("endless", "print('begun') sleep(200)").await;
    let run = ada.start(pipeline).await;
    let mut watch = Watch::start(&first.url, &ada.token, run, 0).await;
    watch.until("step.output").await;
    let cancelled = ada.at(&second.url).await.cancel(run).await.unwrap();
    assert_eq!(cancelled.status, RunStatus::Cancelled);
    let seen = watch.end().await;
    assert_whole(&seen);
    assert!(seen.frames.last().unwrap().contains("cancelled"), "{:?}", seen.frames);
    for executor in [one, other] {
        until_figure(&executor.metrics, "restroy_executor_busy_slots", |busy| busy == 0).await;
    }
}
