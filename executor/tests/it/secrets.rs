//! Secrets: used, and never seen.

use restroy_sdk::{
    event::EventKind,
    status::{RunStatus, StepStatus},
};
use serde_json::json;

use crate::support::{Api, Report, run_with};

const SECRET: &str = "s3cr3t/with+\"signs\"";

async fn run(script: &str) -> Report {
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "secrets": ["KEY"], "allow": {"kv": true, "email": true, "files": true}},
            "b": {"script": "b.lua", "needs": ["a"], "when": "always"},
        }}),
        &[("a.lua", script), ("b.lua", "return config.KEY == nil")],
    )
    .await;
    api.plan(|plan| {
        plan.steps.get_mut("a").unwrap().secrets.insert("KEY".to_owned(), SECRET.to_owned());
    });
    let report = run_with(api).await;
    let text = serde_json::to_string(&report.events).unwrap();
    let escaped = serde_json::to_string(SECRET).unwrap();
    assert!(!text.contains(escaped.trim_matches('"')), "the secret is in the events");
    assert_eq!(report.output("b"), json!(true), "one step's secrets are not another's");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_masked_in_lines_and_progress() {
    let report = run("print('key: ' .. config.KEY)
         print(base64.encode('user:' .. config.KEY))
         print(url.encode(config.KEY), json.encode({ config.KEY }))
         io.write('half ', config.KEY:sub(1, 6)) io.write(config.KEY:sub(7), ' done\\n')
         progress(0.5, 'with ' .. config.KEY)
         return #config.KEY")
    .await;
    assert_eq!(report.output("a"), json!(SECRET.len()));
    let lines = report.lines("a");
    assert_eq!(lines[0], "key: ••••••••");
    assert!(lines[1].contains("••••••••"), "{lines:?}");
    assert_eq!(lines[2], "••••••••\t[\"••••••••\"]");
    assert_eq!(lines[3], "half •••••••• done");
    let events = serde_json::to_string(&report.events).unwrap();
    assert!(events.contains("with ••••••••"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_masked_in_errors() {
    let report = run("error{ message = 'bad key ' .. config.KEY, key = config.KEY }").await;
    let error = report.step("a").2.unwrap();
    assert_eq!(error.code, "script_error");
    assert!(error.message.contains("bad key ••••••••"), "{error:?}");
    assert_eq!(error.details.unwrap()["key"], "••••••••");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_error_is_cut_after_it_was_masked() {
    let report = run("error(('x'):rep(8185) .. config.KEY, 0)").await;
    let message = report.step("a").2.unwrap().message;
    assert!(message.len() <= 8192 && !message.contains(&SECRET[..4]), "{}", &message[8100..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_the_sandbox_had_to_cut_shows_nothing_of_a_secret() {
    let key: String = (0..6_000_u32).map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap())).collect();
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "secrets": ["KEY"]}}}),
        &[("a.lua", "error(('token ' .. config.KEY .. ' '):rep(20), 0)")],
    )
    .await;
    api.plan(|plan| {
        plan.steps.get_mut("a").unwrap().secrets.insert("KEY".to_owned(), key.clone());
    });
    let report = run_with(api).await;
    let message = report.step("a").2.unwrap().message;
    assert!(message.starts_with("token •••••••• token ••••••••"), "{message}");
    let events = serde_json::to_string(&report.events).unwrap();
    for at in (0..key.len() - 8).step_by(4) {
        assert!(!events.contains(&key[at..at + 8]), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_are_too_large_end_the_run_with_the_name_of_the_largest() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "secrets": ["KEY", "BIG"]}}}),
        &[("a.lua", "return 1")],
    )
    .await;
    api.plan(|plan| {
        let secrets = &mut plan.steps.get_mut("a").unwrap().secrets;
        secrets.insert("KEY".to_owned(), SECRET.to_owned());
        secrets.insert("BIG".to_owned(), "x".repeat(2 * 1024 * 1024));
    });
    let report = run_with(api).await;
    let Some(EventKind::RunFinished { status: RunStatus::Failed, error: Some(error) }) = report.events.last() else {
        panic!("{:?}", report.events);
    };
    assert_eq!(error.code, "secrets_too_large");
    assert_eq!(report.starts("a", None), 0);
    assert!(error.message.contains("`BIG` of the step `a`"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_would_be_kept_fails_the_step() {
    for script in [
        "return config.KEY",
        "return { deep = { 'Bearer ' .. config.KEY } }",
        "return { [config.KEY] = true }",
        "return base64.encode(config.KEY)",
        "pcall(kv.set, 'k', config.KEY) return 1",
        "pcall(kv.set, config.KEY, 1) return 1",
        "pcall(email.send, { to = 'a@b.c', subject = 's', text = 'key ' .. config.KEY }) return 1",
        "files.write('f', config.KEY) pcall(files.artifact, 'f') return 1",
    ] {
        let report = run(script).await;
        assert_eq!(report.status(), RunStatus::Failed);
        let (status, output, error) = report.step("a");
        assert_eq!((status, output), (StepStatus::Failed, None), "{script}");
        assert_eq!(error.unwrap().code, "secret_in_output", "{script}");
        assert!(report.api.calls().is_empty(), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named_with_its_remedy() {
    let api = Api::start(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "secrets": ["KEY", "OTHER"]}}}),
        &[("a.lua", "return 1")],
    )
    .await;
    api.plan(|plan| plan.steps.get_mut("a").unwrap().missing = vec!["KEY".to_owned()]);
    let report = run_with(api).await;
    let error = report.step("a").2.unwrap();
    assert_eq!(error.code, "secret_missing");
    assert!(error.message.contains("`KEY`") && error.message.contains("restroy secrets set"), "{}", error.message);
    assert_eq!(report.starts("a", None), 0);
}

/// A server that answers with what it was sent, in several encodings.
async fn echo() -> std::net::SocketAddr {
    use axum::{Router, http::HeaderMap, routing::post};
    let answer = async |headers: HeaderMap, body: String| {
        let key = headers["x-key"].to_str().unwrap().to_owned();
        ([("x-echo", key.clone())], format!("{key}|{}|{body}", serde_json::json!(key)))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_use_only_is_sent_and_answers_do_not_show_it() {
    let address = echo().await;
    let script = format!(
        "local answer = http.post('http://{address}/', {{ headers = {{ ['X-Key'] = secrets.ref('KEY') }}, json = {{ secrets.ref('KEY') }} }})
         print(secrets.ref('KEY'))
         local ok, problem = pcall(secrets.get, 'KEY')
         return {{ config.KEY == nil, problem.code, answer.headers['x-echo'], answer.body }}"
    );
    let api = Api::start(
        json!({"restroy": 1, "steps": {
            "a": {"script": "a.lua", "secrets": ["KEY"], "allow": {"http": [format!("http://{address}")]}},
        }}),
        &[("a.lua", &script)],
    )
    .await;
    api.plan(|plan| {
        plan.steps.get_mut("a").unwrap().usable_only.insert("KEY".to_owned(), SECRET.to_owned());
    });
    let report = run_with(api).await;
    let output = report.output("a");
    assert_eq!((&output[0], &output[1], &output[2]), (&json!(true), &json!("secret_usable_only"), &json!("••••••••")));
    let body = output[3].as_str().unwrap();
    assert_eq!(body.matches("••••••••").count(), 3, "{body}");
    assert!(!body.contains("s3cr3t"), "{body}");
    assert_eq!(report.lines("a"), ["secret:KEY"]);
}
