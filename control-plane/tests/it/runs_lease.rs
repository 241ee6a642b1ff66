//! Claims, fences, leases: who may write, and what becomes of what was lost.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::runs_support::*;

pub(crate) const EXPIRED: Duration = Duration::from_secs(31);

pub(crate) fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_default()
}

pub(crate) async fn assert_lease_lost(held: &Held, n: i64) {
    assert_refused(held, n, "lease_lost").await;
}

pub(crate) async fn assert_run_ended(held: &Held, n: i64) {
    assert_refused(held, n, "run_ended").await;
}

async fn assert_refused(held: &Held, n: i64, why: &str) {
    let report = held.report(n, json!([started("a")])).await;
    let renew = held.renew().await;
    let call = held.call("k", json!({ "method": "kv_set", "key": "x", "value": 1, "ttl_ms": null })).await;
    let read = held.call("k", json!({ "method": "kv_get", "key": "x" })).await;
    let artifact = held.artifact("k2", "x.txt", b"x").await;
    let outputs = held.outputs(json!({ "steps": ["a"] })).await;
    for (status, answer) in [report, renew, call, read, artifact, outputs] {
        assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, why), "{answer}");
    }
}

#[tokio::test]
async fn a_run_goes_from_claim_to_its_end() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    assert_eq!(held.fence, 1);
    assert_eq!(held.plan["run_id"], json!(run));
    assert_eq!(held.plan["files"]["a.lua"], "return 1");
    assert_eq!(held.plan["done"], json!([]));
    assert_eq!(held.plan["seed"].as_str().unwrap().len(), 64);
    assert_eq!(ann.status(&run).await, "running");
    held.reported(1, json!([started("a"), printed("a", 1, "hello")])).await;
    held.reported(2, json!([finished("a"), run_finished("succeeded")])).await;
    assert_eq!(ann.status(&run).await, "succeeded");
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds, ["run.queued", "run.started", "step.started", "step.output", "step.finished", "run.finished"]);
    let steps = ann.get(&format!("/v1/runs/{run}/steps")).await;
    assert_eq!(steps["items"][0]["status"], "succeeded");
    assert_eq!(steps["items"][0]["output"], json!({ "n": 1 }));
    assert_eq!(steps["items"][0]["engine_id"], "test");
    // The lost answer to the last batch can be had again; nothing else can.
    let (status, answer) = held.report(2, json!([finished("a"), run_finished("succeeded")])).await;
    assert_eq!((status, &answer["last_seq"]), (StatusCode::OK, &json!(6)));
    assert_run_ended(&held, 3).await;
}

#[tokio::test]
async fn a_leased_task_is_not_claimed_twice() {
    let it = Installation::start().await;
    let Scene { task, executor, .. } = it.claimed(None).await;
    for executor in [executor, it.executor().await] {
        let (status, answer) = executor.claim(&task).await.unwrap_err();
        assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "not_claimable"));
    }
    // Many at once: one gets it.
    let bob = it.person("bob").await;
    let place = bob.place(None).await;
    bob.run(&place, json!({})).await;
    let task = it.admitted().await;
    let executor = it.executor().await;
    let claims = (0..8).map(|_| {
        let (executor, task) = (executor.clone(), task.clone());
        tokio::spawn(async move { executor.claim(&task).await.is_ok() })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        won += usize::from(claim.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn credentials_are_checked() {
    let it = Installation::start().await;
    let Scene { task, executor, held, .. } = it.claimed(None).await;
    let stranger = Executor { token: "nobody".into(), ..executor.clone() };
    let (status, _) = stranger.claim(&task).await.unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let beat = json!({ "protocol": 1, "engine_id": "test", "slots": 4 });
    assert_eq!(stranger.post("/executors/heartbeat", beat.clone()).await.0, StatusCode::UNAUTHORIZED);
    let (status, answer) = executor.post("/executors/heartbeat", beat).await;
    assert_eq!(status, StatusCode::OK);
    let id = text(&answer["executor_id"]).parse().unwrap();
    let old = json!({ "protocol": 9, "engine_id": "test", "slots": 4 });
    assert_eq!(executor.post("/executors/heartbeat", old).await.0, StatusCode::BAD_REQUEST);
    // An executor's credential is not a task's token, nor the other way round.
    let wrong = Held { token: executor.token.clone(), ..held.clone() };
    assert_eq!(wrong.renew().await.0, StatusCode::CONFLICT);
    restroy_control_plane::runs::executors::revoke(&it.state, id).await.unwrap();
    let (status, _) = executor.claim(&task).await.unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_old_fence_writes_nothing() {
    let it = Installation::start().await;
    let Scene { ann, run, task, held, executor, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a"), printed("a", 1, "one")])).await;
    it.clock.advance(EXPIRED);
    // Whoever claims next takes over, before any reconciler looked.
    let next = executor.claim(&task).await.expect("an expired lease can be claimed");
    assert!(next.fence > held.fence);
    assert_eq!(next.plan["done"][0]["status"], "running");
    assert_lease_lost(&held, 2).await;
    next.reported(1, json!([started("a"), printed("a", 1, "one"), finished("a"), run_finished("succeeded")])).await;
    assert_run_ended(&held, 2).await;
    let kinds = ann.kinds(&run).await;
    assert_eq!(
        kinds,
        [
            "run.queued",
            "run.started",
            "step.started",
            "step.output",
            "step.lost",
            "step.started",
            "step.output",
            "step.finished",
            "run.finished"
        ]
    );
}

#[tokio::test]
async fn a_repost_is_a_no_op() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    let batch = json!([started("a"), printed("a", 1, "one")]);
    let first = held.reported(1, batch.clone()).await;
    assert_eq!(held.reported(1, batch.clone()).await, first);
    let second = held.reported(2, json!([printed("a", 2, "two")])).await;
    assert_eq!(held.reported(1, batch).await, second, "the answer is the present one");
    let (status, _) = held.report(4, json!([])).await;
    assert_eq!(status, StatusCode::CONFLICT, "a batch was left out");
    assert_eq!(ann.kinds(&run).await.len(), 5);
}

#[tokio::test]
async fn batches_are_taken_whole_or_not_at_all() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let long = "x".repeat(40 * 1024);
    for (at, bad) in [
        (1, json!([printed("a", 1, "x"), started("nowhere")])),
        (0, json!([started("a")])),
        (0, json!([{ "type": "step.started", "step": "a", "index": 1, "attempt": 1 }])),
        (0, json!([{ "type": "step.started", "step": "a", "attempt": 2 }])),
        (1, json!([finished("a"), printed("a", 1, "late")])),
        (1, json!([finished("a"), finished("a")])),
        (0, json!([printed("a", 1, &long)])),
        (0, json!([printed("a", 0, "x")])),
        (0, json!([{ "type": "step.progress", "step": "a", "attempt": 1, "fraction": 1.5 }])),
        (0, json!([{ "type": "step.lost", "step": "a", "attempt": 1 }])),
        (0, json!([{ "type": "run.started" }])),
        (0, json!([run_finished("running")])),
        (0, json!([run_finished("cancelled")])),
        (0, json!([run_finished("succeeded")])),
        (1, json!([run_finished("failed"), printed("a", 1, "late")])),
        (0, json!([{ "type": "step.finished", "step": "a", "attempt": 1, "status": "failed", "output": 1 }])),
        (0, json!([{ "type": "step.finished", "step": "a", "attempt": 1, "status": "running" }])),
    ] {
        let (status, answer) = held.report(2, bad.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {answer}");
        assert_eq!(answer["errors"][0]["pointer"], json!(format!("/events/{at}")), "{bad}: {answer}");
    }
    assert_eq!(ann.kinds(&run).await, ["run.queued", "run.started", "step.started"]);
    held.reported(2, json!([finished("a"), run_finished("succeeded")])).await;
}

#[tokio::test]
async fn retries_and_items_have_their_own_attempts() {
    let it = Installation::start().await;
    let document = steps(json!({ "a": { "script": "a.lua", "for_each": "params.items", "retry": {} } }));
    let Scene { ann, run, held, .. } = it.claimed(Some(document)).await;
    let of =
        |kind: &str, index: u32, attempt: u32| json!({ "type": kind, "step": "a", "index": index, "attempt": attempt });
    let mut parent = started("a");
    parent["items"] = json!(2);
    let mut retrying = of("step.retrying", 1, 1);
    retrying["error"] = json!({ "code": "script_error", "message": "no" });
    retrying["delay_ms"] = json!(10);
    let mut done = of("step.finished", 1, 2);
    done["status"] = json!("succeeded");
    held.reported(1, json!([parent, of("step.started", 1, 1), of("step.started", 2, 1), retrying])).await;
    let (status, _) = held.report(2, json!([of("step.started", 3, 1)])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "there are two items");
    let (status, _) = held.report(2, json!([of("step.started", 2, 2)])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "nothing was to be retried");
    held.reported(2, json!([of("step.started", 1, 2), done])).await;
    held.reported(3, json!([run_finished("failed")])).await;
    let steps = ann.get(&format!("/v1/runs/{run}/steps")).await;
    let mut seen: Vec<(Value, Value, Value)> = steps["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["index"].clone(), step["attempt"].clone(), step["status"].clone()))
        .collect();
    seen.sort_by_key(|step| (step.0.as_u64(), step.1.as_u64()));
    assert_eq!(
        seen,
        [
            (Value::Null, json!(1), json!("cancelled")),
            (json!(1), json!(1), json!("failed")),
            (json!(1), json!(2), json!("succeeded")),
            (json!(2), json!(1), json!("cancelled")),
        ]
    );
}

#[tokio::test]
async fn a_cancel_is_decided_without_the_executor() {
    let it = Installation::start().await;
    let Scene { ann, run, held, task, executor, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a")])).await;
    let path = format!("/v1/runs/{run}/cancel");
    let cancelled = ann.expect(StatusCode::OK, Method::POST, &path, None).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_run_ended(&held, 2).await;
    assert_eq!(executor.claim(&task).await.unwrap_err().0, StatusCode::CONFLICT);
    let again = ann.expect(StatusCode::OK, Method::POST, &path, None).await;
    assert_eq!(again["last_seq"], cancelled["last_seq"]);
    let kinds = ann.kinds(&run).await;
    assert_eq!(kinds, ["run.queued", "run.started", "step.started", "step.finished", "run.finished"]);
    let steps = ann.get(&format!("/v1/runs/{run}/steps")).await;
    assert_eq!(steps["items"][0]["status"], "cancelled");
}

#[tokio::test]
async fn what_ended_is_not_cancelled() {
    let it = Installation::start().await;
    let Scene { ann, run, held, .. } = it.claimed(None).await;
    held.reported(1, json!([started("a"), finished("a"), run_finished("succeeded")])).await;
    let (status, answer) = ann.call(Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "conflict"));
    assert_eq!(ann.status(&run).await, "succeeded");
}

#[tokio::test]
async fn a_takeover_fetches_the_outputs_that_it_asks_for_in_pages() {
    let it = Installation::start().await;
    let document = steps(json!({
        "a": { "script": "a.lua" },
        "b": { "script": "a.lua", "for_each": "params.items" },
        "c": { "script": "a.lua", "needs": ["a", "b"] },
    }));
    let Scene { task, held, executor, .. } = it.claimed(Some(document)).await;
    let item = |index: u32| json!({ "step": "b", "attempt": 1, "index": index });
    let with = |mut event: Value, more: Value| {
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    // Two of these fit into a page, three do not.
    let large = "x".repeat(1_900_000);
    held.reported(1, json!([started("a"), finished("a"), with(started("b"), json!({ "items": 4 }))])).await;
    for index in 1..=3 {
        let started = with(item(index), json!({ "type": "step.started" }));
        let end = json!({ "type": "step.finished", "status": "succeeded", "output": [index, large] });
        held.reported(1 + i64::from(index), json!([started, with(item(index), end)])).await;
    }
    let details = json!({ "code": "http_timeout", "body": "x".repeat(10_000) });
    let error = json!({ "code": "script_error", "message": "y".repeat(8_000), "details": details, "traceback": "z" });
    let failed = json!({ "type": "step.finished", "status": "failed", "error": error });
    held.reported(5, json!([with(item(4), json!({ "type": "step.started" })), with(item(4), failed)])).await;
    it.clock.advance(EXPIRED);

    // One that fetches outputs gets none in the plan, and of errors what decides.
    let claim = json!({ "protocol": 1, "engine_id": "test", "fetches_outputs": true });
    let next = executor.claim_as(&task, claim).await.expect("an expired lease can be claimed");
    assert_eq!(next.plan["outputs_apart"], json!(true));
    let done = next.plan["done"].as_array().unwrap();
    assert_eq!(done.len(), 6);
    assert!(done.iter().all(|state| state["output"].is_null()));
    let error = &done.iter().find(|state| state["status"] == "failed").unwrap()["error"];
    assert_eq!(error["details"], json!({ "code": "http_timeout" }));
    assert_eq!((error["message"].as_str().unwrap().len(), &error["traceback"]), (1_024, &Value::Null));

    let indices = |page: &Value| -> Vec<i64> {
        let outputs = page["outputs"].as_array().unwrap();
        assert!(outputs.iter().all(|output| output["step"] == "b" && output["output"][1] == json!(large)));
        outputs.iter().map(|output| output["index"].as_i64().unwrap()).collect()
    };
    let (status, first) = next.outputs(json!({ "steps": ["b"] })).await;
    assert_eq!((status, indices(&first)), (StatusCode::OK, vec![1, 2]));
    let (_, second) = next.outputs(json!({ "steps": ["b"], "after": first["next"] })).await;
    assert_eq!((indices(&second), &second["next"]), (vec![3], &Value::Null));
    let (_, both) = next.outputs(json!({ "steps": ["b", "a", "c", "none"] })).await;
    assert_eq!(both["outputs"][0], json!({ "step": "a", "index": 0, "output": { "n": 1 } }));
    assert_eq!((both["outputs"].as_array().unwrap().len(), &both["next"]["index"]), (3, &json!(2)));

    // An older one gets everything, as it always did.
    it.clock.advance(EXPIRED);
    let older = executor.claim(&task).await.expect("an expired lease can be claimed");
    assert_eq!(older.plan["outputs_apart"], Value::Null);
    let outputs = older.plan["done"].as_array().unwrap().iter().filter(|state| !state["output"].is_null());
    assert_eq!(outputs.count(), 4);
    assert_eq!(next.outputs(json!({ "steps": ["b"] })).await.0, StatusCode::CONFLICT);
}
