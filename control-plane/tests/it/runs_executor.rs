//! A scripted executor that speaks the run API with plain requests, and the events that it reports.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::runs_support::*;

/// An executor that does what the test says.
#[derive(Debug, Clone)]
pub(crate) struct Executor {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

/// A task in its hands.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: String,
    pub(crate) fence: i64,
    pub(crate) plan: Value,
}

impl Executor {
    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body)).await
    }

    pub(crate) async fn claim(&self, task: &str) -> Result<Held, (StatusCode, Value)> {
        self.claim_as(task, json!({ "protocol": 1, "engine_id": "test" })).await
    }

    /// A claim with a body of the test's own.
    pub(crate) async fn claim_as(&self, task: &str, claim: Value) -> Result<Held, (StatusCode, Value)> {
        let (status, answer) = self.post(&format!("/tasks/{task}/claim"), claim).await;
        if status != StatusCode::OK {
            return Err((status, answer));
        }
        Ok(Held {
            http: self.http.clone(),
            base: format!("{}/tasks/{task}", self.base),
            token: text(&answer["token"]),
            fence: answer["fence"].as_i64().unwrap(),
            plan: answer["plan"].clone(),
        })
    }
}

impl Held {
    pub(crate) async fn report(&self, n: i64, events: Value) -> (StatusCode, Value) {
        let batch = json!({ "n": n, "engine_id": "test", "events": events });
        answer(self.http.post(format!("{}/events", self.base)).bearer_auth(&self.token).json(&batch)).await
    }

    pub(crate) async fn reported(&self, n: i64, events: Value) -> i64 {
        let (status, answer) = self.report(n, events).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["last_seq"].as_i64().unwrap()
    }

    pub(crate) async fn outputs(&self, request: Value) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}/outputs", self.base)).bearer_auth(&self.token).json(&request)).await
    }

    pub(crate) async fn renew(&self) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}/renew", self.base)).bearer_auth(&self.token)).await
    }

    pub(crate) async fn release(&self) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}/release", self.base)).bearer_auth(&self.token)).await
    }

    /// Gives the task back until the first of some attempts is due.
    pub(crate) async fn suspend(&self, waiting: Value) -> (StatusCode, Value) {
        let body = json!({ "waiting": waiting });
        answer(self.http.post(format!("{}/suspend", self.base)).bearer_auth(&self.token).json(&body)).await
    }

    pub(crate) async fn call(&self, key: &str, call: Value) -> (StatusCode, Value) {
        let call = json!({ "step": { "step": "a", "attempt": 1 }, "call_number": 1, "key": key, "call": call });
        answer(self.http.post(format!("{}/calls", self.base)).bearer_auth(&self.token).json(&call)).await
    }

    pub(crate) async fn called(&self, key: &str, call: Value) -> Value {
        let (status, answer) = self.call(key, call).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["ok"].clone()
    }

    /// The code with which a call is refused.
    pub(crate) async fn refused(&self, key: &str, call: Value) -> String {
        let (status, answer) = self.call(key, call).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        text(&answer["refused"]["code"])
    }

    pub(crate) async fn artifact(&self, key: &str, name: &str, content: &[u8]) -> (StatusCode, Value) {
        let query = [("step", "a"), ("attempt", "1"), ("call_number", "1"), ("key", key), ("name", name)];
        let request = self.http.put(format!("{}/artifacts", self.base)).query(&query);
        answer(request.bearer_auth(&self.token).body(content.to_vec())).await
    }
}

impl Held {
    /// Keeps a file for a step.
    pub(crate) async fn artifact_of(&self, step: &str) -> (StatusCode, Value) {
        let query = [("step", step), ("attempt", "1"), ("call_number", "1"), ("key", "of"), ("name", "f")];
        answer(self.http.put(format!("{}/artifacts", self.base)).query(&query).bearer_auth(&self.token).body("x")).await
    }
}

pub(crate) fn started(step: &str) -> Value {
    json!({ "type": "step.started", "step": step, "attempt": 1 })
}

pub(crate) fn printed(step: &str, first_line: i64, line: &str) -> Value {
    json!({
        "type": "step.output", "step": step, "attempt": 1, "first_line": first_line,
        "lines": [{ "level": "info", "text": line }],
    })
}

pub(crate) fn finished(step: &str) -> Value {
    json!({ "type": "step.finished", "step": step, "attempt": 1, "status": "succeeded", "output": { "n": 1 } })
}

pub(crate) fn run_finished(status: &str) -> Value {
    json!({ "type": "run.finished", "status": status })
}
