//! The routes of the run API in memory.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use restroy_run_queue::run_api::{
    Batch, BatchAnswer, Call, CallAnswer, CallKind, Claim, Claimed, HeartbeatAnswer, Lease, OutputsCursor, OutputsPage,
    OutputsRequest, Plan, Released, Signal, StepOutput, Suspend,
};
use restroy_sdk::{
    event::{EventKind, StepRef},
    ids::{ExecutorId, TaskId},
    problem::{Problem, ProblemCode},
};
use serde_json::json;
use uuid::Uuid;

use super::{super::rules, Api, committed};

pub(super) fn problem(code: ProblemCode) -> Response {
    let problem = Problem::new(code);
    (StatusCode::from_u16(problem.status).unwrap(), Json(problem)).into_response()
}

pub(super) async fn heartbeat(headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer the-credential");
    Json(HeartbeatAnswer { executor_id: ExecutorId(Uuid::from_u128(9)), slots: None, expires_at: None }).into_response()
}

/// One line at once, then what is said.
pub(super) async fn signals(State(api): State<Api>, headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer the-credential");
    if api.inner().knobs.is_old {
        return problem(ProblemCode::NotFound);
    }
    let said = api.signals.subscribe();
    api.tell();
    let alive = Signal::Alive { complete: true };
    let lines = stream::unfold((Some(alive), said), move |(first, mut said)| async move {
        let signal = match first {
            Some(first) => first,
            None => match tokio::time::timeout(Duration::from_secs(1), said.recv()).await {
                Ok(signal) => signal.ok()?,
                Err(_) => alive,
            },
        };
        let line = format!("{}\n", serde_json::to_string(&signal).unwrap());
        Some((Ok::<_, std::convert::Infallible>(line), (None, said)))
    });
    Body::from_stream(lines).into_response()
}

pub(super) async fn suspend(State(api): State<Api>, headers: HeaderMap, Json(suspend): Json<Suspend>) -> Response {
    if api.inner().knobs.is_old {
        return problem(ProblemCode::NotFound);
    }
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    {
        let mut inner = api.inner();
        inner.suspensions.push(suspend.waiting);
        inner.fence += 1;
    }
    api.tell();
    Json(Released {}).into_response()
}

pub(super) async fn stopped(State(api): State<Api>, headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer the-credential");
    api.inner().stopped += 1;
    api.tell();
    Json(Released {}).into_response()
}

pub(super) async fn claim(
    State(api): State<Api>,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
    Json(claim): Json<Claim>,
) -> Response {
    assert_eq!(headers["authorization"], "Bearer the-credential");
    if api.is_unavailable("credential") {
        return problem(ProblemCode::Unauthorized);
    }
    if api.is_unavailable("claim") {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let claimed = {
        let mut inner = api.inner();
        if inner.over || id != inner.plan.task_id {
            return problem(ProblemCode::NotClaimable);
        }
        inner.fence += 1;
        let outputs_apart = claim.fetches_outputs && !inner.knobs.sends_outputs;
        let mut done = committed(&inner.events);
        if inner.knobs.waits_are_over {
            for state in &mut done {
                state.due_in_ms = state.due_in_ms.map(|_| 0);
            }
        }
        if outputs_apart {
            for state in &mut done {
                state.output = None;
            }
        }
        let plan = Plan { done, outputs_apart, ..inner.plan.clone() };
        Claimed {
            token: format!("token-{}", inner.fence),
            fence: inner.fence,
            lease_ms: inner.knobs.lease_ms,
            plan,
            egress_left: None,
        }
    };
    api.tell();
    Json(claimed).into_response()
}

pub(super) async fn events(State(api): State<Api>, headers: HeaderMap, Json(batch): Json<Batch>) -> Response {
    if api.is_unavailable("events") {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let gate = api.inner().knobs.batches.clone();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let fence = match api.check(&headers) {
        Ok(fence) => fence,
        Err(refused) => return refused,
    };
    let refuse = api.inner().knobs.refuse;
    if refuse.is_some_and(|name| serde_json::to_string(&batch.events).unwrap().contains(name)) {
        return problem(ProblemCode::Invalid);
    }
    let (answer, lost) = {
        let mut inner = api.inner();
        if inner.taken.insert((fence, batch.n)) {
            assert_eq!(inner.taken.iter().filter(|(of, _)| *of == fence).count(), usize::try_from(batch.n).unwrap());
            assert!(!batch.events.is_empty());
            inner.batches += 1;
            inner.over = batch.events.iter().any(|event| matches!(event, EventKind::RunFinished { .. }));
            inner.events.extend(batch.events);
            rules::check(&inner.plan.document, &inner.events);
        }
        if inner.knobs.lose_after == Some(batch.n) && fence == 1 {
            inner.fence += 1;
        }
        let lost = inner.knobs.lost_answers > 0;
        inner.knobs.lost_answers = inner.knobs.lost_answers.saturating_sub(1);
        let last_seq = i64::try_from(inner.events.len()).unwrap();
        (BatchAnswer { last_seq, lease_ms: inner.knobs.lease_ms, egress_left: None }, lost)
    };
    api.tell();
    if lost { StatusCode::BAD_GATEWAY.into_response() } else { Json(answer).into_response() }
}

/// Gives two outputs in a page.
pub(super) async fn outputs(
    State(api): State<Api>,
    headers: HeaderMap,
    Json(request): Json<OutputsRequest>,
) -> Response {
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    let mut outputs: Vec<StepOutput> = committed(&api.inner().events)
        .into_iter()
        .filter(|state| request.steps.contains(&state.step.step))
        .filter_map(|state| {
            let (step, index) = (state.step.step, state.step.index.unwrap_or(0));
            Some(StepOutput { step, index, output: state.output? })
        })
        .collect();
    outputs.sort_by(|left, right| (&left.step, left.index).cmp(&(&right.step, right.index)));
    let cursor = |output: &StepOutput| OutputsCursor { step: output.step.clone(), index: output.index };
    if let Some(after) = request.after {
        outputs.retain(|output| (&output.step, output.index) > (&after.step, after.index));
    }
    let next = if outputs.len() > 2 { outputs.get(1).map(cursor) } else { None };
    outputs.truncate(2);
    api.inner().fetched.extend(outputs.iter().map(|output| (output.step.clone(), output.index)));
    Json(OutputsPage { outputs, next }).into_response()
}

pub(super) async fn release(State(api): State<Api>, headers: HeaderMap) -> Response {
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    {
        let mut inner = api.inner();
        inner.released += 1;
        inner.fence += 1;
    }
    api.tell();
    Json(Released {}).into_response()
}

pub(super) async fn renew(State(api): State<Api>, headers: HeaderMap) -> Response {
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    let lease_ms = {
        let mut inner = api.inner();
        inner.renewals += 1;
        inner.knobs.lease_ms
    };
    api.tell();
    Json(Lease { lease_ms }).into_response()
}

pub(super) async fn calls(State(api): State<Api>, headers: HeaderMap, Json(call): Json<Call>) -> Response {
    if api.is_unavailable("calls") {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    let gate = {
        let mut inner = api.inner();
        inner.calls.push(call.clone());
        let (key, gate) = &inner.knobs.gate;
        matches!(&call.call, CallKind::KvGet { key: asked } if asked == key).then(|| Arc::clone(gate))
    };
    api.tell();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let answer = api.inner().answer(&call);
    api.tell();
    Json(answer).into_response()
}

pub(super) async fn artifacts(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
    content: Bytes,
) -> Response {
    if let Err(refused) = api.check(&headers) {
        return refused;
    }
    let mut inner = api.inner();
    let step = StepRef {
        step: query["step"].clone(),
        index: query.get("index").map(|index| index.parse().unwrap()),
        attempt: query["attempt"].parse().unwrap(),
    };
    inner.check_effect(&step);
    assert_eq!(query["key"].len(), 64);
    assert!(query["call_number"].parse::<u64>().unwrap() > 0);
    let content_type = headers["content-type"].to_str().unwrap().to_owned();
    inner.artifacts.insert(query["name"].clone(), (content_type, content.to_vec()));
    Json(CallAnswer::Ok(json!({"name": query["name"]}))).into_response()
}
