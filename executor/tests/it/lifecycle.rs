//! Runs that others end, and tasks that only wait.

use restroy_sdk::{event::EventKind, status::RunStatus};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use crate::support::{Api, Running, within};

/// A server that says when a request comes, and answers it only if it is to.
async fn server(answers: bool) -> (String, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ((came, requests), (gone, closed)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (came, gone) = (came.clone(), gone.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let _ = came.send(());
                    if answers {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    }
                    // Until the other side closes it.
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                    let _ = gone.send(());
                }
            });
        }
    });
    (url, requests, closed)
}

async fn api(url: &str, source: &str) -> Api {
    let source = source.replace("URL", url);
    Api::start(
        json!({"restroy": 1, "steps": {"a": {
            "script": "a.lua", "timeout": "5m", "allow": {"kv": true, "http": [url]},
            "retry": {"max_attempts": 3, "backoff": "constant", "initial": "30s"},
        }}}),
        &[("a.lua", source.as_str())],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_ended_drops_its_request_and_frees_its_slot_at_once() {
    let (url, mut requests, mut closed) = server(false).await;
    let api = api(&url, "http.get('URL')").await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    api.until("the executor listens", |api| api.listening() > 0).await;
    executor.push(api.task_id()).await;
    within("the request is under way", requests.recv()).await.unwrap();
    api.until("its start is reported", |api| !api.events().is_empty()).await;
    let renewals = api.renewals();
    api.end();
    within("the request is dropped", closed.recv()).await.unwrap();
    api.until("the stop is confirmed", |api| api.stopped() == 1).await;
    assert_eq!((api.renewals(), api.refused()), (renewals, 0), "it was heard, not found out");
    executor.stop().await;
    assert!(requests.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_ended_stops_a_script_that_spins() {
    let (url, mut requests, _closed) = server(true).await;
    let api = api(&url, "http.get('URL') while true do end").await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    api.until("the executor listens", |api| api.listening() > 0).await;
    executor.push(api.task_id()).await;
    within("the script has begun", requests.recv()).await.unwrap();
    api.end();
    api.until("the stop is confirmed", |api| api.stopped() == 1).await;
    let ends = |event: &EventKind| matches!(event, EventKind::StepFinished { .. });
    assert!(!api.events().iter().any(ends), "its fuel was not what ended it");
    executor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_signals_it_asks_before_each_request() {
    let (url, mut requests, _closed) = server(true).await;
    let api = api(&url, "http.get('URL') kv.get('gate') sleep(1.5) http.get('URL')").await;
    api.knobs(|knobs| knobs.is_old = true);
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    within("the first request", requests.recv()).await.unwrap();
    api.until("the script waits", |api| !api.calls().is_empty()).await;
    api.end();
    api.knobs(|knobs| knobs.gate.1.add_permits(1));
    api.until("the executor finds out", |api| api.refused() > 0 && api.stopped() == 1).await;
    executor.stop().await;
    assert!(requests.try_recv().is_err(), "nothing goes out after the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_task_is_suspended_and_resumes_where_it_was() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "allow": {"kv": true},
                  "retry": {"max_attempts": 2, "backoff": "constant", "initial": "60s", "max": "60s"}},
            "each": {"script": "a.lua", "for_each": "{1, 2}", "max_parallel": 2, "allow": {"kv": true},
                     "retry": {"max_attempts": 2, "backoff": "constant", "initial": "80s", "max": "80s"}},
            "after": {"script": "after.lua", "needs": ["a"]},
        }}),
        &[
            ("a.lua", "kv.incr('n') if run.retry == 0 then error('not yet') end return run.retry"),
            ("after.lua", "return inputs.a"),
        ],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("the run is suspended", |api| api.suspensions().len() == 1).await;
    let suspensions = api.suspensions();
    let who: Vec<_> = suspensions[0].iter().map(|one| (one.step.as_str(), one.index, one.attempt)).collect();
    assert_eq!(who.len(), 3, "{who:?}");
    for step in [("a", None, 2), ("each", Some(1), 2), ("each", Some(2), 2)] {
        assert!(who.contains(&step), "{who:?}");
    }
    // The slot is free: the same task is claimed anew, when it is due, and continues with the second attempts.
    api.knobs(|knobs| knobs.waits_are_over = true);
    executor.push(api.task_id()).await;
    api.finished().await;
    executor.stop().await;
    let events = api.events();
    let Some(EventKind::RunFinished { status: RunStatus::Succeeded, .. }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(api.kv("n"), Some(json!(6)), "each attempt once");
    assert_eq!(api.released(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_control_plane_does_not_reclaim_it_and_the_run_continues() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua",
            "retry": {"max_attempts": 2, "backoff": "constant", "initial": "5500ms"}}}}),
        &[("a.lua", "if run.retry == 0 then error('not yet') end return 1")],
    )
    .await;
    api.knobs(|knobs| knobs.is_old = true);
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    within("the run ends", api.finished()).await;
    executor.stop().await;
    assert_eq!(api.suspensions().len(), 0);
    assert!(
        api.events()
            .iter()
            .any(|event| matches!(event, EventKind::RunFinished { status, .. } if *status == RunStatus::Succeeded))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn short_pauses_keep_the_task() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "short": {"script": "a.lua", "retry": {"max_attempts": 2, "backoff": "constant", "initial": "200ms"}},
            "long": {"script": "a.lua", "retry": {"max_attempts": 2, "backoff": "constant", "initial": "1h", "max": "1h"}},
        }}),
        &[("a.lua", "if run.retry == 0 then error('not yet') end return 1")],
    )
    .await;
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    api.until("the run is suspended", |api| api.suspensions().len() == 1).await;
    let suspensions = api.suspensions();
    assert_eq!(suspensions[0].len(), 1, "the short pause was sat out: {suspensions:?}");
    assert_eq!(suspensions[0][0].step, "long");
    executor.stop().await;
}
