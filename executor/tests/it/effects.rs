//! What scripts do to the world: when, under which key, and with what answer.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, routing::any};
use restroy_run_queue::run_api::CallKind;
use restroy_sdk::status::RunStatus;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Api, Running, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_waits_for_what_it_builds_on() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua"},
            "b": {"script": "b.lua", "needs": ["a"], "allow": {"kv": true}},
        }}),
        &[("a.lua", "return 1"), ("b.lua", "kv.get('look') kv.set('x', inputs.a) return kv.get('x')")],
    )
    .await;
    let batches = Arc::new(Semaphore::new(0));
    api.knobs(|knobs| knobs.batches = Some(Arc::clone(&batches)));
    let scratch = tempfile::tempdir().unwrap();
    let executor = Running::start(&api, scratch.path(), 1).await;
    executor.push(api.task_id()).await;
    // The second script runs while nothing is committed; reading is not an effect.
    api.until("b reads", |api| api.calls().len() == 1).await;
    assert!(api.events().is_empty());
    assert_eq!(api.kv("x"), None);
    // The write comes once the first step's end is committed: the run API itself checks that.
    batches.add_permits(1000);
    api.finished().await;
    executor.stop().await;
    assert_eq!(api.kv("x"), Some(json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_answers_as_scripts_expect() {
    let report = run(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"kv": true}}}}),
        &[(
            "a.lua",
            "kv.set('k', { a = 1 })
             local got = kv.get('k')
             local sum = kv.incr('n', 5) + kv.incr('n')
             local first = kv.cas('k', { a = 1 }, 'new')
             local second = kv.cas('k', { a = 1 }, 'newer')
             local absent = kv.cas('fresh', nil, 1)
             local ok, problem = pcall(kv.incr, 'k')
             local listed = {}
             for _, entry in ipairs(kv.list('')) do listed[#listed + 1] = entry.key end
             local gone, again = kv.delete('k'), kv.delete('k')
             return { got.a, sum, first, second, absent, problem.code, listed, gone, again, kv.get('k') == nil }",
        )],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded, "{:?}", report.ending());
    let expected = json!([1, 11, true, false, true, "kv_not_an_integer", ["fresh", "k", "n"], true, false, true]);
    assert_eq!(report.output("a"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_files_and_artifacts_arrive() {
    let report = run(
        json!({"restroy": 1, "steps": {
            "write": {"script": "write.lua", "allow": {"files": true}},
            "send": {"script": "send.lua", "needs": ["write"], "allow": {"files": true, "email": true}},
        }}),
        &[
            (
                "write.lua",
                "local f = io.open('out/report.txt', 'w') f:write('line 1\\n', 'line 2\\n') f:close()
                 files.artifact('out/report.txt')",
            ),
            (
                "send.lua",
                "local text = files.read('out/report.txt')
                 return email.send { to = { 'ada@example.com' }, subject = 'Report', text = text, reply_to = 'desk@example.com' }",
            ),
        ],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded, "{:?}", report.ending());
    assert_eq!(report.api.artifact("report.txt").unwrap().1, b"line 1\nline 2\n");
    let calls = report.api.calls();
    let CallKind::EmailSend { to, subject, text, html, reply_to } = &calls[0].call else { panic!("{calls:?}") };
    assert_eq!((to.as_slice(), subject.as_str()), (["ada@example.com".to_owned()].as_slice(), "Report"));
    assert_eq!((text.as_str(), html), ("line 1\nline 2\n", &None));
    assert_eq!(reply_to.as_deref(), Some("desk@example.com"));
    assert_eq!(calls[0].key.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_what_was_granted_and_nothing_else() {
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let server = {
        let seen = Arc::clone(&seen);
        Router::new().fallback(any(move |request: Request| async move {
            let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
            seen.lock().unwrap().push((request.uri().to_string(), key));
            r#"{"ok": true}"#
        }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, server).await });

    let script = format!(
        "local function code(...) local ok, problem = pcall(http.get, ...) return ok and 'ok' or problem.code end
         local answer = http.get('http://{address}/data?token=secret')
         return {{
             answer.status, answer.json().ok,
             code('https://169.254.169.254/latest'), code('https://[::ffff:127.0.0.1]/'), code('https://10.0.0.1'),
             code('https://elsewhere.example/'), code('http://{address}/own', {{ idempotency_key = 'mine' }}),
         }}"
    );
    let report = run(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"http": [
            format!("http://{address}"), "https://169.254.169.254", "https://[::ffff:127.0.0.1]", "https://10.0.0.1",
        ]}}}}),
        &[("a.lua", &script)],
    )
    .await;
    assert_eq!(report.status(), RunStatus::Succeeded, "{:?}", report.ending());
    let refused = "http_address_not_allowed";
    assert_eq!(report.output("a"), json!([200, true, refused, refused, refused, "not_granted", "ok"]));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].1.len(), 64);
    assert_eq!(seen[1], ("/own".to_owned(), "mine".to_owned()));
    // The journal has the answers.
    let answered: Vec<_> = report
        .api
        .calls()
        .into_iter()
        .map(|call| match call.call {
            CallKind::HttpAnswered { answer, .. } => answer.map(|answer| (answer.status, answer.body)),
            other => panic!("{other:?}"),
        })
        .collect();
    let stored = Some((200, "eyJvayI6IHRydWV9".to_owned()));
    assert_eq!(answered, [stored.clone(), stored]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_possible_that_was_not_allowed() {
    let report = run(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua"}}}),
        &[(
            "a.lua",
            "local codes = {}
             for i, try in ipairs {
                 function() kv.set('a', 1) end,
                 function() http.get('https://example.com') end,
                 function() email.send { to = 'a@b', subject = 's', text = 't' } end,
                 function() files.write('a', 'b') end,
             } do
                 local ok, problem = pcall(try)
                 codes[i] = not ok and problem.code
             end
             return codes",
        )],
    )
    .await;
    assert_eq!(report.output("a"), json!(["not_granted", "not_granted", "not_granted", "not_granted"]));
    assert!(report.api.calls().is_empty());
}
